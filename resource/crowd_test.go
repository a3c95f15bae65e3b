package resource_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse/internal/crowd"
	"gatehouse/internal/spec"
	"gatehouse/resource"
)

// TestNothingIsKeptOfACrowdOfTokens: whatever a stranger sends for a token, a million
// of them leave no more behind than a few.
func TestNothingIsKeptOfACrowdOfTokens(t *testing.T) {
	spec.Covers(t, "DS-04")
	const cached = 20
	a := newAS()
	rs := a.server(t, func(c *resource.Config) { c.Opaque, c.MaxCached = true, cached })
	segment := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	signature := strings.Repeat("A", 86)
	jwt := func(header, payload string) string { return segment(header) + "." + segment(payload) + "." + signature }
	// Half as many answers about inactive tokens as are remembered go at once, and
	// twice as many fill their place.
	const turn, filled = 2048, 4 * 2048
	for _, kind := range []struct {
		name        string
		turn        int
		forerunners int
		token       func(n int) string
		want        int
	}{
		{"kids", 1, 200, func(n int) string {
			return jwt(`{"typ":"at+jwt","alg":"ES256","kid":"`+crowd.Long(n)+`"}`, `{"iss":"`+asURL+`"}`)
		}, http.StatusUnauthorized},
		{"issuers", 1, 200, func(n int) string {
			return jwt(`{"typ":"at+jwt","alg":"ES256","kid":"es-1"}`, `{"iss":"https://`+crowd.Name(n)+`.example"}`)
		}, http.StatusUnauthorized},
		{"forged signatures", 1, 200, func(n int) string {
			return jwt(`{"typ":"at+jwt","alg":"ES256","kid":"es-1"}`, `{"iss":"`+asURL+`","aud":"`+audience+`","jti":"`+crowd.Long(n)+`","exp":4102444800}`)
		}, http.StatusUnauthorized},
		{"opaque tokens", turn, filled, func(n int) string { return "gha_" + segment(crowd.Long(n)) }, http.StatusUnauthorized},
		{"tokens of its own", cached / 2, 200, func(n int) string { return a.jwt(t, claims{"jti": fmt.Sprintf("jti-%09d", n)}) }, http.StatusOK},
		{"no tokens", turn, filled, func(n int) string { return crowd.Long(n) + "/" }, http.StatusUnauthorized},
	} {
		t.Run(kind.name, func(t *testing.T) {
			var unlike atomic.Pointer[httptest.ResponseRecorder]
			grown := crowd.GrowsInTurns(kind.turn, kind.forerunners, func(n int) {
				if w := ask(rs, kind.token(n), nothing); w.Code != kind.want {
					unlike.CompareAndSwap(nil, w)
				}
			})
			if w := unlike.Load(); w != nil {
				t.Errorf("%d, want %d: %s", w.Code, kind.want, w.Body)
			}
			if grown > crowd.Keeps {
				t.Errorf("%d strangers left %d bytes behind", crowd.Size(), grown)
			}
			wants(t, ask(rs, a.jwt(t, nil), nothing), http.StatusOK, "")
		})
	}
	runtime.KeepAlive(rs)
}
