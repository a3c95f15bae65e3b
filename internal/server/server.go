package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/authserver"
	"gatehouse/egress"
	"gatehouse/internal/admin"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/internal/keyring"
	"gatehouse/internal/login"
	"gatehouse/internal/metrics"
	"gatehouse/internal/seal"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/internal/tracing"
	"gatehouse/kv/kvredis"
)

// Server is an assembled authorization server.
type Server struct {
	config   Config
	log      *slog.Logger
	store    *store.Store
	redis    *kvredis.Store   // nil when there is none
	shared   *sharedCounters  // nil without Redis
	leases   *endpoint.Leases // nil where there is one server
	mux      *endpoint.Mux
	protocol *authserver.Server
	keys     *keyring.Keyring
	refusals *refusals
	outbound *egress.Client
	hasher   *secret.Hasher
	metrics  *metrics.Metrics // nil when nobody reads them
	tracer   *tracing.Tracer  // nil when nothing is traced
	logouts  *authserver.Logouts
	limits   listenerLimits
	patience time.Duration    // of one request with the database
	clock    func() time.Time // for what is not in the database
}

// Open assembles a server from its configuration: it opens the database,
// makes what a first start needs, and applies the tenant file if there is
// one. The server is to be closed.
func Open(ctx context.Context, config Config, log *slog.Logger) (_ *Server, err error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	s := &Server{config: config, log: log, refusals: &refusals{}, limits: defaultLimits(), clock: time.Now}
	s.hasher = secret.NewHasher(secret.Params{
		MemoryKiB: config.PasswordHashing.MemoryMiB << 10, Passes: config.PasswordHashing.Passes, Slots: config.PasswordHashing.Slots,
	})
	if s.outbound, err = config.Outbound(); err != nil {
		return nil, err
	}
	if err := config.makeDirectories(); err != nil {
		return nil, err
	}
	if err = s.openTracer(ctx); err != nil {
		return nil, err
	}
	database := config.StoreConfig(s.log)
	if database.Patience == 0 {
		database.Patience = store.DefaultPatience // commands have more
	}
	s.patience = database.Patience
	if s.tracer != nil {
		database.Trace = s.tracer.Act
	}
	if s.store, err = store.Open(ctx, database); err != nil {
		s.closeTracer()
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if config.Redis.Used() {
		if s.redis, err = config.OpenRedis(ctx); err != nil {
			return nil, err
		}
	}
	if s.keys, err = s.openKeys(ctx); err != nil {
		return nil, err
	}
	if err := s.checkPublicHost(ctx); err != nil {
		return nil, err
	}
	if err := s.applyFile(ctx); err != nil {
		return nil, err
	}
	return s, s.assemble()
}

func (c Config) makeDirectories() error {
	directories := []string{c.Data}
	if !c.OnPostgres() {
		directories = append(directories, filepath.Dir(c.DatabasePath()))
	}
	for _, directory := range directories {
		if err := makeDirectory(directory); err != nil {
			return fmt.Errorf("make the data directory: %w", err)
		}
	}
	return nil
}

// makeDirectory makes a directory for its owner alone, unless it is there.
func makeDirectory(path string) error {
	if path == "" {
		return nil
	}
	return os.MkdirAll(path, 0o700)
}

// openKeys reads the key-encryption key, making it together with a new SQLite
// database, and opens the keyring. On PostgreSQL it makes none: each replica
// would make its own.
func (s *Server) openKeys(ctx context.Context) (*keyring.Keyring, error) {
	kek, err := seal.ReadKeyFile(s.config.KeyPath())
	if errors.Is(err, fs.ErrNotExist) {
		_, found, recordErr := s.store.KeyEncryptionKey(ctx)
		if recordErr != nil {
			return nil, recordErr
		}
		if found { // another process may have made both meanwhile, first the file and then its record
			kek, err = seal.ReadKeyFile(s.config.KeyPath())
		}
		switch {
		case errors.Is(err, fs.ErrNotExist) && (found || s.config.OnPostgres()):
			return nil, missingKeyFile(ctx, s.config, s.store)
		case errors.Is(err, fs.ErrNotExist):
			kek, err = makeKeyFile(ctx, s.config.KeyPath())
		}
	}
	if err != nil {
		return nil, err
	}
	if s.config.OnPostgres() {
		if _, found, err := s.store.KeyEncryptionKey(ctx); err != nil {
			return nil, err
		} else if !found {
			return nil, errors.New("the database has no key-encryption key yet; record the one in the key file with `gatehouse keys init`")
		}
	}
	keys, err := keyring.Open(ctx, s.store, kek)
	if err != nil {
		return nil, err
	}
	return keys, keys.Load(ctx, gatehouse.DefaultTenant)
}

const (
	// keyFileAttempts times keyFilePause is how long another process may
	// take to write the key file that both want to make.
	keyFileAttempts = 250
	keyFilePause    = 20 * time.Millisecond
)

// makeKeyFile makes the key file, or reads the one that another process makes
// at this moment.
func makeKeyFile(ctx context.Context, path string) (seal.Key, error) {
	kek, err := seal.CreateKeyFile(path)
	if !errors.Is(err, fs.ErrExist) {
		return kek, err
	}
	for range keyFileAttempts {
		if kek, err = seal.ReadKeyFile(path); err == nil {
			return kek, nil
		}
		select {
		case <-ctx.Done():
			return seal.Key{}, ctx.Err()
		case <-time.After(keyFilePause):
		}
	}
	return seal.Key{}, err
}

func (s *Server) applyFile(ctx context.Context) error {
	if s.config.Apply == "" {
		return nil
	}
	text, err := os.ReadFile(s.config.Apply)
	if err != nil {
		return fmt.Errorf("read the tenant file: %w", err)
	}
	file, err := admin.Decode(text, s.config.Apply)
	if err != nil {
		return err
	}
	report, err := admin.Apply(ctx, s.store, s.hasher, gatehouse.DefaultTenant, s.config.PublicURL, file, admin.Options{Actor: "serve", Unattended: true, Fetch: s.outbound})
	if err != nil {
		return fmt.Errorf("apply %s: %w", s.config.Apply, err)
	}
	for _, change := range report.Changes {
		s.log.Info("applied", "change", change)
	}
	return nil
}

func (s *Server) assemble() error {
	public, err := url.Parse(s.config.PublicURL)
	if err != nil {
		return err
	}
	secure := public.Scheme == "https"
	box := &interaction.Box{Keys: s.keys, Now: s.store.Now, Cookies: interaction.Cookies{Secure: secure}}
	if !secure {
		box.Suffix = "-" + public.Port() // cookies do not know ports
	}
	pages := login.NewPages(box)
	s.shared, s.leases = s.shareCounters(), s.shareLimits()
	s.metrics = s.newMetrics()
	counted, places := counting{s.store, s.metrics}, newTenancy(s.store, s.keys, public)
	s.protocol = authserver.New(authserver.Config{
		Store: counted, Keys: s.keys, Box: box, Pages: pages, Hosts: places, Log: s.log,
		// Slots of its own: client secrets never wait for passwords.
		Hasher: secret.NewHasher(secret.Params{Slots: 1}), Leases: s.leases,
	})
	s.logouts = &authserver.Logouts{Server: s.protocol, HTTP: s.outbound.HTTP(), Tenant: places.tenant, Told: s.toldLogout}
	people := login.New(login.Config{Pages: pages, Store: counted, Flow: s.protocol, Passwords: s.hasher, Counters: s.counters(), Leases: s.leases})
	rows := slices.Concat(s.protocol.Rows(), people.Rows(), s.healthRows())
	s.mux, err = endpoint.NewMux(endpoint.Config{
		Rows: rows, Log: s.log, Secure: secure, Refused: s.refused, Answered: s.told(s.answered(rows)),
		Tenancy: places,
		Origins: &origins{store: s.store},
	})
	return err
}

// Handler serves every endpoint.
func (s *Server) Handler() http.Handler {
	handler := s.bounded(s.mux)
	if s.config.Log.Access {
		handler = AccessLog(s.log, handler)
	}
	if s.tracer != nil {
		handler = s.tracer.Handler(handler)
	}
	return handler
}

// bounded limits how long each request waits for the database in all, however often
// it asks, so that it is answered within two seconds.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// On a connection of HTTP/1 there is one request at a time, which needs no
		// context of its own.
		if r.ProtoMajor == 1 && store.RenewPatience(r.Context(), s.patience) {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(store.WithPatience(r.Context(), s.patience)))
	})
}

// Rows returns the endpoint table.
func (s *Server) Rows() []endpoint.Row { return s.mux.Rows() }

// Keys returns the server's keys.
func (s *Server) Keys() *keyring.Keyring { return s.keys }

// Store returns the server's database.
func (s *Server) Store() *store.Store { return s.store }

// Logouts delivers to clients what they are to be told of logouts. Serve does it
// all the time.
func (s *Server) Logouts() *authserver.Logouts { return s.logouts }

// Outbound fetches what clients and users point to, within the rules of the
// egress settings.
func (s *Server) Outbound() *egress.Client { return s.outbound }

// Drain ends the answers that would not end by themselves. Serve does so when
// it stops.
func (s *Server) Drain() { s.protocol.Drain() }

// Close closes the database and the connections to Redis, and delivers the last
// traces.
func (s *Server) Close() error {
	if s.redis != nil {
		s.redis.Close()
	}
	err := s.store.Close()
	s.closeTracer()
	return err
}
