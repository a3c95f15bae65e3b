package resource_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/jose"
	"gatehouse/oauth"
	"gatehouse/resource"
)

// benchTokens are distinct good tokens.
func benchTokens(b *testing.B, a *as, count int) []string {
	b.Helper()
	tokens := make([]string, count)
	for i := range tokens {
		tokens[i] = a.jwt(b, claims{"jti": fmt.Sprint("jti-", i)})
	}
	return tokens
}

// BenchmarkVerify checks tokens that come for the first time.
func BenchmarkVerify(b *testing.B) {
	a := newAS()
	rs := a.server(b, func(c *resource.Config) { c.MaxCached = 2 })
	tokens := benchTokens(b, a, 256)
	needs := resource.Needs{Scopes: []string{"photos:read"}}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := rs.Check(b.Context(), tokens[i%len(tokens)], needs); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkVerifyCached checks tokens that come again.
func BenchmarkVerifyCached(b *testing.B) {
	for _, feed := range []bool{false, true} {
		b.Run(fmt.Sprint("feed=", feed), func(b *testing.B) {
			a := newAS()
			rs := a.server(b, func(c *resource.Config) { c.Feed = feed })
			tokens := benchTokens(b, a, 256)
			needs := resource.Needs{Scopes: []string{"photos:read"}}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := rs.Check(b.Context(), tokens[i%len(tokens)], needs); err != nil && oauth.AsError(err).Code != oauth.TemporarilyUnavailable {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkBare is what nobody can leave out: the signature.
func BenchmarkBare(b *testing.B) {
	a := newAS()
	tokens := benchTokens(b, a, 256)
	text, err := json.Marshal(jose.KeySet{Keys: a.keys})
	if err != nil {
		b.Fatal(err)
	}
	var set struct{ Keys []struct{ X, Y string } }
	if err := json.Unmarshal(text, &set); err != nil {
		b.Fatal(err)
	}
	point := []byte{4}
	for _, coordinate := range []string{set.Keys[0].X, set.Keys[0].Y} {
		part, err := base64.RawURLEncoding.DecodeString(coordinate)
		if err != nil {
			b.Fatal(err)
		}
		point = append(point, part...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		raw := tokens[i%len(tokens)]
		i++
		end := strings.LastIndexByte(raw, '.')
		signature, err := base64.RawURLEncoding.DecodeString(raw[end+1:])
		digest := sha256.Sum256([]byte(raw[:end]))
		if err != nil || !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			b.Fatal("wrong")
		}
	}
}

// BenchmarkMiddleware is a request whose token comes again, with its line of log.
func BenchmarkMiddleware(b *testing.B) {
	a := newAS()
	rs := a.server(b, func(c *resource.Config) { c.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil)) })
	guarded := rs.Require("photos:read")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var requests []*http.Request
	for _, raw := range benchTokens(b, a, 64) {
		r := httptest.NewRequest(http.MethodGet, "/photos", nil)
		r.Header.Set("Authorization", "Bearer "+raw)
		requests = append(requests, r)
	}
	w := httptest.NewRecorder()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		guarded.ServeHTTP(w, requests[i%len(requests)])
		i++
	}
	if w.Code != http.StatusOK {
		b.Fatal(w.Code)
	}
}
