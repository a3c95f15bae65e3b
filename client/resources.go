package client

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"
)

const (
	// MaxMoreResources bounds Config.MoreResources.
	MaxMoreResources = 16
	// maxOtherBytes bounds the access tokens for single resources that a session has at
	// once. Beyond that those go that end first; they are had again when they are wanted.
	maxOtherBytes = 24 << 10
)

// other is an access token for a single resource, at rest. The refresh token that it is
// had with is the session's.
type other struct {
	exported
	Renewed int64 `json:"renewed"`
}

// at returns what the session has for a resource, or, for "", from its login.
func (r record) at(resource string) other {
	held := other{r.Tokens, r.Renewed}
	if resource != "" {
		held = r.Others[resource]
		held.Refresh = r.Tokens.Refresh
	}
	return held
}

// with is the record with new tokens, the access token for a resource or "".
func (r record) with(resource string, tokens Tokens, now time.Time) record {
	r.Version++
	next := tokens.exported()
	others := maps.Clone(r.Others)
	maps.DeleteFunc(others, func(_ string, one other) bool { return one.Expiry != 0 && one.Expiry <= now.Unix() })
	if resource == "" {
		r.Tokens, r.Renewed = next, now.Unix()
	} else {
		r.Tokens.Refresh, r.Tokens.ID = next.Refresh, next.ID
		next.Refresh, next.ID = "", ""
		if others == nil {
			others = map[string]other{}
		}
		others[resource] = other{next, now.Unix()}
	}
	for size(others) > maxOtherBytes && len(others) > 1 {
		first := ""
		for name, one := range others {
			if name != resource && (first == "" || one.Expiry < others[first].Expiry) {
				first = name
			}
		}
		delete(others, first)
	}
	r.Others = others
	return r
}

func size(others map[string]other) (bytes int) {
	for name, one := range others {
		bytes += len(name) + len(one.Access)
	}
	return bytes
}

// spent is the error of a session without a refresh token that has no access token for the
// resource that could be used.
func (r record) spent(resource string) error {
	if resource != "" && r.Tokens.tokens().Valid(0) {
		return &InvalidError{Op: "refresh", Detail: "the issuer gave no refresh token, without which there is no access token for a single resource"}
	}
	return ErrTokenExpired
}

// ResourceTokens are the access tokens of a [Session] for one resource: see [Session.For].
type ResourceTokens struct {
	session  *Session
	resource string
}

var _ Renewer = (*ResourceTokens)(nil)

// For returns the session's access tokens for one of Config.MoreResources, and for nothing
// else: whoever has one cannot use it at the other resources. They are had with the
// session's refresh token (RFC 8707 §2.2) when they are wanted first, kept in the session,
// and renewed as [Session.Token] renews. For other resources Token fails.
func (s *Session) For(resource string) *ResourceTokens { return &ResourceTokens{s, resource} }

// Token returns an access token for the resource. Errors are those of [Session.Token], and
// a [*RefusedError] if the issuer gives none for this resource; the session lives on.
func (t *ResourceTokens) Token(ctx context.Context) (Tokens, error) {
	if err := t.known(); err != nil {
		return Tokens{}, err
	}
	return t.session.token(ctx, t.resource)
}

// Renew returns another token than one that the resource refused, if there is one to be
// had.
func (t *ResourceTokens) Renew(ctx context.Context, refused Tokens) (Tokens, error) {
	if err := t.known(); err != nil {
		return Tokens{}, err
	}
	return t.session.renew(ctx, t.resource, refused)
}

func (t *ResourceTokens) known() error {
	if !slices.Contains(t.session.client.config.MoreResources, t.resource) {
		return fmt.Errorf("client: the resource %q is none of Config.MoreResources", t.resource)
	}
	return nil
}

// checkResources says what is wrong with MoreResources.
func (c *Config) checkResources() error {
	if len(c.MoreResources) > MaxMoreResources {
		return fmt.Errorf("there are more than %d MoreResources", MaxMoreResources)
	}
	for i, one := range c.MoreResources {
		at, err := url.Parse(one)
		if err != nil || !at.IsAbs() || at.Fragment != "" || one != at.String() { // RFC 8707 §2
			return fmt.Errorf("the resource %q is not an absolute URI without a fragment", one)
		}
		if slices.Contains(c.MoreResources[:i], one) {
			return fmt.Errorf("the resource %q is named twice", one)
		}
	}
	return nil
}
