package store

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// errSpent means that whoever asks has waited for the database as long as it may. It says nothing of
// the database.
var errSpent error = &unavailable{errors.New("the time that one request may wait for the database is spent")}

// WithPatience returns a context for one request: whatever acts and queries it asks for, it waits for
// the database no longer than that in all, and is then told ErrUnavailable. Else each has a patience
// of its own, as with 0.
func WithPatience(ctx context.Context, patience time.Duration) context.Context {
	p := &patient{Context: ctx}
	p.left.Store(int64(patience))
	p.own = patience == 0
	return p
}

// RenewPatience gives back its whole patience to a context from WithPatience that serves one request
// after the other, as that of a connection, and says whether it is one.
func RenewPatience(ctx context.Context, patience time.Duration) bool {
	p := patienceOf(ctx)
	if p != nil {
		p.left.Store(int64(patience))
	}
	return p != nil
}

// patient is the context of a request with what is left of its patience.
type patient struct {
	context.Context
	own  bool // each question has a patience of its own
	left atomic.Int64
}

type patienceKey struct{}

func (p *patient) Value(key any) any {
	if key == (patienceKey{}) {
		return p
	}
	return p.Context.Value(key)
}

// patienceOf returns what the context knows of its request's patience, nil when that is nothing.
func patienceOf(ctx context.Context) *patient {
	p, _ := ctx.Value(patienceKey{}).(*patient)
	if p == nil || p.own {
		return nil
	}
	return p
}

// within is how long a question may take that has itself so much time.
func (p *patient) within(limit time.Duration) time.Duration {
	if p == nil {
		return limit
	}
	return min(limit, time.Duration(p.left.Load()))
}

// spent counts what was waited since then.
func (p *patient) spent(began time.Time) {
	if p != nil {
		p.left.Add(-int64(time.Since(began)))
	}
}

// cutShort says of a question that failed whether it did so because its asker had less than the
// whole patience left: then that is the error.
func cutShort(err error, limit, whole time.Duration) error {
	if err != nil && limit < whole && errors.Is(err, ErrUnavailable) {
		return errSpent
	}
	return err
}
