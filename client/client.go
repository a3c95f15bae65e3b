package client

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/sony/gobreaker/v2"

	"gatehouse/internal/recent"
	"gatehouse/internal/seal"
	"gatehouse/kv"
	"gatehouse/oauth"
)

// Client is one client of one issuer. It is safe for concurrent use; a program
// has one for each registration.
type Client struct {
	config   Config
	scope    oauth.Scope
	wire     *wire
	provider *provider
	sealer   *seal.Ring
	store    kv.Store
	sessions SessionStore
	opened   *recent.Map[string, opened] // by session
	cookies  cookies
	breaker  *gobreaker.CircuitBreaker[answer]
	counters counters
	instance string // tells this client from those of other processes

	mu       sync.Mutex
	renewals map[string]*renewal      // by session
	waiting  map[string]unsavedTokens // by session

	beside    beside
	repeating chan struct{}      // one for each revocation that is repeated
	owedAt    [owedShards]string // the keys of the shards in the store
}

// beside is what runs beside requests, until Close.
type beside struct {
	lives context.Context
	ends  context.CancelFunc

	mu   sync.Mutex
	work sync.WaitGroup
}

// run runs f beside the request, and says false when the client was closed.
func (b *beside) run(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lives.Err() != nil {
		return false
	}
	b.work.Go(f)
	return true
}

// maxMemorySessions bounds the sessions of a process that keeps them itself, in
// bytes: some 50,000 of the usual size. One more is refused until others end.
const maxMemorySessions = 256 << 20

// maxRepeated is how many revocations may wait to be repeated.
const maxRepeated = 64

// New makes a client of the issuer, which is written exactly as the issuer writes
// itself. It fetches the issuer's metadata, unless the Config says Lazy or brings
// its own. What is wrong with the Config is said by the error.
func New(ctx context.Context, issuer string, config Config) (*Client, error) {
	config = config.withDefaults()
	if err := config.Check(issuer); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	scope, err := oauth.ParseScope(config.Scope)
	if err != nil {
		return nil, fmt.Errorf("client: Scope: %w", err)
	}
	c := &Client{
		config: config, scope: scope,
		wire:  &wire{http: newHTTPClient(config.HTTPClient, config.Timeout), insecure: config.InsecureAllowHTTP},
		store: config.Store, sessions: config.Sessions, cookies: newCookies(&config), breaker: newBreaker(), instance: randomText(),
		renewals: map[string]*renewal{}, waiting: map[string]unsavedTokens{},
	}
	c.provider = &provider{wire: c.wire, issuer: issuer, openID: scope.Has("openid"), maxAge: config.MetadataAge}
	c.beside.lives, c.beside.ends = context.WithCancel(context.Background())
	if c.sealer, err = newSealer(config.Keys); err != nil {
		return nil, fmt.Errorf("client: Keys: %w", err)
	}
	c.sealer = c.sealer.Derive("client", issuer, config.ClientID)
	c.opened = recent.New[string, opened](maxOpened)
	if c.sessions == nil && c.store == nil {
		// Apart from the marks, so that strangers who make marks leave sessions room.
		c.sessions = KVSessions{Store: kv.NewMemory(kv.MemoryConfig{MaxBytes: maxMemorySessions})}
	}
	if c.store == nil {
		c.store = kv.NewMemory(kv.MemoryConfig{})
	}
	if c.sessions == nil {
		c.sessions = KVSessions{Store: c.store}
	}
	if config.Metadata != nil {
		metadata := *config.Metadata
		metadata.Issuer = issuer
		if err := metadata.check(issuer, config.InsecureAllowHTTP); err != nil {
			return nil, fmt.Errorf("client: Metadata: %w", err)
		}
		c.provider.fixed = true
		c.provider.take(metadata, nil)
	} else if !config.Lazy {
		if _, err := c.provider.known(ctx); err != nil {
			return nil, err
		}
	}
	c.repeating, c.owedAt = make(chan struct{}, maxRepeated), c.owedKeys()
	if config.Store != nil {
		c.beside.run(c.settleOwed)
	}
	return c, nil
}

var errClosed = errors.New("client: it was closed")

// Close ends what the client does beside requests, such as repeating a
// revocation that failed, and waits for it.
//
// After it, tokens at hand are still given out, and none is renewed.
func (c *Client) Close() error {
	c.beside.mu.Lock()
	c.beside.ends()
	c.beside.mu.Unlock()
	c.beside.work.Wait()
	return nil
}

// Issuer is the issuer identifier.
func (c *Client) Issuer() string { return c.provider.issuer }

// Metadata is what the issuer says about itself now.
func (c *Client) Metadata(ctx context.Context) (Metadata, error) {
	k, err := c.known(ctx)
	if err != nil {
		return Metadata{}, err
	}
	return k.Metadata, nil
}

// newSealer makes the ring of the keys, or of a random one. A key's id comes from
// the key itself, so that every replica gives it the same.
func newSealer(keys [][]byte) (*seal.Ring, error) {
	if len(keys) == 0 {
		random := make([]byte, KeyBytes)
		_, _ = rand.Read(random) // never fails: it ends the process instead
		keys = [][]byte{random}
	}
	var ring []seal.Key
	for _, one := range keys {
		name := sha256.Sum256(append([]byte("gatehouse client key "), one...))
		key, err := seal.NewKey(max(1, binary.BigEndian.Uint32(name[:])), one)
		if err != nil {
			return nil, err
		}
		ring = append(ring, key)
	}
	return seal.NewRing(ring[0], ring[1:]...), nil
}
