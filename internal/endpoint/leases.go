package endpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"strconv"
	"time"
)

const (
	// leaseTime of a rate is used before it is told to the other servers: so much
	// each of them may let pass more than the limit.
	leaseTime = time.Second
	// leaseMost bounds a lease, in requests.
	leaseMost = 1 << 20
	// leasesWaiting is how many used leases of one limiter wait to be told. What
	// finds no room is told with a later one.
	leasesWaiting = 64
	// leasePace is the least time between two that are told: what they cost the
	// store is bounded, whoever uses them up.
	leasePace = 20 * time.Millisecond
	// leaseRetry is how long a store that failed is left alone.
	leaseRetry = time.Second
	// leaseRaces is how often one that lost a race to another server is tried again.
	leaseRaces = 4
	// leaseAhead bounds what is believed of the store, in bursts.
	leaseAhead = 2
)

// LeaseStore keeps until when the use of each key will be worked off. Each method is
// atomic, and what is lost is forgiven.
type LeaseStore interface {
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error)
	Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (swapped bool, err error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// Leases have several servers keep one limit: each lets requests pass by what it
// knows, a lease at a time, and tells in the background what it has used and hears
// what the others have. Together they let pass the limit and one lease for each
// server at most. No request waits for that; while the store does not answer each
// server keeps the limits for itself.
type Leases struct {
	store    LeaseStore
	log      *slog.Logger
	limiters []*Limiter
	woken    chan struct{}
	away     bool // the store did not answer last; only Run looks
}

// NewLeases makes Leases in a store that the servers share.
func NewLeases(store LeaseStore, log *slog.Logger) *Leases {
	return &Leases{store: store, log: log, woken: make(chan struct{}, 1)}
}

// Limiter makes a Limiter that servers share under a name, before Run begins. That
// of nil is the server's own.
func (ls *Leases) Limiter(name string, now func() time.Time) *Limiter {
	l := NewLimiter(now)
	if ls != nil {
		l.name, l.leases = name, ls
		l.uses = make([]use, limiterSlots)
		l.used = make(chan lease, leasesWaiting)
		ls.limiters = append(ls.limiters, l)
	}
	return l
}

// use is what one key has used since that was told.
type use struct {
	tag   uint64 // which of the keys that fall into the slot
	began int64  // when the first of units passed, in Unix nanoseconds
	units uint32
}

// lease is one that was used.
type lease struct {
	key   string
	tag   uint64
	began int64
	units uint32
	cost  time.Duration // of one request
}

// took is for how long the lease's requests use the rate.
func (d lease) took() time.Duration {
	most := leaseAhead * d.longest()
	if time.Duration(d.units) > most/d.cost {
		return most
	}
	return time.Duration(d.units) * d.cost
}

// longest is how far ahead the use of a key may be that is not held back.
func (d lease) longest() time.Duration { return max(burstTime, d.cost) }

// count counts a request of a key that passed. Of keys that share a slot the one
// that is used most stays; what is lost of the others' use is counted by this server
// alone. The limiter is locked.
func (l *Limiter) count(tag uint64, key string, now int64, cost time.Duration) {
	u := &l.uses[tag%limiterSlots]
	if u.tag != tag {
		if u.units > 0 {
			u.units--
			return
		}
		u.tag = tag
	}
	if u.units == 0 {
		u.began = now
	}
	u.units = min(u.units+1, leaseMost)
	if u.units < uint32(min(max(leaseTime/cost, 1), leaseMost)) {
		return
	}
	select {
	case l.used <- lease{key, tag, u.began, u.units, cost}:
		u.units = 0
		select {
		case l.leases.woken <- struct{}{}:
		default:
		}
	default:
	}
}

// putBack counts a lease that could not be told as one to be told later.
func (l *Limiter) putBack(d lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch u := &l.uses[d.tag%limiterSlots]; {
	case u.tag == d.tag:
		u.began, u.units = d.began, min(u.units+d.units, leaseMost)
	case u.units < d.units:
		*u = use{d.tag, d.began, d.units}
	}
}

// learn has the key's use be worked off at that time at the earliest, and what was
// used here meanwhile after it.
func (l *Limiter) learn(d lease, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := until.UnixNano()
	if u := l.uses[d.tag%limiterSlots]; u.tag == d.tag && u.units > 0 {
		at = max(at, u.began) + int64(lease{units: u.units, cost: d.cost}.took())
	}
	at = min(at, l.now().Add(leaseAhead*d.longest()).UnixNano())
	slots, _ := l.slots(d.key)
	for _, slot := range slots {
		*slot = max(*slot, at)
	}
}

// Run tells the others of used leases until ctx ends.
func (ls *Leases) Run(ctx context.Context) {
	if ls == nil {
		return
	}
	for {
		pause, told := leasePace, false
		for _, l := range ls.limiters { // in turn: who fills one queue holds up no other
			select {
			case d := <-l.used:
				told = true
				if ls.tell(ctx, l, d) != nil {
					pause = leaseRetry
				}
			default:
				continue
			}
			if !sleep(ctx, pause) {
				return
			}
		}
		if told {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-ls.woken:
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// tell adds a used lease to what all servers have used, and learns that.
func (ls *Leases) tell(ctx context.Context, l *Limiter, d lease) error {
	until, err := ls.add(ctx, l, d)
	if err != nil {
		l.putBack(d)
		if ctx.Err() == nil && !ls.away && !errors.Is(err, errRaced) {
			ls.away = true
			ls.log.Warn("what the servers share does not answer; rate limits are kept by each server for itself until it does", "error", err)
		}
		return err
	}
	if ls.away {
		ls.away = false
		ls.log.Info("rate limits are kept for all servers together again")
	}
	l.learn(d, until)
	return nil
}

// errRaced means that other servers were always quicker.
var errRaced = errors.New("other servers use the same key all the time")

func (ls *Leases) add(ctx context.Context, l *Limiter, d lease) (until time.Time, err error) {
	sum := sha256.Sum256([]byte(d.key))
	key := "limit " + l.name + " " + base64.RawURLEncoding.EncodeToString(sum[:16])
	for range leaseRaces {
		stored, found, err := ls.store.Get(ctx, key)
		if err != nil {
			return time.Time{}, err
		}
		now := l.now()
		until = time.Unix(0, d.began)
		number, err := strconv.ParseInt(string(stored), 10, 64)
		sound := found && err == nil && bytes.Equal(stored, strconv.AppendInt(nil, number, 10))
		most := now.Add(leaseAhead * d.longest())
		if at := time.UnixMicro(number); sound && at.After(until) {
			until = at
		}
		if until.After(most) {
			until = most
		}
		if until = until.Add(d.took()); until.After(most) {
			until = most
		}
		// What lies behind us is still told, to whoever began before it.
		value, ttl := strconv.AppendInt(nil, until.UnixMicro(), 10), max(until.Sub(now), 0)+burstTime
		written := true
		switch {
		case found && !sound: // not ours
			err = ls.store.Set(ctx, key, value, ttl)
		case found:
			written, err = ls.store.Swap(ctx, key, stored, value, ttl)
		default:
			written, err = ls.store.Add(ctx, key, value, ttl)
		}
		if err != nil || written {
			return until, err
		}
	}
	return time.Time{}, errRaced
}
