package jwks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/jose"
)

const address = "https://as.test/jwks"

// publisher answers in memory, so that synctest can move the clock.
type publisher struct {
	mu      sync.Mutex
	body    string
	status  int
	header  http.Header
	err     error
	delay   time.Duration
	fetches atomic.Int64
}

func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	p.fetches.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-time.After(p.delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if p.err != nil {
		return nil, p.err
	}
	return &http.Response{StatusCode: p.status, Header: p.header, Body: io.NopCloser(strings.NewReader(p.body)), Request: r}, nil
}

// change sets what is answered from now on.
func (p *publisher) change(f func(*publisher)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *publisher) publish(t *testing.T, keys ...jose.PublicKey) {
	t.Helper()
	body, err := json.Marshal(jose.KeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	p.change(func(p *publisher) { p.body, p.status, p.err = string(body), http.StatusOK, nil })
}

func (p *publisher) set(config Config) *Set {
	return New(&http.Client{Transport: p}, address, config)
}

func newKey(t *testing.T, kid string) jose.PublicKey {
	t.Helper()
	key, err := jose.GenerateKey(jose.EdDSA, kid)
	if err != nil {
		t.Fatal(err)
	}
	return key.Public()
}

// wants checks how many keys the set has for a kid, and how often it has asked.
func wants(t *testing.T, s *Set, p *publisher, kid string, keys, fetches int) {
	t.Helper()
	found, err := s.Keys(t.Context(), kid, jose.EdDSA)
	if err != nil || len(found) != keys {
		t.Errorf("kid %q: %d keys and error %v, want %d keys", kid, len(found), err, keys)
	}
	if got := p.fetches.Load(); got != int64(fetches) {
		t.Errorf("%d fetches, want %d", got, fetches)
	}
}

func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		p.publish(t, newKey(t, "a"), newKey(t, "b"))
		s := p.set(Config{})
		if p.fetches.Load() != 0 {
			t.Error("a set that nobody used has fetched")
		}
		wants(t, s, p, "a", 1, 1)
		wants(t, s, p, "b", 1, 1)
		wants(t, s, p, "", 2, 1)
		if found, err := s.Keys(t.Context(), "a", jose.ES256); err != nil || len(found) != 0 {
			t.Errorf("kid a with another alg: %d keys, %v", len(found), err)
		}
	})
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		old, next := newKey(t, "old"), newKey(t, "next")
		p.publish(t, old)
		s := p.set(Config{})
		wants(t, s, p, "old", 1, 1)

		p.publish(t, old, next)
		wants(t, s, p, "next", 0, 1) // the floor has not passed
		time.Sleep(DefaultFloor)
		wants(t, s, p, "old", 1, 1) // a known kid does not ask
		wants(t, s, p, "next", 1, 2)

		p.publish(t, next)
		time.Sleep(DefaultFresh/5*4 - time.Second)
		wants(t, s, p, "old", 1, 2)
		time.Sleep(DefaultFresh/5 + time.Second)
		wants(t, s, p, "old", 0, 3) // withdrawn
		wants(t, s, p, "next", 1, 3)
	})
}

// JW-17: tokens with random kids do not make us fetch.
func TestUnknownKidStorm(t *testing.T) {
	spec.Covers(t, "JW-17")
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		p.publish(t, newKey(t, "a"))
		s := p.set(Config{})
		wants(t, s, p, "a", 1, 1)
		const tokens, minutes = 10_000, 10
		for i := range tokens {
			found, err := s.Keys(t.Context(), fmt.Sprintf("random-%d", i), jose.EdDSA)
			if err != nil || len(found) != 0 {
				t.Fatalf("an unknown kid: %d keys, %v", len(found), err)
			}
			time.Sleep(minutes * time.Minute / tokens)
		}
		if got := p.fetches.Load(); got > 1+minutes {
			t.Errorf("JW-17: %d fetches in %d minutes", got, minutes)
		}
		wants(t, s, p, "a", 1, int(p.fetches.Load()))
	})
}

func TestOneFlightForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{delay: time.Second}
		p.publish(t, newKey(t, "a"))
		s := p.set(Config{})
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() { wants(t, s, p, "a", 1, 1) })
		}
		callers.Wait()
	})
}

func TestCancelledCallerPoisonsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{delay: time.Second}
		p.publish(t, newKey(t, "a"))
		s := p.set(Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.Keys(ctx, "a", jose.EdDSA); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller who gave up: %v", err)
		}
		wants(t, s, p, "a", 1, 1)
	})
}

func TestStaleWhileError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		p.publish(t, newKey(t, "a"))
		s := p.set(Config{})
		start := time.Now()
		wants(t, s, p, "a", 1, 1)

		outage := errors.New("no route")
		p.change(func(p *publisher) { p.err = outage })
		time.Sleep(DefaultFresh)
		wants(t, s, p, "a", 1, 2) // tried once, and served
		wants(t, s, p, "a", 1, 2) // the floor holds for failures too
		// A kid that is not there may be one that was published meanwhile.
		_, err := s.Keys(t.Context(), "unknown", jose.EdDSA)
		unavailable, ok := errors.AsType[*Unavailable](err)
		if !ok || !errors.Is(err, outage) || unavailable.RetryAfter != DefaultFloor || p.fetches.Load() != 2 {
			t.Errorf("an unknown kid while nobody can ask: %v, %d fetches", err, p.fetches.Load())
		}

		// A publisher that hangs makes nobody wait while keys are at hand.
		p.change(func(p *publisher) { p.delay = time.Hour })
		time.Sleep(DefaultFloor)
		before := time.Now()
		wants(t, s, p, "a", 1, 2)
		synctest.Wait()
		if time.Now() != before || p.fetches.Load() != 3 {
			t.Errorf("waited %v, %d fetches", time.Since(before), p.fetches.Load())
		}
		time.Sleep(DefaultTimeout)
		p.change(func(p *publisher) { p.delay = 0 })

		time.Sleep(DefaultMaxStale - time.Since(start))
		_, err = s.Keys(t.Context(), "a", jose.EdDSA)
		unavailable, ok = errors.AsType[*Unavailable](err)
		if !ok || !errors.Is(err, outage) || unavailable.RetryAfter != DefaultFloor {
			t.Fatalf("after the bound: %v", err)
		}
		time.Sleep(unavailable.RetryAfter)
		p.publish(t, newKey(t, "a"))
		wants(t, s, p, "a", 1, int(p.fetches.Load())+1)
		wants(t, s, p, "unknown", 0, int(p.fetches.Load())) // once more, there is no such key
	})
}

func TestPublisherThatStartsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{err: errors.New("refused")}
		s := p.set(Config{})
		for attempt, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			want *= time.Second
			_, err := s.Keys(t.Context(), "a", jose.EdDSA)
			unavailable, ok := errors.AsType[*Unavailable](err)
			if !ok || unavailable.RetryAfter != want || p.fetches.Load() != int64(attempt+1) {
				t.Fatalf("attempt %d: %v, %d fetches", attempt, err, p.fetches.Load())
			}
			time.Sleep(want)
		}
		p.publish(t, newKey(t, "a"))
		wants(t, s, p, "a", 1, 9)
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{delay: time.Hour}
		s := p.set(Config{Timeout: 2 * time.Second})
		start := time.Now()
		if _, err := s.Keys(t.Context(), "a", jose.EdDSA); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestCacheControl(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                                DefaultFresh,
		"public, max-age=600":             10 * time.Minute,
		"Max-Age=120, must-revalidate":    2 * time.Minute,
		"max-age=5":                       DefaultFloor,
		"no-store":                        DefaultFloor,
		"max-age=600, no-cache":           DefaultFloor,
		"max-age=99999999":                maxFresh,
		"max-age=99999999999999999999999": DefaultFresh,
		"max-age=-1":                      DefaultFresh,
		"max-age":                         DefaultFresh,
	} {
		t.Run(header, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &publisher{header: http.Header{"Cache-Control": {header}}}
				p.publish(t, newKey(t, "a"))
				s := p.set(Config{MaxStale: 2 * maxFresh})
				wants(t, s, p, "a", 1, 1)
				p.publish(t, newKey(t, "b"))
				time.Sleep(want/5*4 - time.Nanosecond)
				wants(t, s, p, "a", 1, 1)
				time.Sleep(want/5 + time.Nanosecond)
				wants(t, s, p, "a", 0, 2)
			})
		})
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	good, err := json.Marshal(jose.KeySet{Keys: []jose.PublicKey{newKey(t, "a")}})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(good) }))
	defer elsewhere.Close()
	for name, handler := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"404":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound); _, _ = w.Write(good) },
		"HTML":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"empty":    func(http.ResponseWriter, *http.Request) {},
		"no keys":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) },
		"symmetric": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":[{"kty":"oct","k":"AA"}]}`)
		},
		"too large": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(good)
			_, _ = io.WriteString(w, strings.Repeat(" ", jose.MaxKeySetBytes))
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, strings.Repeat(" ", 1<<16))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			s := New(server.Client(), server.URL, Config{})
			found, err := s.Keys(t.Context(), "a", jose.EdDSA)
			if _, ok := errors.AsType[*Unavailable](err); !ok || len(found) != 0 {
				t.Errorf("%d keys, error %v", len(found), err)
			}
		})
	}
	if found, err := New(nil, elsewhere.URL, Config{}).Keys(t.Context(), "a", jose.EdDSA); err != nil || len(found) != 1 {
		t.Errorf("the good answer: %d keys, %v", len(found), err)
	}
}

func TestLocate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		p.publish(t, newKey(t, "a"))
		located := 0
		var failure error
		s := New(&http.Client{Transport: p}, "", Config{Locate: func(context.Context, *http.Client) (string, error) {
			located++
			return address, failure
		}})
		failure = errors.New("no metadata")
		if _, err := s.Keys(t.Context(), "a", jose.EdDSA); !errors.Is(err, failure) || p.fetches.Load() != 0 {
			t.Errorf("error %v, %d fetches", err, p.fetches.Load())
		}
		failure = nil
		time.Sleep(firstRetry)
		wants(t, s, p, "a", 1, 1)
		time.Sleep(DefaultFresh)
		wants(t, s, p, "a", 1, 2)
		if located != 2 {
			t.Errorf("located %d times, want 2", located)
		}
		// A set that has moved is found again.
		p.change(func(p *publisher) { p.status = http.StatusGone })
		time.Sleep(DefaultFresh)
		wants(t, s, p, "a", 1, 3)
		p.publish(t, newKey(t, "a"))
		time.Sleep(DefaultFloor)
		wants(t, s, p, "a", 1, 3) // served at once while it is fetched
		synctest.Wait()
		if located != 3 || p.fetches.Load() != 4 {
			t.Errorf("located %d times, %d fetches", located, p.fetches.Load())
		}
	})
}

// TestFetchedAhead: whoever uses the keys often waits for no fetch, and for none that hangs.
func TestFetchedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		p.publish(t, newKey(t, "a"))
		s := p.set(Config{})
		use := func(d time.Duration) {
			t.Helper()
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
				began := time.Now()
				if found, err := s.Keys(t.Context(), "a", jose.EdDSA); err != nil || len(found) != 1 || time.Now() != began {
					t.Fatalf("after %v: %d keys, %v", time.Since(began), len(found), err)
				}
			}
		}
		wants(t, s, p, "a", 1, 1)
		p.change(func(p *publisher) { p.delay = 2 * time.Second })
		use(time.Hour)
		if n := p.fetches.Load(); n < 14 || n > 16 {
			t.Errorf("%d fetches in an hour of use", n)
		}
		p.change(func(p *publisher) { p.delay = time.Hour })
		use(DefaultMaxStale - DefaultFresh)
	})
}

func TestGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		a, b := newKey(t, "a"), newKey(t, "b")
		s := p.set(Config{})
		generation := func() uint64 {
			t.Helper()
			time.Sleep(DefaultFresh)
			g, err := s.Generation(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, of, err := s.Lookup(t.Context(), "", jose.EdDSA); err != nil || of != g {
				t.Errorf("keys of generation %d are looked up in %d (%v)", of, g, err)
			}
			return g
		}
		p.publish(t, a)
		first := generation()
		if same := generation(); same != first || p.fetches.Load() != 2 {
			t.Errorf("the same keys are of generations %d and %d", first, same)
		}
		for _, keys := range [][]jose.PublicKey{{a, b}, {b}, {}, {a}, {newKey(t, "a")}} {
			p.publish(t, keys...)
			next := generation()
			if next == first {
				t.Errorf("%d keys are of generation %d, too", len(keys), next)
			}
			first = next
		}
		p.change(func(p *publisher) { p.err = errors.New("no route") })
		time.Sleep(DefaultMaxStale)
		if _, err := s.Generation(t.Context()); err == nil {
			t.Error("keys that are too old have a generation")
		}
	})
}

// TestRelocated: a publisher that has moved, and goes on answering where it was.
func TestRelocated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		p.publish(t, newKey(t, "a"))
		located := 0
		s := New(&http.Client{Transport: p}, "", Config{Locate: func(context.Context, *http.Client) (string, error) {
			located++
			return address, nil
		}})
		for range 3 * 60 {
			if _, err := s.Keys(t.Context(), "a", jose.EdDSA); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if located != 3 {
			t.Errorf("located %d times in three hours", located)
		}
	})
}

func TestWithoutAddress(t *testing.T) {
	if _, err := New(nil, "", Config{}).Keys(t.Context(), "a", jose.EdDSA); err == nil {
		t.Error("a set without an address has keys")
	}
	if _, err := New(nil, "://", Config{}).Keys(t.Context(), "a", jose.EdDSA); err == nil {
		t.Error("a set with a malformed address has keys")
	}
}
