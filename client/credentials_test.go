package client_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/internal/redistest"
	"gatehouse/kv"
	"gatehouse/kv/kvredis"
)

const api = "https://api.example/v1"

// service is a client on a network without sockets, and its credentials.
func service(t *testing.T, p *provider, network http.RoundTripper, config client.Config) (*client.Client, *client.Credentials) {
	t.Helper()
	config.HTTPClient = &http.Client{Transport: network}
	c := p.client(t, config)
	credentials, err := c.Credentials(client.CredentialsConfig{Scope: "read write", Resource: api})
	if err != nil {
		t.Fatal(err)
	}
	return c, credentials
}

func access(t *testing.T, source client.TokenSource) string {
	t.Helper()
	tokens, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tokens.AccessToken.Reveal()
}

func TestClientCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		c, credentials := service(t, p, network, client.Config{})
		first := access(t, credentials)
		if form, header := p.last(); form.Get("grant_type") != "client_credentials" || form.Get("scope") != "read write" || form.Get("resource") != api || header.Get("Authorization") == "" {
			t.Errorf("asked by %v", form)
		}
		for range 100 {
			if access(t, credentials) != first {
				t.Fatal("another token")
			}
		}
		// Ahead of its end it is renewed, and nobody waits for that.
		p.change(func(p *provider) {
			p.answer = func(_ http.ResponseWriter, r *http.Request) bool { time.Sleep(time.Second); return false }
		})
		time.Sleep(9 * time.Minute)
		began := time.Now()
		if access(t, credentials); !time.Now().Equal(began) {
			t.Errorf("waited %v", time.Since(began))
		}
		time.Sleep(3 * time.Second)
		if access(t, credentials) == first || p.seen("/token") != 2 {
			t.Errorf("%d requests", p.seen("/token"))
		}
		if s := c.Stats(); s.Misses != 2 || s.Renewals != 2 || s.Hits != 102 || s.Failures != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestLastGoodTokenServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		c, credentials := service(t, p, network, client.Config{})
		first := access(t, credentials)
		p.fails(func(w http.ResponseWriter) { w.WriteHeader(500) })
		time.Sleep(8*time.Minute + 30*time.Second)
		for range 890 {
			if access(t, credentials) != first {
				t.Fatal("another token")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if s := c.Stats(); s.Failures == 0 || s.Failures > 12 || s.Breaker == "closed" {
			t.Errorf("%+v", s)
		}
		time.Sleep(5 * time.Second)
		asked := p.seen("/token")
		for range 100 {
			if _, err := credentials.Token(t.Context()); client.StatusOf(err) != http.StatusServiceUnavailable {
				t.Fatalf("%v", err)
			}
		}
		if p.seen("/token") > asked+1 {
			t.Errorf("%d requests at once", p.seen("/token")-asked)
		}
		p.fails(nil)
		time.Sleep(time.Minute)
		if access(t, credentials) == first {
			t.Error("a token that has ended is used")
		}
		if s := c.Stats(); s.Breaker != "closed" {
			t.Errorf("%+v", s)
		}
	})
}

func TestManyCallersOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		store := kv.NewMemory(kv.MemoryConfig{})
		config := client.Config{Store: store, Keys: [][]byte{sealingKey}}
		_, here := service(t, p, network, config)
		_, there := service(t, p, network, config)
		for round := range 3 {
			var asking sync.WaitGroup
			barrier := make(chan struct{})
			for i := range 200 {
				asking.Go(func() {
					<-barrier
					source := []*client.Credentials{here, there}[i%2]
					if _, err := source.Token(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			close(barrier)
			asking.Wait()
			if n := p.seen("/token"); n != round+1 || access(t, here) != access(t, there) {
				t.Errorf("round %d: %d requests", round, n)
			}
			time.Sleep(11 * time.Minute)
		}
	})
}

// A shared store holds tokens for others with the same key, and no longer than good.
func TestSharedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		store := &seeingStore{Store: kv.NewMemory(kv.MemoryConfig{})}
		config := client.Config{Store: store, Keys: [][]byte{sealingKey}}
		_, here := service(t, p, network, config)
		first := access(t, here)
		if store.holds(first) {
			t.Error("the token lies open in the store")
		}
		c, there := service(t, p, network, config)
		if access(t, there) != first || c.Stats().SharedHits != 1 {
			t.Errorf("%+v", c.Stats())
		}
		// Other scopes, resources and keys are others'.
		for _, other := range []client.CredentialsConfig{{Scope: "read", Resource: api}, {Scope: "read write"}, {Scope: "read write", Resource: api + "/"}, {Scope: "read write", Audience: api}} {
			credentials, err := c.Credentials(other)
			if err != nil {
				t.Fatal(err)
			}
			if access(t, credentials) == first {
				t.Errorf("%+v has the same token", other)
			}
		}
		same, err := c.Credentials(client.CredentialsConfig{Scope: "write read", Resource: api})
		if err != nil {
			t.Fatal(err)
		}
		if access(t, same) != first {
			t.Error("the order of scopes matters")
		}
		config.Keys = [][]byte{[]byte("another key of 32 random bytes !")}
		_, stranger := service(t, p, network, config)
		if access(t, stranger) == first {
			t.Error("another key opens the token")
		}
		time.Sleep(9*time.Minute + time.Second)
		if _, late := service(t, p, network, client.Config{Store: store, Keys: [][]byte{sealingKey}}); access(t, late) == first {
			t.Error("a token is shared in the last minute of its life")
		}
	})
}

func TestSharedStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		store := &awayStore{Store: kv.NewMemory(kv.MemoryConfig{})}
		store.set(true)
		_, credentials := service(t, p, network, client.Config{Store: store, Keys: [][]byte{sealingKey}})
		if access(t, credentials) == "" || p.seen("/token") != 1 {
			t.Error("no token without the store")
		}
	})
}

func TestSharedTokensOnRedis(t *testing.T) {
	redis := redistest.Start(t)
	p := newProvider(t)
	var sources []*client.Credentials
	for range 2 {
		store, err := kvredis.Open(t.Context(), kvredis.Config{Addresses: []string{redis.Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(store.Close)
		_, credentials := service(t, p, http.DefaultTransport, client.Config{Store: store, Keys: [][]byte{sealingKey}})
		sources = append(sources, credentials)
	}
	if access(t, sources[0]) != access(t, sources[1]) || p.seen("/token") != 1 {
		t.Errorf("%d requests", p.seen("/token"))
	}
	redis.Kill(t)
	c := p.client(t, client.Config{})
	alone, err := c.Credentials(client.CredentialsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if access(t, alone) == "" || access(t, sources[0]) == "" {
		t.Error("no token without Redis")
	}
}

func TestRefusalsOfCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		_, credentials := service(t, p, network, client.Config{})
		p.fails(refuseWith(401, "invalid_client"))
		for range 20 {
			if _, err := credentials.Token(t.Context()); client.StatusOf(err) != http.StatusInternalServerError {
				t.Errorf("%v", err)
			}
		}
		if p.seen("/token") != 1 {
			t.Errorf("%d requests at once", p.seen("/token"))
		}
		p.fails(nil)
		time.Sleep(2 * time.Second)
		access(t, credentials)
		if _, err := p.client(t, client.Config{HTTPClient: &http.Client{Transport: network}}).Credentials(client.CredentialsConfig{Scope: `a"b`}); err == nil {
			t.Error("a malformed scope is taken")
		}
	})
}
