package gatehousetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/store/postgrestest"
)

// Engines of Options.Engine and of the variable GATEHOUSE_TEST_ENGINE.
const (
	SQLite     = "sqlite"
	PostgreSQL = "postgresql"
)

// engineVariable chooses the engine of tests that do not choose one.
const engineVariable = "GATEHOUSE_TEST_ENGINE"

func engineOf(options Options) string {
	if options.Engine != "" {
		return options.Engine
	}
	if engine := os.Getenv(engineVariable); engine != "" {
		return engine
	}
	return SQLite
}

// databaseNote is the file in a data directory that says which PostgreSQL
// database belongs to it: its URL, and the directory that it was made for.
const databaseNote = "postgresql.txt"

// postgresOf returns the database of a data directory, making it if there is
// none. A directory that was copied with its note gets a copy of the database,
// which nobody may be using.
func postgresOf(t testing.TB, data string) string {
	t.Helper()
	path := filepath.Join(data, databaseNote)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	location, madeFor, _ := strings.Cut(string(text), "\n")
	if madeFor == data {
		return location
	}
	location = postgrestest.Database(t, location)
	if err := os.WriteFile(path, []byte(location+"\n"+data), 0o600); err != nil {
		t.Fatal(err)
	}
	return location
}
