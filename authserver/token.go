package authserver

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/oauth"
)

// grantTypes is the table of grants. Each row's run has the shape check,
// mint, commit, return.
var grantTypes = []struct {
	name string
	run  func(*Server, *call) (minted, error)
}{
	{gatehouse.GrantAuthorizationCode, (*Server).redeemCode},
	{gatehouse.GrantRefreshToken, (*Server).refresh},
	{gatehouse.GrantClientCredentials, (*Server).clientCredentials},
	{gatehouse.GrantTokenExchange, (*Server).exchange},
}

func grantTypeNames() []string {
	var names []string
	for _, grant := range grantTypes {
		names = append(names, grant.name)
	}
	return names
}

// OutcomeNote is the note of a request that went well in an unusual way, and
// Redelivered what it says of a refresh token that was answered before.
const (
	OutcomeNote = "outcome"
	Redelivered = "redelivered"
)

// errMoved says that the grant's session became another one while tokens that
// name it were made. Nothing was issued.
var errMoved = errors.New("the grant has moved to another session")

// movedAgain is how often such a request is run again: sessions follow each
// other at the pace of a person who signs in.
const movedAgain = 2

// serveToken is the token endpoint (RFC 6749 §3.2).
func (s *Server) serveToken(w http.ResponseWriter, r *endpoint.Request) error {
	form, err := oauth.ReadForm(r.Request)
	if err != nil {
		return err
	}
	c, err := s.authenticate(r, form)
	if err != nil {
		return err
	}
	if err := s.mayRequestToken(c); err != nil {
		return err
	}
	run, err := chooseGrant(c)
	if err != nil {
		return err
	}
	m, err := run(s, c)
	for again := 0; errors.Is(err, errMoved) && again < movedAgain; again++ {
		m, err = run(s, c)
	}
	if err != nil {
		return err
	}
	if err := s.logIssued(c, m); err != nil {
		return err
	}
	oauth.WriteBody(w, http.StatusOK, m.response.assemble())
	return nil
}

func chooseGrant(c *call) (func(*Server, *call) (minted, error), error) {
	name := c.Form.Get("grant_type")
	c.Note("grant_type", name)
	switch name {
	case "":
		return nil, oauth.Refuse("grant-type-missing", oauth.InvalidRequest, "The grant_type parameter is missing.")
	case "password": // RFC 9700 §2.4: "MUST NOT be used"
		return nil, oauth.Refuse("grant-type-password", oauth.UnsupportedGrantType, "The password grant is refused: it hands the user's password to the client. Use response_type=code with PKCE.")
	}
	for _, grant := range grantTypes {
		if grant.name != name {
			continue
		}
		if !c.Client.MayUse(name) {
			return nil, oauth.Refuse("grant-type-not-registered", oauth.UnauthorizedClient, "The client is not registered for this grant type.")
		}
		return grant.run, nil
	}
	return nil, oauth.Refuse("grant-type-unknown", oauth.UnsupportedGrantType, "The server does not know this grant type.")
}

// logAgainAfter is when a client should ask again for a token of which the log
// could not be told.
const logAgainAfter = 2 * time.Second

// logIssued writes the line that accounts for tokens, before they leave. Where
// no row records them they do not leave without it; the others were committed.
func (s *Server) logIssued(c *call, m minted) error {
	if !s.Log.Enabled(c.Context(), slog.LevelInfo) {
		return nil // the operator's choice
	}
	line := slog.NewRecord(time.Now(), slog.LevelInfo, "issued", 0)
	line.AddAttrs(
		slog.String("tenant", string(c.tenant())), slog.String("client_id", c.Client.ID),
		slog.String("grant_type", c.Form.Get("grant_type")), slog.String("jti", m.jti),
		slog.String("scope", m.response.Scope), slog.String("request", c.ID))
	line.AddAttrs(m.told...)
	if err := s.Log.Handler().Handle(c.Context(), line); err != nil && m.rowless { // slog.Logger would keep the error to itself
		return oauth.Refuse("issued-untold", oauth.TemporarilyUnavailable, "The server cannot write its log at present, and issues no token of which nothing would tell.").
			After(logAgainAfter).Because(err)
	}
	return nil
}
