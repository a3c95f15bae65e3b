package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/internal/spec"
)

// resource is an API that remembers what it was asked.
type resource struct {
	asked  []string // METHOD path token body
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func (a *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.asked = append(a.asked, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), body))
	if a.answer == nil || !a.answer(w, r) {
		_, _ = io.WriteString(w, "done")
	}
}

func TestTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		_, credentials := service(t, p, network, client.Config{})
		there := &resource{}
		network.host("api.example", there)
		http := &http.Client{Transport: credentials.Transport(network)}
		response, err := http.Get(api + "/things")
		if err != nil || response.StatusCode != 200 {
			t.Fatal(response, err)
		}
		if want := "GET /v1/things " + access(t, credentials) + " "; there.asked[0] != want {
			t.Errorf("asked %q, want %q", there.asked[0], want)
		}
	})
}

func TestRefusedTokensAreRenewedOnce(t *testing.T) {
	for name, test := range map[string]struct {
		challenge string
		body      func() io.Reader
		again     bool
	}{
		"nothing said":        {"", nil, true},
		"invalid_token":       {`Bearer realm="x", error="invalid_token"`, nil, true},
		"a body":              {"Bearer", func() io.Reader { return strings.NewReader("a body") }, true},
		"a body read once":    {"Bearer", func() io.Reader { return io.MultiReader(strings.NewReader("a body")) }, false},
		"another reason":      {`Bearer error="insufficient_user_authentication", max_age="0"`, nil, false},
		"insufficient_scope":  {`Bearer error="insufficient_scope"`, nil, false},
		"Basic before Bearer": {`Basic realm="a", Bearer error="invalid_request"`, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, network := newDirectProvider(t)
				_, credentials := service(t, p, network, client.Config{})
				there := &resource{}
				network.host("api.example", there)
				first := access(t, credentials)
				there.answer = func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.HasSuffix(r.Header.Get("Authorization"), first) {
						return false
					}
					if test.challenge != "" {
						w.Header().Set("WWW-Authenticate", test.challenge)
					}
					w.WriteHeader(http.StatusUnauthorized)
					return true
				}
				ask := func() int {
					t.Helper()
					var body io.Reader
					if test.body != nil {
						body = test.body()
					}
					request, err := http.NewRequest("POST", api, body)
					if err != nil {
						t.Fatal(err)
					}
					response, err := (&http.Client{Transport: credentials.Transport(network)}).Do(request)
					if err != nil {
						t.Fatal(err)
					}
					if request.Header.Get("Authorization") != "" {
						t.Error("the caller's request was changed")
					}
					return response.StatusCode
				}
				if got := ask(); got != http.StatusUnauthorized || len(there.asked) != 1 {
					t.Errorf("a token of this second: %d after %d requests", got, len(there.asked))
				}
				time.Sleep(10 * time.Second)
				got := ask()
				if want := map[bool]int{true: 200, false: 401}[test.again]; got != want {
					t.Errorf("%d, want %d", got, want)
				}
				if last := there.asked[len(there.asked)-1]; test.again && test.body != nil && !strings.HasSuffix(last, " a body") {
					t.Errorf("asked again by %q", last)
				}
				// A resource that refuses everything does not have us ask for ever.
				there.answer = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(401); return true }
				before := p.seen("/token")
				for range 100 {
					ask()
					time.Sleep(100 * time.Millisecond)
				}
				if n := p.seen("/token") - before; n > 3 {
					t.Errorf("%d tokens in ten seconds", n)
				}
			})
		})
	}
}

func TestTokensGoToTheirResourceOnly(t *testing.T) {
	spec.Covers(t, "BC-18")
	canary := &resource{}
	base := everywhere{canary}
	transport := &client.Transport{Source: fixed("token"), Resources: []string{"https://api.example/v1", "https://[2001:db8::1]:8443", "http://127.0.0.1:8080/", "http://plain.example"}, Base: base}
	for _, address := range []string{
		"https://evil.example/v1", "https://api.example.evil.example/v1", "https://api.example@evil.example/v1", "https://user@api.example/v1", "http://api.example/v1", "https://api.example:8443/v1",
		"https://api.example/", "https://api.example/v2", "https://api.example/v10", "https://api.example/v1/../admin", "https://api.example/v1/%2e%2e/admin", "https://api.example/v1%2f..%2fadmin", "https://api.example/V1",
		"https://api.example/v1/..;/admin", "https://api.example/v1/.;x=1/..;y=2/admin",
		"https://[2001:db8::1]/", "http://127.0.0.1:8081/", "http://127.0.0.1/", "http://plain.example/x",
	} {
		response, err := (&http.Client{Transport: transport}).Get(address)
		if !errors.Is(err, client.ErrForeignResource) {
			t.Errorf("%s: %v, %v", address, response, err)
		}
	}
	if len(canary.asked) != 0 {
		t.Errorf("asked: %v", canary.asked)
	}
	for _, address := range []string{"https://api.example/v1", "https://API.example:443/v1/", "https://api.example/v1/a;b=1?b=..", "https://[2001:db8::1]:8443/x", "http://127.0.0.1:8080/x"} {
		if _, err := (&http.Client{Transport: transport}).Get(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if i := slices.IndexFunc(canary.asked, func(s string) bool { return !strings.Contains(s, " token ") }); len(canary.asked) != 5 || i >= 0 {
		t.Errorf("asked: %v", canary.asked)
	}
	// A redirect elsewhere goes without it.
	canary.asked = nil
	canary.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Host == "api.example" {
			http.Redirect(w, r, "https://elsewhere.example/file", http.StatusTemporaryRedirect)
		}
		return r.URL.Host == "api.example"
	}
	if _, err := (&http.Client{Transport: transport}).Get("https://api.example/v1/file"); err != nil {
		t.Error(err)
	}
	if want := []string{"GET /v1/file token ", "GET /file  "}; !slices.Equal(canary.asked, want) {
		t.Errorf("asked: %q", canary.asked)
	}
	// Two tokens in one request are a mistake.
	request := httptest.NewRequest("GET", "https://api.example/v1", nil)
	request.Header.Set("Authorization", "Bearer other")
	if _, err := transport.RoundTrip(request); err == nil || strings.Contains(err.Error(), "other") {
		t.Errorf("%v", err)
	}
	// Without a token nothing is sent.
	canary.asked = nil
	none := &client.Transport{Source: failing{}, Resources: transport.Resources, Base: base}
	if _, err := none.RoundTrip(httptest.NewRequest("GET", "https://api.example/v1", nil)); !errors.Is(err, client.ErrSessionEnded) || len(canary.asked) != 0 {
		t.Errorf("%v, asked %v", err, canary.asked)
	}
}

// everywhere is a network that leads to one handler.
type everywhere struct{ http.Handler }

func (e everywhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return direct{r.URL.Host: e.Handler}.RoundTrip(r)
}

type fixed string

func (f fixed) Token(context.Context) (client.Tokens, error) {
	return client.Tokens{AccessToken: client.NewSecret(string(f))}, nil
}

type failing struct{}

func (failing) Token(context.Context) (client.Tokens, error) {
	return client.Tokens{}, client.ErrSessionEnded
}

func TestChallenges(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"Bearer":                       "Bearer[] map[]",
		"Basic, Bearer":                "Basic[] map[] Bearer[] map[]",
		`Bearer realm="a, b", error=x`: "Bearer[] map[error:x realm:a, b]",
		`Basic realm="a", Bearer error="invalid_token", error_description="it \"ended\""`: `Basic[] map[realm:a] Bearer[] map[error:invalid_token error_description:it "ended"]`,
		"Negotiate YWJj==, Bearer":                     "Negotiate[YWJj==] map[] Bearer[] map[]",
		`Bearer Error = x , SCOPE="a b"`:               "Bearer[] map[error:x scope:a b]",
		`,, ,Bearer ,error=x,,`:                        "Bearer[] map[error:x]",
		`Bearer error="x`:                              "Bearer[] map[]",
		`Bearer error=x error=y`:                       "Bearer[] map[error:x]",
		`Bearer a=1, a=2`:                              "Bearer[] map[a:1]",
		"Bearer error=\"a\r\nb\"":                      "Bearer[] map[]",
		`"Bearer"`:                                     "",
		"DPoP algs=\"ES256 PS256\"":                    "DPoP[] map[algs:ES256 PS256]",
		`Bearer resource_metadata="https://x/y?a=b,c"`: "Bearer[] map[resource_metadata:https://x/y?a=b,c]",
	} {
		var got []string
		for _, c := range client.ParseChallenges(http.Header{"Www-Authenticate": {text}}) {
			got = append(got, fmt.Sprintf("%s[%s] %v", c.Scheme, c.Token68, c.Parameters))
		}
		if joined := strings.Join(got, " "); joined != want {
			t.Errorf("%s\n is %s\nnot %s", text, joined, want)
		}
	}
	many := client.ParseChallenges(http.Header{"Www-Authenticate": {strings.Repeat("A, ", 1000), strings.Repeat("x", 1<<20)}})
	if len(many) > client.MaxChallenges {
		t.Errorf("%d challenges", len(many))
	}
}

func TestStepUp(t *testing.T) {
	for text, want := range map[string]string{
		`Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age="60"`: "[gold silver] true 1m0s  true",
		`Bearer error="insufficient_user_authentication", max_age=0`:                              "[] false 1s login true",
		`Bearer error="invalid_token"`:                                                            "[] false 0s  false", `DPoP error="insufficient_user_authentication"`: "[] false 0s  false",
	} {
		asked, is := client.ParseChallenges(http.Header{"Www-Authenticate": {text}})[0].StepUp()
		if got := fmt.Sprintf("%v %v %v %s %v", asked.ACRValues, asked.RequireACR, asked.MaxAge, asked.Prompt, is); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	for _, seed := range []string{`Basic realm="a", Bearer error="invalid_token"`, "Negotiate YWJj==", `Bearer a = "\"", b=c`, ",,,=\"", "A B C=", "Bearer \x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		challenges := client.ParseChallenges(http.Header{"Www-Authenticate": {text}})
		if len(challenges) > client.MaxChallenges {
			t.Fatalf("%d challenges", len(challenges))
		}
		for _, c := range challenges {
			if c.Scheme == "" || !strings.Contains(text, c.Scheme) || len(c.Parameters) > 32 || c.Token68 != "" && len(c.Parameters) > 0 {
				t.Fatalf("%+v", c)
			}
			for name := range maps.Keys(c.Parameters) {
				if name == "" || name != strings.ToLower(name) {
					t.Fatalf("the name %q", name)
				}
			}
		}
	})
}
