package client_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/internal/spec"
	"gatehouse/kv"
)

const albums = "https://albums.example"

// forAlbums has the application tell its access token for albums.
func forAlbums(a *application) {
	a.mux.Handle("/albums", a.party.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := client.SessionFrom(r.Context())
		tokens, err := s.For(albums).Token(r.Context())
		if err != nil {
			client.RefuseJSON(w, err)
			return
		}
		_, _ = io.WriteString(w, tokens.AccessToken.Reveal())
	})))
}

// A resource's token is asked for by name, kept, and renewed by itself; the login's is asked
// for by the names of its own resources from then on.
func TestTokensForResources(t *testing.T) {
	spec.Covers(t, "RFC8707-2.2-1")
	synctest.Test(t, func(t *testing.T) {
		p, a, b := signedIn(t, client.Config{Resources: []string{"https://photos.example"}, MoreResources: []string{albums}})
		forAlbums(a)
		begun, err := url.Parse(b.get(a.URL + "/login").to(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := begun.Query()["resource"]; !slices.Equal(got, []string{"https://photos.example", albums}) {
			t.Errorf("the login asks for %q", got)
		}
		login := b.wantFresh(a)
		first := b.get(a.URL + "/albums")
		time.Sleep(5 * time.Minute)
		again := b.get(a.URL + "/albums")
		if first.StatusCode != http.StatusOK || first.text == login || first.text != again.text || p.refreshes() != 1 {
			t.Errorf("%d %q, %q, after %d refreshes", first.StatusCode, first.text, again.text, p.refreshes())
		}
		if form, _ := p.last(); !slices.Equal(form["resource"], []string{albums}) {
			t.Errorf("asked for %q", form["resource"])
		}
		if b.wantFresh(a) != login {
			t.Error("the login's token changed, too")
		}
		time.Sleep(6 * time.Minute) // now the login's ends, and later that of albums
		if b.wantFresh(a) == login || p.refreshes() != 2 {
			t.Errorf("%d refreshes", p.refreshes())
		}
		if form, _ := p.last(); !slices.Equal(form["resource"], []string{"https://photos.example"}) {
			t.Errorf("asked for %q", form["resource"])
		}
		time.Sleep(time.Hour)
		if next := b.get(a.URL + "/albums"); next.StatusCode != http.StatusOK || next.text == first.text || p.refreshes() != 3 {
			t.Errorf("%d after %d refreshes", next.StatusCode, p.refreshes())
		}
		// No other resource's.
		a.mux.Handle("/other", a.party.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, _ := client.SessionFrom(r.Context())
			if _, err := s.For("https://other.example").Token(r.Context()); err == nil {
				t.Error("a token for a resource that nobody configured")
			}
		})))
		b.get(a.URL + "/other")
	})
}

// What a resource's renewal brought and nobody could save is saved by whoever comes next,
// also for another token: with it came the refresh token that counts.
func TestTokensForResourcesWaitForTheirStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &awayStore{Store: kv.NewMemory(kv.MemoryConfig{})}
		p, a, b := signedIn(t, client.Config{Store: store, Keys: [][]byte{sealingKey}, MoreResources: []string{albums}})
		forAlbums(a)
		first := b.wantFresh(a)
		p.change(func(p *provider) {
			p.answer = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					store.set(true)
				}
				return false
			}
		})
		if got := b.get(a.URL + "/albums"); got.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a token that nobody has saved: %d", got.StatusCode)
		}
		store.set(false)
		p.change(func(p *provider) { p.answer = nil })
		time.Sleep(11 * time.Minute)
		if b.wantFresh(a) == first || p.refreshes() != 2 {
			t.Errorf("%d refreshes", p.refreshes())
		}
		if got := b.get(a.URL + "/albums"); got.StatusCode != http.StatusOK || b.me(a) == "" {
			t.Errorf("%d", got.StatusCode)
		}
	})
}
