package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"gatehouse"
)

const (
	batchLimit = 64   // acts that share a commit
	queueLimit = 1024 // acts that wait for one

	// gathered is how many waiting acts are worth a commit, which costs the same for one and for
	// many. Fewer let whoever is about to act join, which where nobody is takes no time.
	gathered = 16

	// markEvery is how often the store's clock is written down, with whatever else is written.
	markEvery = time.Second
)

// job is an act on its way through the writer.
type job struct {
	run   func(*act) error
	state atomic.Int32
	err   error
	done  chan struct{}
}

// States of a job: an abandoned one is never run, a claimed one is answered for certain.
const (
	jobWaiting int32 = iota
	jobClaimed
	jobAbandoned
)

func (j *job) claim() bool { return j.state.CompareAndSwap(jobWaiting, jobClaimed) }

func (j *job) answer(err error) {
	j.err = fileFault(err)
	close(j.done)
}

// writer is the only one in the process that writes: a goroutine that commits many waiting acts
// together, each in a savepoint of its own, and answers when they are durable.
type writer struct {
	conn     *connection
	clock    *clock
	log      *slog.Logger
	touches  *touches
	onChange func()
	patience time.Duration // 0 is without end
	onEnded  func([]ending)

	queue    chan *job
	stop     chan struct{}
	finished chan struct{}

	work    work
	current progress
	marked  time.Time // the clock as it is written down
}

// progress is what the acts of a batch have done so far beside their rows.
type progress struct {
	changed   bool // clients, resources or settings were changed
	ended     []ending
	seq       int64 // the last number given, 0 before the first
	seqStored int64 // the last number that the database knows of
}

// do lets the act wait for its turn in a batch. None takes long on a local file.
func (w *writer) do(ctx context.Context, pace pace, run func(*act) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{run: run, done: make(chan struct{})}
	select {
	case w.queue <- j:
	default:
		return ErrBusy
	}
	var late <-chan time.Time
	if w.patience > 0 && pace == quick {
		timer := time.NewTimer(w.patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-j.done:
		return j.err
	case <-late:
		if j.state.CompareAndSwap(jobWaiting, jobAbandoned) {
			return errHeld
		}
	case <-ctx.Done():
		if j.state.CompareAndSwap(jobWaiting, jobAbandoned) {
			return ctx.Err()
		}
	case <-w.finished:
		if j.state.CompareAndSwap(jobWaiting, jobAbandoned) {
			return ErrClosed
		}
	}
	<-j.done
	return j.err
}

func (w *writer) loop() {
	defer close(w.finished)
	for {
		select {
		case <-w.stop:
			w.marked = time.Time{}
			w.batch(nil) // writes down the touches and the clock
			return
		case first := <-w.queue:
			if len(w.queue) < gathered {
				runtime.Gosched()
			}
			w.batch(first)
		}
	}
}

// batch runs first and whatever else is waiting in one transaction.
func (w *writer) batch(first *job) {
	began := time.Now()
	w.current = progress{}
	var claimed []*job
	fail := func(err error) {
		for _, j := range claimed {
			j.answer(err)
		}
	}
	if err := w.conn.begin(); err != nil {
		for j := first; j != nil; j = w.next(len(claimed)) {
			if j.claim() {
				claimed = append(claimed, j)
			}
		}
		fail(fmt.Errorf("waiting for the database: %w", err))
		return
	}
	for j := first; j != nil; j = w.next(len(claimed)) {
		if !j.claim() {
			continue
		}
		claimed = append(claimed, j)
		if j.err = w.run(j); errors.Is(j.err, errLost) {
			w.conn.rollback()
			fail(j.err)
			return
		}
	}
	err := w.finish()
	if err == nil {
		err = w.conn.commit()
	}
	if err != nil {
		w.conn.rollback()
		fail(fmt.Errorf("committing: %w", err))
		return
	}
	w.work.add(len(claimed), time.Since(began))
	if w.current.changed {
		w.onChange() // before the answer: who changed something sees the change
	}
	w.onEnded(w.current.ended)
	for _, j := range claimed {
		j.answer(j.err)
	}
}

// next takes a waiting job, if there is one and the batch has room.
func (w *writer) next(taken int) *job {
	if taken >= batchLimit {
		return nil
	}
	select {
	case j := <-w.queue:
		return j
	default:
		return nil
	}
}

// errLost means that the whole transaction is gone, not the one act.
var errLost = errors.New("the transaction was lost")

// run runs one act, in a savepoint if it is more than one statement, and takes back what it did if it
// fails.
func (w *writer) run(j *job) error {
	a := &act{connection: w.conn, now: w.clock.now(), engine: w}
	var unsaved error
	a.begin = func() error {
		unsaved = w.conn.savepoint()
		return unsaved
	}
	before := w.current
	err := a.attempt(w.log, j.run)
	if unsaved != nil || err != nil && a.complete {
		return errors.Join(errLost, unsaved, err)
	}
	w.current.changed = before.changed || a.moved
	saved := a.begin == nil
	if err == nil {
		if saved {
			if err := w.conn.release(); err != nil {
				return errors.Join(errLost, err)
			}
		}
		w.current.ended = append(w.current.ended, a.ended...)
		return nil
	}
	w.current = before
	if saved {
		if undo := w.conn.undo(); undo != nil {
			return errors.Join(errLost, err, undo)
		}
	}
	if errors.Is(err, errUndo) {
		return nil
	}
	return err
}

// The writer is alone, and others who write to the file wait for its transaction.

func (w *writer) hold(*act, lock, string) error            { return nil }
func (w *writer) seize(*act, lock, string) error           { return nil }
func (w *writer) holdGrant(*act, gatehouse.GrantID) error  { return nil }
func (w *writer) seizeGrant(*act, gatehouse.GrantID) error { return nil }
func (w *writer) seizeSession(*act, string) error          { return nil }
func (w *writer) seizeKey(*act, string) error              { return nil }

func (w *writer) settle(a *act) error {
	if err := a.entered(); err != nil { // also the numbers are given back
		return err
	}
	for _, s := range a.last {
		seq, err := w.nextSeq()
		if err != nil {
			return err
		}
		if _, err := a.exec(s.text, s.args(seq, a.now)...); err != nil {
			return err
		}
	}
	return nil
}

// nextSeq gives the next sequence number of the database.
func (w *writer) nextSeq() (int64, error) {
	p := &w.current
	if p.seq == 0 {
		// The update holds the row until the commit, so numbers become visible in their order.
		if _, err := w.conn.one(sqlTakeSeqs, []any{&p.seq}, 1); err != nil {
			return 0, err
		}
		p.seqStored = p.seq
		return p.seq, nil
	}
	p.seq++
	return p.seq, nil
}

// moveNumbers has the numbers that the batch gave written down before, and taken anew after it.
func (w *writer) moveNumbers(a *act, beyond int64) error {
	if _, err := a.exec(sqlStoreSeq, w.current.seq); err != nil {
		return err
	}
	w.current.seq, w.current.seqStored = 0, 0
	return a.moveNumbers(beyond)
}

// finish writes what belongs to the batch and not to one act.
func (w *writer) finish() error {
	if w.current.seq != w.current.seqStored {
		if _, err := w.conn.exec(sqlStoreSeq, w.current.seq); err != nil {
			return err
		}
	}
	for _, touch := range w.touches.take(touchLimit) {
		if _, err := w.conn.exec(sqlTouchSession, touch.args()...); err != nil {
			return err
		}
	}
	if now := w.clock.now(); now.Sub(w.marked) >= markEvery {
		w.marked = now
		if _, err := w.conn.exec(sqlStoreClock, millis(now)); err != nil {
			return err
		}
	}
	return nil
}
