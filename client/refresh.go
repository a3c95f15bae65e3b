package client

import (
	"context"
	"errors"
	"hash/fnv"
	"net/url"
	"time"

	"gatehouse/oauth"
)

// When an access token is renewed.
const (
	// renewAhead is how long before its end a token is renewed, at most a quarter of
	// its life, and stretched by up to a half so that not all are renewed at once.
	renewAhead = time.Minute

	// tooShort is the rest of a life with which no request is begun that can wait.
	tooShort = 5 * time.Second

	// renewFloor is how old a token must be before somebody's 401 has it renewed: a
	// resource that refuses every token is not helped by another one.
	renewFloor = 5 * time.Second

	// renewalPatience bounds a renewal as a whole: two requests and the waiting.
	renewalPatience = 30 * time.Second
)

// A TokenSource gives access tokens that can be used now: [Session], [Source] and
// [Credentials] are some.
type TokenSource interface {
	Token(ctx context.Context) (Tokens, error)
}

// A Renewer is a TokenSource that can do something about a token that a resource
// refused.
type Renewer interface {
	TokenSource
	// Renew returns another token than the refused one if there is one to be had,
	// and the refused one if not.
	Renew(ctx context.Context, refused Tokens) (Tokens, error)
}

// margin is how long before its end a token of that life is renewed. The same
// name gives the same margin, in every process.
func margin(life time.Duration, name string) time.Duration {
	base := min(renewAhead, life/4)
	spread := fnv.New32a()
	_, _ = spread.Write([]byte(name))
	return base + time.Duration(float64(base)/2*float64(spread.Sum32())/(1<<32))
}

// refresh exchanges a refresh token (RFC 6749 §6), for an access token to the resource if
// there is one, and else for what the login asked for (RFC 8707 §2.2). before, if set, is the identity
// that an ID token in the answer must repeat. While the issuer's keys cannot be had,
// an ID token is as good as none, and the one before stays: the refresh token is
// spent, and who threw its successor away would sign the person out.
//
// An answer that is lost is asked for once more, at once: servers that rotate
// refresh tokens give the same answer again for a little while.
func (c *Client) refresh(ctx context.Context, tokens Tokens, resource string, before *Identity) (Tokens, error) {
	const op = "refresh"
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.RefreshToken.Reveal()}}
	if resource != "" {
		form.Set("resource", resource)
	} else if len(c.config.MoreResources) > 0 { // else the token would be for these, too
		form["resource"] = c.config.Resources
	}
	ask := func() (Tokens, error) {
		got, err := c.guarded(op, func() (answer, error) { return c.post(ctx, op, tokenEndpoint, form) })
		if err != nil {
			return Tokens{}, err
		}
		return readTokens(op, got, tokens.Scope)
	}
	next, err := ask()
	if answerLost(err) && ctx.Err() == nil {
		next, err = ask()
	}
	if err == nil && !next.IDToken.IsZero() && before != nil {
		_, err = c.checkIDToken(ctx, op, next.IDToken.Reveal(), expected{accessToken: next.AccessToken.Reveal(), before: before})
		if mayPass(err) {
			c.config.Logger.WarnContext(ctx, "a renewed ID token cannot be checked and is not kept", "error", err)
			next.IDToken, err = Secret{}, nil
		}
	}
	if err != nil {
		c.counters.failures.Add(1)
		return Tokens{}, err
	}
	c.counters.renewals.Add(1)
	if next.RefreshToken.IsZero() { // RFC 6749 §6: then the old one stays
		next.RefreshToken = tokens.RefreshToken
	}
	if next.IDToken.IsZero() {
		next.IDToken = tokens.IDToken
	}
	return next, nil
}

// answerLost says that a request may have had its effect although its answer did
// not arrive whole.
func answerLost(err error) bool {
	if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
		return unavailable.uncertain
	}
	invalid, ok := errors.AsType[*InvalidError](err)
	return ok && !invalid.redirected
}

// refusedGrant says that the server has refused the refresh token for good.
func refusedGrant(err error) bool {
	refused, ok := errors.AsType[*RefusedError](err)
	return ok && refused.Code == oauth.InvalidGrant
}

// backoff keeps everybody from trying again too soon.
type backoff struct {
	failures int
	until    time.Time
	last     error
}

func (b *backoff) failed(err error) {
	pause := min(firstPause<<min(b.failures, 10), lastPause)
	if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
		pause = max(pause, min(unavailable.RetryAfter, asksPause))
	}
	b.failures++
	b.until, b.last = time.Now().Add(pause), err
}

func (b *backoff) pausing() bool { return time.Now().Before(b.until) }

// err is that of the last attempt, with the time that is left of the pause; after
// one that succeeded, that its token has ended already.
func (b *backoff) err(op string) error {
	if b.last == nil {
		return &UnavailableError{Op: op, Cause: errors.New("the token that the issuer gave ended before it could be used")}
	}
	return withRetryAfter(b.last, time.Until(b.until))
}
