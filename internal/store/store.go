package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Config says where the database is.
type Config struct {
	// Path of the SQLite file. It is made, for its owner only, if there is none; its directory
	// must exist.
	Path string
	// Log takes what nobody asked for, such as a clock that went back; slog.Default() when nil.
	Log *slog.Logger
	// Clock reads the system's clock; time.Now when nil.
	Clock func() time.Time
}

// Store is an open database. Its methods may be called by many goroutines at once.
type Store struct {
	db       *database
	clock    *clock
	writer   *writer
	pool     pool
	snapshot *snapshot
	touches  *touches

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
	if config.Clock == nil {
		config.Clock = time.Now
	}
	s, err := open(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", config.Path, err)
	}
	return s, nil
}

func open(ctx context.Context, config Config) (_ *Store, err error) {
	migrations, err := readMigrations(migrationFiles)
	if err != nil {
		return nil, err
	}
	db, err := openSQLite(ctx, config.Path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = db.close()
		}
	}()
	if err := migrate(ctx, db.writer, migrations, millis(config.Clock())); err != nil {
		return nil, err
	}
	if err := db.openReaders(ctx, config.Path, readers); err != nil {
		return nil, err
	}
	var mark int64
	if _, err := db.writer.one(sqlClock, []any{&mark}); err != nil {
		return nil, fmt.Errorf("reading the store's clock: %w", err)
	}
	if lead := timeOf(mark).Sub(config.Clock()); mark > 0 && lead > noticeableLead {
		config.Log.Warn("the system's clock is behind the database's; the store goes by the later one", "behind", lead.String())
	}
	s := &Store{
		db:       db,
		clock:    startClock(config.Clock, time.UnixMilli(mark)),
		pool:     pool{free: make(chan *connection, readers)},
		touches:  newTouches(),
		snapshot: newSnapshot(),
		closed:   make(chan struct{}),
	}
	for _, c := range db.readers {
		s.pool.free <- c
	}
	s.writer = &writer{
		conn:     db.writer,
		clock:    s.clock,
		log:      config.Log,
		touches:  s.touches,
		onChange: s.snapshot.drop,
		queue:    make(chan *job, queueLimit),
		stop:     make(chan struct{}),
		finished: make(chan struct{}),
	}
	go s.writer.loop()
	return s, nil
}

// Close ends the acts that still wait with ErrClosed, waits for those under way and closes the
// file. Further calls return what the first one did.
func (s *Store) Close() error {
	s.close.Do(func() {
		close(s.closed)
		close(s.writer.stop)
		<-s.writer.finished
		for range readers {
			<-s.pool.free // a reader under way hands its connection back first
		}
		s.closeErr = s.db.close()
	})
	return s.closeErr
}

// Now is the store's clock, in whole milliseconds. It never goes back, not even over a restart:
// when the system's clock was set back it runs a tenth slower until that has caught up.
func (s *Store) Now() time.Time { return s.clock.now() }

// Ping says whether the database can be read and its writer has room.
func (s *Store) Ping(ctx context.Context) error {
	if len(s.writer.queue) == cap(s.writer.queue) {
		return fmt.Errorf("store: %w", ErrBusy)
	}
	found, err := read(ctx, s, "ping", func(c *connection) (bool, error) {
		var count int64
		return c.one(sqlChangeCount, []any{&count})
	})
	if err == nil && !found {
		err = errors.New("store: ping: the change counter is missing")
	}
	return err
}
