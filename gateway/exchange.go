package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"gatehouse/client"
	"gatehouse/resource"
)

const (
	// exchangeTimeout bounds one exchange, maxExchanges those under way at once.
	exchangeTimeout = 10 * time.Second
	maxExchanges    = 256
	// exchangeMargin is left of an exchanged token's life when it is used last.
	exchangeMargin = 5 * time.Second
	// unknownLife is that of a token of which the issuer says nothing.
	unknownLife = time.Minute
	// refusedLife is how long a refused exchange is not tried again.
	refusedLife = 5 * time.Second
	// evictEvery is how often ended tokens are looked for.
	evictEvery = time.Second
)

// errBusy is for exchanges for which there is no place.
var errBusy = errors.New("too many exchanges are under way")

// exchanges are the tokens that were made of others for upstreams, in memory. One serves
// for its token and target as long as both live; of any number of requests one asks the
// issuer.
type exchanges struct {
	clients map[string]*client.Client // by issuer
	bound   int
	logger  *slog.Logger
	places  chan struct{}
	beside  sync.WaitGroup

	mu      sync.Mutex
	kept    map[exchangeKey]*exchanged
	flights map[exchangeKey]*flight
}

// exchangeKey is a token, who vouched for it, and what it is exchanged for.
type exchangeKey struct {
	issuer string
	token  digest
	target Exchange
}

// exchanged is what became of an exchange.
type exchanged struct {
	token  client.Secret
	err    error // a refusal
	until  time.Time
	access *resource.Access // of the token that it was made of
	server *resource.Server // that knows whether this has ended
}

// flight is an exchange that is under way, for all who want it.
type flight struct {
	done  chan struct{}
	token client.Secret
	err   error
}

func newExchanges(ctx context.Context, config Config) (*exchanges, error) {
	e := &exchanges{
		clients: map[string]*client.Client{}, bound: config.MaxExchanged, logger: config.Logger, places: make(chan struct{}, maxExchanges),
		kept: map[exchangeKey]*exchanged{}, flights: map[exchangeKey]*flight{},
	}
	for _, one := range config.Exchangers {
		own := one.Client
		own.Lazy = true // the gateway starts while an issuer is away
		if own.Logger == nil {
			own.Logger = config.Logger
		}
		made, err := client.New(ctx, one.Issuer, own)
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		e.clients[one.Issuer] = made
	}
	return e, nil
}

// get returns the token for the target. The error is one of package client, or that of
// ctx.
func (e *exchanges) get(ctx context.Context, server *resource.Server, access *resource.Access, raw string, key exchangeKey) (client.Secret, error) {
	e.mu.Lock()
	if known := e.kept[key]; known != nil && time.Now().Before(known.until) {
		defer e.mu.Unlock()
		return known.token, known.err
	}
	one := e.flights[key]
	if one == nil {
		select {
		case e.places <- struct{}{}:
		default:
			e.mu.Unlock()
			return client.Secret{}, &client.UnavailableError{Op: "token exchange", Cause: errBusy}
		}
		one = &flight{done: make(chan struct{})}
		e.flights[key] = one
		e.beside.Go(func() { e.fly(one, server, access, raw, key) })
	}
	e.mu.Unlock()
	select {
	case <-one.done:
		return one.token, one.err
	case <-ctx.Done():
		return client.Secret{}, ctx.Err()
	}
}

// fly asks the issuer. It belongs to nobody's request.
func (e *exchanges) fly(one *flight, server *resource.Server, access *resource.Access, raw string, key exchangeKey) {
	ctx, cancel := context.WithTimeout(context.Background(), exchangeTimeout)
	defer cancel()
	kept, err := e.ask(ctx, access, raw, key.target)
	one.token, one.err = kept.token, err
	if _, refused := errors.AsType[*client.RefusedError](err); refused {
		kept, err = exchanged{err: err, until: time.Now().Add(refusedLife)}, nil
	}
	e.mu.Lock()
	if err == nil && !server.Ended(access) {
		kept.access, kept.server = access, server
		e.keep(key, &kept)
	}
	delete(e.flights, key)
	e.mu.Unlock()
	<-e.places
	close(one.done)
}

func (e *exchanges) ask(ctx context.Context, access *resource.Access, raw string, target Exchange) (exchanged, error) {
	asked := client.Exchange{SubjectToken: client.NewSecret(raw), RequestedTokenType: client.TypeAccessToken, Scope: target.Scope}
	if target.Resource != "" {
		asked.Resources = []string{target.Resource}
	}
	if target.Audience != "" {
		asked.Audiences = []string{target.Audience}
	}
	at := time.Now()
	tokens, err := e.clients[access.Issuer].Exchange(ctx, asked)
	if err != nil {
		return exchanged{}, err
	}
	if tokens.IssuedType != client.TypeAccessToken {
		return exchanged{}, &client.InvalidError{Op: "token exchange", Detail: "what was issued is no access token"}
	}
	until := tokens.Expiry
	if until.IsZero() {
		until = at.Add(unknownLife)
	}
	if !access.Expiry.IsZero() && access.Expiry.Before(until) {
		until = access.Expiry
	}
	return exchanged{token: tokens.AccessToken, until: until.Add(-exchangeMargin)}, nil
}

// keep remembers; when there is no room, another goes, which can be had again. The lock
// is held.
func (e *exchanges) keep(key exchangeKey, one *exchanged) {
	if e.kept[key] == nil && len(e.kept) >= e.bound {
		for other := range e.kept {
			delete(e.kept, other)
			break
		}
	}
	e.kept[key] = one
}

// drop forgets a token that its upstream refused, unless it was replaced already.
func (e *exchanges) drop(key exchangeKey, token client.Secret) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.kept[key]; known != nil && known.token.Reveal() == token.Reveal() {
		delete(e.kept, key)
	}
}

// evict forgets, until ctx is over, what has expired and what was made of tokens that
// have ended.
func (e *exchanges) evict(ctx context.Context) {
	ticker := time.NewTicker(evictEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			e.evictEnded(now)
		}
	}
}

func (e *exchanges) evictEnded(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, one := range e.kept {
		if !now.Before(one.until) || one.server.Ended(one.access) {
			delete(e.kept, key)
		}
	}
}

// count is how many are remembered.
func (e *exchanges) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.kept)
}

func (e *exchanges) close() error {
	e.beside.Wait()
	var failed error
	for _, one := range e.clients {
		failed = errors.Join(failed, one.Close())
	}
	return failed
}
