package store

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one numbered step of the tables, forward only.
type migration struct {
	number int
	name   string
	text   string
}

// ErrNewer means that a later version of the program has changed the database.
var ErrNewer = errors.New("the database was made by a newer version of gatehouse; start that version, or restore a backup from before the upgrade")

func readMigrations(files fs.FS) ([]migration, error) {
	paths, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var migrations []migration
	for _, p := range paths {
		name := path.Base(p)
		digits, _, _ := strings.Cut(name, "_")
		number, err := strconv.Atoi(digits)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number: %w", name, err)
		}
		text, err := fs.ReadFile(files, p)
		if err != nil {
			return nil, err
		}
		migrations = append(migrations, migration{number, name, string(text)})
	}
	slices.SortFunc(migrations, func(a, b migration) int { return cmp.Compare(a.number, b.number) })
	for i, m := range migrations {
		if m.number != i+1 {
			return nil, fmt.Errorf("migration %s stands where number %d should", m.name, i+1)
		}
	}
	return migrations, nil
}

// migrator is a connection as migrations use it.
type migrator interface {
	// begin begins a transaction that no other migration runs beside.
	begin() error
	commit() error
	rollback()
	// script runs statements that are written for SQLite, without parameters.
	script(text string) error
	one(text string, dest []any, args ...any) (found bool, err error)
	exec(text string, args ...any) (int64, error)
}

// migrate brings the tables up to date, each step in a transaction that also records it.
func migrate(ctx context.Context, c migrator, migrations []migration, at int64) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		done, err := migrateOne(c, migrations, at)
		if done || err != nil {
			return err
		}
	}
}

// migrateOne reads the version inside the transaction: another process may be migrating as well.
func migrateOne(c migrator, migrations []migration, at int64) (done bool, err error) {
	if err := c.begin(); err != nil {
		return false, fmt.Errorf("beginning a migration: %w", err)
	}
	defer func() {
		if done || err != nil {
			c.rollback()
		}
	}()
	if err := c.script(sqlCreateMigrations); err != nil {
		return false, fmt.Errorf("creating the table of migrations: %w", err)
	}
	var version int
	if _, err := c.one(sqlMigrationVersion, []any{&version}); err != nil {
		return false, fmt.Errorf("reading the version of the tables: %w", err)
	}
	if version > len(migrations) {
		return false, fmt.Errorf("%w (its tables are at version %d, this program knows %d)", ErrNewer, version, len(migrations))
	}
	if version == len(migrations) {
		return true, nil
	}
	m := migrations[version]
	if err := c.script(m.text); err != nil {
		return false, fmt.Errorf("migration %s: %w", m.name, err)
	}
	if _, err := c.exec(sqlRecordMigration, m.number, m.name, at); err != nil {
		return false, fmt.Errorf("recording migration %s: %w", m.name, err)
	}
	if err := c.commit(); err != nil {
		return false, fmt.Errorf("committing migration %s: %w", m.name, err)
	}
	return false, nil
}
