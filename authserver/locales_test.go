package authserver_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/spec"
)

// The application's choice of languages holds on every page until the answer,
// and nothing that it sends there is an error.
func TestUILocales(t *testing.T) {
	spec.Covers(t, "OIDCC-3.1.2.1-15")
	s := open(t)
	published, _ := s.metadata()["ui_locales_supported"].([]any)
	if !slices.Contains(published, "de") || !slices.Contains(published, "en") {
		t.Errorf("ui_locales_supported is %v", published)
	}
	for asked, want := range map[string]string{
		"de": "de", "fr-CA de-AT en": "de", "en de": "en", "tlh": "en", "": "en", "de\"><script>": "en", "../../de": "en",
		strings.Repeat("x", 36) + " de": "de", strings.Repeat("fr ", 8) + "de": "en", "DE": "de",
	} {
		page := s.NewBrowser(t).Get(request("ui_locales", asked))
		if page.StatusCode != http.StatusOK || !strings.Contains(page.Text, `<html lang="`+want+`">`) || !strings.Contains(page.Text, `id="login-form"`) {
			t.Errorf("ui_locales=%q: status %d, not in %s", asked, page.StatusCode, want)
		}
		if strings.Contains(page.Text, "<script>") {
			t.Errorf("ui_locales=%q got into the page", asked)
		}
	}
	consent := s.SignIn(request("ui_locales", "de", "prompt", "login"), "bob", "builder-bob-builds")
	if consent.Location == nil && !strings.Contains(consent.Text, `<html lang="de">`) {
		t.Errorf("the consent page is in another language: %s", consent.Text)
	}
}
