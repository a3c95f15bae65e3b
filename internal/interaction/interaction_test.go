package interaction

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/seal"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

// fixedRings derive from one root, as a keyring does.
type fixedRings struct{ root *seal.Ring }

func (r fixedRings) SealRing(tenant gatehouse.TenantID, purpose string) *seal.Ring {
	return r.root.Derive("seal "+purpose, string(tenant))
}

func (r fixedRings) MACRing(tenant gatehouse.TenantID, purpose string) *seal.Ring {
	return r.root.Derive("mac "+purpose, string(tenant))
}

// desk is a Box with a clock that the test sets.
type desk struct {
	Box
	now time.Time
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	root, err := seal.NewKey(7, bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{now: time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)}
	d.Box = Box{Keys: fixedRings{seal.NewRing(root)}, Now: func() time.Time { return d.now }}
	return d
}

// asked is a request of a tenant with cookies.
func (d *desk) asked(tenant gatehouse.TenantID, cookies ...*http.Cookie) *endpoint.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	settings := gatehouse.Settings{InteractionLifetime: config.Duration(time.Hour)}
	return &endpoint.Request{Request: r, Tenant: gatehouse.Tenant{ID: tenant, Issuer: "https://id.example", Settings: settings}}
}

// bound returns an interaction that belongs to the browser of the cookie.
func (d *desk) bound() (Interaction, *http.Cookie) {
	age := 60
	w := httptest.NewRecorder()
	in := New(d.now)
	d.Bind(w, d.asked("default"), &in)
	in.Stage, in.ClientID, in.RedirectURI, in.RedirectURISent, in.ResponseMode = StageLogin, "web", "https://app.example/cb", true, "form_post"
	in.State, in.Nonce, in.CodeChallenge, in.Scope, in.Resources = "ü\r\n", "n", "c", oauth.Scope{"openid", "photos:read"}, []string{"https://photos.example"}
	in.Prompt, in.MaxAge, in.LoginHint, in.HintSubject, in.Session, in.Subject = []string{"login"}, &age, "alice", "sub", "sid", "sub-of-alice"
	in.ACRValues, in.ACREssential, in.Claims = []string{gatehouse.ACRPassword}, true, gatehouse.ClaimsRequest{UserInfo: []string{"name"}, IDToken: []string{"email"}}
	return in, w.Result().Cookies()[0]
}

func ruleOf(err error) string {
	if refusal, ok := errors.AsType[*oauth.Error](err); ok {
		return refusal.Rule
	}
	return ""
}

func TestSealAndOpen(t *testing.T) {
	d := newDesk(t)
	in, cookie := d.bound()
	sealed, err := d.Seal(d.asked("default"), in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Open(d.asked("default", cookie), sealed, StageLogin)
	if err != nil || !got.Start.Equal(in.Start) {
		t.Fatalf("%+v, %v", got, err)
	}
	got.Start = in.Start
	if !reflect.DeepEqual(got, in) {
		t.Errorf("opened as\n%+v, sealed as\n%+v", got, in)
	}
	if again, _ := d.Seal(d.asked("default"), in); again == sealed {
		t.Error("sealed twice alike")
	}
	if in.GrantID() != got.GrantID() || in.GrantID() == New(d.now).GrantID() {
		t.Error("the grant's id is not that of the interaction")
	}
	if id := in.GrantID(); !id.BornAt().Equal(in.Start.Truncate(time.Millisecond)) || bytes.Contains(id[:], in.ID[:10]) {
		t.Errorf("the grant's id is %v, of the interaction %x that began at %v", id, in.ID, in.Start)
	}
}

func TestLongStateFits(t *testing.T) {
	d := newDesk(t)
	for _, letter := range []string{"a", "&", "<", ">", "é"} {
		state := strings.Repeat(letter, 2000/len(letter))
		if _, err := d.Seal(d.asked("default"), Interaction{Stage: StageLogin, ClientID: "web", RedirectURI: "https://app.example/cb", State: state}); err != nil {
			t.Errorf("2,000 bytes of %q: %v", letter, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	spec.Covers(t, "OR-04", "CF-04")
	d := newDesk(t)
	in, cookie := d.bound()
	seal := func(change func(*Interaction)) string {
		changed := in
		change(&changed)
		sealed, err := d.Seal(d.asked("default"), changed)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	good := seal(func(*Interaction) {})
	other := &http.Cookie{Name: cookie.Name, Value: NewCookieValue()}
	for name, test := range map[string]struct {
		tenant gatehouse.TenantID
		cookie *http.Cookie
		sealed string
		stage  Stage
		rule   string
	}{
		"nothing":              {"default", cookie, "", StageLogin, "interaction-invalid"},
		"no base64url":         {"default", cookie, "+" + good, StageLogin, "interaction-invalid"},
		"padded":               {"default", cookie, good + "=", StageLogin, "interaction-invalid"},
		"a line break":         {"default", cookie, good[:9] + "\n" + good[9:], StageLogin, "interaction-invalid"},
		"another stage":        {"default", cookie, good, StageConsent, "interaction-invalid"},
		"the resumed stage":    {"default", cookie, good, StageResume, "interaction-invalid"},
		"the posted stage":     {"default", cookie, good, StagePosted, "interaction-invalid"},
		"another tenant":       {"other", cookie, good, StageLogin, "interaction-invalid"},
		"cut":                  {"default", cookie, good[:len(good)-4], StageLogin, "interaction-invalid"},
		"changed":              {"default", cookie, good[:20] + "AAAA" + good[24:], StageLogin, "interaction-invalid"},
		"too long":             {"default", cookie, strings.Repeat("A", MaxSealedLength+1), StageLogin, "interaction-invalid"},
		"no cookie":            {"default", nil, good, StageLogin, "interaction-other-browser"},
		"another cookie":       {"default", other, good, StageLogin, "interaction-other-browser"},
		"a short cookie":       {"default", &http.Cookie{Name: cookie.Name, Value: "x"}, good, StageLogin, "interaction-other-browser"},
		"too old":              {"default", cookie, seal(func(in *Interaction) { in.Start = d.now.Add(-time.Hour - time.Millisecond) }), StageLogin, "interaction-expired"},
		"no JSON":              {"default", cookie, d.sealText("x"), StageLogin, "interaction-invalid"},
		"no id":                {"default", cookie, d.sealText(`{"b":"` + strings.Repeat("A", 43) + `="}`), StageLogin, "interaction-invalid"},
		"a scope of no scopes": {"default", cookie, d.sealText(d.wireWith(t, in, `a"b`)), StageLogin, "interaction-invalid"},
	} {
		r := d.asked(test.tenant)
		if test.cookie != nil {
			r = d.asked(test.tenant, test.cookie)
		}
		if _, err := d.Open(r, test.sealed, test.stage); ruleOf(err) != test.rule {
			t.Errorf("%s: %v, want %s", name, err, test.rule)
		}
	}
	if _, err := d.Open(d.asked("default", cookie), good, StageLogin); err != nil {
		t.Errorf("the untouched one: %v", err)
	}
	d.now = d.now.Add(time.Hour)
	if _, err := d.Open(d.asked("default", cookie), good, StageLogin); err != nil {
		t.Errorf("at the end of its life: %v", err)
	}
	// A posted request is bound to no browser yet.
	posted := seal(func(in *Interaction) { in.Stage = StagePosted })
	if _, err := d.Open(d.asked("default"), posted, StagePosted); err != nil {
		t.Errorf("posted: %v", err)
	}
	long := in
	long.State = strings.Repeat("s", MaxSealedLength)
	if _, err := d.Seal(d.asked("default"), long); ruleOf(err) != "interaction-too-long" {
		t.Errorf("too long to seal: %v", err)
	}
	long.State = strings.Repeat("s", 2000)
	if _, err := d.Seal(d.asked("default"), long); err != nil {
		t.Errorf("a state of 2,000 characters: %v", err)
	}
}

// sealText seals a text of ours that is no interaction.
func (d *desk) sealText(text string) string {
	return base64.RawURLEncoding.EncodeToString(d.ring("default").Seal([]byte(text), additionalData("default", StageLogin)))
}

func (d *desk) wireWith(t *testing.T, in Interaction, scope string) string {
	t.Helper()
	text, err := json.Marshal(wire{ID: in.ID[:], Binding: in.Binding[:], Start: in.Start.UnixMilli(), Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAccepts(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	age := func(seconds int) *int { return &seconds }
	for name, test := range map[string]struct {
		in      Interaction
		signed  time.Duration // before the start
		accepts bool
	}{
		"any session":                       {Interaction{}, 100 * time.Hour, true},
		"prompt=login, an old session":      {Interaction{Prompt: []string{"login"}}, time.Millisecond, false},
		"prompt=login, a new session":       {Interaction{Prompt: []string{"login"}}, 0, true},
		"prompt=login, signed in later":     {Interaction{Prompt: []string{"consent", "login"}}, -time.Minute, true},
		"max_age, just young enough":        {Interaction{MaxAge: age(60)}, 60 * time.Second, true},
		"max_age, too old":                  {Interaction{MaxAge: age(60)}, 60*time.Second + time.Millisecond, false},
		"max_age=0":                         {Interaction{MaxAge: age(0)}, time.Millisecond, false},
		"max_age=0, signed in later":        {Interaction{MaxAge: age(0)}, -time.Millisecond, true},
		"prompt=login with a young max_age": {Interaction{Prompt: []string{"login"}, MaxAge: age(60)}, time.Second, false},
		"a max_age of 68 years":             {Interaction{MaxAge: age(1<<31 - 1)}, 1000 * time.Hour, true},
	} {
		test.in.Start = start
		if got := test.in.Accepts(gatehouse.Session{AuthTime: start.Add(-test.signed)}); got != test.accepts {
			t.Errorf("%s: accepts is %v", name, got)
		}
	}
}

func TestFormTokens(t *testing.T) {
	spec.Covers(t, "CF-03")
	d := newDesk(t)
	in, cookie := d.bound()
	r := d.asked("default", cookie)
	token := d.FormToken(r, d.Binding(r), "consent", in)
	if !d.CheckFormToken(r, token, "consent", in) {
		t.Fatal("the token is refused")
	}
	other := d.asked("default", &http.Cookie{Name: cookie.Name, Value: NewCookieValue()})
	for name, good := range map[string]bool{
		"another form":        d.CheckFormToken(r, token, "login", in),
		"another interaction": d.CheckFormToken(r, token, "consent", New(d.now)),
		"another browser":     d.CheckFormToken(other, token, "consent", in),
		"no browser":          d.CheckFormToken(d.asked("default"), token, "consent", in),
		"of no browser":       d.CheckFormToken(d.asked("default"), d.FormToken(r, "", "consent", in), "consent", in),
		"another tenant":      d.CheckFormToken(d.asked("other", &http.Cookie{Name: "gh-browser-other", Value: cookie.Value}), token, "consent", in),
		"nothing":             d.CheckFormToken(r, "", "consent", in),
		"no base64url":        d.CheckFormToken(r, "!", "consent", in),
		"a line break":        d.CheckFormToken(r, token+"\n", "consent", in),
	} {
		if good {
			t.Errorf("%s: the token counts", name)
		}
	}
}

func TestCookies(t *testing.T) {
	spec.Covers(t, "SE-02")
	d := newDesk(t)
	for _, secure := range []bool{true, false} {
		d.Cookies = Cookies{Secure: secure}
		prefix := "__Host-"
		if !secure {
			d.Suffix, prefix = "-8080", ""
		}
		w := httptest.NewRecorder()
		r := d.asked("default")
		d.SetSession(w, r, NewCookieValue())
		d.EnsureBinding(w, r)
		d.ClearSession(w, r)
		all := w.Result().Cookies()
		for _, cookie := range all {
			if cookie.Secure != secure || !cookie.HttpOnly || cookie.Path != "/" || cookie.Domain != "" || cookie.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(cookie.Name, prefix+"gh-") || !strings.HasSuffix(cookie.Name, "-default"+d.Suffix) {
				t.Errorf("%s", cookie.Raw)
			}
		}
		if len(all) != 3 || len(all[0].Value) != 43 || all[2].MaxAge >= 0 {
			t.Errorf("the cookies are %v", all)
		}
		back := d.asked("default", all[0], all[1])
		w = httptest.NewRecorder()
		if d.Session(back) != all[0].Value || d.EnsureBinding(w, back) != all[1].Value || len(w.Result().Cookies()) != 0 {
			t.Error("the cookies are not read back")
		}
		if d.Session(d.asked("other", all...)) != "" {
			t.Error("the session counts in another tenant")
		}
	}
}

func TestSameOrigin(t *testing.T) {
	spec.Covers(t, "CF-10")
	d := newDesk(t)
	for _, test := range []struct {
		origin, site string
		same         bool
	}{
		{"https://id.example", "same-origin", true}, {"https://id.example", "", true}, {"", "same-origin", true}, {"", "", true},
		{"https://id.example", "cross-site", false}, {"https://id.example", "same-site", false}, {"https://id.example", "none", false}, {"", "cross-site", false},
		{"null", "", false}, {"https://evil.test", "same-origin", false}, {"http://id.example", "", false}, {"https://id.example:8443", "", false}, {"https://id.example.evil.test", "", false}, {"https://id.example/", "", false},
	} {
		r := d.asked("default")
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		if test.site != "" {
			r.Header.Set("Sec-Fetch-Site", test.site)
		}
		if SameOrigin(r) != test.same {
			t.Errorf("Origin %q, Sec-Fetch-Site %q: same is %v", test.origin, test.site, !test.same)
		}
	}
}

func TestBindingIsOfTheCookie(t *testing.T) {
	d := newDesk(t)
	in, cookie := d.bound()
	if in.Binding != sha256.Sum256([]byte(cookie.Value)) || !in.boundTo(cookie.Value) || in.boundTo("") || (Interaction{Binding: sha256.Sum256(nil)}).boundTo("") {
		t.Error("the binding is not the hash of the cookie")
	}
}

func FuzzOpen(f *testing.F) {
	d := newDesk(f)
	in, cookie := d.bound()
	sealed, err := d.Seal(d.asked("default"), in)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{sealed, "", "AQ", sealed[:40], strings.Repeat("A", 200), sealed + "\n"} {
		f.Add(seed, string(StageLogin))
	}
	f.Fuzz(func(t *testing.T, text, stage string) {
		got, err := d.Open(d.asked("default", cookie), text, Stage(stage))
		if (err == nil) != (text == sealed && stage == string(StageLogin)) {
			t.Errorf("%q for %q is opened as %+v, %v", text, stage, got, err)
		}
		// The seed of another process was sealed for another browser.
		if rule := ruleOf(err); err != nil && rule != "interaction-invalid" && rule != "interaction-other-browser" {
			t.Errorf("%q for %q: %v", text, stage, err)
		}
	})
}

// FuzzWire: whatever was sealed by an older version is read or refused.
func FuzzWire(f *testing.F) {
	d := newDesk(f)
	in, cookie := d.bound()
	text, err := json.Marshal(wire{ID: in.ID[:], Start: in.Start.UnixMilli(), Binding: in.Binding[:], Scope: "openid", Prompt: []string{"login"}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(text), "{}", "null", "[]", `{"i":"AA"}`, `{"ma":1e400}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sealed := d.sealText(text)
		if len(sealed) > MaxSealedLength {
			return
		}
		got, err := d.Open(d.asked("default", cookie), sealed, StageLogin)
		if err == nil && got.Binding != in.Binding {
			t.Errorf("%q is opened in another browser: %+v", text, got)
		}
	})
}
