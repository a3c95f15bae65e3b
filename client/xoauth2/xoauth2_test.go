package xoauth2_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"gatehouse/client"
	"gatehouse/client/xoauth2"
	"gatehouse/oauth"
)

type source struct {
	tokens client.Tokens
	err    error
}

func (s source) Token(context.Context) (client.Tokens, error) { return s.tokens, s.err }

func TestOursForThem(t *testing.T) {
	expiry := time.Now().Add(time.Hour).Truncate(time.Second)
	ours := source{tokens: client.Tokens{
		AccessToken: client.NewSecret("access"), RefreshToken: client.NewSecret("refresh"), IDToken: client.NewSecret("id"), Expiry: expiry, Scope: oauth.Scope{"a", "b"},
	}}
	got, err := xoauth2.TokenSource(t.Context(), ours).Token()
	if err != nil || got.AccessToken != "access" || !got.Expiry.Equal(expiry) || got.Type() != "Bearer" || got.Extra("scope") != "a b" || got.Extra("id_token") != "id" {
		t.Errorf("%+v, %v", got, err)
	}
	if got.RefreshToken != "" {
		t.Error("a refresh token was handed out")
	}
	if _, err := xoauth2.TokenSource(t.Context(), source{err: client.ErrSessionEnded}).Token(); !errors.Is(err, client.ErrSessionEnded) {
		t.Errorf("%v", err)
	}
	var used string
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { used = r.Header.Get("Authorization") }))
	defer api.Close()
	response, err := oauth2.NewClient(t.Context(), xoauth2.TokenSource(t.Context(), ours)).Get(api.URL)
	if err != nil || used != "Bearer access" {
		t.Fatalf("%q, %v", used, err)
	}
	_ = response.Body.Close()
}

func TestTheirsForUs(t *testing.T) {
	status, body := http.StatusOK, `{"access_token":"theirs","token_type":"bearer","expires_in":60,"scope":"a b"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	get := func(ctx context.Context) (client.Tokens, error) {
		config := clientcredentials.Config{ClientID: "web", ClientSecret: "a-secret", TokenURL: server.URL, AuthStyle: oauth2.AuthStyleInParams}
		return xoauth2.Source(config.TokenSource(t.Context())).Token(ctx)
	}
	tokens, err := get(t.Context())
	if err != nil || tokens.AccessToken.Reveal() != "theirs" || tokens.Scope.String() != "a b" || tokens.Expiry.IsZero() {
		t.Errorf("%+v, %v", tokens, err)
	}
	status, body = http.StatusUnauthorized, `{"error":"invalid_client","error_description":"a-secret is wrong"}`
	_, err = get(t.Context())
	if refused, ok := errors.AsType[*client.RefusedError](err); !ok || refused.Code != "invalid_client" || strings.Contains(err.Error(), "a-secret") {
		t.Errorf("%v", err)
	}
	for _, code := range []string{"a-secret", "invalid_client\\r\\nlevel=INFO", strings.Repeat("x", 100)} {
		body = `{"error":"` + code + `"}`
		_, err = get(t.Context())
		if refused, ok := errors.AsType[*client.RefusedError](err); !ok || refused.Status != http.StatusUnauthorized || strings.ContainsAny(err.Error(), "\r\n") || strings.Contains(err.Error(), "a-secret") || len(err.Error()) > 300 {
			t.Errorf("%v", err)
		}
	}
	status = http.StatusServiceUnavailable
	if _, err = get(t.Context()); client.StatusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("%v", err)
	}
	status, body = http.StatusOK, `{"access_token":"theirs","token_type":"mac"}`
	if _, err = get(t.Context()); err == nil {
		t.Error("a token of another type is taken")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := get(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
