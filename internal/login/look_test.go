package login

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

var linkedLook = regexp.MustCompile(`<link rel="stylesheet" href="(/assets/look/[0-9a-f]{16}\.css)">`)

func TestTheTenantsColourIsAStyleSheet(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	if page := bodyOf(b.get("/login")); strings.Contains(page, lookPath) {
		t.Error("a style sheet without a colour")
	}
	h.tenant.Settings.Color = "#1D4F91"
	response := b.get("/logout/confirm")
	link := linkedLook.FindStringSubmatch(bodyOf(response))
	if link == nil || !strings.Contains(response.Header.Get("Content-Security-Policy"), "style-src 'self';") {
		t.Fatal("no style sheet, or one that the policy does not admit")
	}
	style := b.get(link[1])
	wantStatus(t, style, http.StatusOK)
	if got := style.Header.Get("Content-Type") + " " + style.Header.Get("Cache-Control"); got != "text/css; charset=utf-8 public, max-age=31536000, immutable" {
		t.Errorf("served as %s", got)
	}
	if css := bodyOf(style); !strings.Contains(css, "--accent: #1d4f91; --accent-ink: #ffffff;") || !strings.Contains(css, "prefers-color-scheme: dark") {
		t.Errorf("style: %s", css)
	}
	// The colour changes: pages name another sheet, and the old name has the new one, not to be kept.
	h.tenant.Settings.Color = "#aa0000"
	old := b.get(link[1])
	if css := bodyOf(old); !strings.Contains(css, "#aa0000") || old.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("the old name has %s", css)
	}
	if again := linkedLook.FindStringSubmatch(bodyOf(b.get("/logout/confirm"))); again == nil || again[1] == link[1] {
		t.Error("the name did not change")
	}
	for _, bad := range []string{"red", "#12345", "#1234567", "#12345g", "#fff} body{display:none", "1d4f91"} {
		h.tenant.Settings.Color = bad
		if page := bodyOf(b.get("/login")); strings.Contains(page, lookPath) {
			t.Errorf("%q makes a style sheet", bad)
		}
		if css := bodyOf(b.get(lookPath + "x.css")); css != "" {
			t.Errorf("%q: %s", bad, css)
		}
	}
}

// Whatever colour a tenant has, text in it and on it can be read in both
// schemes (WCAG 2.2 §1.4.3).
func TestEveryColourCanBeRead(t *testing.T) {
	surfaces := map[bool][]string{false: {"#ffffff", "#f4f2ee", "#f1efea", "#fdf6e6"}, true: {"#1b2023", "#121517", "#262c30", "#2b2513"}}
	parts := regexp.MustCompile(`--accent: (#\w+); --accent-ink: (#\w+); --accent-hover: (#\w+);`)
	colour := func(text string) rgb {
		c, ok := parseColor(text)
		if !ok {
			t.Fatalf("%q is no colour", text)
		}
		return c
	}
	for red := 0; red < 256; red += 15 {
		for green := 0; green < 256; green += 15 {
			for blue := 0; blue < 256; blue += 15 {
				name := fmt.Sprintf("#%02x%02x%02x", red, green, blue)
				schemes := parts.FindAllStringSubmatch(look(name), -1)
				if len(schemes) != 2 {
					t.Fatalf("%s: %s", name, look(name))
				}
				for i, scheme := range schemes {
					accent, ink, hover := colour(scheme[1]), colour(scheme[2]), colour(scheme[3])
					worst := min(contrast(accent, ink), contrast(hover, ink))
					for _, surface := range surfaces[i == 1] {
						worst = min(worst, contrast(accent, colour(surface)), contrast(hover, colour(surface)))
					}
					if worst < 4.5 {
						t.Fatalf("%s, dark %v: a contrast of %.2f in %v", name, i == 1, worst, scheme[0])
					}
				}
			}
		}
	}
	if got := contrast(white, black); got < 20.9 || got > 21.1 {
		t.Errorf("white on black has a contrast of %f", got)
	}
	if css := look("#17665c"); !strings.Contains(css, "--accent: #17665c;") {
		t.Errorf("a colour that can be read was changed: %s", css)
	}
}

// The surfaces that look.go reckons with are those of the style sheet.
func TestSurfacesAreThoseOfTheStyleSheet(t *testing.T) {
	css := string(loadAsset("gatehouse.css", "text/css").content)
	light, dark, _ := strings.Cut(css, "prefers-color-scheme: dark")
	for scheme, surface := range map[string]rgb{light: darkestOfLight, dark: lightestOfDark} {
		if !strings.Contains(scheme, "--hover: "+surface.String()+";") {
			t.Errorf("%s is not the colour under the mouse", surface)
		}
	}
}

func TestTheTenantsLogo(t *testing.T) {
	h := newHouse(t)
	h.tenant.Settings.LogoURI = "https://cdn.house.example/logo.svg"
	for name, response := range everyPage(h) {
		if csp := response.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "https://cdn.house.example") {
			t.Errorf("%s: policy %s", name, csp)
		}
		if page := bodyOf(response); !strings.Contains(page, `<img src="https://cdn.house.example/logo.svg" alt="" height="32" referrerpolicy="no-referrer">`) {
			t.Errorf("%s: no logo", name)
		}
	}
	h.tenant.Settings.LogoURI = "javascript:alert(1)"
	for name, response := range everyPage(h) {
		if csp := response.Header.Get("Content-Security-Policy"); strings.Contains(csp, "javascript") {
			t.Errorf("%s: policy %s", name, csp)
		}
		if page := bodyOf(response); strings.Contains(page, "javascript") || !strings.Contains(page, `<img src="/assets/mark.`) && !strings.Contains(page, `<img src="/t/assets/mark.`) {
			t.Errorf("%s: a logo that nobody can load", name)
		}
	}
}
