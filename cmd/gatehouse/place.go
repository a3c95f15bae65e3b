package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/secret"
	"gatehouse/internal/server"
	"gatehouse/internal/store"
)

// place says on which database a command works, and for which tenant.
type place struct {
	config string
	data   string
	tenant string
	// publicURL is the server's, once the place was found; "" if only a
	// directory was named.
	publicURL string
}

// database is an open database, and the tenant that a command is about.
type database struct {
	*store.Store
	tenant gatehouse.TenantID
}

func (p *place) addFlags(command *cobra.Command) {
	flags := command.PersistentFlags()
	flags.StringVar(&p.config, "config", "", "the server's configuration `FILE`")
	flags.StringVar(&p.data, "data", "", "the `DIR` that holds gatehouse.db")
}

// addTenantFlags adds --tenant, too.
func (p *place) addTenantFlags(command *cobra.Command) {
	p.addFlags(command)
	command.PersistentFlags().StringVar(&p.tenant, "tenant", "", "the `NAME` of the tenant, if it is not the default one")
}

// located is a place found.
type located struct {
	process server.Config
	// configured says that process is a server's whole configuration, and not
	// just the directory that somebody typed.
	configured bool
	// absent says that there is no database yet.
	absent   bool
	database store.Config
	// data is the server's data directory, where its control socket is.
	data string
	// tenant is the one that --tenant names.
	tenant string
	// keyFile holds the key-encryption key.
	keyFile string
	hashing secret.Params
}

// named says whether the line or the environment name a place.
func (p *place) named() bool {
	return p.config != "" || p.data != "" || os.Getenv("GATEHOUSE_DATA") != "" || os.Getenv("GATEHOUSE_DATABASE") != ""
}

func (p *place) find(command *cobra.Command) (located, error) {
	switch {
	case p.config != "" && p.data != "":
		return located{}, misused("one of them", "--config and --data both say where the database is")
	case !p.named():
		return located{}, misused(command.CommandPath()+" --config gatehouse.yaml, or --data DIR with the directory that holds gatehouse.db",
			"which database? Neither --config nor --data was given")
	}
	process, err := loadProcess(p.config)
	if err != nil {
		return located{}, err
	}
	if p.data != "" {
		process.Data, process.Database = p.data, ""
	}
	if process.Data == "" && process.Database == "" {
		return located{}, failed("add data: DIR to "+p.config+", or use --data DIR", "the configuration does not say where the database is")
	}
	return located{
		process: process, tenant: p.tenant, configured: p.data == "" && (p.config != "" || os.Getenv("GATEHOUSE_PUBLIC_URL") != ""),
		database: process.StoreConfig(slog.New(slog.DiscardHandler)), data: process.Data, keyFile: process.KeyPath(), hashing: hashingOf(process),
	}, nil
}

// loadProcess reads the server's configuration, or the environment alone.
func loadProcess(file string) (server.Config, error) {
	process, err := server.LoadConfig(file, os.Environ())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return server.Config{}, failed("docs/gatehouse.example.yaml shows what goes into one", "there is no file %s", file)
	case err != nil:
		what := "the GATEHOUSE_ environment variables cannot be used"
		if file != "" {
			what = "the configuration cannot be used"
		}
		return server.Config{}, refusedList(what, "docs/gatehouse.example.yaml names every setting", err)
	}
	return process, nil
}

func hashingOf(process server.Config) secret.Params {
	hashing := process.PasswordHashing
	return secret.Params{MemoryKiB: hashing.MemoryMiB << 10, Passes: hashing.Passes, Slots: hashing.Slots}
}

// absence is what happens where there is no database yet.
type absence int

const (
	// looksOn finds nothing where a server's configuration says that the
	// database will be, and refuses where only a directory was typed.
	looksOn absence = iota
	// rehearses finds nothing in either case, and leaves nothing behind.
	rehearses
	// furnishes makes what the server's first start would make.
	furnishes
)

// open opens the database. close is to be called at the end.
func (p *place) open(command *cobra.Command, absent absence) (db database, where located, close func() error, err error) {
	if where, err = p.find(command); err != nil {
		return database{}, where, nil, err
	}
	remove := func() error { return nil }
	if where.database.URL == "" {
		err := reachable(where.database.Path)
		if where.absent = errors.Is(err, fs.ErrNotExist); where.absent {
			remove, err = where.fill(command, absent)
		}
		if err != nil {
			return database{}, where, nil, err
		}
	}
	if db.Store, err = store.Open(command.Context(), where.database); err != nil {
		return database{}, where, nil, errors.Join(failed("", "%s", err), remove())
	}
	close = func() error { return errors.Join(db.Close(), remove()) }
	p.publicURL = where.process.PublicURL
	if db.tenant, err = p.tenantIn(command.Context(), db.Store); err != nil {
		return database{}, where, nil, errors.Join(err, close())
	}
	return db, where, close, nil
}

// tenantIn finds the tenant that --tenant names.
func (p *place) tenantIn(ctx context.Context, db *store.Store) (gatehouse.TenantID, error) {
	tenant := gatehouse.TenantID(p.tenant)
	if tenant == "" || tenant == gatehouse.DefaultTenant {
		return gatehouse.DefaultTenant, nil
	}
	_, found, err := db.TenantRecord(ctx, tenant)
	if err == nil && !found {
		try := "gatehouse tenant list"
		if gatehouse.CheckTenantID(tenant) == nil {
			try += ", or gatehouse tenant add " + p.tenant
		}
		err = failed(try, "there is no tenant %q", p.tenant)
	}
	return tenant, err
}

// fill stands in for a database that is missing. Without a configuration the
// key file is left to the server, whose configuration may put it elsewhere.
func (at *located) fill(command *cobra.Command, absent absence) (remove func() error, err error) {
	directory := filepath.Dir(at.database.Path)
	switch {
	case absent == furnishes && at.tenant != "":
		return nil, failed("gatehouse tenant add "+at.tenant, "there is no tenant %q: there is no database yet", at.tenant)
	case absent == furnishes && at.configured:
		err = server.Prepare(command.Context(), at.process, slog.New(slog.DiscardHandler))
	case absent == furnishes:
		err = os.MkdirAll(directory, 0o700)
	case absent == rehearses || at.configured:
		nothing, err := os.MkdirTemp("", "gatehouse-nothing-") // mode 0700
		at.database.Path = filepath.Join(nothing, "gatehouse.db")
		return func() error { return os.RemoveAll(nothing) }, err
	default:
		return nil, at.missing()
	}
	if err != nil {
		return nil, failed("a directory that this user may make, as the user that runs the server", "%s", err)
	}
	fmt.Fprintf(command.ErrOrStderr(), "made a new database in %s\n", directory)
	return func() error { return nil }, nil
}

// missing says that there is no database and what makes one.
func (at *located) missing() error {
	directory := filepath.Dir(at.process.DatabasePath())
	return failed("gatehouse serve --config FILE, with data: "+directory+" in FILE, or first gatehouse apply tenant.yaml --data "+directory,
		"no database at %s", directory)
}

// reachable says why a database file cannot be used; the error is
// fs.ErrNotExist if there is none.
func reachable(database string) error {
	directory := filepath.Dir(database)
	const asOwner = "the same command as the user that runs the server"
	switch info, err := os.Stat(database); {
	case errors.Is(err, fs.ErrNotExist):
		return fs.ErrNotExist
	case errors.Is(err, fs.ErrPermission):
		return failed(asOwner, "%s may not be read by this user", directory)
	case err != nil:
		return failed("", "%s", err)
	case info.IsDir():
		return failed("", "%s is a directory and no database", database)
	}
	file, err := os.OpenFile(database, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		return failed(asOwner, "%s may not be written by this user", database)
	}
	if err != nil {
		return failed("", "%s", err)
	}
	return file.Close()
}

// with opens the database for one act.
func (p *place) with(command *cobra.Command, act func(ctx context.Context, db database, where located) error) error {
	return p.within(command, looksOn, act)
}

// within is with, saying what happens where there is no database yet.
func (p *place) within(command *cobra.Command, absent absence, act func(ctx context.Context, db database, where located) error) error {
	db, where, close, err := p.open(command, absent)
	if err != nil {
		return err
	}
	err = act(command.Context(), db, where)
	if closeErr := close(); err == nil {
		err = closeErr
	}
	return err
}

// byCommand is the event of an act from the command line.
func byCommand(kind gatehouse.EventKind, change string) gatehouse.Event {
	return gatehouse.Event{Kind: kind, Actor: "cli", Detail: map[string]string{"change": change}}
}
