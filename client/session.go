package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"gatehouse/kv"
	"gatehouse/token"
)

// idleSteps is how many times within the idle time a session that is in use is
// written.
const idleSteps = 8

// Session is a person who is signed in at a browser. It is safe for concurrent use.
type Session struct {
	client *Client
	id     string

	mu     sync.Mutex
	record record
	sealed []byte // the record as it is kept, nil for a new one
}

// now returns the record as it was last loaded or saved.
func (s *Session) now() (record, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record, s.sealed
}

func (s *Session) take(r record, sealed []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record, s.sealed = r, sealed
}

// record is a session at rest.
type record struct {
	Version  int64             `json:"version"`
	Claims   json.RawMessage   `json:"claims"` // of the ID token
	UserInfo json.RawMessage   `json:"userinfo,omitempty"`
	Tokens   exported          `json:"tokens"`
	Values   map[string]string `json:"values,omitempty"`
	Began    int64             `json:"began"` // Unix seconds, as all times here
	Seen     int64             `json:"seen"`
	Ends     int64             `json:"ends"`
	// Renewed is when the tokens were issued.
	Renewed int64 `json:"renewed"`
	// Others are access tokens for single resources.
	Others map[string]other `json:"others,omitempty"`
}

// who is the part of the claims that sessions are found by.
type who struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	SessionID string `json:"sid"`
	AuthTime  int64  `json:"auth_time"`
	ACR       string `json:"acr"`
}

func (r record) who() who {
	var w who
	_ = json.Unmarshal(r.Claims, &w) // it was checked before it was kept
	return w
}

// ID names the session: the same in all processes that share a store, and another
// after each login. Nobody can make the cookie of it.
func (s *Session) ID() string { return s.id }

// Live looks whether the session is still there, which does not count as a use of
// it: for what goes on without requests, such as a stream. The error of one that is
// over is [ErrNoSession]; while the store is away it is an [*UnavailableError].
func (s *Session) Live(ctx context.Context) error {
	_, err := s.client.loadSession(ctx, s.id)
	return err
}

// Issuer and Subject name the person.
func (s *Session) Issuer() string { return s.who().Issuer }

// Subject is the person's name at the issuer.
func (s *Session) Subject() string { return s.who().Subject }

func (s *Session) who() who {
	r, _ := s.now()
	return r.who()
}

// Identity is who signed in, and how. Its Claims.Raw holds all claims of the ID
// token.
func (s *Session) Identity() Identity {
	r, _ := s.now()
	w := r.who()
	identity := Identity{Issuer: w.Issuer, Subject: w.Subject, SessionID: w.SessionID, ACR: w.ACR, Claims: token.Claims{Issuer: w.Issuer, Subject: w.Subject, SessionID: w.SessionID, ACR: w.ACR}}
	if w.AuthTime != 0 {
		identity.AuthTime = time.Unix(w.AuthTime, 0)
		identity.Claims.AuthTime = identity.AuthTime
	}
	_ = json.Unmarshal(r.Claims, &identity.Claims.Raw)
	return identity
}

// UserInfo is what the UserInfo endpoint said at the login.
func (s *Session) UserInfo() UserInfo {
	var info UserInfo
	r, _ := s.now()
	_ = json.Unmarshal(r.UserInfo, &info)
	return info
}

// Value returns what the application kept under the name, see [Login.Values].
func (s *Session) Value(name string) string {
	r, _ := s.now()
	return r.Values[name]
}

// Began is when the person signed in here.
func (s *Session) Began() time.Time {
	r, _ := s.now()
	return time.Unix(r.Began, 0)
}

// Ends is when the session is over at the latest.
func (s *Session) Ends() time.Time {
	r, _ := s.now()
	return time.Unix(r.Ends, 0)
}

// Session returns the session of the request's browser. Without one the error is
// [ErrNoSession]; when the store is away it is an [*UnavailableError], and the
// browser keeps its cookie.
func (c *Client) Session(r *http.Request) (*Session, error) {
	cookie, err := r.Cookie(c.cookies.session)
	if err != nil || cookie.Value == "" {
		return nil, ErrNoSession
	}
	s, err := c.loadSession(r.Context(), sessionID(cookie.Value))
	if err != nil {
		return nil, err
	}
	c.touch(r.Context(), s)
	return s, nil
}

// sessionID is the name at rest of a cookie's value: whoever reads the store cannot
// make the cookie of it.
func sessionID(value string) string {
	sum := sha256.Sum256([]byte("session " + value))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (c *Client) loadSession(ctx context.Context, id string) (*Session, error) {
	sealed, found, err := c.sessions.Load(ctx, id)
	if err != nil {
		return nil, &UnavailableError{Op: "session", Cause: err}
	}
	if !found {
		c.opened.Drop(id)
		return nil, ErrNoSession
	}
	kept, is := c.open(id, sealed)
	if !is { // of a key that is no longer known, or not ours: as good as none
		return nil, ErrNoSession
	}
	now := time.Now().Unix()
	if now >= kept.Ends || now >= kept.Seen+int64(c.config.SessionIdle/time.Second) {
		return nil, ErrNoSession
	}
	return &Session{client: c, id: id, record: kept, sealed: sealed}, nil
}

// opened is a record that was opened, which nobody changes, and what it was opened from.
type opened struct {
	sealed []byte
	record record
}

// maxOpened bounds how many of them are remembered.
const maxOpened = 1024

// open opens what the store has for a session, unless it is what it was last time. is
// false if it is nothing of ours.
func (c *Client) open(id string, sealed []byte) (kept record, is bool) {
	if known, found := c.opened.Get(id); found && bytes.Equal(known.sealed, sealed) {
		return known.record, true
	}
	plain, authentic := c.sealer.Open(sealed, sessionBinding(id))
	if !authentic || json.Unmarshal(plain, &kept) != nil {
		return record{}, false
	}
	c.opened.Put(id, opened{sealed, kept})
	return kept, true
}

func sessionBinding(id string) []byte { return []byte("session " + id) }

// save writes the record over what was loaded and says whether nobody else wrote
// meanwhile. Then the session is what was written.
func (s *Session) save(ctx context.Context, next record) (bool, error) {
	sealed, err := s.seal(next)
	if err == nil && len(sealed) > kv.MaxValueBytes && next.Others != nil {
		next.Others = nil // they can be had again, and the refresh token cannot
		sealed, err = s.seal(next)
	}
	if err != nil {
		return false, err
	}
	if len(sealed) > kv.MaxValueBytes {
		return false, fmt.Errorf("client: the session would have %d bytes, more than %d: keep fewer values, or ask for fewer claims", len(sealed), kv.MaxValueBytes)
	}
	now := time.Now()
	ttl := min(time.Unix(next.Ends, 0).Sub(now), time.Unix(next.Seen, 0).Add(s.client.config.SessionIdle).Sub(now))
	if ttl <= 0 {
		return false, ErrSessionEnded
	}
	_, old := s.now()
	saved, err := s.client.sessions.Save(ctx, s.id, old, sealed, ttl)
	if err != nil {
		return false, &UnavailableError{Op: "session", Cause: err}
	}
	if saved {
		s.take(next, sealed)
	}
	return saved, nil
}

func (s *Session) seal(r record) ([]byte, error) {
	plain, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("client: encoding a session: %w", err)
	}
	return s.client.sealer.Seal(plain, sessionBinding(s.id)), nil
}

// touch notes that the session is in use, now and then. Whoever wrote meanwhile
// noted it too, and if it cannot be written now, the next request will.
func (c *Client) touch(ctx context.Context, s *Session) {
	next, _ := s.now()
	now := time.Now().Unix()
	if now-next.Seen < int64(c.config.SessionIdle/time.Second)/idleSteps {
		return
	}
	next.Seen = now
	if _, err := s.save(ctx, next); err != nil {
		c.config.Logger.WarnContext(ctx, "the use of a session could not be noted", "error", err)
	}
}

// create keeps a new session for the login and returns its cookie's value.
func (c *Client) create(ctx context.Context, login *Login) (value string, err error) {
	value = randomText()
	now := time.Now()
	claims, err := json.Marshal(login.Claims.Raw)
	if err != nil {
		return "", fmt.Errorf("client: encoding the claims: %w", err)
	}
	next := record{
		Version: 1, Claims: claims, Tokens: login.Tokens.exported(), Values: login.Values,
		Began: now.Unix(), Seen: now.Unix(), Ends: now.Add(c.config.SessionLife).Unix(), Renewed: now.Unix(),
	}
	if login.UserInfo != nil {
		if next.UserInfo, err = json.Marshal(login.UserInfo); err != nil {
			return "", fmt.Errorf("client: encoding UserInfo: %w", err)
		}
	}
	s := &Session{client: c, id: sessionID(value)}
	groups := c.groupsOf(next.who())
	// The groups come first, so that a logout that comes meanwhile finds the
	// session, or leaves a mark that is found below.
	for _, group := range groups {
		if err := c.sessions.Join(ctx, group, s.id, c.config.SessionLife); err != nil {
			return "", &UnavailableError{Op: "session", Cause: err}
		}
	}
	if saved, err := s.save(ctx, next); err != nil || !saved {
		if err == nil {
			err = &UnavailableError{Op: "session", Cause: errors.New("a new session is there already")}
		}
		return "", err
	}
	for _, group := range groups {
		out, err := c.loggedOutSince(ctx, group, login.Identity)
		if err == nil && !out {
			continue
		}
		c.remove(ctx, s.id)
		if err != nil {
			return "", &UnavailableError{Op: "session", Cause: err}
		}
		return "", ErrSessionEnded
	}
	c.endOldest(ctx, s)
	return value, nil
}

// endOldest ends those of the person's sessions that are more than Config.MaxSessions,
// the oldest first, and never the new one.
func (c *Client) endOldest(ctx context.Context, newest *Session) {
	if c.config.MaxSessions == 0 {
		return
	}
	w := newest.who()
	ids, err := c.sessions.Members(ctx, c.groupOf("sub", w.Issuer, w.Subject))
	var others []*Session
	for _, id := range ids {
		if err != nil || id == newest.id {
			continue
		}
		var one *Session
		if one, err = c.loadSession(ctx, id); err == nil {
			others = append(others, one)
		} else if errors.Is(err, ErrNoSession) {
			err = nil
		}
	}
	slices.SortStableFunc(others, func(a, b *Session) int { return a.Began().Compare(b.Began()) })
	for len(others) >= c.config.MaxSessions && err == nil {
		err = c.endFor(ctx, others[0], EndedByLimit)
		others = others[1:]
	}
	if err != nil { // the next login will do it
		c.config.Logger.WarnContext(ctx, "a person's sessions could not be counted", "error", err)
	}
}

// replace removes the session of before a new login. Its refresh token is left to
// its end: with issuers that know one grant for each client and person, revoking it
// would take the new session's, too.
func (c *Client) replace(ctx context.Context, id string) {
	s, err := c.loadSession(ctx, id)
	c.remove(ctx, id)
	if err == nil {
		c.tellEnded(s, EndedByLogin)
	}
}

// remove deletes a session, or leaves that to its end if the store is away.
func (c *Client) remove(ctx context.Context, id string) {
	c.opened.Drop(id)
	if err := c.sessions.Delete(ctx, id); err != nil {
		c.config.Logger.ErrorContext(ctx, "a session could not be removed", "error", err)
	}
}

// groupsOf are the groups that a session is found by when the issuer ends it
// (OpenID Connect Back-Channel Logout §2.6): those of its sid and of its subject.
func (c *Client) groupsOf(w who) []string {
	groups := []string{c.groupOf("sub", w.Issuer, w.Subject)}
	if w.SessionID != "" {
		groups = append(groups, c.groupOf("sid", w.Issuer, w.SessionID))
	}
	return groups
}

// groupOf names a group of this client's: clients may share a store.
func (c *Client) groupOf(kind, issuer, name string) string {
	return digestOf(kind, issuer, c.config.ClientID, name)
}

// digestOf is a name for the sequence of parts, different for different ones.
func digestOf(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(sum, "%d %s", len(part), part)
	}
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil))
}
