package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// do runs the act in a transaction of its own, again if another one was in its way.
func (p *postgres) do(ctx context.Context, pace pace, run func(*act) error) error {
	asker, began := patienceOf(ctx), time.Now()
	limit := asker.within(p.patience)
	if limit <= 0 {
		return errSpent
	}
	defer asker.spent(began)
	if pace == thorough { // once it may begin it may take its time
		limit = thoroughTime
	}
	return cutShort(p.doUntil(ctx, began.Add(limit), pace, run), limit, p.patience)
}

// doUntil is do until a deadline.
func (p *postgres) doUntil(ctx context.Context, deadline time.Time, pace pace, run func(*act) error) error {
	leave, err := p.enter(ctx, deadline)
	if err != nil {
		return err
	}
	defer leave()
	// The act is answered for certain, whether the caller goes or stays.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	for attempt := 1; ; attempt++ {
		began := time.Now()
		err := p.attempt(ctx, pace, run)
		p.giveUpSilent(err, time.Since(began))
		if err == nil || attempt == actAttempts || !worthAnother(err) || !pause(ctx, attempt) {
			return passing(err)
		}
	}
}

// enter waits for a turn to act.
func (p *postgres) enter(ctx context.Context, deadline time.Time) (leave func(), err error) {
	if err := p.wait(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, ErrBusy)
	defer cancel()
	select {
	case p.acts <- struct{}{}:
		if err := ctx.Err(); err != nil {
			<-p.acts
			p.waiting.Add(-1)
			return nil, context.Cause(ctx)
		}
		return func() { <-p.acts; p.waiting.Add(-1) }, nil
	case <-ctx.Done():
		p.waiting.Add(-1)
		return nil, context.Cause(ctx)
	case <-p.closed:
		p.waiting.Add(-1)
		return nil, ErrClosed
	}
}

// wait counts one more who waits.
func (p *postgres) wait() error {
	select {
	case <-p.closed:
		return ErrClosed
	default:
	}
	if p.waiting.Add(1) > queueLimit {
		p.waiting.Add(-1)
		return ErrBusy
	}
	return nil
}

func (p *postgres) attempt(ctx context.Context, pace pace, run func(*act) error) error {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	began := time.Now()
	c := &connection{conn: conn, ctx: ctx}
	c.beginTransaction()
	a := &act{connection: c, engine: p, now: p.clock.now()}
	if pace == thorough {
		_, err = c.exec(pgPatience, inMillis(thoroughTime))
	}
	if err == nil {
		err = a.attempt(p.log, run)
	}
	if err == nil {
		err = c.commitTransaction()
	}
	if err != nil {
		c.abandon()
		if stateOf(err) == stateReadOnlyTransaction { // the next one looks for the primary
			c.discard()
		}
		if errors.Is(err, errUndo) {
			return nil
		}
		return err
	}
	p.work.add(1, time.Since(began))
	if a.moved {
		p.onChange() // before the answer: who changed something sees the change
	}
	p.onEnded(a.ended)
	// Outside of the act, so that nobody waits for sessions that it does not concern.
	if _, err := p.writeTouches(c); err != nil {
		p.log.Debug("sessions that were seen could not be written down", "error", err)
	}
	select {
	case p.acted <- struct{}{}:
	default:
	}
	return nil
}

// query runs a query, again if its connection turned out to be broken.
func (p *postgres) query(ctx context.Context, run func(*connection) error) error {
	asker := patienceOf(ctx)
	limit := asker.within(p.patience)
	if limit <= 0 {
		return errSpent
	}
	defer asker.spent(time.Now())
	return cutShort(p.queryWithin(ctx, limit, run), limit, p.patience)
}

func (p *postgres) queryWithin(ctx context.Context, limit time.Duration, run func(*connection) error) error {
	if err := p.wait(); err != nil {
		return err
	}
	defer p.waiting.Add(-1)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for attempt := 1; ; attempt++ {
		began := time.Now()
		err := p.queryOnce(bounded, run)
		p.giveUpSilent(err, time.Since(began))
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case attempt == actAttempts || !broken(err) || !pause(bounded, attempt):
			return passing(err)
		}
	}
}

// giveUpSilent closes the connections that nobody uses if the one of this error did not answer in
// time, not even that it is slow: what fell silent on one, such as a firewall or a machine that went
// without a word, may have done so on all, and each would cost a request its patience. It takes more
// than a moment to be called silent.
func (p *postgres) giveUpSilent(err error, took time.Duration) {
	if err != nil && took >= p.patience/2 && stateOf(err) == "" && (errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err)) {
		p.db.SetMaxIdleConns(0)
		p.db.SetMaxIdleConns(p.conns)
	}
}

func (p *postgres) queryOnce(ctx context.Context, run func(*connection) error) error {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return run(&connection{conn: conn, ctx: ctx})
}

// Conditions of PostgreSQL (its manual, appendix A).
const (
	stateUniqueViolation      = "23505"
	stateReadOnlyTransaction  = "25006" // the primary became a standby
	stateSerializationFailure = "40001"
	stateDeadlock             = "40P01"
	stateLockNotAvailable     = "55P03"
)

func stateOf(err error) string {
	var stated *pgconn.PgError
	if errors.As(err, &stated) {
		return stated.Code
	}
	return ""
}

// worthAnother says whether an act that failed so may go well a moment later. One that met a row of
// another act which was committed meanwhile sees it now.
func worthAnother(err error) bool {
	if errors.As(err, new(*commitError)) {
		return false
	}
	switch stateOf(err) {
	case stateSerializationFailure, stateDeadlock, stateUniqueViolation:
		return true
	}
	return broken(err)
}

// broken says whether the connection was lost, or there was none.
func broken(err error) bool {
	if stateOf(err) == "" && pgconn.Timeout(err) {
		return false
	}
	return lost(err)
}

func lost(err error) bool {
	if state := stateOf(err); state != "" {
		switch state[:2] {
		case "08": // connection exception
			return true
		case "57": // shut down, or starting
			return state != "57014"
		}
		return state == stateReadOnlyTransaction
	}
	var network net.Error
	return errors.As(err, new(*pgconn.ConnectError)) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err)
}

// passing marks what passes by itself as ErrUnavailable: the database is gone, full, slow or busy.
func passing(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	temporary := lost(err) || pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded)
	switch state := stateOf(err); {
	case state == "":
	case state == stateSerializationFailure, state == stateDeadlock, state == stateLockNotAvailable:
		temporary = true
	default:
		// Insufficient resources, operator intervention, system error.
		temporary = temporary || state[:2] == "53" || state[:2] == "57" || state[:2] == "58"
	}
	if temporary {
		return &unavailable{err}
	}
	return err
}

// pause waits a little, longer each time, and says whether there is time left.
func pause(ctx context.Context, attempt int) bool {
	// The nanoseconds keep those who met from meeting again.
	scatter := time.Duration(time.Now().Nanosecond() % int(retryPause))
	timer := time.NewTimer(time.Duration(attempt*attempt)*retryPause + scatter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

const retryPause = 10 * time.Millisecond
