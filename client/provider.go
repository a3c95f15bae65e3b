package client

import (
	"context"
	"net/http"
	"sync"
	"time"

	"gatehouse/jwks"
)

// How long metadata is used.
const (
	// DefaultMetadataAge is how old metadata gets before it is fetched again,
	// beside its use.
	DefaultMetadataAge = time.Hour

	// metadataFloor is the least time between two fetches once one succeeded,
	// whatever causes them; metadataRetry that before.
	metadataFloor = time.Minute
	metadataRetry = time.Second

	// idTokenKeysFloor is short, since ID tokens come from the issuer's own
	// endpoint: a kid that is new there is a key that is new. Logout tokens come
	// from anybody, and for theirs jwks.DefaultFloor holds.
	idTokenKeysFloor = time.Second
)

// known is what is known of an issuer at one time. It is immutable.
type known struct {
	Metadata
	// keys check what the issuer gives us, strangersKeys what anybody brings.
	keys, strangersKeys *jwks.Set
}

// provider is an issuer whose metadata is followed.
type provider struct {
	wire   *wire
	issuer string
	openID bool
	maxAge time.Duration
	fixed  bool // the metadata was configured, and is never fetched

	mu          sync.Mutex
	current     *known // nil until the first success
	fetchedAt   time.Time
	nextAttempt time.Time
	lastErr     error
	flight      *metadataFlight
}

// metadataFlight is a fetch in progress; done is closed when its outcome is in
// the provider.
type metadataFlight struct{ done chan struct{} }

// known returns what is known, fetching it if nothing is. What is old is
// returned, and fetched anew beside: an issuer whose metadata cannot be had is
// taken to be where it was.
func (p *provider) known(ctx context.Context) (*known, error) {
	for waited := false; ; waited = true {
		p.mu.Lock()
		now := time.Now()
		if !waited && (p.current == nil || now.Sub(p.fetchedAt) >= p.maxAge) {
			p.begin(now)
		}
		current, flight, lastErr, wait := p.current, p.flight, p.lastErr, p.nextAttempt.Sub(now)
		p.mu.Unlock()
		if current != nil {
			return current, nil
		}
		if flight == nil || waited {
			return nil, withRetryAfter(lastErr, wait)
		}
		if err := flight.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// again fetches the metadata now, unless it is younger than the floor: for when
// an endpoint does not answer as endpoints do. It returns what is known then.
func (p *provider) again(ctx context.Context) (*known, error) {
	p.mu.Lock()
	p.begin(time.Now())
	flight := p.flight
	p.mu.Unlock()
	if flight != nil {
		if err := flight.wait(ctx); err != nil {
			return nil, err
		}
	}
	return p.known(ctx)
}

func (f *metadataFlight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// withRetryAfter tells of the pause before the next attempt.
func withRetryAfter(err error, wait time.Duration) error {
	if unavailable, ok := err.(*UnavailableError); ok && wait > unavailable.RetryAfter {
		told := *unavailable
		told.RetryAfter = wait
		return &told
	}
	return err
}

// begin begins a fetch, unless one is in progress or it is too early. It is called
// with the lock held. The fetch belongs to the provider, and not to the request
// that caused it.
func (p *provider) begin(now time.Time) {
	if p.fixed || p.flight != nil || now.Before(p.nextAttempt) {
		return
	}
	flight := &metadataFlight{done: make(chan struct{})}
	p.flight = flight
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), p.wire.http.Timeout)
		defer cancel()
		metadata, err := p.wire.fetchMetadata(ctx, p.issuer, p.openID)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.take(metadata, err)
		p.flight = nil
		close(flight.done)
	}()
}

// take is called with the lock held.
func (p *provider) take(metadata Metadata, err error) {
	now := time.Now()
	p.lastErr = err
	if err != nil {
		p.nextAttempt = now.Add(metadataRetry)
		if p.current != nil {
			p.nextAttempt = now.Add(metadataFloor)
		}
		return
	}
	next := &known{Metadata: metadata}
	if p.current != nil && p.current.JWKSURI == metadata.JWKSURI {
		next.keys, next.strangersKeys = p.current.keys, p.current.strangersKeys
	} else if metadata.JWKSURI != "" {
		next.keys = jwks.New(p.wire.http, "", jwks.Config{Floor: idTokenKeysFloor, Timeout: p.wire.http.Timeout, Locate: p.locate(metadata.JWKSURI)})
		next.strangersKeys = jwks.New(p.wire.http, "", jwks.Config{Timeout: p.wire.http.Timeout, Locate: p.locate(metadata.JWKSURI)})
	}
	p.current, p.fetchedAt, p.nextAttempt = next, now, now.Add(metadataFloor)
}

// locate finds the address of the keys: the one that the metadata had, and after
// a fetch of them failed, the one that it has now.
func (p *provider) locate(address string) func(context.Context, *http.Client) (string, error) {
	first := true
	return func(ctx context.Context, _ *http.Client) (string, error) {
		if first {
			first = false
			return address, nil
		}
		now, err := p.again(ctx)
		if err != nil {
			return "", err
		}
		return now.JWKSURI, nil
	}
}
