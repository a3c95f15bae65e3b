package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"gatehouse"
)

// What is PostgreSQL's own. Acts run at the same time, each in a READ COMMITTED transaction of its
// own, so each statement sees what was committed before it began, and a conditional UPDATE that
// waited for another one looks at the row again. What that does not settle, locks do.

const (
	// DefaultPatience is the longest that an act or a query takes when a request waits for it,
	// with the wait for a connection: the request is answered within two seconds. The database's
	// own limits, in percent of it, are lower, so that it is the one that gives up.
	DefaultPatience = 1700 * time.Millisecond
	statementShare  = 90
	lockShare       = 70

	// thoroughTime is for acts that may concern very many rows.
	thoroughTime = time.Minute

	// idleTime is after how long the database takes back what a replica that froze in the
	// middle of an act holds.
	idleTime = 10 * time.Second

	connectTime = time.Second
	openTime    = 15 * time.Second // for the first connection

	defaultConns    = 16
	leastConns      = 4
	connectionLife  = 30 * time.Minute
	connectionIdle  = 5 * time.Minute
	actAttempts     = 4
	oldestPostgres  = 130000
	migrationLockID = 0x6761746568 // a number of ours for the advisory lock
)

// postgres is an opened PostgreSQL database.
type postgres struct {
	db       *sql.DB
	conns    int
	patience time.Duration
	clock    *clock
	log      *slog.Logger
	touches  *touches
	onChange func()
	onEnded  func([]ending)

	acts    chan struct{} // those under way, fewer than connections: queries always find one
	waiting atomic.Int64  // acts and queries, with those under way
	work    work
	closed  <-chan struct{}
	quiet   sync.WaitGroup // the keeper
	hush    context.CancelFunc

	offset atomic.Int64  // of the database's clock to this machine's
	acted  chan struct{} // something was written since the keeper looked
}

// postgresConfig reads a connection URL.
func postgresConfig(url string, patience time.Duration) (config *pgx.ConnConfig, conns int, err error) {
	if config, err = pgx.ParseConfig(url); err != nil {
		return nil, 0, err // without the password
	}
	conns = defaultConns
	if text, given := config.RuntimeParams["pool_max_conns"]; given {
		if conns, err = strconv.Atoi(text); err != nil || conns < leastConns {
			return nil, 0, fmt.Errorf("pool_max_conns must be a number of at least %d", leastConns)
		}
		delete(config.RuntimeParams, "pool_max_conns")
	}
	if config.ConnectTimeout == 0 || config.ConnectTimeout > connectTime {
		config.ConnectTimeout = connectTime
	}
	// A standby would serve what was revoked.
	config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	for name, value := range map[string]string{
		"default_transaction_isolation":       "read committed",
		"synchronous_commit":                  "on",
		"statement_timeout":                   inMillis(patience * statementShare / 100),
		"lock_timeout":                        inMillis(patience * lockShare / 100),
		"idle_in_transaction_session_timeout": inMillis(idleTime),
		"client_encoding":                     "UTF8",
	} {
		config.RuntimeParams[name] = value
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "gatehouse"
	}
	return config, conns, nil
}

func inMillis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func (s *Store) openPostgres(ctx context.Context, config Config, migrations []migration) (err error) {
	if config.Patience == 0 {
		config.Patience = DefaultPatience
	}
	parsed, conns, err := postgresConfig(config.URL, config.Patience)
	if err != nil {
		return err
	}
	p := &postgres{
		db:       stdlib.OpenDB(*parsed),
		conns:    conns,
		patience: config.Patience,
		log:      config.Log,
		touches:  s.touches,
		onChange: s.snapshot.drop,
		onEnded:  s.endings.committed,
		acts:     make(chan struct{}, conns-conns/4),
		closed:   s.closed,
		acted:    make(chan struct{}, 1),
	}
	p.db.SetMaxOpenConns(conns)
	p.db.SetMaxIdleConns(conns)
	p.db.SetConnMaxLifetime(connectionLife)
	p.db.SetConnMaxIdleTime(connectionIdle)
	defer func() {
		if err != nil {
			_ = p.db.Close()
		}
	}()
	opening, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	conn, err := p.db.Conn(opening)
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &connection{conn: conn, ctx: opening}
	if err := fitting(c); err != nil {
		return err
	}
	measures := config.Clock == nil
	if measures {
		if err := p.measure(c); err != nil {
			return fmt.Errorf("reading the database's clock: %w", err)
		}
		config.Clock = func() time.Time { return time.Now().Add(time.Duration(p.offset.Load())) }
	}
	c.ctx = ctx
	if err := migrate(ctx, postgresMigrator{c}, migrations, millis(config.Clock())); err != nil {
		return err
	}
	if err := s.startClock(c, config); err != nil {
		return err
	}
	p.clock = s.clock
	s.postgres, s.engine, s.pool = p, p, p
	keeping, hush := context.WithCancel(context.Background())
	p.hush = hush
	p.quiet.Go(func() { p.keep(keeping, measures) })
	return nil
}

// fitting says whether the database is one that we can work with.
func fitting(c *connection) error {
	var encoding, schema string
	var version int64
	if _, err := c.one(pgFitting, []any{&encoding, &version, &schema}); err != nil {
		return err
	}
	switch {
	case version < oldestPostgres:
		return fmt.Errorf("the server is older than PostgreSQL %d", oldestPostgres/10000)
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s; create it with ENCODING 'UTF8'", encoding)
	case schema == "":
		return errors.New("the search_path names no schema that exists")
	}
	return nil
}

// Statements of PostgreSQL alone. Advisory locks rather than FOR SHARE on the rows: shared row locks
// are written to the row, and as long as new ones come, who wants to change the row waits; here
// everyone waits in line. Their names begin with the schema, since the locks are the database's.
const (
	pgFitting = `SELECT current_setting('server_encoding'), CAST(current_setting('server_version_num') AS BIGINT), COALESCE(CAST(current_schema() AS TEXT), '')`
	// Which server it is that answers: another one, or the same after a restart, began at another time.
	pgBegan       = `CAST(EXTRACT(EPOCH FROM pg_postmaster_start_time()) * 1000000 AS BIGINT)`
	pgSeq         = `SELECT value, ` + pgBegan + ` FROM counters WHERE name = 'event'`
	pgChangeCount = `SELECT value, ` + pgBegan + ` FROM counters WHERE name = 'change'`
	pgClock       = `SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`

	// $1 tenant, $2 kind, $3 name.
	pgLockName = `hashtextextended(current_schema() || ' ' || CAST($2 AS TEXT) || ' ' || CAST($1 AS TEXT) || ' ' || CAST($3 AS TEXT), 0)`
	pgHold     = `SELECT pg_advisory_xact_lock_shared(` + pgLockName + `)`
	pgSeize    = `SELECT pg_advisory_xact_lock(` + pgLockName + `)`

	pgHoldGrant = `SELECT pg_advisory_xact_lock_shared(hashtextextended(current_schema() || ' client ' || CAST($1 AS TEXT) || ' ' || client_id, 0)),
			pg_advisory_xact_lock_shared(hashtextextended(current_schema() || ' user ' || CAST($1 AS TEXT) || ' ' || subject, 0))
		FROM grants WHERE tenant = $1 AND id = $2`
	pgSeizeGrant   = `SELECT id FROM grants WHERE tenant = $1 AND id = $2 FOR UPDATE`
	pgSeizeKey     = `SELECT key FROM kv WHERE key = $1 FOR UPDATE`
	pgSeizeSession = `SELECT id FROM sessions WHERE tenant = $1 AND id = $2 FOR UPDATE`

	pgBehindLastSeq = `(SELECT value FROM counters WHERE name = 'event') - CAST($2 AS BIGINT)`

	pgMigrationLock = `SELECT pg_advisory_xact_lock($1)`
	pgPatience      = `SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $1, true),
			set_config('idle_in_transaction_session_timeout', $1, true)`
)

func (p *postgres) hold(a *act, what lock, name string) error {
	a.later(pgHold, a.tenant, string(what), name)
	return nil
}

// seize waits for those who hold, so the act's time begins anew.
func (p *postgres) seize(a *act, what lock, name string) error {
	_, err := a.exec(pgSeize, a.tenant, string(what), name)
	a.now = p.clock.now()
	return err
}

func (p *postgres) holdGrant(a *act, id gatehouse.GrantID) error {
	a.later(pgHoldGrant, a.tenant, id[:])
	return nil
}

func (p *postgres) seizeGrant(a *act, id gatehouse.GrantID) error {
	_, err := a.exec(pgSeizeGrant, a.tenant, id[:])
	a.now = p.clock.now() // those who were quicker have theirs from before
	return err
}

func (p *postgres) seizeSession(a *act, id string) error {
	a.later(pgSeizeSession, a.tenant, id)
	return nil
}

func (p *postgres) seizeKey(a *act, key string) error {
	_, err := a.exec(pgSeizeKey, []byte(key))
	return err
}

// settle takes the numbers by an update that holds their row until the commit, so that numbers
// become visible in their order, also to those who follow them at another replica. Events go with
// the commit; endings need to know the time when nobody is before them any more.
func (p *postgres) settle(a *act) error {
	if !slices.ContainsFunc(a.last, func(s numbered) bool { return s.text == sqlAddEnding }) {
		a.later(sqlTakeSeqs, len(a.last))
		for i, s := range a.last {
			a.later(behindLastSeq(s.text), s.args(int64(len(a.last)-1-i), a.now)...)
		}
		return nil
	}
	var last int64
	if _, err := a.one(sqlTakeSeqs, []any{&last}, len(a.last)); err != nil {
		return err
	}
	first, now := last-int64(len(a.last))+1, p.clock.now()
	for i, s := range a.last {
		a.later(s.text, s.args(first+int64(i), now)...)
	}
	return nil
}

// behindLastSeq has an event's statement take, in place of its number, by how much that is less than
// the last one given.
func behindLastSeq(text string) string { return strings.Replace(text, "$2,", pgBehindLastSeq+",", 1) }

func (p *postgres) moveNumbers(a *act, beyond int64) error { return a.moveNumbers(beyond) }

// native runs with the driver's connection.
func (c *connection) native(run func(*pgx.Conn) error) error {
	return c.conn.Raw(func(driver any) error { return run(driver.(*stdlib.Conn).Conn()) })
}

// postgresMigrator is a connection while it migrates.
type postgresMigrator struct{ *connection }

// typeName finds the types that migrations write for SQLite and that PostgreSQL calls otherwise.
var typeName = regexp.MustCompile(`\b(BLOB|TEXT)\b`)

// typeOf is what PostgreSQL calls a type. Texts are compared by their bytes, as SQLite does; integers
// (BIGINT) are the same on both.
func typeOf(name string) string {
	if name == "BLOB" {
		return "BYTEA"
	}
	return `TEXT COLLATE "C"`
}

func (m postgresMigrator) script(text string) error {
	text = typeName.ReplaceAllStringFunc(text, typeOf)
	return m.native(func(c *pgx.Conn) error {
		_, err := c.PgConn().Exec(m.ctx, text).ReadAll()
		return err
	})
}

func (m postgresMigrator) begin() error {
	m.beginTransaction()
	if _, err := m.exec(pgPatience, "0"); err != nil {
		return err
	}
	_, err := m.exec(pgMigrationLock, int64(migrationLockID))
	return err
}

func (m postgresMigrator) commit() error { return m.commitTransaction() }
func (m postgresMigrator) rollback()     { m.abandon() }

// later leaves a statement, of which nothing is asked, to go before the next one that is.
func (c *connection) later(text string, args ...any) {
	if c.ahead == nil {
		c.ahead = &pgx.Batch{}
	}
	c.ahead.Queue(text, storable(args)...)
}

// catchUp runs what was left for later, in one round trip.
func (c *connection) catchUp() error {
	_, _, err := c.sendAhead()
	return err
}

// sendAhead runs what was left for later. It returns how many statements went well, and what the
// last of them was answered. After one that failed nothing runs any more: it is not known whether
// the transaction began.
func (c *connection) sendAhead() (done int, last pgconn.CommandTag, err error) {
	batch := c.ahead
	c.ahead = nil
	if c.failed {
		return 0, last, errNotCommitted
	}
	if batch == nil {
		return 0, last, nil
	}
	err = c.native(func(conn *pgx.Conn) error {
		answers := conn.SendBatch(c.ctx, batch)
		for done < batch.Len() {
			if last, err = answers.Exec(); err != nil {
				break
			}
			done++
		}
		if closing := answers.Close(); err == nil {
			err = closing
		}
		return err
	})
	c.answered, c.failed = c.answered || err == nil, c.failed || err != nil
	return done, last, err
}

// beginTransaction has the next statement begin one.
func (c *connection) beginTransaction() { c.later("BEGIN") }

// errNotCommitted means that COMMIT was answered by ROLLBACK.
var errNotCommitted = errors.New("the transaction had failed before its commit")

// commitError is a failed commit. If the connection broke, nobody knows what became of the act.
type commitError struct{ cause error }

func (e *commitError) Error() string { return fmt.Sprint("committing: ", e.cause) }
func (e *commitError) Unwrap() error { return e.cause }

// commitTransaction commits together with what was left for later. Its error is a *commitError unless
// the database said that something before the commit had failed. A connection that has answered
// nothing yet is tried first: it may have been lost long ago, and then all can be done again.
func (c *connection) commitTransaction() error {
	if !c.answered {
		if err := c.catchUp(); err != nil {
			return err
		}
	}
	c.later("COMMIT")
	all := c.ahead.Len()
	done, last, err := c.sendAhead()
	switch {
	case errors.Is(err, errNotCommitted), err == nil && last.String() != "COMMIT":
		return &commitError{errNotCommitted}
	case err == nil:
		return nil
	case done < all-1 && stateOf(err) != "":
		return err
	}
	return &commitError{err}
}

// discard closes the connection for good.
func (c *connection) discard() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), connectTime)
	defer cancel()
	_ = c.native(func(conn *pgx.Conn) error { return conn.Close(ctx) })
}

// abandon rolls back. A connection on which that fails is given up.
func (c *connection) abandon() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), connectTime)
	defer cancel()
	c.ahead = nil
	_ = c.native(func(conn *pgx.Conn) error {
		if _, err := conn.PgConn().Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
			_ = conn.Close(ctx)
		}
		return nil
	})
}
