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
// together and answers when they are durable. An act that fails takes none of the others along.
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
	limit := time.Duration(0) // without end
	if w.patience > 0 && pace == quick {
		asker := patienceOf(ctx)
		if limit = asker.within(w.patience); limit <= 0 {
			return errSpent
		}
		defer asker.spent(time.Now())
	}
	j := &job{run: run, done: make(chan struct{})}
	select {
	case w.queue <- j:
	default:
		return ErrBusy
	}
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
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

// batch runs first and whatever else is waiting in one transaction. That hardly ever an act has to be
// taken back is made use of: only then the transaction is begun anew, with a savepoint for each act.
func (w *writer) batch(first *job) {
	began := time.Now()
	claimed, err := w.runTogether(first)
	if errors.Is(err, errTakeBack) {
		w.conn.rollback()
		err = w.runApart(claimed)
	}
	if err == nil {
		err = w.commit()
	}
	if err != nil {
		w.conn.rollback()
		for _, j := range claimed {
			j.answer(err)
		}
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

var (
	// errTakeBack means that an act failed, and what it did must go.
	errTakeBack = errors.New("an act must be taken back")

	// errLost means that the whole transaction is gone, not the one act.
	errLost = errors.New("the transaction was lost")
)

// runTogether runs first and what is waiting, and returns what it has claimed.
func (w *writer) runTogether(first *job) (claimed []*job, err error) {
	err = w.begin()
	for j := first; j != nil; j = w.next(len(claimed)) {
		if !j.claim() {
			continue
		}
		claimed = append(claimed, j)
		if err != nil {
			continue
		}
		if w.run(j, slog.New(slog.DiscardHandler)) != nil { // told when it is run apart
			return claimed, errTakeBack
		}
	}
	return claimed, err
}

// runApart runs the jobs with a savepoint for each.
func (w *writer) runApart(jobs []*job) error {
	if err := w.begin(); err != nil {
		return err
	}
	for _, j := range jobs {
		if err := w.conn.savepoint(); err != nil {
			return err
		}
		before := w.current
		if j.err = w.run(j, w.log); j.err == nil {
			if err := w.conn.release(); err != nil {
				return err
			}
			continue
		}
		w.current = before
		if err := w.conn.undo(); err != nil {
			return errors.Join(errLost, j.err, err)
		}
		if errors.Is(j.err, errUndo) {
			j.err = nil
		}
	}
	return nil
}

func (w *writer) begin() error {
	w.current = progress{}
	if err := w.conn.begin(); err != nil {
		return fmt.Errorf("waiting for the database: %w", err)
	}
	return nil
}

func (w *writer) commit() error {
	err := w.finish()
	if err == nil {
		err = w.conn.commit()
	}
	if err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
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

func (w *writer) run(j *job, log *slog.Logger) error {
	a := &act{connection: w.conn, now: w.clock.now(), engine: w}
	if err := a.attempt(log, j.run); err != nil {
		return err
	}
	w.current.changed = w.current.changed || a.moved
	w.current.ended = append(w.current.ended, a.ended...)
	return nil
}

// The writer is alone, and others who write to the file wait for its transaction.

func (w *writer) hold(*act, lock, string) error            { return nil }
func (w *writer) seize(*act, lock, string) error           { return nil }
func (w *writer) holdGrant(*act, gatehouse.GrantID) error  { return nil }
func (w *writer) seizeGrant(*act, gatehouse.GrantID) error { return nil }
func (w *writer) seizeSession(*act, string) error          { return nil }
func (w *writer) seizeKey(*act, string) error              { return nil }

func (w *writer) settle(a *act) error {
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
