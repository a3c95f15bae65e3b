package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// offsetEvery is how often the database's clock is measured, each time by the quickest of
	// so many answers.
	offsetEvery   = 10 * time.Second
	offsetSamples = 3
)

// keep writes down the clock and the sessions that were seen, after something else was written, and
// measures the database's clock, until the store is closed, which ends what is under way.
func (p *postgres) keep(ctx context.Context, measures bool) {
	var due <-chan time.Time
	if measures {
		ticker := time.NewTicker(offsetEvery)
		defer ticker.Stop()
		due = ticker.C
	}
	var mark <-chan time.Time
	for {
		select {
		case <-p.closed:
			return
		case <-p.acted:
			if mark == nil {
				mark = time.After(markEvery)
			}
		case <-mark:
			mark = nil
			p.note(p.queryWithin(ctx, thoroughTime, p.writeDown))
		case <-due:
			p.note(p.query(ctx, p.measure))
		}
	}
}

func (p *postgres) note(err error) {
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, context.Canceled) {
		p.log.Warn("the database could not be asked for its time, or told the store's", "error", err)
	}
}

func (p *postgres) writeDown(c *connection) error {
	for {
		count, err := p.writeTouches(c)
		if err != nil {
			return err
		}
		if count < touchesTogether {
			break
		}
	}
	_, err := c.exec(sqlStoreClock, millis(p.clock.now()))
	return err
}

// touchesTogether is how many sessions that were seen are written after an act, in one round trip.
const touchesTogether = 32

func (p *postgres) writeTouches(c *connection) (count int, err error) {
	seen := p.touches.take(touchesTogether)
	if len(seen) == 0 {
		return 0, nil
	}
	batch := &pgx.Batch{}
	for _, touch := range seen {
		batch.Queue(sqlTouchSession, touch.args()...)
	}
	return len(seen), c.native(func(native *pgx.Conn) error { return native.SendBatch(c.ctx, batch).Close() })
}

// measure measures by how much the database's clock is ahead of this machine's.
func (p *postgres) measure(c *connection) error {
	quickest := time.Duration(-1)
	for range offsetSamples {
		var micros int64
		asked := time.Now()
		if _, err := c.one(pgClock, []any{&micros}); err != nil {
			return err
		}
		took := time.Since(asked)
		if quickest < 0 || took < quickest {
			quickest = took
			p.offset.Store(int64(time.UnixMicro(micros).Sub(asked.Add(took / 2).Round(0))))
		}
	}
	return nil
}

// close waits for acts and queries under way, writes down what was seen, and closes the connections.
func (p *postgres) close() error {
	p.hush()
	p.quiet.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), p.patience)
	defer cancel()
	for p.waiting.Load() > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	// A database that is gone does not keep us from closing.
	if err := p.queryOnce(ctx, p.writeDown); err != nil {
		p.log.Warn("what the store last saw was not written down", "error", err)
	}
	return p.db.Close()
}
