package dev

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"gatehouse/internal/authority"
	"gatehouse/resource"
)

// thumbnailsIdentifier names the thumbnails API in tokens. It is no address: only
// PhotoAPI has to find it.
const thumbnailsIdentifier = "urn:gatehouse:dev:thumbnails"

// claimAct is without whom nobody calls the thumbnails API (RFC 8693 §4.1).
const claimAct = "act"

const hues = 360 // degrees of the colour circle

// newThumbnailsAPI is the second sample API, behind PhotoAPI. It draws for the
// user whom the token names, at the word of the service that acts for the user:
// the token's outermost actor and the client certificate have to be the same.
func newThumbnailsAPI(require guard) http.Handler {
	mux := http.NewServeMux()
	guarded := func(next http.HandlerFunc) http.Handler { return require(scopeRead)(byItsActor(next)) }
	mux.Handle("GET /thumbnail", guarded(drawThumbnail))
	mux.Handle("GET /caller", guarded(tellCaller))
	return mux
}

// byItsActor holds the token against the certificate: neither, stolen alone, is of
// any use.
func byItsActor(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, _ := resource.AccessFrom(r.Context())
		actor, err := access.Claims.Actor()
		if name := authority.Name(r.TLS); err != nil || actor == nil || name == "" || actor.Subject != name {
			answer(w, http.StatusForbidden, map[string]string{"error": "the token is not for the service whose certificate came with it"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// drawThumbnail answers with a little landscape of the asked hue.
func drawThumbnail(w http.ResponseWriter, r *http.Request) {
	hue, err := strconv.Atoi(r.URL.Query().Get("hue"))
	if err != nil || hue < 0 || hue >= hues {
		answer(w, http.StatusBadRequest, map[string]string{"error": "hue is a number of degrees from 0 to 359"})
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 90">`+
		`<linearGradient id="sky" x2="0" y2="1"><stop stop-color="hsl(%d 48%% 62%%)"/><stop offset="1" stop-color="hsl(%d 58%% 80%%)"/></linearGradient>`+
		`<path fill="url(#sky)" d="M0 0h120v90H0z"/><circle cx="86" cy="27" r="9" fill="hsl(%d 70%% 88%%)"/>`+
		`<path fill="hsl(%d 28%% 34%%)" d="M0 62 120 38v52H0z"/><path fill="hsl(%d 26%% 26%%)" d="M0 56l120 28v6H0z"/></svg>`,
		hue, (hue+35)%hues, (hue+40)%hues, (hue+150)%hues, (hue+130)%hues)
}

// caller is what an API saw of who called it.
type caller struct {
	// Claims are those of the access token.
	Claims map[string]json.RawMessage `json:"claims"`
	// Certificate is the name in the client certificate, "" for none.
	Certificate string `json:"certificate,omitempty"`
}

func callerOf(r *http.Request) caller {
	access, _ := resource.AccessFrom(r.Context())
	return caller{Claims: access.Claims.Raw, Certificate: authority.Name(r.TLS)}
}

func tellCaller(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, callerOf(r))
}
