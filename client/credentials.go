package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"gatehouse/oauth"
)

const (
	// sharedMargin is how long before its end a token leaves the shared store.
	sharedMargin = time.Minute

	// sharedWait is how long a process waits for another one that is asking for the
	// same token. After that it asks too: one token more does no harm.
	sharedWait = 3 * time.Second

	// unknownLife is how long a token is used whose issuer does not say when it ends.
	unknownLife = 5 * time.Minute
)

// CredentialsConfig says which tokens the client wants for itself.
type CredentialsConfig struct {
	Scope string
	// Resource is the API that the tokens are for (RFC 8707). Audience is the same
	// for issuers that know a parameter of that name instead.
	Resource string
	Audience string
}

// Credentials gets the client tokens for itself (RFC 6749 §4.4): from memory, from
// the shared store, or from the issuer. It is safe for concurrent use.
//
// A token is renewed ahead of its end, beside the requests that still use it, and
// when the issuer is away the last good one serves until it ends. Processes with
// one Config.Store share tokens, sealed; the store may fail, and then each asks
// for itself.
type Credentials struct {
	client *Client
	config CredentialsConfig
	scope  oauth.Scope
	key    string // in the shared store
	shared bool

	mu      sync.Mutex
	tokens  Tokens
	issued  time.Time
	refused string // an access token that a resource refused
	backoff backoff
	flight  chan struct{}
}

var _ Renewer = (*Credentials)(nil)

// Credentials returns a source of tokens for the client itself, to be made once and
// kept: it remembers the token. The error says that the scope is malformed.
func (c *Client) Credentials(config CredentialsConfig) (*Credentials, error) {
	scope, err := oauth.ParseScope(config.Scope)
	if err != nil {
		return nil, errors.New("client: credentials: the Scope is malformed")
	}
	sorted := slices.Sorted(slices.Values(scope))
	return &Credentials{
		client: c, config: config, scope: scope, shared: c.config.Store != nil,
		key: "client token " + digestOf(c.provider.issuer, c.config.ClientID, oauth.Scope(sorted).String(), config.Resource, config.Audience),
	}, nil
}

// Token returns a token that can be used now.
func (k *Credentials) Token(ctx context.Context) (Tokens, error) { return k.get(ctx, "") }

// Renew returns another token than one that a resource refused. One that is only a
// few seconds old is not renewed: the resource will not like the next one better.
func (k *Credentials) Renew(ctx context.Context, refused Tokens) (Tokens, error) {
	return k.get(ctx, refused.AccessToken.Reveal())
}

// get returns tokens other than the refused one.
func (k *Credentials) get(ctx context.Context, refused string) (Tokens, error) {
	for waited := false; ; waited = true {
		k.mu.Lock()
		tokens, usable := k.tokens, k.usable(0)
		isRefused := refused != "" && tokens.AccessToken.Reveal() == refused
		if isRefused && (waited || time.Since(k.issued) < renewFloor) {
			k.mu.Unlock()
			return tokens, nil
		}
		if !isRefused && k.usable(k.margin(k.tokens, k.issued)) {
			k.mu.Unlock()
			if !waited {
				k.client.counters.hits.Add(1)
			}
			return tokens, nil
		}
		if k.flight == nil && !waited && !k.backoff.pausing() {
			if isRefused {
				k.refused = refused
			}
			if flight := make(chan struct{}); k.client.beside.run(func() { k.renew(flight) }) {
				k.flight = flight
			} else if k.backoff.last == nil {
				k.backoff.last = errClosed
			}
		}
		flight := k.flight
		switch {
		case !isRefused && k.usable(tooShort): // it is renewed beside this request
			k.mu.Unlock()
			k.client.counters.hits.Add(1)
			return tokens, nil
		case flight == nil || waited:
			defer k.mu.Unlock()
			if usable {
				return tokens, nil
			}
			return Tokens{}, k.backoff.err(credentialsOp)
		}
		k.mu.Unlock()
		select {
		case <-flight:
		case <-ctx.Done():
			return Tokens{}, ctx.Err()
		}
	}
}

// usable says whether the token at hand lives so long. The lock is held.
func (k *Credentials) usable(left time.Duration) bool {
	return !k.tokens.AccessToken.IsZero() && time.Now().Add(left).Before(endOf(k.tokens, k.issued))
}

func endOf(tokens Tokens, issued time.Time) time.Time {
	if tokens.Expiry.IsZero() {
		return issued.Add(unknownLife)
	}
	return tokens.Expiry
}

func (k *Credentials) margin(tokens Tokens, issued time.Time) time.Duration {
	return margin(endOf(tokens, issued).Sub(issued), k.client.instance+k.key)
}

// renew is one flight: it belongs to the credentials, and not to who began it.
func (k *Credentials) renew(flight chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), renewalPatience)
	defer cancel()
	k.mu.Lock()
	refused := k.refused
	k.mu.Unlock()
	tokens, issued, err := k.obtain(ctx, refused)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.tokens, k.issued, k.refused, k.backoff = tokens, issued, "", backoff{}
	} else {
		k.backoff.failed(err)
	}
	k.flight = nil
	close(flight)
}

// obtain gets a token other than the refused one: of the shared store, or of the
// issuer.
func (k *Credentials) obtain(ctx context.Context, refused string) (Tokens, time.Time, error) {
	if !k.shared {
		return k.ask(ctx)
	}
	if tokens, issued, found := k.load(ctx, refused); found {
		k.client.counters.sharedHits.Add(1)
		return tokens, issued, nil
	}
	waiting, cancel := context.WithTimeout(ctx, sharedWait)
	defer cancel()
	for look := firstLook; waiting.Err() == nil; look = min(2*look, lastLook) {
		held, taken, err := takeLease(waiting, k.client.store, "client lease "+k.key)
		if err != nil {
			break
		}
		if taken {
			defer held.release(ctx)
			// Somebody may have been quicker.
			if tokens, issued, found := k.load(ctx, refused); found {
				k.client.counters.awaited.Add(1)
				return tokens, issued, nil
			}
			break
		}
		select {
		case <-time.After(look):
		case <-waiting.Done():
		}
		if tokens, issued, found := k.load(ctx, refused); found {
			k.client.counters.awaited.Add(1)
			return tokens, issued, nil
		}
	}
	tokens, issued, err := k.ask(ctx)
	if err == nil {
		k.share(ctx, tokens, issued)
	}
	return tokens, issued, err
}

const credentialsOp = "client credentials"

// ask asks the issuer.
func (k *Credentials) ask(ctx context.Context) (Tokens, time.Time, error) {
	const op = credentialsOp
	counters := &k.client.counters
	counters.misses.Add(1)
	form := url.Values{"grant_type": {"client_credentials"}}
	for name, value := range map[string]string{"scope": k.scope.String(), "resource": k.config.Resource, "audience": k.config.Audience} {
		if value != "" {
			form.Set(name, value)
		}
	}
	got, err := k.client.guarded(op, func() (answer, error) { return k.client.post(ctx, op, tokenEndpoint, form) })
	if err != nil {
		counters.failures.Add(1)
		return Tokens{}, time.Time{}, err
	}
	tokens, err := readTokens(op, got, k.scope)
	if err != nil {
		counters.failures.Add(1)
		return Tokens{}, time.Time{}, err
	}
	counters.renewals.Add(1)
	return tokens, got.at, nil
}

// sharedToken is a token in the shared store, sealed.
type sharedToken struct {
	Tokens exported `json:"tokens"`
	Issued int64    `json:"issued"` // Unix seconds
}

func (k *Credentials) load(ctx context.Context, refused string) (tokens Tokens, issued time.Time, found bool) {
	sealed, found, err := k.client.store.Get(ctx, k.key)
	if err != nil {
		k.client.config.Logger.WarnContext(ctx, "the shared store cannot be asked for a token", "error", err)
	}
	if err != nil || !found {
		return Tokens{}, time.Time{}, false
	}
	var kept sharedToken
	plain, opened := k.client.sealer.Open(sealed, []byte(k.key))
	if !opened || json.Unmarshal(plain, &kept) != nil || kept.Tokens.Access == refused {
		return Tokens{}, time.Time{}, false
	}
	tokens, issued = kept.Tokens.tokens(), time.Unix(kept.Issued, 0)
	return tokens, issued, tokens.Valid(k.margin(tokens, issued))
}

// share puts a token into the shared store. That it may fail costs others a request.
func (k *Credentials) share(ctx context.Context, tokens Tokens, issued time.Time) {
	life := time.Until(tokens.Expiry) - sharedMargin
	if tokens.Expiry.IsZero() || life <= 0 {
		return
	}
	plain, err := json.Marshal(sharedToken{tokens.exported(), issued.Unix()})
	if err == nil {
		err = k.client.store.Set(ctx, k.key, k.client.sealer.Seal(plain, []byte(k.key)), life)
	}
	if err != nil {
		k.client.config.Logger.WarnContext(ctx, "a token cannot be put into the shared store", "error", err)
	}
}

// Transport attaches these tokens to requests to the Resource, see [Transport]. For
// an API whose identifier is not its URL, make a Transport of its own:
//
//	&Transport{Source: credentials, Resources: []string{"https://api.example.com"}}
func (k *Credentials) Transport(base http.RoundTripper) *Transport {
	return &Transport{Source: k, Resources: []string{k.config.Resource}, Base: base}
}
