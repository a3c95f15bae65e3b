package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gatehouse/bff"
	"gatehouse/client"
)

// apiCalls asks a backend for frontend for what is behind it, as the script of a page
// does in which somebody is signed in.
func apiCalls(s *side, n int) ([]visitor, error) {
	cookie := "theme=dark" // before the bare limit, which knows no session
	if !s.bare {
		var err error
		if cookie, err = s.signInAtBFF(); err != nil {
			return nil, fmt.Errorf("the sign-in: %w", err)
		}
	}
	asks := request("GET", "/api/photos/1", s.address, "", "Cookie", cookie, bff.DefaultCSRFHeader, "1", "Sec-Fetch-Site", "same-origin")
	return askers(n, [][]byte{asks}, func(a answer) error {
		if !bytes.Equal(a.body, upstreamBody) {
			return errors.New("the answer is not the upstream's")
		}
		return nil
	}), nil
}

// signInAtBFF signs one of the users in, and returns the Cookie header of the session.
func (s *side) signInAtBFF() (string, error) {
	sessions, err := s.stage.sessions()
	if err != nil {
		return "", err
	}
	browser := &http.Client{Timeout: answerPatience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	open := func(address, cookies string) (location, set string, err error) {
		r, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			return "", "", err
		}
		r.Header.Set("Cookie", cookies)
		r.Header.Set("Sec-Fetch-Dest", "document")
		answered, err := browser.Do(r)
		if err != nil {
			return "", "", err
		}
		_ = answered.Body.Close()
		if answered.StatusCode >= http.StatusBadRequest {
			return "", "", fmt.Errorf("%s answers %d", address, answered.StatusCode)
		}
		var pairs []string
		for _, cookie := range answered.Cookies() {
			if cookie.MaxAge >= 0 {
				pairs = append(pairs, cookie.Name+"="+cookie.Value)
			}
		}
		return answered.Header.Get("Location"), strings.Join(pairs, "; "), nil
	}
	at, binding, err := open("http://"+s.address+"/bff/login?return_to=/", "")
	if err != nil {
		return "", err
	}
	if at, _, err = open(at, sessions[0]); err != nil {
		return "", err
	}
	back, err := url.Parse(at)
	if err != nil || !strings.HasPrefix(at, redirectURI+"?") {
		return "", fmt.Errorf("the issuer leads to %.100s", at)
	}
	_, session, err := open("http://"+s.address+back.RequestURI(), binding)
	return session, err
}

// bff is the backend for frontend as it is run by one process.
func (l *bareLimit) bff() (http.Handler, error) {
	log, err := os.OpenFile(filepath.Join(l.order.Directory, "bff.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(redirectURI)
	if err != nil {
		return nil, err
	}
	return bff.New(context.Background(), bff.Config{
		URL: at.Scheme + "://" + at.Host, Paths: bff.Paths{Callback: at.Path},
		Issuers:   []bff.Issuer{{Issuer: l.order.Issuer, Client: client.Config{ClientID: webID, ClientSecret: client.NewSecret(webSecret), Scope: scopeConsent}}},
		Upstreams: []bff.Upstream{{Path: "/api", URL: "http://" + l.order.Upstream, Routes: []bff.Route{{Path: "/photos/{id}", Methods: []string{"GET"}}}}},
		Logger:    slog.New(slog.NewJSONHandler(log, nil)),
	})
}
