package oauth_test

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

func challengeOf(e *oauth.Error, c oauth.Challenge) string {
	w := httptest.NewRecorder()
	oauth.WriteChallenge(w, e, c)
	return w.Header().Get("WWW-Authenticate")
}

func TestChallenge(t *testing.T) {
	spec.Covers(t, "RFC9470-3-1", "RFC9728-5.1-1")
	stepUp := oauth.Refuse("x", oauth.InsufficientUserAuthentication, "Sign in again.")
	none := oauth.Refuse("x", "", "").WithStatus(401)
	for name, test := range map[string]struct {
		e    *oauth.Error
		c    oauth.Challenge
		want string
	}{
		"no token":     {none, oauth.Challenge{}, `Bearer realm="gatehouse"`},
		"where to ask": {none, oauth.Challenge{ResourceMetadata: "https://rs.test/.well-known/oauth-protected-resource", Scope: oauth.Scope{"a", "b"}}, `Bearer realm="gatehouse", scope="a b", resource_metadata="https://rs.test/.well-known/oauth-protected-resource"`},
		"step-up":      {stepUp, oauth.Challenge{ACRValues: []string{"urn:x", "2"}, MaxAge: 90 * time.Second, HasMaxAge: true}, `Bearer realm="gatehouse", error="insufficient_user_authentication", error_description="` + stepUp.Public() + `", acr_values="urn:x 2", max_age="90"`},
		"at once":      {stepUp, oauth.Challenge{HasMaxAge: true}, `Bearer realm="gatehouse", error="insufficient_user_authentication", error_description="` + stepUp.Public() + `", max_age="0"`},
		"a scheme":     {none, oauth.Challenge{Scheme: "DPoP"}, `DPoP realm="gatehouse"`},
		"injection":    {none, oauth.Challenge{ResourceMetadata: "x\", error=\"y\\\r\n\x80é"}, `Bearer realm="gatehouse", resource_metadata="x', error='y'''''"`},
	} {
		if got := challengeOf(test.e, test.c); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	if stepUp.Status != 401 {
		t.Errorf("status %d", stepUp.Status)
	}
	if got := challengeOf(oauth.Refuse("x", oauth.TemporarilyUnavailable, "Later."), oauth.Challenge{Scope: oauth.Scope{"a"}}); got != "" {
		t.Errorf("busy: %s", got)
	}
}

// wholeChallenge is one challenge and nothing else, without a need for escapes.
var wholeChallenge = regexp.MustCompile(`^Bearer realm="gatehouse"(, (error|error_description|scope|acr_values|max_age|resource_metadata)="[ !#-\[\]-~]*")*$`)

func FuzzChallenge(f *testing.F) {
	f.Add("invalid_token", "It \"has\" expired.", "photos:read", "urn:acr", "https://rs.test/", int64(60))
	f.Add("", "\x00\\", "a\"b", "\r\n", "\xff", int64(-1))
	f.Fuzz(func(t *testing.T, code, description, scope, acr, metadata string, age int64) {
		e := oauth.Refuse("x", oauth.Code(code), description).WithStatus(401)
		if strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return // codes are ours
		}
		got := challengeOf(e, oauth.Challenge{
			Scope: oauth.Scope{scope}, ACRValues: []string{acr}, MaxAge: time.Duration(age), HasMaxAge: true, ResourceMetadata: metadata,
		})
		if !wholeChallenge.MatchString(got) {
			t.Errorf("%q", got)
		}
		if strings.Count(got, "error=") > 1 && !strings.Contains(description+scope+acr+metadata, "error=") {
			t.Errorf("two errors: %q", got)
		}
	})
}
