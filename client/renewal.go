package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatehouse/oauth"
)

// While one process renews a session's tokens, the others look whether it is done.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = 200 * time.Millisecond
)

// After a renewal that failed, nobody tries again for a while: twice as long after
// each failure, or as long as the server asks for.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
	asksPause  = 5 * time.Minute // the longest that a server may ask for
)

const saveAttempts = 8

// renewal is one under way in this process: all that want it wait for it.
type renewal struct {
	done    chan struct{}
	session *Session // afterwards, unless err
	err     error
}

// Token returns the session's tokens with an access token that can be used now,
// renewing it ahead of its end. Of any number of callers, in any number of
// processes that share the store, one asks the issuer; nobody gets a token before
// the store has it.
//
// While the issuer or the store is away, the token at hand is returned until it
// ends; then the error is an [*UnavailableError], and the session lives on. When
// the issuer refuses the refresh token, the session is over: [ErrSessionEnded].
func (s *Session) Token(ctx context.Context) (Tokens, error) { return s.token(ctx, "") }

// token is Token for a resource, or "" for what the login asked for.
func (s *Session) token(ctx context.Context, resource string) (Tokens, error) {
	r, _ := s.now()
	tokens := r.at(resource).tokens()
	if !r.due(s.id, resource, time.Now()) {
		return tokens, nil
	}
	if tokens.RefreshToken.IsZero() {
		if tokens.Valid(0) {
			return tokens, nil
		}
		return Tokens{}, r.spent(resource)
	}
	flight := s.client.renew(s.id, resource, func(r record) bool { return r.due(s.id, resource, time.Now()) })
	if tokens.Valid(tooShort) { // there is time: it is renewed beside this request
		return tokens, nil
	}
	renewed, err := s.await(ctx, flight, resource)
	if err != nil && tokens.Valid(0) && !errors.Is(err, ErrSessionEnded) {
		return tokens, nil
	}
	return renewed, err
}

// Renew returns another token than one that a resource refused, if there is one to
// be had.
func (s *Session) Renew(ctx context.Context, refused Tokens) (Tokens, error) {
	return s.renew(ctx, "", refused)
}

func (s *Session) renew(ctx context.Context, resource string, refused Tokens) (Tokens, error) {
	was := refused.AccessToken.Reveal()
	stale := func(r record) bool {
		now := r.at(resource)
		return now.Access == was && now.Refresh != "" && time.Now().Unix()-now.Renewed >= int64(renewFloor/time.Second)
	}
	if r, _ := s.now(); !stale(r) {
		return r.at(resource).tokens(), nil
	}
	renewed, err := s.await(ctx, s.client.renew(s.id, resource, stale), resource)
	if err == nil && renewed.AccessToken.Reveal() == was { // the flight was somebody else's, for another reason
		return s.await(ctx, s.client.renew(s.id, resource, stale), resource)
	}
	return renewed, err
}

// await waits for a renewal and takes its result.
func (s *Session) await(ctx context.Context, flight *renewal, resource string) (Tokens, error) {
	select {
	case <-flight.done:
	case <-ctx.Done():
		return Tokens{}, ctx.Err()
	}
	if flight.err != nil {
		return Tokens{}, flight.err
	}
	r, sealed := flight.session.now()
	s.take(r, sealed)
	tokens := r.at(resource).tokens()
	if tokens.AccessToken.IsZero() { // somebody renewed the session meanwhile, for another resource
		return Tokens{}, &UnavailableError{Op: "refresh", RetryAfter: firstPause, Cause: errors.New("the session changes too fast")}
	}
	return tokens, nil
}

// due says whether it is time to renew the access token, or to get one.
func (r record) due(id, resource string, now time.Time) bool {
	held := r.at(resource)
	if held.Expiry == 0 {
		return held.Access == ""
	}
	life := time.Duration(held.Expiry-held.Renewed) * time.Second
	return time.Unix(held.Expiry, 0).Sub(now) <= margin(life, fmt.Sprint(id, resource, r.Version))
}

// renew returns the renewal of the session's access token in this process, beginning one
// if there is none. It belongs to the session, and not to the request that began it. Of
// several for different resources, which spend the same refresh token, the lease lets one
// ask at a time.
func (c *Client) renew(id, resource string, due func(record) bool) *renewal {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := id + " " + resource
	if flight := c.renewals[of]; flight != nil {
		return flight
	}
	flight := &renewal{done: make(chan struct{})}
	c.renewals[of] = flight
	begun := c.beside.run(func() {
		ctx, cancel := context.WithTimeout(context.Background(), renewalPatience)
		defer cancel()
		flight.session, flight.err = c.renewed(ctx, id, resource, due)
		c.mu.Lock()
		delete(c.renewals, of)
		c.mu.Unlock()
		close(flight.done)
	})
	if !begun {
		delete(c.renewals, of)
		flight.err = errClosed
		close(flight.done)
	}
	return flight
}

// renewed returns the session when it is no longer due: renewed here, or by
// whoever else holds the lease.
func (c *Client) renewed(ctx context.Context, id, resource string, due func(record) bool) (*Session, error) {
	waited := false
	for look := firstLook; ; look = min(2*look, lastLook) {
		s, err := c.dueSession(ctx, id, resource, due)
		if err != nil || s.fresh(due) {
			if err == nil && waited {
				c.counters.awaited.Add(1)
			}
			return s, err
		}
		held, taken, err := takeLease(ctx, c.store, "client lease "+id)
		if err != nil {
			return nil, &UnavailableError{Op: "refresh", Cause: err}
		}
		if taken {
			defer held.release(ctx)
			return c.renewUnder(ctx, held, id, resource, due)
		}
		waited = true
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return nil, &UnavailableError{Op: "refresh", RetryAfter: firstPause, Cause: errors.New("another process is at it and does not finish")}
		}
	}
}

func (s *Session) fresh(due func(record) bool) bool {
	r, _ := s.now()
	return !due(r)
}

// dueSession loads the session. If it is due and its last renewal failed a moment
// ago, the error is that of then.
func (c *Client) dueSession(ctx context.Context, id, resource string, due func(record) bool) (*Session, error) {
	s, err := c.loadSession(ctx, id)
	if errors.Is(err, ErrNoSession) {
		return nil, ErrSessionEnded
	}
	if err != nil || s.fresh(due) {
		return s, err
	}
	r, _ := s.now()
	if failed, err := c.lastFailure(ctx, id, resource, r.Version); err != nil || failed.pausing() {
		if err == nil {
			err = failed.err()
		}
		return nil, err
	}
	return s, nil
}

// renewUnder renews the session while the lease is held.
func (c *Client) renewUnder(ctx context.Context, held *lease, id, resource string, due func(record) bool) (*Session, error) {
	s, err := c.dueSession(ctx, id, resource, due) // it may have been renewed just before
	if err != nil || s.fresh(due) {
		return s, err
	}
	r, _ := s.now()
	if kept, waiting := c.unsaved(id, r.Version); waiting {
		if err := c.saveTokens(ctx, s, kept.resource, kept.tokens); err != nil || kept.resource == resource || s.fresh(due) {
			return s, err
		}
		r, _ = s.now() // with the refresh token that came for another resource
	}
	if !held.held() {
		return nil, &UnavailableError{Op: "refresh", Cause: errors.New("the lease ran out")}
	}
	w := r.who()
	before := Identity{Issuer: w.Issuer, Subject: w.Subject, SessionID: w.SessionID}
	if w.AuthTime != 0 {
		before.AuthTime = time.Unix(w.AuthTime, 0)
	}
	next, err := c.refresh(ctx, r.Tokens.tokens(), resource, &before)
	if err != nil {
		return c.notRenewed(ctx, s, resource, err)
	}
	return s, c.saveTokens(ctx, s, resource, next)
}

// saveTokens writes renewed tokens over those that were exchanged for them. A
// session that somebody renewed meanwhile keeps the newer ones, and for one that
// is gone the new ones are given back.
func (c *Client) saveTokens(ctx context.Context, s *Session, resource string, tokens Tokens) error {
	from, _ := s.now()
	var failed error
	for attempt := range saveAttempts {
		if attempt > 0 {
			select {
			case <-time.After(firstLook << attempt):
			case <-ctx.Done():
			}
			now, err := c.loadSession(context.WithoutCancel(ctx), s.id)
			if errors.Is(err, ErrNoSession) {
				c.revokeBeside(ctx, s.id, tokens)
				return ErrSessionEnded
			}
			if failed = err; err != nil {
				continue
			}
			s.take(now.now())
		}
		r, _ := s.now()
		if r.Version != from.Version {
			return nil
		}
		saved, err := s.save(context.WithoutCancel(ctx), r.with(resource, tokens, time.Now()))
		if saved {
			c.forgetUnsaved(s.id)
			return nil
		}
		failed = err
	}
	// The tokens wait here, so that the next renewal has only to save them.
	c.keepUnsaved(s.id, from.Version, resource, tokens)
	c.config.Logger.ErrorContext(ctx, "renewed tokens could not be saved", "error", failed)
	if failed == nil {
		failed = errors.New("the session changes too fast")
	}
	return &UnavailableError{Op: "refresh", RetryAfter: firstPause, Cause: failed}
}

// notRenewed decides what a failure means for the session.
func (c *Client) notRenewed(ctx context.Context, s *Session, resource string, err error) (*Session, error) {
	r, _ := s.now()
	if refusedGrant(err) {
		// Somebody may have renewed it in spite of the lease.
		now, failed := c.loadSession(ctx, s.id)
		if failed == nil {
			if newer, _ := now.now(); newer.Version != r.Version {
				return now, nil
			}
			failed = c.sessions.Delete(ctx, s.id)
		}
		if failed != nil && !errors.Is(failed, ErrNoSession) {
			return nil, &UnavailableError{Op: "refresh", Cause: failed}
		}
		c.counters.sessionsEnded.Add(1)
		c.config.Logger.WarnContext(ctx, "a session ended, since its refresh token was refused", "error", err)
		c.tellEnded(s, EndedByRefusal)
		left := r.Tokens.tokens()
		left.RefreshToken = Secret{}
		c.revokeBeside(ctx, s.id, left)
		return nil, ErrSessionEnded
	}
	// Everything else is a matter of the issuer's, the network's or our own
	// configuration, and nobody is signed out for it.
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		c.config.Logger.ErrorContext(ctx, "tokens cannot be renewed until somebody mends the configuration", "error", refused)
	}
	return nil, c.noteFailure(ctx, s.id, resource, r.Version, err)
}

// failure is a renewal that failed, as all processes see it.
type failure struct {
	Version int64      `json:"version"`
	Count   int        `json:"count"`
	Until   int64      `json:"until"` // Unix milliseconds
	Code    oauth.Code `json:"code,omitempty"`
	Status  int        `json:"status,omitempty"`
}

func (f failure) pausing() bool { return time.Now().UnixMilli() < f.Until }

func (f failure) err() error {
	if f.Status != 0 {
		return &RefusedError{Op: "refresh", Status: f.Status, Code: f.Code}
	}
	return &UnavailableError{Op: "refresh", RetryAfter: time.Until(time.UnixMilli(f.Until)), Cause: errors.New("the last attempt failed a moment ago")}
}

// failureKey names the failures for a resource, of which none keeps another from its token.
func failureKey(id, resource string) string {
	if resource == "" {
		return "client renewal failed " + id
	}
	return "client renewal failed " + digestOf(id, resource)
}

func (c *Client) lastFailure(ctx context.Context, id, resource string, version int64) (failure, error) {
	var last failure
	value, found, err := c.store.Get(ctx, failureKey(id, resource))
	if err != nil {
		return failure{}, &UnavailableError{Op: "refresh", Cause: err}
	}
	if !found || json.Unmarshal(value, &last) != nil || last.Version != version {
		return failure{}, nil
	}
	return last, nil
}

// noteFailure makes everybody pause, and returns the error with the pause.
func (c *Client) noteFailure(ctx context.Context, id, resource string, version int64, err error) error {
	last, lost := c.lastFailure(ctx, id, resource, version)
	if lost != nil {
		return err
	}
	pause := min(firstPause<<min(last.Count, 10), lastPause)
	next := failure{Version: version, Count: last.Count + 1}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		next.Code, next.Status, pause = refused.Code, refused.Status, lastPause
	}
	if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
		pause = max(pause, min(unavailable.RetryAfter, asksPause))
		told := *unavailable
		told.RetryAfter = pause
		err = &told
	}
	next.Until = time.Now().Add(pause).UnixMilli()
	if value, broken := json.Marshal(next); broken == nil {
		// Without the note the others try by themselves, which is worse but not wrong.
		_ = c.store.Set(ctx, failureKey(id, resource), value, pause+lastPause)
	}
	return err
}
