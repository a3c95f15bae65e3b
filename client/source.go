package client

import (
	"context"
	"errors"
	"sync"
	"time"
)

// SourceConfig says what goes with the tokens of a [Source].
type SourceConfig struct {
	// Identity is who signed in; a renewed ID token of anybody else is refused. The
	// zero Identity, where there was no ID token, takes what comes.
	Identity Identity
	// Persist, if set, keeps renewed tokens, in a key ring say. It is called before
	// anybody gets them, and again if it fails: a rotated refresh token that is not
	// kept anywhere is a login that is lost.
	Persist func(ctx context.Context, tokens Tokens) error
	// Reload, if set, returns the tokens that are kept now. It is asked when the
	// issuer refuses the refresh token: another process may have renewed it.
	Reload func(ctx context.Context) (Tokens, error)
}

// Source keeps the tokens of one login fresh, for programs without sessions of
// browsers: it is what a [Session] is for these. It is safe for concurrent use.
type Source struct {
	client *Client
	config SourceConfig

	mu      sync.Mutex
	tokens  Tokens
	issued  time.Time
	unsaved *Tokens // renewed, and not persisted yet
	ended   bool
	backoff backoff
	flight  chan struct{}
}

var _ Renewer = (*Source)(nil)

// Source returns a source of the tokens.
func (c *Client) Source(tokens Tokens, config SourceConfig) *Source {
	return &Source{client: c, config: config, tokens: tokens, issued: time.Now()}
}

// Token returns the tokens with an access token that can be used now, renewing it
// ahead of its end. Errors are those of [Session.Token].
func (s *Source) Token(ctx context.Context) (Tokens, error) {
	return s.get(ctx, func() bool {
		return s.tokens.AccessToken.IsZero() || !s.tokens.Expiry.IsZero() && time.Until(s.tokens.Expiry) <= margin(s.tokens.Expiry.Sub(s.issued), s.client.instance)
	})
}

// Renew returns another token than one that a resource refused, if there is one to
// be had.
func (s *Source) Renew(ctx context.Context, refused Tokens) (Tokens, error) {
	return s.get(ctx, func() bool {
		return s.tokens.AccessToken.Reveal() == refused.AccessToken.Reveal() && time.Since(s.issued) >= renewFloor && !s.tokens.RefreshToken.IsZero()
	})
}

// get returns the tokens when they are no longer due. due is called with the lock held.
func (s *Source) get(ctx context.Context, due func() bool) (Tokens, error) {
	for waited := false; ; waited = true {
		s.mu.Lock()
		tokens, usable := s.tokens, s.tokens.Valid(0)
		switch {
		case s.ended:
			s.mu.Unlock()
			return Tokens{}, ErrSessionEnded
		case s.unsaved == nil && !due():
			s.mu.Unlock()
			return tokens, nil
		case tokens.RefreshToken.IsZero() && !usable:
			s.mu.Unlock()
			return Tokens{}, ErrTokenExpired
		case tokens.RefreshToken.IsZero():
			s.mu.Unlock()
			return tokens, nil
		case waited || s.backoff.pausing(): // and still due
			defer s.mu.Unlock()
			if usable {
				return tokens, nil
			}
			return Tokens{}, s.backoff.err("refresh")
		}
		if s.flight == nil {
			flight := make(chan struct{})
			if !s.client.beside.run(func() { s.renew(flight) }) {
				s.mu.Unlock()
				return Tokens{}, errClosed
			}
			s.flight = flight
		}
		flight := s.flight
		s.mu.Unlock()
		select {
		case <-flight:
		case <-ctx.Done():
			return Tokens{}, ctx.Err()
		}
	}
}

// renew is one flight: it belongs to the source, and not to who began it.
func (s *Source) renew(flight chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), renewalPatience)
	defer cancel()
	s.mu.Lock()
	tokens, next := s.tokens, s.unsaved
	s.mu.Unlock()
	var err error
	if next == nil {
		next, err = s.exchange(ctx, tokens)
	}
	unsaved := false
	if err == nil && s.config.Persist != nil {
		if failed := s.config.Persist(ctx, *next); failed != nil {
			err, unsaved = &UnavailableError{Op: "refresh", Cause: failed}, true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsaved = nil
	switch {
	case unsaved:
		s.unsaved = next
	case err == nil:
		s.tokens, s.issued, s.backoff = *next, time.Now(), backoff{}
	case errors.Is(err, ErrSessionEnded):
		s.ended = true
	}
	if err != nil {
		s.backoff.failed(err)
	}
	s.flight = nil
	close(flight)
}

// exchange renews the tokens, or finds that somebody else has.
func (s *Source) exchange(ctx context.Context, tokens Tokens) (*Tokens, error) {
	var before *Identity
	if s.config.Identity.Subject != "" {
		before = &s.config.Identity
	}
	next, err := s.client.refresh(ctx, tokens, "", before)
	if err == nil || !refusedGrant(err) {
		return &next, err
	}
	if s.config.Reload != nil {
		kept, failed := s.config.Reload(ctx)
		if failed != nil {
			return nil, &UnavailableError{Op: "refresh", Cause: failed}
		}
		if kept.RefreshToken.Reveal() != tokens.RefreshToken.Reveal() && !kept.RefreshToken.IsZero() {
			if kept.Valid(tooShort) {
				return &kept, nil
			}
			next, err = s.client.refresh(ctx, kept, "", before)
			if err == nil || !refusedGrant(err) {
				return &next, err
			}
		}
	}
	s.client.counters.sessionsEnded.Add(1)
	return nil, ErrSessionEnded
}
