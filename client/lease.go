package client

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"gatehouse/kv"
)

// A lease is held for leaseLife and renewed while it is in use: whoever dies with
// it makes the others wait that long, and no longer.
const (
	leaseLife    = 10 * time.Second
	leaseRenewal = 3 * time.Second
)

// lease is the right to do something that only one of all processes with the
// store does at a time. It does not fence by itself: what is written under it is
// written over what was read under it, or not at all.
type lease struct {
	store kv.Store
	key   string
	owner []byte
	stop  context.CancelFunc
	ended chan struct{}

	mu    sync.Mutex
	until time.Time // as far as we know
}

// takeLease takes the lease if nobody holds it.
func takeLease(ctx context.Context, store kv.Store, key string) (l *lease, taken bool, err error) {
	l = &lease{store: store, key: key, owner: []byte(rand.Text()), ended: make(chan struct{}), until: time.Now().Add(leaseLife)}
	taken, err = store.Add(ctx, key, l.owner, leaseLife)
	if err != nil || !taken {
		return nil, false, err
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go l.renew(renewing)
	return l, true, nil
}

func (l *lease) renew(ctx context.Context) {
	defer close(l.ended)
	ticker := time.NewTicker(leaseRenewal)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		from := time.Now()
		held, err := l.store.Swap(ctx, l.key, l.owner, l.owner, leaseLife)
		if err != nil { // it may still be ours
			continue
		}
		if !held {
			from = from.Add(-leaseLife)
		}
		l.mu.Lock()
		l.until = from.Add(leaseLife)
		l.mu.Unlock()
		if !held {
			return
		}
	}
}

// held says whether nobody else can hold the lease.
func (l *lease) held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until)
}

// release gives the lease to whoever wants it next.
func (l *lease) release(ctx context.Context) {
	l.stop()
	<-l.ended
	// There is no deletion on a condition, but an exchange for what expires at once.
	_, _ = l.store.Swap(context.WithoutCancel(ctx), l.key, l.owner, []byte("free"), time.Millisecond)
}
