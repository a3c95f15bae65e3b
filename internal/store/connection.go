package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// connection is one connection, to PostgreSQL or to a file of SQLite. One goroutine uses it at a time.
type connection struct {
	conn *sql.Conn // PostgreSQL's
	// ctx bounds its statements. On SQLite nothing does: they are short, and a cancelled one would
	// take its neighbours in the batch along.
	ctx  context.Context
	file *file // SQLite's, nil with PostgreSQL
	// ahead, on PostgreSQL, is what goes before the next statement; answered says that something of
	// the transaction was, failed that it may not even have begun.
	ahead            *pgx.Batch
	answered, failed bool
}

// exec returns how many rows were changed.
func (c *connection) exec(text string, args ...any) (int64, error) {
	if c.file != nil {
		return c.file.exec(text, args)
	}
	if c.ahead != nil {
		c.later(text, args...)
		_, answer, err := c.sendAhead()
		return answer.RowsAffected(), err
	}
	if c.failed {
		return 0, errNotCommitted
	}
	result, err := c.conn.ExecContext(c.ctx, text, storable(args)...)
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
	if c.file != nil {
		return c.file.each(text, row, args)
	}
	if err := c.catchUp(); err != nil {
		return err
	}
	rows, err := c.conn.QueryContext(c.ctx, text, storable(args)...)
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
