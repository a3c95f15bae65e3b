package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse/client"
)

// handles adds to an application what applications build from Session, SignOut and
// Forget.
func (a *application) handles() {
	answer := func(act func(http.ResponseWriter, *http.Request) (string, error)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, err := act(w, r)
			if err != nil {
				client.RefuseJSON(w, err)
				return
			}
			_, _ = io.WriteString(w, text)
		})
	}
	a.mux.Handle("/id", answer(func(_ http.ResponseWriter, r *http.Request) (string, error) {
		s, err := a.party.Session(r)
		if err != nil {
			return "", err
		}
		return s.ID(), s.Live(r.Context())
	}))
	a.mux.Handle("/signout", answer(a.party.SignOut))
	a.mux.Handle("/forget", answer(func(w http.ResponseWriter, r *http.Request) (string, error) { return "", a.party.Forget(w, r) }))
}

// A person may have so many sessions and no more: the oldest ends, its streams are
// told of, and its refresh token is revoked.
func TestSessionsOfAPersonAreLimited(t *testing.T) {
	p := newProvider(t)
	var ended []client.Ended
	a := p.application(t, client.Config{MaxSessions: 2, OnSessionEnd: func(e client.Ended) { ended = append(ended, e) }})
	a.handles()
	var browsers []*browser
	for range 3 {
		b := newBrowser(t)
		b.signIn(a)
		browsers = append(browsers, b)
	}
	for i, signedIn := range []bool{false, true, true} {
		if got := browsers[i].me(a) != ""; got != signedIn {
			t.Errorf("browser %d is signed in: %v, want %v", i, got, signedIn)
		}
	}
	if len(ended) != 1 || ended[0].Reason != client.EndedByLimit || p.seen("/revoke") != 1 {
		t.Errorf("ended %+v, %d revocations", ended, p.seen("/revoke"))
	}
	// A new login at a browser takes the place of that browser's session, and not of
	// another's.
	before := browsers[1].get(a.URL + "/id").text
	browsers[1].signIn(a)
	if browsers[1].me(a) == "" || browsers[2].me(a) == "" || browsers[1].get(a.URL+"/id").text == before {
		t.Error("a login at the same browser ended another's session, or kept its id")
	}
	if _, err := client.New(t.Context(), p.issuer, client.Config{ClientID: "web", MaxSessions: client.MaxGroup + 1}); err == nil {
		t.Error("more sessions than a group holds are accepted")
	}
}

// The session of before a login is over, and whoever keeps its streams hears of it.
func TestReplacedSessionIsTold(t *testing.T) {
	p := newProvider(t)
	var ended []client.Ended
	a := p.application(t, client.Config{OnSessionEnd: func(e client.Ended) { ended = append(ended, e) }})
	a.handles()
	b := newBrowser(t)
	b.signIn(a)
	before := b.get(a.URL + "/id").text
	b.signIn(a)
	if len(ended) != 1 || ended[0].Reason != client.EndedByLogin || ended[0].Session != before || before == "" {
		t.Errorf("ended %+v, the session was %q", ended, before)
	}
}

func TestSignOutAndForget(t *testing.T) {
	p := newProvider(t)
	var reasons []client.EndReason
	a := p.application(t, client.Config{OnSessionEnd: func(e client.Ended) { reasons = append(reasons, e.Reason) }})
	a.handles()
	b := newBrowser(t)
	for _, path := range []string{"/signout", "/forget"} {
		if answer := b.get(a.URL + path); answer.StatusCode != http.StatusOK || len(b.jar) != 0 {
			t.Errorf("%s without a session: %d, cookies %v", path, answer.StatusCode, b.names())
		}
		b.signIn(a)
		thief := newBrowser(t)
		thief.jar[b.names()[0]] = b.jar[b.names()[0]]
		answer := b.get(a.URL + path)
		if answer.StatusCode != http.StatusOK || len(b.jar) != 0 || thief.me(a) != "" {
			t.Errorf("%s: %d, cookies %v, the cookie is still good for %q", path, answer.StatusCode, b.names(), thief.me(a))
		}
		if away := answer.text != ""; away != (path == "/signout") {
			t.Errorf("%s sends the browser to %q", path, answer.text)
		}
	}
	if want := []client.EndReason{client.EndedByLogout, client.EndedByLogout}; !slices.Equal(reasons, want) || p.seen("/revoke") != 2 {
		t.Errorf("ended %v, %d revocations", reasons, p.seen("/revoke"))
	}
}

type fixedSource struct{}

func (fixedSource) Token(context.Context) (client.Tokens, error) {
	return client.Tokens{AccessToken: client.NewSecret("a token")}, nil
}

func TestTransportOverPlainHTTPSaysSo(t *testing.T) {
	send := func(insecure bool) error {
		transport := &client.Transport{
			Source: fixedSource{}, Resources: []string{"http://api.internal"}, InsecureAllowHTTP: insecure,
			Base: direct{"api.internal": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})},
		}
		request, err := http.NewRequest("GET", "http://api.internal/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = transport.RoundTrip(request)
		return err
	}
	if err := send(false); !errors.Is(err, client.ErrForeignResource) || !strings.Contains(err.Error(), "InsecureAllowHTTP") {
		t.Errorf("a token went over plain http: %v", err)
	}
	if err := send(true); err != nil {
		t.Error(err)
	}
}
