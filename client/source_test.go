package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
)

// loggedIn is a source of the tokens of a login without a browser session.
func loggedIn(t *testing.T, p *provider, network direct, config client.SourceConfig) (*client.Source, *client.Login) {
	t.Helper()
	c := p.client(t, client.Config{HTTPClient: &http.Client{Transport: network}, RedirectURI: "http://127.0.0.1:2/callback"})
	address, tx, err := c.Begin(t.Context(), client.AuthorizationRequest{})
	if err != nil {
		t.Fatal(err)
	}
	login, err := c.Finish(t.Context(), tx, answerBy(t, network, address))
	if err != nil {
		t.Fatal(err)
	}
	config.Identity = login.Identity
	return c.Source(login.Tokens, config), login
}

func TestSourcesPersistBeforeUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		var kept []client.Tokens
		away := false
		source, login := loggedIn(t, p, network, client.SourceConfig{Persist: func(_ context.Context, tokens client.Tokens) error {
			if away {
				return errors.New("the key ring is locked")
			}
			kept = append(kept, tokens)
			return nil
		}})
		get := func() string {
			t.Helper()
			tokens, err := source.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return tokens.AccessToken.Reveal()
		}
		first := login.Tokens.AccessToken.Reveal()
		if get() != first || len(kept) != 0 {
			t.Error("the first token is not the login's")
		}
		time.Sleep(11 * time.Minute)
		second := get()
		if second == first || len(kept) != 1 || kept[0].AccessToken.Reveal() != second || kept[0].RefreshToken.IsZero() {
			t.Errorf("%d were kept", len(kept))
		}
		away = true
		time.Sleep(11 * time.Minute)
		var unavailable *client.UnavailableError
		if _, err := source.Token(t.Context()); !errors.As(err, &unavailable) {
			t.Errorf("tokens that nobody kept: %v", err)
		}
		away = false
		time.Sleep(2 * time.Second)
		if get() == second || len(kept) != 2 || p.refreshes() != 2 {
			t.Errorf("%d were kept after %d refreshes", len(kept), p.refreshes())
		}
	})
}

func TestSourcesOfSeveralProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		var mu sync.Mutex
		var kept client.Tokens
		config := client.SourceConfig{
			Persist: func(_ context.Context, tokens client.Tokens) error {
				mu.Lock()
				defer mu.Unlock()
				kept = tokens
				return nil
			},
			Reload: func(context.Context) (client.Tokens, error) {
				mu.Lock()
				defer mu.Unlock()
				return kept, nil
			},
		}
		here, login := loggedIn(t, p, network, config)
		there := p.client(t, client.Config{HTTPClient: &http.Client{Transport: network}}).Source(login.Tokens, config)
		time.Sleep(11 * time.Minute)
		for _, source := range []*client.Source{here, there} {
			if tokens, err := source.Token(t.Context()); err != nil || tokens.AccessToken.Reveal() != kept.AccessToken.Reveal() {
				t.Errorf("%v", err)
			}
		}
		// Where nobody renewed it, a refusal is the end.
		p.change(func(p *provider) { clear(p.refresh) })
		time.Sleep(11 * time.Minute)
		for range 2 {
			if _, err := here.Token(t.Context()); !errors.Is(err, client.ErrSessionEnded) {
				t.Errorf("%v", err)
			}
		}
	})
}

func TestSourcesOfOneStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		source, _ := loggedIn(t, p, network, client.SourceConfig{})
		time.Sleep(11 * time.Minute)
		var asking sync.WaitGroup
		barrier := make(chan struct{})
		for range 100 {
			asking.Go(func() {
				<-barrier
				if _, err := source.Token(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		close(barrier)
		asking.Wait()
		if p.refreshes() != 1 {
			t.Errorf("%d refreshes", p.refreshes())
		}
		p.fails(func(w http.ResponseWriter) { w.WriteHeader(503) })
		time.Sleep(11 * time.Minute)
		for range 100 {
			if _, err := source.Token(t.Context()); client.StatusOf(err) != http.StatusServiceUnavailable {
				t.Errorf("%v", err)
			}
		}
		if p.refreshes() != 2 {
			t.Errorf("%d refreshes while the issuer is away", p.refreshes())
		}
	})
}

func TestCallersWhoGiveUpLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		source, _ := loggedIn(t, p, network, client.SourceConfig{})
		p.change(func(p *provider) {
			p.answer = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					time.Sleep(3 * time.Second)
				}
				return false
			}
		})
		time.Sleep(11 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := source.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if _, err := source.Token(t.Context()); err != nil || p.refreshes() != 1 {
			t.Errorf("%d refreshes, %v", p.refreshes(), err)
		}
	})
}

func TestTokensAtRest(t *testing.T) {
	p, network := newDirectProvider(t)
	_, login := loggedIn(t, p, network, client.SourceConfig{})
	data, err := login.Tokens.Export()
	if err != nil {
		t.Fatal(err)
	}
	back, err := client.ImportTokens(data)
	if err != nil || back.AccessToken.Reveal() != login.Tokens.AccessToken.Reveal() || back.RefreshToken.Reveal() != login.Tokens.RefreshToken.Reveal() || back.Expiry.Unix() != login.Tokens.Expiry.Unix() {
		t.Errorf("%+v, %v", back, err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, login.Tokens); strings.Contains(text, login.Tokens.AccessToken.Reveal()) {
			t.Errorf("%s prints %s", verb, text)
		}
	}
	for _, bad := range []string{"", "null", "[]", `{"access_token":1}`, `{"Access_Token":"x"}`} {
		if _, err := client.ImportTokens([]byte(bad)); err == nil || strings.Contains(err.Error(), "access-") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestTokensThatHaveEndedAlready: when the issuer gives such a one, callers get an error and not nothing.
func TestTokensThatHaveEndedAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		source, _ := loggedIn(t, p, network, client.SourceConfig{})
		_, credentials := service(t, p, network, client.Config{})
		time.Sleep(11 * time.Minute)
		p.change(func(p *provider) { p.life = 0 })
		all := map[string]client.TokenSource{"source": source, "credentials": credentials}
		for name, source := range all {
			for range 3 {
				tokens, err := source.Token(t.Context())
				if client.StatusOf(err) != http.StatusServiceUnavailable || !tokens.AccessToken.IsZero() {
					t.Errorf("%s: the token is %q, the error %v", name, tokens.AccessToken.Reveal(), err)
				}
			}
		}
		p.change(func(p *provider) { p.life = 600 })
		for name, source := range all {
			if tokens, err := source.Token(t.Context()); err != nil || tokens.AccessToken.IsZero() {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
