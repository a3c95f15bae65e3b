package dev

import (
	"embed"
	"encoding/json"
	"net/http"
	"strings"

	"gatehouse"
)

// The page, its script and its style, as files of one directory.
//
//go:embed playground
var playgroundFiles embed.FS

// playgroundConfig is what the page must know and cannot discover; it is
// served as config.json.
type playgroundConfig struct {
	Issuer                string   `json:"issuer"`
	API                   string   `json:"api"`
	BFF                   string   `json:"bff"`
	Gateway               string   `json:"gateway"`
	ClientID              string   `json:"client_id"`
	RedirectURI           string   `json:"redirect_uri"`
	PostLogoutRedirectURI string   `json:"post_logout_redirect_uri"`
	Scopes                []string `json:"scopes"`
	Users                 []User   `json:"users"`
}

// newPlayground serves the page at / and at the callback, and another one at
// /service, for which the service of the stage acts.
func newPlayground(at urls, users []User, machine service) (http.Handler, error) {
	config, err := json.Marshal(playgroundConfig{
		Issuer: at.issuer, API: at.api, BFF: at.bff, Gateway: at.gateway,
		ClientID:              clientPlayground,
		RedirectURI:           at.playground + callbackPath,
		PostLogoutRedirectURI: at.playground + "/",
		Scopes:                append(append([]string{}, gatehouse.IdentityScopes...), scopeRead, scopeWrite),
		Users:                 users,
	})
	if err != nil {
		return nil, err
	}
	policy := playgroundPolicy(at)
	host := strings.TrimPrefix(at.playground, "http://")
	// The service acts for its own page, not for those of other origins.
	ours := http.NewCrossOriginProtection()
	acts := map[string]http.Handler{
		"/service/token":  ours.Handler(http.HandlerFunc(machine.token)),
		"/service/revoke": ours.Handler(http.HandlerFunc(machine.revoke)),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		if r.Host != host {
			// By another name, such as localhost, the page would have another
			// origin, which no client registered.
			header.Set("Location", at.playground+r.URL.RequestURI())
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer") // the callback's URL holds the code
		header.Set("Cache-Control", "no-store")
		if act, known := acts[r.URL.Path]; known && r.Method == http.MethodPost {
			act.ServeHTTP(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		switch name := strings.TrimPrefix(r.URL.Path, "/"); name {
		case "config.json":
			header.Set("Content-Type", "application/json")
			_, _ = w.Write(config)
		case "service":
			http.ServeFileFS(w, r, playgroundFiles, "playground/service.html")
		case "", strings.TrimPrefix(callbackPath, "/"):
			http.ServeFileFS(w, r, playgroundFiles, "playground/page.html")
		default:
			http.ServeFileFS(w, r, playgroundFiles, "playground/"+name)
		}
	}), nil
}

// playgroundPolicy lets the page run its own script, use its own style and
// picture, and call the issuer, PhotoAPI and the gateway; nothing else.
func playgroundPolicy(at urls) string {
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
		"connect-src 'self' " + at.issuer + " " + at.api + " " + at.gateway,
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}, "; ")
}
