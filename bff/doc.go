// Package bff is a backend for frontend: it stands in front of the APIs of a
// single-page application, signs people in, keeps their tokens, and gives the browser
// a cookie that is worth nothing anywhere else (RFC 10017 §6.1).
//
//	b, err := bff.New(ctx, bff.Config{
//		URL: "https://app.example.com",
//		Issuers: []bff.Issuer{{Issuer: "https://id.example.com", Client: client.Config{ClientID: "app", ClientSecret: secret}}},
//		Upstreams: []bff.Upstream{{Path: "/api", URL: "https://api.internal", Routes: []bff.Route{{Path: "/photos/{id}", Methods: []string{"GET"}}}}},
//		Files: http.FileServerFS(dist),
//	})
//	http.Handle("/", b)
//
// What it answers:
//
//	GET  /bff/login?return_to=/path      sends the browser to the issuer; a page, not a script, opens it
//	GET  /bff/callback                   makes the session
//	GET  /bff/user                       who is signed in; 401 with a login_url if nobody is
//	POST /bff/logout                     ends the session, here and at the issuer
//	GET  /bff/logged-out                 where the issuer sends the browser back to
//	POST /bff/backchannel-logout         ends sessions at the issuer's word
//	GET  /bff/bff.js                     the module that a page does all this with
//
// and the routes of its upstreams, with the session's access token.
//
// # What every request is held to
//
// In this order: a target with one meaning, a route and a method that are
// configured, no other site behind it (Sec-Fetch-Site, Origin, a header that no
// form can send), a live session, a token that can be used. Each refusal is JSON,
// has a status and a code of its own, and changes nothing.
//
// # What it never does
//
// It gives no token to a browser, redirects no API call, sends a request nowhere but
// to a configured upstream, ends no session for an outage, and stores nothing
// unsealed that processes share. Sessions, tokens and logins are package client's,
// and paths and headers internal/proxy's.
package bff
