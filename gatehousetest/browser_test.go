package gatehousetest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/gatehousetest"
)

func TestBrowserFollowsTheServerAndStopsAtTheDoor(t *testing.T) {
	issuer := gatehousetest.Start(t, gatehousetest.Options{Tenant: tenant})
	b := issuer.NewBrowser(t)
	login := b.Get(authorization)
	if login.Path != "/login" || login.Location != nil || login.StatusCode != http.StatusOK {
		t.Fatalf("%d at %s, sent to %v", login.StatusCode, login.Path, login.Location)
	}
	hidden := login.Hidden()
	if hidden.Get("i") == "" || hidden.Get("csrf") == "" {
		t.Errorf("hidden fields %v", hidden)
	}
	if form := login.With("username", "alice"); form.Get("i") != hidden.Get("i") || form.Get("username") != "alice" {
		t.Errorf("form %v", form)
	}
	if len(b.Cookies()) == 0 {
		t.Error("the browser keeps no cookie")
	}
	once := b.Once(http.MethodGet, authorization, nil)
	if once.StatusCode != http.StatusSeeOther {
		t.Errorf("one request was followed: %d", once.StatusCode)
	}
	page := b.SignIn(authorization, "alice", "wonderland-alice")
	if page.Location == nil || page.Location.Host != "app.example" || page.Location.Query().Get("state") != "the state" {
		t.Fatalf("%d at %s, sent to %v", page.StatusCode, page.Path, page.Location)
	}
	again := b.Get(authorization)
	if again.Location == nil || again.Location.Query().Get("code") == "" {
		t.Errorf("the session is forgotten: %d at %s", again.StatusCode, again.Path)
	}
	if stranger := issuer.NewBrowser(t).Get(authorization); stranger.Path != "/login" {
		t.Errorf("another browser has the session, too: %s", stranger.Path)
	}
	if wrong := issuer.NewBrowser(t).SignIn(authorization, "alice", "wrong"); wrong.Location != nil || wrong.Path != "/login" {
		t.Errorf("signed in with a wrong password: %s %v", wrong.Path, wrong.Location)
	}
}

func TestOriginIsSentWithForms(t *testing.T) {
	issuer := gatehousetest.Start(t, gatehousetest.Options{Tenant: tenant})
	b := issuer.NewBrowser(t)
	login := b.Get(authorization)
	form := login.With("username", "alice", "password", "wonderland-alice")
	b.Origin = "https://evil.example"
	if answer := b.Once(http.MethodPost, "/login", form); answer.StatusCode == http.StatusSeeOther {
		t.Errorf("a form of another site is taken: %d", answer.StatusCode)
	}
	b.Origin = issuer.URL
	if answer := b.Once(http.MethodPost, "/login", form); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("%d %s", answer.StatusCode, answer.Text)
	}
}

func TestAnswerMembers(t *testing.T) {
	issuer := gatehousetest.Start(t, gatehousetest.Options{Tenant: tenant})
	form := url.Values{"grant_type": {"client_credentials"}}
	answer := issuer.Post(t, "/token", "web", webSecret, form)
	if answer.StatusCode != http.StatusOK || answer.Member("expires_in") != "600" || answer.Member("token_type") != "Bearer" || answer.Member("absent") != "" {
		t.Errorf("%d %s", answer.StatusCode, answer.Text)
	}
	if form.Has("client_id") {
		t.Error("the caller's form was changed")
	}
	if refused := issuer.Post(t, "/token", "web", "", form); refused.Member("error") != "invalid_client" {
		t.Errorf("%s", refused.Text)
	}
	if page := issuer.NewBrowser(t).Get("/login"); page.Member("error") != "" {
		t.Errorf("a page has the member %s", page.Member("error"))
	}
	if log := issuer.Log(); !strings.Contains(log, "client-authentication-failed") || strings.Contains(log, webSecret) {
		t.Error("the log lacks the refusal, or has the secret")
	}
}

func TestDataIsKeptOverARestart(t *testing.T) {
	first, stop := gatehousetest.Run(t, gatehousetest.Options{Tenant: tenant})
	b := first.NewBrowser(t)
	b.SignIn(authorization, "alice", "wonderland-alice")
	cookies := b.Cookies()
	stop()
	second := gatehousetest.Start(t, gatehousetest.Options{Data: first.Data})
	r, err := http.NewRequest(http.MethodGet, second.URL+authorization, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	if answer := second.Do(t, r); !strings.HasPrefix(answer.Header.Get("Location"), "https://app.example/cb?") {
		t.Errorf("%d, sent to %s", answer.StatusCode, answer.Header.Get("Location"))
	}
}

func TestTimePassesInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Tenant: tenant})
		defer stop()
		b := issuer.NewBrowser(t)
		b.SignIn(authorization, "alice", "wonderland-alice")
		time.Sleep(8 * 24 * time.Hour)
		if page := b.Get(authorization); page.Path != "/login" {
			t.Errorf("after eight days the session lives: %s %v", page.Path, page.Location)
		}
	})
}

func TestOptionsChooseTheIssuer(t *testing.T) {
	issuer := gatehousetest.Start(t, gatehousetest.Options{Tenant: tenant, PublicURL: "https://id.example"})
	page := issuer.NewBrowser(t).SignIn(authorization, "alice", "wonderland-alice")
	if page.Location == nil || page.Location.Query().Get("iss") != "https://id.example" {
		t.Fatalf("%d at %s, sent to %v", page.StatusCode, page.Path, page.Location)
	}
	r, err := http.NewRequest(http.MethodGet, issuer.URL+"/livez", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "198.51.100.1:1"
	issuer.Do(t, r)
	lines := strings.Split(issuer.Log(), "\n")
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "198.51.100.1") }) {
		t.Error("the request did not come from the address that the test chose")
	}
}
