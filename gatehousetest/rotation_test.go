package gatehousetest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/keyring"
	"gatehouse/internal/seal"
	"gatehouse/internal/spec"
	"gatehouse/internal/store"
	"gatehouse/jose"
	"gatehouse/resource"
)

const apiTenant = `
resources:
  - {identifier: https://api.example, name: API, scopes: {"api:read": Read}}
clients:
  - {client_id: web, client_secret: ` + webSecret + `, grant_types: [client_credentials], scope: "api:read"}
`

// TestKeysAreRotatedUnderLoad rotates as soon as it can, again and again, while
// APIs take tokens that were just made, and older ones: none is refused, though no
// API reads the key set more often than once a minute.
func TestKeysAreRotatedUnderLoad(t *testing.T) {
	spec.Covers(t, "FT-23")
	const apis, turns = 3, 10
	interval := time.Second // between two requests of an API
	if nightly() {
		interval = 50 * time.Millisecond
	}
	synctest.Test(t, func(t *testing.T) {
		issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Tenant: apiTenant, Engine: gatehousetest.SQLite})
		defer stop()
		ctx, end := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { issuer.Server().Keys().Run(ctx, slog.New(slog.DiscardHandler)) })
		signers := sync.Map{}
		for range apis {
			running.Go(func() {
				time.Sleep(time.Duration(rand.Int64N(int64(time.Minute)))) // they start at different times
				api := newAPI(t, issuer)
				for ctx.Err() == nil && !t.Failed() {
					api.takes(&signers)
					time.Sleep(interval)
				}
			})
		}
		command := openKeys(t, issuer)
		for taken := 0; taken < turns; {
			turned, err := command.Rotate(ctx, gatehouse.DefaultTenant, keyring.Rotation{Algorithm: jose.ES256, Now: true, Actor: "test"})
			if err != nil || len(turned) != 1 {
				t.Fatal(turned, err)
			}
			if turned[0].Made {
				taken++
			}
			time.Sleep(7 * time.Second)
		}
		time.Sleep(2 * time.Minute) // the last one signs
		end()
		running.Wait()
		count := 0
		signers.Range(func(any, any) bool { count++; return true })
		if count != turns+1 {
			t.Errorf("%d keys have signed, want %d", count, turns+1)
		}
	})
}

// openKeys opens the server's keys beside it, as a command does.
func openKeys(t *testing.T, issuer *gatehousetest.Issuer) *keyring.Keyring {
	t.Helper()
	db, err := store.Open(t.Context(), issuer.Database(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	kek, err := seal.ReadKeyFile(filepath.Join(issuer.Data, "gatehouse.key"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.Open(t.Context(), db, kek)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// api takes tokens of an issuer.
type api struct {
	*testing.T
	issuer  *gatehousetest.Issuer
	handler http.Handler
	tokens  []string // of the last lifetime
}

func newAPI(t *testing.T, issuer *gatehousetest.Issuer) *api {
	protected, err := resource.New(t.Context(), resource.Config{
		Issuer: issuer.URL, Audience: "https://api.example", HTTPClient: &http.Client{Transport: issuer}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Error(err)
	}
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	return &api{T: t, issuer: issuer, handler: protected.Require("api:read")(ok)}
}

// takes presents a new token and one that is older, and notes who signed.
func (a *api) takes(signers *sync.Map) {
	said := service(a.T, a.issuer)
	token := said.Member("access_token")
	if said.StatusCode != http.StatusOK {
		a.Errorf("no token: %d %s", said.StatusCode, said.Text)
		return
	}
	a.tokens = append(a.tokens, token)
	for _, one := range []string{token, a.tokens[rand.IntN(len(a.tokens))]} {
		r := httptest.NewRequest(http.MethodGet, "/photos", nil)
		r.Header.Set("Authorization", "Bearer "+one)
		w := httptest.NewRecorder()
		a.handler.ServeHTTP(w, r)
		header := headerOf(one)
		if w.Code != http.StatusOK && !expired(one) {
			a.Errorf("a token of key %s is refused: %d %s", header["kid"], w.Code, w.Header().Get("WWW-Authenticate"))
		}
		signers.Store(header["kid"], true)
	}
}

func headerOf(token string) map[string]any { return part(token, 0) }

func expired(token string) bool {
	exp, _ := part(token, 1)["exp"].(float64)
	return time.Now().Unix() >= int64(exp)
}

// part reads a part of a token that we got from the server.
func part(token string, nth int) map[string]any {
	var members map[string]any
	if parts := strings.Split(token, "."); len(parts) == 3 {
		text, err := base64.RawURLEncoding.DecodeString(parts[nth])
		if err == nil {
			_ = json.Unmarshal(text, &members)
		}
	}
	return members
}
