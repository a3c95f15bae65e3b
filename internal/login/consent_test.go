package login

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/interaction"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

// consent opens the consent page in a browser in which alice is signed in.
func (h *house) consent(in interaction.Interaction) (b *browser, i string) {
	h.t.Helper()
	b = h.browser()
	if response := b.signIn("alice", "correct horse"); response.StatusCode != http.StatusSeeOther {
		h.t.Fatalf("sign-in: %d", response.StatusCode)
	}
	session, _, _ := h.Session(h.t.Context(), h.tenant.ID, sessionHash(b.cookies[sessionName]), 0)
	in.Session, in.Subject = session.ID, session.Subject
	return b, b.begin(in, interaction.StageConsent)
}

var photoScope = oauth.Scope{"openid", "email", "photos:read", "offline_access"}

func TestConsentPageTellsWhoWhatWhereAndHowLong(t *testing.T) {
	spec.Covers(t, "CF-08", "RFC6819-5.2.4.2-1", "OIDCC-3.1.2.4-1")
	h := newHouse(t)
	b, i := h.consent(interaction.Interaction{Scope: photoScope, Resources: []string{"https://api.photos.example"}})
	response := b.get("/consent?i=" + i)
	wantStatus(t, response, http.StatusOK)
	page := bodyOf(response)
	for _, want := range []string{
		"Photo Print", "Alice Example (alice)", "Not you?", "photos.example",
		english().Scopes["openid"], english().Scopes["email"], "PhotoAPI", "see your photos and albums", "90\u00a0days", "30\u00a0days",
		`href="https://photos.example/privacy"`, `href="https://photos.example/terms"`, `src="https://cdn.photos.example/logo.png"`,
		`id="consent-allow"`, `id="consent-deny"`, `id="consent-host"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	for _, other := range []string{"change them", english().Scopes["phone"], `id="consent-device"`} {
		if strings.Contains(page, other) {
			t.Errorf("%q is on the page", other)
		}
	}
}

func TestConsentPageSaysWhatCannotBeVerified(t *testing.T) {
	h := newHouse(t)
	for redirectURI, address := range map[string]string{
		"com.example.app:/cb": "com.example.app:", "http://127.0.0.1:5000/cb": "127.0.0.1:5000", "http://[::1]/cb": "[::1]",
	} {
		b, i := h.consent(interaction.Interaction{ClientID: "native", RedirectURI: redirectURI, Scope: oauth.Scope{"odd:scope"}})
		page := bodyOf(b.get("/consent?i=" + i))
		for _, want := range []string{`id="consent-device"`, "<bdi>" + address + "</bdi>", "cannot be verified", "odd:scope", "10\u00a0minutes", "<bdi>native</bdi>"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: %q is not on the page", redirectURI, want)
			}
		}
		if strings.Contains(page, `id="consent-host"`) {
			t.Errorf("%s: a host is said to be verified", redirectURI)
		}
	}
}

func TestScopeGroups(t *testing.T) {
	resources := []gatehouse.Resource{
		{Identifier: "https://a.example", Scopes: []gatehouse.ResourceScope{{Name: "x:read", Description: "read at A"}, {Name: "only:a"}}},
		{Identifier: "https://b.example", Name: "B", Scopes: []gatehouse.ResourceScope{{Name: "x:read", Description: "read <at> B"}}, TokenLifetime: 0},
	}
	said := func(in interaction.Interaction) string {
		var b strings.Builder
		for _, group := range scopeGroups(english(), in, resources) {
			b.WriteString("[" + group.Resource + "]")
			for _, sentence := range group.Sentences {
				b.WriteString(" " + string(sentence) + ".")
			}
		}
		return b.String()
	}
	for _, test := range []struct {
		scope     oauth.Scope
		resources []string
		want      string
	}{
		{nil, nil, "[] " + english().NothingElse + "."},
		{oauth.Scope{"offline_access"}, nil, "[] " + english().NothingElse + "."},
		{oauth.Scope{"x:read"}, []string{"https://b.example/"}, "[B] read &lt;at&gt; B."},
		{oauth.Scope{"x:read", "phone"}, nil, "[] see your phone number.[https://a.example] read at A."},
		{oauth.Scope{"only:a"}, nil, "[https://a.example] use the permission <strong><bdi>only:a</bdi></strong>."},
		{oauth.Scope{"no:one"}, nil, "[] use the permission <strong><bdi>no:one</bdi></strong>."},
	} {
		if got := said(interaction.Interaction{Scope: test.scope, Resources: test.resources}); got != test.want {
			t.Errorf("%v at %v: %s, want %s", test.scope, test.resources, got, test.want)
		}
	}
	for _, scope := range gatehouse.IdentityScopes {
		if english().Scopes[scope] == "" {
			t.Errorf("%s has no sentence", scope)
		}
	}
}

func TestStayingConnected(t *testing.T) {
	settings := gatehouse.Settings{}.WithDefaults()
	refreshing := gatehouse.Client{ClientMetadata: gatehouse.ClientMetadata{GrantTypes: []string{gatehouse.GrantRefreshToken}}}
	resources := []gatehouse.Resource{{Identifier: "https://a.example", TokenLifetime: 2 * settings.AccessTokenLifetime}}
	for _, test := range []struct {
		client    gatehouse.Client
		scope     oauth.Scope
		resources []string
		want      string
	}{
		{refreshing, oauth.Scope{"offline_access"}, nil, "even after you sign out"},
		{refreshing, nil, nil, "until you sign out"},
		{gatehouse.Client{}, oauth.Scope{"offline_access"}, nil, "10\u00a0minutes"},
		{gatehouse.Client{}, nil, []string{"https://a.example"}, "20\u00a0minutes"},
	} {
		said := staying(english(), settings, test.client, interaction.Interaction{Scope: test.scope, Resources: test.resources}, resources)
		if !strings.Contains(string(said[0]), test.want) {
			t.Errorf("%v: %v, want %s", test.scope, said, test.want)
		}
	}
}

func TestAllowAndDeny(t *testing.T) {
	h := newHouse(t)
	b, i := h.consent(interaction.Interaction{Scope: photoScope, State: "s"})
	form := hidden(bodyOf(b.get("/consent?i="+i)), "consent-form")
	form.Set("decision", "deny")
	wantStatus(t, b.post("/consent", form), http.StatusSeeOther)
	if len(h.denied) != 1 || len(h.allowed) != 0 || h.denied[0].State != "s" {
		t.Fatalf("denied %v, allowed %v", h.denied, h.allowed)
	}
	form.Set("decision", "allow")
	response := b.post("/consent", form)
	wantStatus(t, response, http.StatusSeeOther)
	if len(h.allowed) != 1 || h.allowed[0].Subject != "u-alice" || response.Header.Get("Location") != "https://photos.example/cb?code=c" {
		t.Fatalf("allowed %v, to %s", h.allowed, response.Header.Get("Location"))
	}
	for _, decision := range []string{"", "yes", "ALLOW"} {
		form.Set("decision", decision)
		wantRefused(t, b.post("/consent", form), 400, "consent-no-decision")
	}
	form.Del("decision")
	wantRefused(t, b.post("/consent", form), 400, "consent-no-decision")
	wantRefused(t, b.post("/consent?x=y", form), 400, "form-query-not-allowed")
	wantRefused(t, b.get("/consent?i="+i+"&i="+i), 400, "form-repeated-parameter")
	wantRefused(t, b.get("/consent"), 400, "interaction-invalid")
	wantRefused(t, b.post("/consent", url.Values{"decision": {"allow"}}), 400, "interaction-invalid")
	if len(h.allowed) != 1 || len(h.denied) != 1 {
		t.Error("a refused form decided something")
	}
}

func TestForgedConsentIsRefused(t *testing.T) {
	spec.Covers(t, "CF-03", "CF-11")
	h := newHouse(t)
	b, i := h.consent(interaction.Interaction{Scope: photoScope})
	form := hidden(bodyOf(b.get("/consent?i="+i)), "consent-form")
	form.Set("decision", "allow")
	for name, forged := range forgeries(form) {
		t.Log(name)
		b.header = forged.header
		wantRefused(t, b.post("/consent", forged.form), 403, forged.rule)
	}
	b.header = nil
	login := hidden(bodyOf(b.get("/login?i="+b.begin(interaction.Interaction{}, interaction.StageLogin))), "login-form")
	form.Set("csrf", login.Get("csrf"))
	wantRefused(t, b.post("/consent", form), 403, "login-form-token")
	if len(h.allowed) != 0 {
		t.Fatal("a forged form allowed something")
	}
	form.Set("csrf", hidden(bodyOf(b.get("/consent?i="+i)), "consent-form").Get("csrf"))
	wantStatus(t, b.post("/consent", form), http.StatusSeeOther)
}

func TestConsentCountsOnlyForTheUserWhoWasShown(t *testing.T) {
	h := newHouse(t)
	b, i := h.consent(interaction.Interaction{Scope: photoScope})
	form := hidden(bodyOf(b.get("/consent?i="+i)), "consent-form")
	form.Set("decision", "allow")
	alice := b.cookies[sessionName]
	for name, change := range map[string]func(){
		"signed out":            func() { delete(b.cookies, sessionName) },
		"another user":          func() { wantSignedIn(t, b.signIn("bob", "battery staple")) },
		"a session of no user":  func() { delete(h.users, "u-alice") },
		"a cookie of no length": func() { b.cookies[sessionName] = "x" },
	} {
		user := h.users["u-alice"]
		session, _, _ := h.Session(t.Context(), h.tenant.ID, sessionHash(alice), 0)
		b.cookies[sessionName] = alice
		change()
		response := b.get("/consent?i=" + i)
		t.Log(name)
		wantSignedIn(t, response) // decides again, for whoever is there now
		if in := b.opened(response.Header.Get("Location"), interaction.StageResume); in.Session != "" || in.Subject != "" {
			t.Errorf("%s: resumed with a session", name)
		}
		wantRefused(t, b.post("/consent", form), 403, "consent-other-user")
		h.users["u-alice"] = user
		h.sessions[sessionHash(alice)] = session
	}
	if len(h.allowed) != 0 {
		t.Fatal("somebody else's session allowed something")
	}
	b.cookies[sessionName] = alice
	wantSignedIn(t, b.signIn("alice", "correct horse")) // in another tab: a newer session of the same user will do
	wantStatus(t, b.get("/consent?i="+i), http.StatusOK)
	wantStatus(t, b.post("/consent", form), http.StatusSeeOther)
}

func TestNotYouLeadsToSignIn(t *testing.T) {
	h := newHouse(t)
	b, i := h.consent(interaction.Interaction{Scope: photoScope, State: "s"})
	page := bodyOf(b.get("/consent?i=" + i))
	_, rest, _ := strings.Cut(page, `id="consent-not-you" href="`)
	link, _, _ := strings.Cut(rest, `"`)
	response := b.get(link)
	wantStatus(t, response, http.StatusOK)
	form := hidden(bodyOf(response), "login-form")
	form.Set("username", "bob")
	form.Set("password", "battery staple")
	response = b.post("/login", form)
	wantSignedIn(t, response)
	if in := b.opened(response.Header.Get("Location"), interaction.StageResume); in.State != "s" || in.Subject != "" {
		t.Errorf("resumed with %+v", in)
	}
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1 second", time.Second: "1 second", 1500 * time.Millisecond: "2 seconds", 59 * time.Second: "59 seconds",
		time.Minute: "1 minute", 61 * time.Second: "61 seconds", 91 * time.Second: "2 minutes", 10 * time.Minute: "10 minutes",
		time.Hour: "1 hour", 90 * time.Minute: "90 minutes", 24 * time.Hour: "1 day", 36 * time.Hour: "36 hours", 90 * 24 * time.Hour: "90 days",
	} {
		if got := strings.ReplaceAll(englishSpan(d), "\u00a0", " "); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
