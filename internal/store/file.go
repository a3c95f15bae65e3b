package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"

	"modernc.org/sqlite"

	"gatehouse"
)

// file is a connection to SQLite by its driver alone: of what database/sql puts around one, pools, locks
// and attempts, nothing is of use to a connection that one goroutine uses at a time.
type file struct {
	conn     driver.Conn
	prepared map[string]statement
	bound    []driver.NamedValue // of the statement that runs
}

// statement is a prepared one, which the connection keeps.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// openFile connects to a file that sqliteName names.
func openFile(name string) (*file, error) {
	conn, err := new(sqlite.Driver).Open(name)
	if err != nil {
		return nil, err
	}
	return &file{conn: conn, prepared: make(map[string]statement)}, nil
}

func (f *file) close() error {
	var errs []error
	for _, stmt := range f.prepared {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, f.conn.Close())...)
}

// script runs statements without parameters that are not kept.
func (f *file) script(text string) error {
	_, err := f.conn.(driver.ExecerContext).ExecContext(context.Background(), text, nil)
	return err
}

func (f *file) prepare(text string) (statement, error) {
	if stmt, ok := f.prepared[text]; ok {
		return stmt, nil
	}
	prepared, err := f.conn.Prepare(text)
	if err != nil {
		return nil, fmt.Errorf("preparing %q: %w", text, err)
	}
	stmt := prepared.(statement)
	f.prepared[text] = stmt
	return stmt, nil
}

// bind prepares the statement and makes its arguments what the driver takes.
func (f *file) bind(text string, args []any) (statement, []driver.NamedValue, error) {
	stmt, err := f.prepare(text)
	if err != nil {
		return nil, nil, err
	}
	f.bound = f.bound[:0]
	for i, arg := range args {
		value, err := driverValue(arg)
		if err != nil {
			return nil, nil, fmt.Errorf("argument %d of %q: %w", i+1, text, err)
		}
		f.bound = append(f.bound, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	return stmt, f.bound, nil
}

func (f *file) exec(text string, args []any) (int64, error) {
	stmt, bound, err := f.bind(text, args)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(context.Background(), bound)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (f *file) each(text string, row func(scan func(dest ...any) error) error, args []any) (err error) {
	stmt, bound, err := f.bind(text, args)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(context.Background(), bound)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]driver.Value, len(rows.Columns()))
	scan := func(dest ...any) error {
		if len(dest) != len(values) {
			return fmt.Errorf("%d columns for %d values", len(values), len(dest))
		}
		for i, value := range values {
			if err := assign(dest[i], value); err != nil {
				return fmt.Errorf("column %q: %w", rows.Columns()[i], err)
			}
		}
		return nil
	}
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := row(scan); err != nil {
			return err
		}
	}
}

// driverValue is an argument as the driver takes it.
func driverValue(arg any) (driver.Value, error) {
	switch v := arg.(type) {
	case string, int64, []byte:
		return v, nil
	case gatehouse.TenantID:
		return string(v), nil
	case int:
		return int64(v), nil
	}
	return driver.DefaultParameterConverter.ConvertValue(arg)
}

// assign puts a value of a row into what dest points to: a Scanner, or a string, a number, bytes or a truth
// value of any name. NULL fits a Scanner only.
func assign(dest any, value driver.Value) error {
	switch d := dest.(type) {
	case sql.Scanner:
		return d.Scan(value)
	case *string:
		if text, ok := value.(string); ok {
			*d = text
			return nil
		}
	case *int64:
		if number, ok := value.(int64); ok {
			*d = number
			return nil
		}
	case *[]byte:
		switch bytes := value.(type) {
		case nil: // the driver's word for an empty blob
			*d = nil
			return nil
		case []byte: // of the row alone
			*d = bytes
			return nil
		}
	default:
		to := reflect.ValueOf(dest).Elem()
		switch v := value.(type) {
		case string:
			if to.Kind() == reflect.String {
				to.SetString(v)
				return nil
			}
		case int64:
			switch {
			case to.Kind() == reflect.Bool && (v == 0 || v == 1):
				to.SetBool(v == 1)
				return nil
			case to.CanInt() && !to.OverflowInt(v):
				to.SetInt(v)
				return nil
			}
		}
	}
	return fmt.Errorf("a %T does not fit a %T", value, dest)
}
