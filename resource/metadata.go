package resource

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatehouse/jose"
	"gatehouse/oauth"
)

// Bounds of the issuer's metadata, and how long things last.
const (
	maxMetadataBytes   = 256 << 10
	maxMetadataMembers = 512

	// metadataFresh is for how long metadata is used without asking again,
	// metadataFloor the least time between two fetches. While no fetch has
	// succeeded yet the first pause is metadataRetry, and doubles.
	metadataFresh   = time.Hour
	metadataFloor   = time.Minute
	metadataRetry   = time.Second
	metadataTimeout = 5 * time.Second
)

// endpoints are what this package uses of an issuer's metadata.
type endpoints struct {
	jwks, introspection, feed string
}

// metadata is the metadata of one issuer (RFC 8414, OpenID Connect Discovery):
// fetched when it is needed, one fetch at a time, each on its own context. The
// last one serves when it cannot be fetched.
type metadata struct {
	issuer    string
	allowHTTP bool
	client    *http.Client

	mu        sync.Mutex
	found     endpoints
	foundAt   time.Time // zero before the first success
	doubted   bool      // an endpoint failed since
	failures  int       // since the last success
	notBefore time.Time
	err       error
	fetching  chan struct{} // closed at the end of the fetch under way
}

// doubt has the metadata fetched anew when the floor has passed: something that it
// named did not work.
func (m *metadata) doubt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doubted = true
}

// get returns the endpoints. ctx ends the caller's wait and not the fetch.
func (m *metadata) get(ctx context.Context) (endpoints, error) {
	waited := false
	for {
		m.mu.Lock()
		now := time.Now()
		known := !m.foundAt.IsZero()
		due := !known || m.doubted || now.Sub(m.foundAt) >= metadataFresh
		if due && !waited && m.fetching == nil && !now.Before(m.notBefore) {
			m.fetching = make(chan struct{})
			go m.fetch(m.fetching)
		}
		fetching := m.fetching
		if !due || waited || fetching == nil {
			defer m.mu.Unlock()
			if known {
				return m.found, nil
			}
			return endpoints{}, m.err
		}
		m.mu.Unlock()
		select {
		case <-fetching:
			waited = true
		case <-ctx.Done():
			return endpoints{}, ctx.Err()
		}
	}
}

func (m *metadata) fetch(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), metadataTimeout)
	defer cancel()
	found, err := m.discover(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.err = err; err == nil {
		m.found, m.foundAt, m.doubted, m.failures = found, now, false, 0
		m.notBefore = now.Add(metadataFloor)
	} else {
		pause := metadataFloor
		if m.foundAt.IsZero() && m.failures < 6 {
			pause = min(metadataRetry<<m.failures, metadataFloor)
		}
		m.failures++
		m.notBefore = now.Add(pause)
	}
	m.fetching = nil
	close(done)
}

// discover fetches the issuer's RFC 8414 metadata, or where there is none, its
// OpenID Connect one.
func (m *metadata) discover(ctx context.Context) (endpoints, error) {
	server, provider, err := oauth.MetadataURLs(m.issuer)
	if err != nil {
		return endpoints{}, err
	}
	for _, address := range []string{server, provider} {
		found, exists, err := m.fetchAt(ctx, address)
		if err != nil {
			return endpoints{}, fmt.Errorf("metadata at %s: %w", address, err)
		}
		if exists {
			return found, nil
		}
	}
	return endpoints{}, fmt.Errorf("the issuer has no metadata at %s nor at %s", server, provider)
}

func (m *metadata) fetchAt(ctx context.Context, address string) (found endpoints, exists bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return endpoints{}, false, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := m.client.Do(request)
	if err != nil {
		return endpoints{}, false, err
	}
	defer func() { _ = response.Body.Close() }()
	if oauth.NothingPublished(response.StatusCode, response.Header) {
		return endpoints{}, false, nil
	}
	if response.StatusCode != http.StatusOK {
		return endpoints{}, false, fmt.Errorf("status %d, want 200", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxMetadataBytes+1))
	if err != nil {
		return endpoints{}, false, err
	}
	var document struct {
		Issuer        string `json:"issuer"`
		JWKSURI       string `json:"jwks_uri"`
		Introspection string `json:"introspection_endpoint"`
		Feed          string `json:"revocation_feed_endpoint"`
	}
	limits := jose.Limits{Bytes: maxMetadataBytes, Members: maxMetadataMembers}
	if err := limits.Decode(body, &document); err != nil {
		return endpoints{}, false, err
	}
	if document.Issuer != m.issuer { // RFC 8414 §3.3: identical, else the metadata must not be used
		return endpoints{}, false, fmt.Errorf("it is of issuer %q, want %q exactly", document.Issuer, m.issuer)
	}
	return endpoints{document.JWKSURI, document.Introspection, document.Feed}, true, nil
}

// endpoint returns a configured address, or the one that the metadata has.
func (m *metadata) endpoint(ctx context.Context, name, configured string, of func(endpoints) string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	found, err := m.get(ctx)
	if err != nil {
		return "", err
	}
	address := of(found)
	if address == "" {
		return "", fmt.Errorf("the metadata of %s has no %s", m.issuer, name)
	}
	err = checkURL(address, m.allowHTTP)
	if err == nil && !m.allowHTTP && strings.HasPrefix(m.issuer, "https:") && !strings.HasPrefix(address, "https:") {
		// An issuer that is elsewhere names nothing on this machine.
		err = fmt.Errorf("%q does not use https, as its issuer does", address)
	}
	if err != nil {
		return "", fmt.Errorf("metadata of %s: %s: %w", m.issuer, name, err)
	}
	return address, nil
}
