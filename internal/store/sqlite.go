package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What is SQLite's own: how a file is opened and how a transaction begins and ends.

const (
	// busyTimeout, in milliseconds, is how long a write waits for another process, such as a
	// command that works on the file while the server runs.
	busyTimeout = "5000"

	firstAttempts = 250
	firstPause    = 20 * time.Millisecond

	sqliteBegin     = "BEGIN IMMEDIATE"
	sqliteCommit    = "COMMIT"
	sqliteRollback  = "ROLLBACK"
	sqliteSavepoint = "SAVEPOINT act"
	sqliteRelease   = "RELEASE act"
	sqliteUndo      = "ROLLBACK TO act"
)

func (c *connection) command(text string) error {
	_, err := c.exec(text)
	return err
}

func (c *connection) begin() error     { return c.command(sqliteBegin) }
func (c *connection) commit() error    { return c.command(sqliteCommit) }
func (c *connection) savepoint() error { return c.command(sqliteSavepoint) }
func (c *connection) release() error   { return c.command(sqliteRelease) }

// rollback ignores that SQLite may have rolled back by itself.
func (c *connection) rollback() { _ = c.command(sqliteRollback) }

func (c *connection) undo() error {
	if err := c.command(sqliteUndo); err != nil {
		return err
	}
	return c.release()
}

// fileFault marks what passes by itself as ErrUnavailable: the disk is full or fails, or another process
// holds the file for too long.
func fileFault(err error) error {
	var fault *sqlite.Error
	if !errors.As(err, &fault) {
		return err
	}
	switch fault.Code() & 0xff { // without the extension of the code
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return &unavailable{err}
	}
	return err
}

// fileMigrator is the writer while it migrates.
type fileMigrator struct{ *connection }

func (m fileMigrator) script(text string) error {
	return m.file.script(text)
}

// database is an opened file: one connection that writes, some that read.
type database struct {
	writer  *connection
	readers []*connection
}

// openSQLite opens the file, and makes it, for its owner only, if there is none.
func openSQLite(ctx context.Context, path string) (_ *database, err error) {
	if path == "" || strings.HasPrefix(path, ":") {
		return nil, fmt.Errorf("%q is not the path of a database file", path)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := createFile(absolute); err != nil {
		return nil, err
	}
	db := &database{}
	defer func() {
		if err != nil {
			_ = db.close()
		}
	}()
	if db.writer, err = connectFirst(ctx, sqliteName(absolute, "rw",
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-8000)")); err != nil {
		return nil, err
	}
	var mode string
	if _, err = db.writer.one("PRAGMA journal_mode", []any{&mode}); err != nil {
		return nil, err
	}
	if mode != "wal" {
		return nil, fmt.Errorf("the file system of %s does not let SQLite keep a write-ahead log (journal mode %s); use a local disk", absolute, mode)
	}
	return db, nil
}

// createFile makes the file if there is none; SQLite gives the log and its index the permissions of
// the file. One that exists is not opened: closing it would drop the locks that SQLite has on it
// elsewhere in the process (https://www.sqlite.org/howtocorrupt.html §2.2).
func createFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// connectFirst connects although another process may be making the same file: SQLite answers "busy"
// to the second one that turns the write-ahead log on, whatever its busy timeout.
func connectFirst(ctx context.Context, name string) (*connection, error) {
	var err error
	for range firstAttempts {
		var f *file
		if f, err = openFile(name); err == nil {
			return &connection{file: f}, nil
		}
		var busy *sqlite.Error
		if !errors.As(err, &busy) || busy.Code()&0xff != sqlite3.SQLITE_BUSY {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(firstPause):
		}
	}
	return nil, err
}

// openReaders is for when the tables exist.
func (db *database) openReaders(path string, count int) error {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	for range count {
		f, err := openFile(sqliteName(absolute, "ro", "query_only(1)"))
		if err != nil {
			return err
		}
		db.readers = append(db.readers, &connection{file: f})
	}
	return nil
}

// close closes the readers first, so that the writer, as the last, empties the log.
func (db *database) close() error {
	var errs []error
	for _, c := range db.readers {
		errs = append(errs, c.file.close())
	}
	if db.writer != nil {
		errs = append(errs, db.writer.file.close())
	}
	return errors.Join(errs...)
}

// sqliteName is a file: URI (https://www.sqlite.org/uri.html) with pragmas for the driver.
func sqliteName(absolute, mode string, pragmas ...string) string {
	path := filepath.ToSlash(absolute)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // file:///C:/…
	}
	query := url.Values{"mode": {mode}, "_busy_timeout": {busyTimeout}, "_pragma": pragmas}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}
