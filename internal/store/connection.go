package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// connection is one connection. One goroutine uses it at a time.
type connection struct {
	conn *sql.Conn
	// ctx bounds its statements. On SQLite nothing does: they are short, and a cancelled one would
	// take its neighbours in the batch along.
	ctx context.Context
	// prepared are its statements on SQLite; PostgreSQL's driver keeps them by itself.
	prepared map[string]*sql.Stmt
}

func newConnection(ctx context.Context, db *sql.DB) (*connection, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{conn: conn, ctx: context.Background(), prepared: make(map[string]*sql.Stmt)}, nil
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
	stmt, err := c.conn.PrepareContext(c.ctx, text)
	if err != nil {
		return nil, fmt.Errorf("preparing %q: %w", text, err)
	}
	c.prepared[text] = stmt
	return stmt, nil
}

// exec returns how many rows were changed.
func (c *connection) exec(text string, args ...any) (int64, error) {
	result, err := c.execute(text, args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// execOr tries one statement and, if that changed nothing, another with the same arguments. It says
// whether one of them changed something.
func (c *connection) execOr(first, second string, args []any) (bool, error) {
	changed, err := c.exec(first, args...)
	if err == nil && changed == 0 {
		changed, err = c.exec(second, args...)
	}
	return changed > 0, err
}

func (c *connection) execute(text string, args []any) (sql.Result, error) {
	if c.prepared == nil {
		return c.conn.ExecContext(c.ctx, text, storable(args)...)
	}
	stmt, err := c.prepare(text)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(c.ctx, args...)
}

func (c *connection) query(text string, args []any) (*sql.Rows, error) {
	if c.prepared == nil {
		return c.conn.QueryContext(c.ctx, text, storable(args)...)
	}
	stmt, err := c.prepare(text)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(c.ctx, args...)
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
	rows, err := c.query(text, args)
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

// readers is the number of connections to SQLite that only read.
const readers = 4

// pool runs queries that change nothing.
type pool interface {
	// query lends a connection. ctx bounds the wait for one.
	query(ctx context.Context, run func(*connection) error) error
}

// filePool holds the connections to SQLite that only read.
type filePool struct {
	free   chan *connection
	closed chan struct{}
}

func (p *filePool) query(ctx context.Context, run func(*connection) error) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.closed:
		return ErrClosed
	case c := <-p.free:
		defer func() { p.free <- c }()
		return fileFault(run(c))
	}
}

// read runs a query that changes nothing.
func read[T any](ctx context.Context, s *Store, what string, query func(*connection) (T, error)) (T, error) {
	var value, none T
	ctx, end := s.traced(ctx, what)
	err := s.pool.query(ctx, func(c *connection) (err error) {
		value, err = query(c)
		return err
	})
	end(err)
	if err != nil {
		return none, fmt.Errorf("store: %s: %w", what, err)
	}
	return value, nil
}
