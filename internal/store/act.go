package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"gatehouse"
)

// errUndo ends an act that has an outcome but must leave nothing behind.
var errUndo = errors.New("the act is undone")

// act is one domain act in progress. Its statements are kept or lost together.
type act struct {
	*connection
	tenant gatehouse.TenantID
	now    time.Time // the store's clock; one act has one time
	engine engine

	moved bool // clients, resources or settings were changed
	last  []numbered
	ended []ending // what it has written that has ended
	late  bool     // it found an end that somebody else made
}

// numbered is a statement that is run at the end of its act, with a sequence number of its own.
type numbered struct {
	text string
	args func(seq int64, now time.Time) []any
}

// engine is what acts do by the engine of their database.
type engine interface {
	// do runs an act and returns when it is durable. While it waits for its turn ctx may end it;
	// from then on the answer is what became of it.
	do(ctx context.Context, pace pace, run func(*act) error) error

	// hold keeps what may end someone's rights from happening until the act is over; seize is
	// that happening. Acts take locks in the order of their kinds, before they touch a row.
	hold(a *act, what lock, name string) error
	seize(a *act, what lock, name string) error

	// holdGrant holds the client and the user of a grant; seizeGrant is for what is decided by
	// a look at the grant's row; seizeSession is for what is born from the session's row,
	// seizeKey for counting in kv.
	holdGrant(a *act, id gatehouse.GrantID) error
	seizeGrant(a *act, id gatehouse.GrantID) error
	seizeSession(a *act, id string) error
	seizeKey(a *act, key string) error

	// settle runs the act's last statements.
	settle(a *act) error

	// moveNumbers numbers endings anew, beyond a number.
	moveNumbers(a *act, beyond int64) error
}

// lock is a kind of thing that acts hold and seize.
type lock string

const (
	lockClient  lock = "client"
	lockUser    lock = "user"
	lockSubject lock = "subject" // an id that is a user's or a client's, never both
	lockConsent lock = "consent" // what a user allows a client
	lockKeys    lock = "keys"
	lockToken   lock = "token"
	lockSweep   lock = "sweep"
)

// pace is how long an act may take.
type pace bool

const (
	quick    pace = false // a request waits for it
	thorough pace = true  // it may concern very many rows
)

// write runs an act and returns when it is durable.
func write[T any](ctx context.Context, s *Store, what string, tenant gatehouse.TenantID, run func(*act) (T, error)) (T, error) {
	return writeAt(ctx, s, quick, what, tenant, run)
}

func writeAt[T any](ctx context.Context, s *Store, pace pace, what string, tenant gatehouse.TenantID, run func(*act) (T, error)) (T, error) {
	var value, none T
	late := false
	ctx, end := s.traced(ctx, what)
	err := s.engine.do(ctx, pace, func(a *act) (err error) {
		a.tenant = tenant
		value, err = run(a)
		late = a.late
		return err
	})
	if err == nil && late { // whoever made it may not be answered yet: from now on nothing says otherwise
		err = s.endings.latest(ctx)
	}
	end(err)
	if err != nil {
		return none, fmt.Errorf("store: %s: %w", what, err)
	}
	return value, nil
}

// attempt runs the act to its end.
func (a *act) attempt(log *slog.Logger, run func(*act) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("an act panicked and was taken back", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("an act panicked: %v", p)
		}
	}()
	if err := run(a); err != nil || len(a.last) == 0 {
		return err
	}
	return a.engine.settle(a)
}

// changed says that clients, resources or settings were changed.
func (a *act) changed() error {
	a.moved = true
	_, err := a.exec(sqlCountChange)
	return err
}

// finally leaves a statement for the end of the act. Numbers are given as late as can be, because
// they have to become visible in their order: from the first one to the commit there is one act at
// a time. args is told the time of that moment.
func (a *act) finally(text string, args func(seq int64, now time.Time) []any) {
	a.last = append(a.last, numbered{text, args})
}

func (a *act) hold(what lock, name string) error  { return a.engine.hold(a, what, name) }
func (a *act) seize(what lock, name string) error { return a.engine.seize(a, what, name) }
