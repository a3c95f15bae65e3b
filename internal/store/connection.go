package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// connection is one connection with its prepared statements. One goroutine uses it at a time. Its
// statements take no context: they are short, and a cancelled one would take its neighbours in
// the batch along.
type connection struct {
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
}

func newConnection(ctx context.Context, db *sql.DB) (*connection, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{conn: conn, prepared: make(map[string]*sql.Stmt)}, nil
}

func (c *connection) close() error {
	var errs []error
	for _, stmt := range c.prepared {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, c.conn.Close())...)
}

func (c *connection) prepare(text string) (*sql.Stmt, error) {
	if stmt, ok := c.prepared[text]; ok {
		return stmt, nil
	}
	stmt, err := c.conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, fmt.Errorf("preparing %q: %w", text, err)
	}
	c.prepared[text] = stmt
	return stmt, nil
}

// exec returns how many rows were changed.
func (c *connection) exec(text string, args ...any) (int64, error) {
	stmt, err := c.prepare(text)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// one scans the first row into dest and says whether there was one.
func (c *connection) one(text string, dest []any, args ...any) (found bool, err error) {
	err = c.each(text, func(scan func(...any) error) error {
		if found {
			return nil
		}
		found = true
		return scan(dest...)
	}, args...)
	return found && err == nil, err
}

// each calls row for every row, to the end: a statement that changes rows has then changed all.
func (c *connection) each(text string, row func(scan func(dest ...any) error) error, args ...any) error {
	stmt, err := c.prepare(text)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(context.Background(), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return rows.Close()
}

// readers is the number of connections that only read.
const readers = 4

// pool hands out the connections that only read.
type pool struct{ free chan *connection }

// read runs a query on a connection that cannot write. ctx bounds the wait for one.
func read[T any](ctx context.Context, s *Store, what string, query func(*connection) (T, error)) (T, error) {
	var none T
	select {
	case <-ctx.Done():
		return none, fmt.Errorf("store: %s: %w", what, ctx.Err())
	case <-s.closed:
		return none, fmt.Errorf("store: %s: %w", what, ErrClosed)
	case c := <-s.pool.free:
		defer func() { s.pool.free <- c }()
		value, err := query(c)
		if err != nil {
			return none, fmt.Errorf("store: %s: %w", what, err)
		}
		return value, nil
	}
}
