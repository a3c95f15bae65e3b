package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"gatehouse/internal/keyring"
	"gatehouse/internal/seal"
	"gatehouse/internal/store"
)

// OnPostgres says whether the database is a PostgreSQL one, named by its URL.
func (c Config) OnPostgres() bool {
	return strings.HasPrefix(c.Database, "postgres://") || strings.HasPrefix(c.Database, "postgresql://")
}

// StoreConfig says where the database is, as the store wants to know it.
func (c Config) StoreConfig(log *slog.Logger) store.Config {
	if c.OnPostgres() {
		return store.Config{URL: c.Database, Log: log, Clock: c.clock, Patience: c.patience}
	}
	return store.Config{Path: c.DatabasePath(), Log: log, Clock: c.clock, Patience: c.patience}
}

// WithClock returns the configuration of a server whose database goes by the
// clock, and waits for the database as long as patience says. It is for tests
// in which time does not pass by itself.
func (c Config) WithClock(clock func() time.Time, patience time.Duration) Config {
	c.clock, c.patience = clock, patience
	return c
}

func (c Config) checkDatabase() error {
	switch {
	case !c.OnPostgres() && strings.Contains(c.Database, "://"):
		return errors.New("database must be the path of an SQLite file or a URL that begins with postgres://")
	case !c.OnPostgres() && c.Data == "" && (c.Database == "" || c.KeyFile == ""):
		return errors.New("data is missing; name the directory for the database and the key file")
	case c.OnPostgres() && c.Data == "" && c.KeyFile == "":
		return errors.New("key_file is missing; name the file of the key-encryption key, or the data directory that holds it")
	case c.OnPostgres():
		if location, err := url.Parse(c.Database); err != nil || location.Path == "" || location.Path == "/" {
			return errors.New("database must name a host and a database, such as postgres://gatehouse@db.example.com/gatehouse")
		}
	}
	return nil
}

// KeysInitialised is what InitKeys found or made.
type KeysInitialised struct {
	ID uint32 // of the key-encryption key
	// MadeFile says that the key file was made, Recorded that the database
	// took the key as its own.
	MadeFile, Recorded bool
}

// InitKeys makes the key-encryption key of a database that has none and
// records it there. If the key file is there its key is taken. It changes
// nothing where this was done before.
func InitKeys(ctx context.Context, config Config, log *slog.Logger) (done KeysInitialised, err error) {
	if err := config.checkDatabase(); err != nil {
		return done, err
	}
	if err := config.makeDirectories(); err != nil {
		return done, err
	}
	db, err := store.Open(ctx, config.StoreConfig(log))
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, found, err := db.KeyEncryptionKey(ctx)
	if err != nil {
		return done, err
	}
	kek, err := seal.ReadKeyFile(config.KeyPath())
	if errors.Is(err, fs.ErrNotExist) {
		if found {
			return done, missingKeyFile(ctx, config, db)
		}
		done.MadeFile = true
		kek, err = seal.CreateKeyFile(config.KeyPath())
	}
	if err != nil {
		return done, err
	}
	if _, err := keyring.Open(ctx, db, kek); err != nil {
		return done, err
	}
	done.ID, done.Recorded = kek.ID, !found
	return done, nil
}

// Prepare makes what a first start makes, unless it is there: the data
// directory and, on SQLite, the database, the key file and the first keys.
func Prepare(ctx context.Context, config Config, log *slog.Logger) (err error) {
	if err := config.checkDatabase(); err != nil {
		return err
	}
	if err := config.makeDirectories(); err != nil {
		return err
	}
	s := &Server{config: config, log: log}
	if s.store, err = store.Open(ctx, config.StoreConfig(log)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.store.Close()) }()
	_, err = s.openKeys(ctx)
	return err
}

// missingKeyFile is the error of a server that does not find its key file.
func missingKeyFile(ctx context.Context, config Config, db *store.Store) error {
	recorded, found, err := db.KeyEncryptionKey(ctx)
	switch {
	case err != nil:
		return err
	case found:
		return fmt.Errorf("the key file %s is missing, but the database was sealed with key %08x; put that key file back from your backup", config.KeyPath(), recorded.ID)
	}
	return fmt.Errorf("the key file %s is missing; all servers of a PostgreSQL database share one: make it with `gatehouse keys init`, and copy it to each", config.KeyPath())
}
