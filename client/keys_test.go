package client_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/internal/spec"
	"gatehouse/jose"
)

// publish replaces the published keys.
func (p *provider) publish(keys ...jose.PublicKey) {
	set, err := json.Marshal(jose.KeySet{Keys: keys})
	if err != nil {
		p.t.Fatal(err)
	}
	p.change(func(p *provider) { p.jwks = string(set) })
}

func TestDecoysWithTheSameKid(t *testing.T) {
	p := newProvider(t)
	// Each of another kty or alg, under the one kid.
	p.publish(keysOf[jose.EdDSA]().Public(), keysOf[jose.RS256]().Public(), p.key.Public())
	accepted(t, p.application(t, client.Config{}))
	// Two for one kid and alg: nobody can tell which is meant.
	p = newProvider(t)
	p.publish(mustGenerate(jose.ES256, "key-1").Public(), p.key.Public())
	refusedLogin(t, p.application(t, client.Config{}), http.StatusServiceUnavailable)
}

func TestTokensWithoutKid(t *testing.T) {
	p := newProvider(t)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jose.NewPublicKey(jose.EdDSA, "key-1", public)
	if err != nil {
		t.Fatal(err)
	}
	p.sign = func(c claims) string {
		return compact(`{"alg":"EdDSA"}`, c.with(claims{"at_hash": nil}), func(signed string) []byte { return ed25519.Sign(private, []byte(signed)) })
	}
	p.publish(key)
	accepted(t, p.application(t, client.Config{})) // one key
	p.publish(mustGenerate(jose.EdDSA, "key-0").Public(), p.key.Public(), key)
	accepted(t, p.application(t, client.Config{})) // several, of which one fits
	p.publish(p.key.Public(), mustGenerate(jose.EdDSA, "key-2").Public())
	refusedLogin(t, p.application(t, client.Config{}), http.StatusBadGateway) // none fits
}

func TestKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		a := p.application(t, client.Config{HTTPClient: &http.Client{Transport: network}})
		in := func() bool {
			b := newBrowser(t)
			b.network = network
			b.signIn(a)
			return b.me(a) != ""
		}
		if !in() {
			t.Fatal("not signed in")
		}
		// A key that is used the moment it is published, seconds after the last fetch.
		for _, kid := range []string{"key-2", "key-3"} {
			time.Sleep(2 * time.Second)
			p.change(func(p *provider) { p.key = mustGenerate(jose.ES256, kid) })
			if !in() {
				t.Errorf("the key %s is not found", kid)
			}
		}
		// One that is used before it is published is refused, and found when it is.
		old := p.key.Public()
		p.change(func(p *provider) { p.key = mustGenerate(jose.ES256, "key-4") })
		next := p.key.Public()
		p.publish(old)
		time.Sleep(2 * time.Second)
		if in() {
			t.Error("a key that is not published is taken")
		}
		p.publish(old, next)
		time.Sleep(2 * time.Second)
		if !in() {
			t.Error("a key that is published late is not found")
		}
		// One that is withdrawn is refused once the old answer is stale.
		p.publish(old)
		time.Sleep(10 * time.Minute)
		if in() {
			t.Error("a key that was withdrawn is taken")
		}
	})
}

func TestKeysThatCannotBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		a := p.application(t, client.Config{HTTPClient: &http.Client{Transport: network}})
		b := newBrowser(t)
		b.network = network
		p.change(func(p *provider) {
			p.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/jwks" {
					w.WriteHeader(http.StatusInternalServerError)
				}
				return r.URL.Path == "/jwks"
			}
		})
		if answer := b.signIn(a); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || b.me(a) != "" {
			t.Errorf("%d", answer.StatusCode)
		}
		p.change(func(p *provider) { p.answer = nil })
		time.Sleep(2 * time.Second)
		if b.signIn(a); b.me(a) == "" {
			t.Error("not signed in when the keys are back")
		}
	})
}

// TestKeysThatCannotBeHadAtARenewal: nobody is signed out because the keys that would check a renewed
// ID token are away, and nothing that was not checked is kept.
func TestKeysThatCannotBeHadAtARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a, b := signedIn(t, client.Config{Scope: "openid offline_access"})
		kept := func() string {
			t.Helper()
			return b.do(http.MethodPost, a.URL+"/logout", nil).to(t)
		}
		p.change(func(p *provider) {
			p.idToken = func(c claims) claims { return c.with(claims{"sub": "mallory"}) }
			p.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/jwks" {
					w.WriteHeader(http.StatusInternalServerError)
				}
				return r.URL.Path == "/jwks"
			}
		})
		time.Sleep(65 * time.Minute) // the keys at hand are too old
		b.wantFresh(a)
		time.Sleep(11 * time.Minute)
		b.wantFresh(a)
		if p.refreshes() != 2 || b.me(a) == "" {
			t.Errorf("%d refreshes, signed in as %q", p.refreshes(), b.me(a))
		}
		// With keys, what somebody else's ID token came with is refused as ever.
		p.change(func(p *provider) { p.answer = nil })
		time.Sleep(11 * time.Minute)
		if _, status := b.fresh(a); status == http.StatusOK {
			t.Error("a token that came with somebody else's ID token was given out")
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(kept(), ".")[4])
		if err != nil || !strings.Contains(string(payload), `"alice"`) {
			t.Errorf("the ID token that was kept is %s (%v)", payload, err)
		}
	})
}

func TestUserInfoOfSomebodyElse(t *testing.T) {
	spec.Covers(t, "OIDCC-5.3.4-1")
	p := newProvider(t)
	a := p.application(t, client.Config{UserInfo: true})
	for name, info := range map[string]claims{"mallory": {"sub": "mallory"}, "nobody": {"email": "alice@example.com"}, "ALICE": {"sub": "ALICE"}, "a number": {"sub": 1}, "null": {"sub": nil}} {
		t.Run(name, func(t *testing.T) {
			p.change(func(p *provider) { p.userinfo = info })
			refusedLogin(t, a, http.StatusBadGateway)
		})
	}
	p.change(func(p *provider) { p.userinfo = claims{"sub": "alice"} })
	accepted(t, a)
}

func TestSignedUserInfo(t *testing.T) {
	p := newProvider(t)
	a := p.application(t, client.Config{UserInfo: true})
	serve := func(mediaType string, raw func() string) {
		p.change(func(p *provider) {
			p.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/userinfo" {
					return false
				}
				w.Header().Set("Content-Type", mediaType)
				_, _ = io.WriteString(w, raw())
				return true
			}
		})
	}
	good := claims{"iss": p.issuer, "aud": clientID, "sub": "alice"}
	serve("application/jwt; charset=utf-8", func() string { return sign(t, p.key, "", good) })
	accepted(t, a)
	for name, raw := range map[string]string{
		"somebody else":    sign(t, p.key, "", good.with(claims{"sub": "mallory"})),
		"another audience": sign(t, p.key, "", good.with(claims{"aud": "other"})),
		"another issuer":   sign(t, p.key, "", good.with(claims{"iss": "https://other.example"})),
		"a foreign key":    sign(t, mustGenerate(jose.ES256, "key-1"), "", good),
		"none":             compact(`{"alg":"none"}`, good, func(string) []byte { return []byte("x") }),
		"plain JSON":       `{"sub":"alice"}`,
	} {
		t.Run(name, func(t *testing.T) {
			serve("application/jwt", func() string { return raw })
			refusedLogin(t, a, http.StatusBadGateway)
		})
	}
	serve("text/html", func() string { return `{"sub":"alice"}` })
	refusedLogin(t, a, http.StatusBadGateway)
}
