package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/recent"
)

// Config says where the database is: Path or URL.
type Config struct {
	// Path of the SQLite file. It is made, for its owner only, if there is none; its directory
	// must exist.
	Path string
	// URL of a PostgreSQL database that exists, such as
	// postgres://gatehouse:secret@db.example.com/gatehouse?sslmode=verify-full. Its parameter
	// pool_max_conns bounds the connections; 16 when absent.
	URL string
	// Log takes what nobody asked for, such as a clock that went back; slog.Default() when nil.
	Log *slog.Logger
	// Clock reads the time. When nil that is the system's clock, or with PostgreSQL the
	// database's.
	Clock func() time.Time
	// Patience is the longest that an act or a query on PostgreSQL takes, or an act on SQLite waits
	// for its turn, before it fails with ErrUnavailable. When 0, that is DefaultPatience with
	// PostgreSQL, and with SQLite as long as it takes.
	Patience time.Duration
	// Trace, when set, is told when an act or a query begins and, through the function that it
	// returns, how it ended.
	Trace func(ctx context.Context, what string) (context.Context, func(error))
}

// Store is an open database. Its methods may be called by many goroutines at once.
type Store struct {
	engine   engine
	pool     pool
	clock    *clock
	snapshot *snapshot
	terms    *recent.Map[termsKey, gatehouse.Grant]
	handles  *recent.Map[handleKey, gatehouse.GrantID]
	sessions *recent.Map[sessionKey, gatehouse.Session]
	consents *recent.Map[consentKey, []gatehouse.Consent]
	endings  *endings
	touches  *touches
	kv       sqlKV
	trace    func(ctx context.Context, what string) (context.Context, func(error)) // nil when nobody looks

	// Of a store on SQLite.
	db     *database
	writer *writer
	// Of a store on PostgreSQL.
	postgres *postgres

	close    sync.Once
	closed   chan struct{}
	closeErr error
}

// noticeableLead is by how much the store's clock may be ahead of the system's in silence.
const noticeableLead = time.Minute

// Open opens the database and brings its tables up to date. It fails with ErrNewer if a newer
// version of the program has been there. The store is to be closed.
func Open(ctx context.Context, config Config) (*Store, error) {
	if config.Log == nil {
		config.Log = slog.Default()
	}
	migrations, err := readMigrations(migrationFiles)
	if err != nil {
		return nil, err
	}
	s := &Store{trace: config.Trace, touches: newTouches(), snapshot: newSnapshot(), closed: make(chan struct{})}
	s.kv.store = s
	s.terms, s.handles = recent.New[termsKey, gatehouse.Grant](termsKept), recent.New[handleKey, gatehouse.GrantID](termsKept)
	s.sessions, s.consents = recent.New[sessionKey, gatehouse.Session](knownKept), recent.New[consentKey, []gatehouse.Consent](knownKept)
	s.endings = newEndings(s)
	if config.URL != "" {
		if config.Path != "" {
			return nil, errors.New("opening the database: both a path and a URL were given")
		}
		if err := s.openPostgres(ctx, config, migrations); err != nil {
			return nil, fmt.Errorf("opening the PostgreSQL database: %w", err)
		}
		return s, nil
	}
	if err := s.openFile(ctx, config, migrations); err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", config.Path, err)
	}
	return s, nil
}

func (s *Store) openFile(ctx context.Context, config Config, migrations []migration) (err error) {
	if config.Clock == nil {
		config.Clock = time.Now
	}
	db, err := openSQLite(ctx, config.Path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = db.close()
		}
	}()
	if err := migrate(ctx, fileMigrator{db.writer}, migrations, millis(config.Clock())); err != nil {
		return err
	}
	if err := db.openReaders(config.Path, readers); err != nil {
		return err
	}
	if err := s.startClock(db.writer, config); err != nil {
		return err
	}
	free := make(chan *connection, readers)
	for _, c := range db.readers {
		free <- c
	}
	s.writer = &writer{
		conn:     db.writer,
		clock:    s.clock,
		log:      config.Log,
		touches:  s.touches,
		onChange: s.snapshot.drop,
		patience: config.Patience,
		onEnded:  s.endings.committed,
		queue:    make(chan *job, queueLimit),
		stop:     make(chan struct{}),
		finished: make(chan struct{}),
	}
	s.db, s.engine, s.pool = db, s.writer, &filePool{free, s.closed}
	go s.writer.loop()
	return nil
}

// startClock starts the store's clock at what the database has seen.
func (s *Store) startClock(c *connection, config Config) error {
	var mark int64
	if _, err := c.one(sqlClock, []any{&mark}); err != nil {
		return fmt.Errorf("reading the store's clock: %w", err)
	}
	if lead := timeOf(mark).Sub(config.Clock()); mark > 0 && lead > noticeableLead {
		config.Log.Warn("the system's clock is behind the database's; the store goes by the later one", "behind", lead.String())
	}
	s.clock = startClock(config.Clock, time.UnixMilli(mark))
	return nil
}

// Close ends the acts that still wait with ErrClosed, waits for those under way and closes the
// database. Further calls return what the first one did.
func (s *Store) Close() error {
	s.close.Do(func() {
		close(s.closed)
		if s.postgres != nil {
			s.closeErr = s.postgres.close()
			return
		}
		close(s.writer.stop)
		<-s.writer.finished
		for range readers {
			<-s.pool.(*filePool).free // a reader under way hands its connection back first
		}
		s.closeErr = s.db.close()
	})
	return s.closeErr
}

// Now is the store's clock, in whole milliseconds. It never goes back, not even over a restart:
// when the clock that it reads was set back it runs a tenth slower until that has caught up.
func (s *Store) Now() time.Time { return s.clock.now() }

// Ping says whether the database can be read, acts find room, and, with PostgreSQL, whether this
// machine's clock is at most a minute off the database's.
func (s *Store) Ping(ctx context.Context) error {
	if s.writer != nil && len(s.writer.queue) == cap(s.writer.queue) {
		return fmt.Errorf("store: %w", ErrBusy)
	}
	if offset := s.ClockOffset(); offset.Abs() > tolerableOffset {
		return fmt.Errorf("store: this machine's clock is %v off the database's; set it right", offset.Round(time.Second))
	}
	asked := time.Since(s.snapshot.started)
	found, err := read(ctx, s, "ping", func(c *connection) (bool, error) {
		var count int64
		return c.one(sqlChangeCount, []any{&count})
	})
	if err == nil && !found {
		err = errors.New("store: ping: the change counter is missing")
	}
	if err == nil {
		s.snapshot.isThere(asked) // who is told that we are ready is served
	}
	return err
}

// tolerableOffset is how far the clock of a replica that serves may be from the database's.
const tolerableOffset = time.Minute

// ClockOffset is by how much PostgreSQL's clock is ahead of this machine's, as last measured; with
// SQLite, or a clock of the caller's, it is 0.
func (s *Store) ClockOffset() time.Duration {
	if s.postgres == nil {
		return 0
	}
	return time.Duration(s.postgres.offset.Load())
}

func untraced(error) {}

// traced tells who looks that an act or a query begins.
func (s *Store) traced(ctx context.Context, what string) (context.Context, func(error)) {
	if s.trace == nil {
		return ctx, untraced
	}
	return s.trace(ctx, what)
}
