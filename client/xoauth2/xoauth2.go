package xoauth2

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"golang.org/x/oauth2"

	"gatehouse/client"
	"gatehouse/oauth"
)

// TokenSource makes an oauth2.TokenSource of a source of ours. Since its Token
// takes no context, ctx goes with every call. The source renews and remembers by
// itself: it needs no oauth2.ReuseTokenSource around it.
func TokenSource(ctx context.Context, source client.TokenSource) oauth2.TokenSource {
	return outward{ctx, source}
}

type outward struct {
	ctx    context.Context
	source client.TokenSource
}

func (o outward) Token() (*oauth2.Token, error) {
	tokens, err := o.source.Token(o.ctx)
	if err != nil {
		return nil, err
	}
	made := &oauth2.Token{AccessToken: tokens.AccessToken.Reveal(), TokenType: "Bearer", Expiry: tokens.Expiry}
	return made.WithExtra(map[string]any{"scope": tokens.Scope.String(), "id_token": tokens.IDToken.Reveal()}), nil
}

// Source makes a client.TokenSource of an oauth2.TokenSource. What it renews, and
// when, is the other's business; a context that ends is noticed before a call and
// not within it.
func Source(source oauth2.TokenSource) client.TokenSource { return inward{source} }

type inward struct{ source oauth2.TokenSource }

func (i inward) Token(ctx context.Context) (client.Tokens, error) {
	if err := ctx.Err(); err != nil {
		return client.Tokens{}, err
	}
	got, err := i.source.Token()
	if err != nil {
		return client.Tokens{}, translate(err)
	}
	if got.Type() != "Bearer" {
		return client.Tokens{}, &client.InvalidError{Op: "oauth2.TokenSource", Detail: "the token is not of the type Bearer"}
	}
	scope, _ := got.Extra("scope").(string)
	granted, err := oauth.ParseScope(scope)
	if err != nil {
		return client.Tokens{}, &client.InvalidError{Op: "oauth2.TokenSource", Detail: "the scope is malformed"}
	}
	return client.Tokens{AccessToken: client.NewSecret(got.AccessToken), Expiry: got.Expiry, Scope: granted}, nil
}

// translate keeps the response's body, which oauth2.RetrieveError prints, out of
// logs.
func translate(err error) error {
	const op = "oauth2.TokenSource"
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return &client.UnavailableError{Op: op, Cause: err}
	}
	status := 0
	if refused.Response != nil {
		status = refused.Response.StatusCode
	}
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
		return &client.UnavailableError{Op: op, Cause: errors.New(http.StatusText(status))}
	}
	return &client.RefusedError{Op: op, Status: status, Code: codeOf(refused.ErrorCode)}
}

// maxCode bounds an error code; the longest that is registered has 33 characters.
const maxCode = 64

// codeOf takes what looks like an error code: the server may have written anything
// there, what it was sent too.
func codeOf(text string) oauth.Code {
	if len(text) > maxCode || strings.ContainsFunc(text, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		return "an error without a code"
	}
	return oauth.Code(text)
}
