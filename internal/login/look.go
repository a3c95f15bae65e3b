package login

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"gatehouse/internal/endpoint"
)

// lookPath is where a tenant's style sheet lies: its colour, after our own.
const lookPath = "/assets/look/"

// rgb is a colour, each part from 0 to 1.
type rgb [3]float64

// parseColor reads # and six hexadecimal digits.
func parseColor(text string) (rgb, bool) {
	digits, found := strings.CutPrefix(text, "#")
	if !found || len(digits) != 6 {
		return rgb{}, false
	}
	value, err := hex.DecodeString(digits)
	if err != nil {
		return rgb{}, false
	}
	return rgb{float64(value[0]) / 255, float64(value[1]) / 255, float64(value[2]) / 255}, true
}

func (c rgb) String() string {
	var b [3]byte
	for i, part := range c {
		b[i] = byte(math.Round(part * 255))
	}
	return "#" + hex.EncodeToString(b[:])
}

// luminance: WCAG 2.2, relative luminance.
func (c rgb) luminance() float64 {
	linear := func(part float64) float64 {
		if part <= 0.04045 {
			return part / 12.92
		}
		return math.Pow((part+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast of two colours: WCAG 2.2 §1.4.3.
func contrast(a, b rgb) float64 {
	light, dark := a.luminance(), b.luminance()
	if light < dark {
		light, dark = dark, light
	}
	return (light + 0.05) / (dark + 0.05)
}

// toward mixes a share of another colour into this one.
func (c rgb) toward(other rgb, share float64) rgb {
	for i := range c {
		c[i] += (other[i] - c[i]) * share
	}
	return c
}

var (
	black, white = rgb{0, 0, 0}, rgb{1, 1, 1}

	// The surfaces of gatehouse.css on which an accent is hardest to see.
	darkestOfLight = rgb{0xf1 / 255.0, 0xef / 255.0, 0xea / 255.0}
	lightestOfDark = rgb{0x26 / 255.0, 0x2c / 255.0, 0x30 / 255.0}
	darkInk        = rgb{0x0c / 255.0, 0x14 / 255.0, 0x17 / 255.0}
)

const (
	// enoughContrast: WCAG asks for 4.5, and colours are rounded to 8 bits.
	enoughContrast = 4.6
	// shadeSteps is in how many steps a colour is made darker or lighter.
	shadeSteps = 64
	// underMouse is how much further a button under the mouse goes.
	underMouse = 0.18
)

// readable returns the colour, mixed with as much of black or white as it
// takes to be read on the surface.
func (c rgb) readable(surface, pole rgb) rgb {
	for step := range shadeSteps + 1 {
		if shade := c.toward(pole, float64(step)/float64(shadeSteps)); contrast(shade, surface) >= enoughContrast {
			return shade
		}
	}
	return pole
}

// look returns the style sheet of a tenant's colour, "" if it has none that
// can be read.
func look(color string) string {
	accent, ok := parseColor(color)
	if !ok {
		return ""
	}
	light, dark := accent.readable(darkestOfLight, black), accent.readable(lightestOfDark, white)
	set := func(accent, ink, hover rgb) string {
		return fmt.Sprintf(":root { --accent: %s; --accent-ink: %s; --accent-hover: %s; }", accent, ink, hover)
	}
	return set(light, white, light.toward(black, underMouse)) + "\n@media (prefers-color-scheme: dark) { " +
		set(dark, darkInk, dark.toward(white, underMouse)) + " }\n"
}

// lookOf returns the path of a tenant's style sheet, "" if it needs none. It
// names the content.
func lookOf(r *endpoint.Request) string {
	style := look(r.Tenant.Settings.Color)
	if style == "" {
		return ""
	}
	digest := sha256.Sum256([]byte(style))
	return r.Path(lookPath + hex.EncodeToString(digest[:])[:assetHashLength] + ".css")
}

func lookRow() endpoint.Row {
	return endpoint.Row{
		Name: "look", Path: lookPath, Methods: []string{http.MethodGet}, Caller: endpoint.Anyone,
		Serve: serveLook, Errors: endpoint.JSONErrors,
	}
}

// serveLook answers with the tenant's style sheet of today: a page that was
// drawn before the colour changed gets the new one, and does not keep it
// under the old one's name.
func serveLook(w http.ResponseWriter, r *endpoint.Request) error {
	style := look(r.Tenant.Settings.Color)
	h := w.Header()
	assetHeaders(h, "text/css; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(style)))
	if lookOf(r) != r.URL.Path {
		h.Set("Cache-Control", "no-cache")
	}
	_, _ = w.Write([]byte(style))
	return nil
}
