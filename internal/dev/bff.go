package dev

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"

	"gatehouse/bff"
	"gatehouse/client"
)

// The single-page application behind the backend for frontend. It has no token.
//
//go:embed app
var appFiles embed.FS

// bffScope is what the application asks for. Without offline_access its tokens end
// with the session at the issuer (OpenID Connect Core §11).
const bffScope = "openid profile " + scopeRead + " " + scopeWrite

// apiPath is where the application finds PhotoAPI, by way of the gateway.
const apiPath = "/api"

// bffConfig is the backend for frontend as its own configuration file would have it.
func bffConfig(at urls) bff.Config {
	get, post, remove := http.MethodGet, http.MethodPost, http.MethodDelete
	return bff.Config{
		URL: at.bff,
		Issuers: []bff.Issuer{{Issuer: at.issuer, Client: client.Config{
			ClientID: clientBFF, Scope: bffScope, Resources: []string{at.apiIdentifier}, UserInfo: true, Lazy: true,
		}}},
		Upstreams: []bff.Upstream{{Path: apiPath, URL: at.gateway, Routes: []bff.Route{
			{Path: "/photos", Methods: []string{get, post}},
			{Path: "/photos/{id}", Methods: []string{remove}},
			{Path: "/photos/{id}/thumbnail", Methods: []string{get}},
			{Path: "/chain", Methods: []string{get}},
			{Path: "/watch", Methods: []string{get}, Stream: true},
		}}},
	}
}

// bffAddresses are what is registered for it.
func bffAddresses(at urls) bff.Addresses { return bffConfig(at).Addresses("") }

// newBFF opens the backend for frontend. It is to be closed.
func newBFF(ctx context.Context, at urls, secret client.Secret, c *http.Client, log *slog.Logger) (*bff.BFF, error) {
	config := bffConfig(at)
	config.Issuers[0].Client.ClientSecret = secret
	config.Issuers[0].Client.HTTPClient = c
	config.Logger = log
	files, err := fs.Sub(appFiles, "app")
	if err != nil {
		return nil, err
	}
	config.Files = appHandler(files, at)
	return bff.New(ctx, config)
}

// appHandler serves the application's files. By another name, such as localhost, a sign-in
// would come back to a browser without its cookie; pages are led to the right one before.
func appHandler(files fs.FS, at urls) http.Handler {
	policy := strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob:", "connect-src 'self'",
		"base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
	}, "; ")
	server, host := http.FileServerFS(files), strings.TrimPrefix(at.bff, "http://")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		if r.Host != host {
			header.Set("Location", at.bff+r.URL.RequestURI())
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "strict-origin-when-cross-origin")
		header.Set("Cache-Control", "no-store")
		switch r.URL.Path {
		case "/stage.json": // the links to what else is on the stage
			answer(w, http.StatusOK, map[string]string{"issuer": at.issuer, "playground": at.playground})
		case "/style.css", "/mark.svg", "/view.js", "/oauth.js", "/chain.js": // as the playground has them
			http.ServeFileFS(w, r, playgroundFiles, "playground"+r.URL.Path)
		default:
			server.ServeHTTP(w, r)
		}
	})
}
