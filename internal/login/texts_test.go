package login

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/interaction"
	"gatehouse/internal/spec"
)

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// sentences are all texts of a catalogue by the name of their field.
func sentences(t *texts) map[string]string {
	said := map[string]string{}
	value := reflect.ValueOf(*t)
	for i := range value.NumField() {
		name := value.Type().Field(i).Name
		switch field := value.Field(i); field.Kind() {
		case reflect.String:
			said[name] = field.String()
		case reflect.Map:
			for _, key := range field.MapKeys() {
				said[name+" "+key.String()] = field.MapIndex(key).String()
			}
		case reflect.Func:
			said[name] = ""
			if !field.IsNil() {
				said[name] = "a function"
			}
		}
	}
	return said
}

func TestEveryLanguageSaysEverything(t *testing.T) {
	known := languages()
	if len(known) < 2 {
		t.Fatal("one language is not a choice")
	}
	want := sentences(known["en"])
	if len(want) < 100 || len(want) < reflect.TypeFor[texts]().NumField() {
		t.Fatalf("only %d texts were looked at", len(want))
	}
	sorted := func(text string) []string {
		names := placeholder.FindAllString(text, -1)
		slices.Sort(names)
		return names
	}
	for tag, catalogue := range known {
		got := sentences(catalogue)
		same := 0
		for name, text := range want {
			if strings.TrimSpace(got[name]) == "" {
				t.Errorf("%s: no text %s", tag, name)
			}
			if !slices.Equal(sorted(text), sorted(got[name])) {
				t.Errorf("%s: %s has the placeholders %v, in English %v", tag, name, sorted(got[name]), sorted(text))
			}
			if text == got[name] && strings.Contains(text, " ") && text != "a function" {
				same++
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d texts, in English %d", tag, len(got), len(want))
		}
		if tag != "en" && same > 0 {
			t.Errorf("%s: %d sentences are English", tag, same)
		}
	}
}

// A text that no page shows would be translated for nobody.
func TestEveryTextIsShown(t *testing.T) {
	var used strings.Builder
	for _, pattern := range []string{"*.go", "pages/*.html"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			used.Write(content)
		}
	}
	for field := range reflect.TypeFor[texts]().Fields() {
		if !regexp.MustCompile(`\.` + field.Name + `\b`).MatchString(used.String()) {
			t.Errorf("nothing shows %s", field.Name)
		}
	}
}

func TestLanguageIsChosen(t *testing.T) {
	known := languages()
	for _, test := range []struct{ asked, accept, want string }{
		{"", "", "en"}, {"", "de", "de"}, {"", "de-AT, en;q=0.8", "de"}, {"", "fr, en", "en"}, {"", "fr, DE;q=.5", "de"}, {"", ",;,", "en"},
		{"", "en;q=0.3, de;q=0.9", "de"}, {"", "de;q=0, fr", "en"}, {"", "de;q=x, en;q=0.1", "en"}, {"", "*", "en"},
		{"de", "en", "de"}, {"fr-CA en", "de", "en"}, {"fr", "de", "de"}, {"DE-ch", "", "de"}, {"../de", "", "en"},
		{"", strings.Repeat("fr,", 1000) + "de", "en"},
	} {
		if got := pickLanguage(known, strings.Fields(test.asked), test.accept).Language; got != test.want {
			t.Errorf("%q, %.20q: %s, want %s", test.asked, test.accept, got, test.want)
		}
	}
}

// The application's choice holds from the sign-in to the consent, before the
// browser's.
func TestPagesSpeakTheLanguageThatIsAskedFor(t *testing.T) {
	spec.Covers(t, "OIDCC-3.1.2.1-15")
	h := newHouse(t)
	b, i := h.consent(interaction.Interaction{Scope: photoScope, UILocales: []string{"de"}})
	login := b.begin(interaction.Interaction{UILocales: []string{"xx", "de-CH"}}, interaction.StageLogin)
	german, english := `<html lang="de">`, `<html lang="en">`
	for target, want := range map[string]string{
		"/login?i=" + login: german, "/consent?i=" + i: german, "/logout/confirm": english, "/logout/confirm?ui_locales=de": german,
		"/account": english, "/account?ui_locales=de": german, "/login?ui_locales=de": german,
		"/login?i=" + b.begin(interaction.Interaction{UILocales: []string{"tlh"}}, interaction.StageLogin): english,
	} {
		if page := bodyOf(b.get(target)); !strings.Contains(page, want) {
			t.Errorf("%s is not in the language of %s", target, want)
		}
	}
	b.header = http.Header{"Accept-Language": {"de"}}
	form := hidden(bodyOf(b.get("/login?i="+login)), "login-form")
	form.Set("username", "alice")
	form.Set("password", "wrong")
	page := bodyOf(b.post("/login", form))
	if !strings.Contains(page, "gehören nicht zusammen") {
		t.Errorf("the form again in another language: %s", page)
	}
	page = bodyOf(b.get("/login"))
	if !strings.Contains(page, `<p id="error-description" lang="en">`) || !strings.Contains(page, "Kennung dieses Fehlers") {
		t.Errorf("the error page does not say which of its languages is which: %s", page)
	}
}

func TestWordsForTimes(t *testing.T) {
	en, de := english(), german()
	plainly := func(text string) string { return strings.ReplaceAll(text, "\u00a0", " ") }
	for d, want := range map[time.Duration][2]string{
		0: {"less than a minute ago", "vor weniger als einer Minute"}, -time.Hour: {"less than a minute ago", "vor weniger als einer Minute"},
		time.Minute: {"1 minute ago", "vor 1 Minute"}, 119 * time.Minute: {"1 hour ago", "vor 1 Stunde"}, 3 * time.Hour: {"3 hours ago", "vor 3 Stunden"},
		30 * time.Hour: {"1 day ago", "vor 1 Tag"}, 49 * time.Hour: {"2 days ago", "vor 2 Tagen"},
	} {
		if got := [2]string{plainly(en.Ago(d)), plainly(de.Ago(d))}; got != want {
			t.Errorf("%v: %q", d, got)
		}
	}
	for d, want := range map[time.Duration]string{
		time.Second: "1 Sekunde", 89 * time.Second: "89 Sekunden", 91 * time.Second: "2 Minuten", time.Hour: "1 Stunde", 25 * time.Hour: "25 Stunden", 30 * day: "30 Tage", day: "1 Tag",
	} {
		if got := plainly(de.Span(d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	at := time.Date(2026, 3, 5, 14, 7, 0, 0, time.UTC)
	if en.Day(at) != "5 March 2026" || de.Day(at) != "5. März 2026" {
		t.Errorf("%q and %q", en.Day(at), de.Day(at))
	}
}
