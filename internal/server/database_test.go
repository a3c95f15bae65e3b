package server

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/store/postgrestest"
)

func TestWhereTheDatabaseIs(t *testing.T) {
	for name, row := range map[string]struct {
		config Config
		want   string // "" when it is right
	}{
		"a directory":                   {Config{Data: "data"}, ""},
		"a file and a key file":         {Config{Database: "here.db", KeyFile: "here.key"}, ""},
		"a file alone":                  {Config{Database: "here.db"}, "data is missing"},
		"nothing":                       {Config{}, "data is missing"},
		"PostgreSQL and a directory":    {Config{Database: "postgres://db.example.com/gatehouse", Data: "data"}, ""},
		"PostgreSQL and a key file":     {Config{Database: "postgresql://db.example.com/gatehouse", KeyFile: "here.key"}, ""},
		"PostgreSQL on a socket":        {Config{Database: "postgres://user@/gatehouse?host=/run/postgresql", Data: "data"}, ""},
		"PostgreSQL alone":              {Config{Database: "postgres://db.example.com/gatehouse"}, "key_file is missing"},
		"PostgreSQL without a database": {Config{Database: "postgres://db.example.com/", Data: "data"}, "must name a host and a database"},
		"another kind of database":      {Config{Database: "mysql://db.example.com/gatehouse", Data: "data"}, "begins with postgres://"},
	} {
		row.config.PublicURL = "http://127.0.0.1:8080"
		err := row.config.Check()
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFileNamesADatabaseByURL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(path, []byte("public_url: http://127.0.0.1:8080\ndata: ./data\ndatabase: postgres://db.example.com/gatehouse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := LoadConfig(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if config.Database != "postgres://db.example.com/gatehouse" || !config.OnPostgres() {
		t.Errorf("the database is %s", config.Database)
	}
	if where := config.StoreConfig(nil); where.URL != config.Database || where.Path != "" {
		t.Errorf("the store is at %+v", where)
	}
}

func TestAServerOnPostgreSQLMakesNoKey(t *testing.T) {
	config := Config{PublicURL: "http://127.0.0.1:8080", Data: t.TempDir(), Database: postgrestest.Schema(t)}.WithClock(time.Now, time.Minute)
	if complaint := refuses(t, config); !strings.Contains(complaint, "gatehouse keys init") {
		t.Errorf("without a key file: %s", complaint)
	}
	if _, err := os.Stat(config.KeyPath()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key file was made: %v", err)
	}
	// A key file that the database does not know.
	elsewhere := config
	elsewhere.Database = ""
	made, err := InitKeys(t.Context(), elsewhere, quiet())
	if err != nil || !made.MadeFile || !made.Recorded {
		t.Fatalf("%+v, %v", made, err)
	}
	if complaint := refuses(t, config); !strings.Contains(complaint, "gatehouse keys init") {
		t.Errorf("before it is recorded: %s", complaint)
	}
	recorded, err := InitKeys(t.Context(), config, quiet())
	if err != nil || recorded.MadeFile || !recorded.Recorded || recorded.ID != made.ID {
		t.Errorf("%+v, %v", recorded, err)
	}
	open(t, config, quiet())
	// At a second time nothing is done.
	if again, err := InitKeys(t.Context(), config, quiet()); err != nil || again != (KeysInitialised{ID: made.ID}) {
		t.Errorf("%+v, %v", again, err)
	}
	// Another server with a key of its own.
	other := config
	other.Data = t.TempDir()
	if complaint := refuses(t, other); !strings.Contains(complaint, "put that key file back") {
		t.Errorf("a server without the key file: %s", complaint)
	}
	elsewhere.Data = other.Data
	if _, err := InitKeys(t.Context(), elsewhere, quiet()); err != nil {
		t.Fatal(err)
	}
	if complaint := refuses(t, other); !strings.Contains(complaint, "put the right key file in place") {
		t.Errorf("a server with another key: %s", complaint)
	}
	if _, err := InitKeys(t.Context(), other, quiet()); err == nil {
		t.Error("another key was recorded")
	}
}
