package authserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"log/slog"
	"time"

	"gatehouse"
	"gatehouse/jose"
	"gatehouse/oauth"
)

// This file is the only place that makes tokens.

// defaultAccessAlg signs access tokens of resources that choose no other.
const defaultAccessAlg = jose.ES256

// defaultIDTokenAlg signs ID tokens of clients that register no other
// (OpenID Connect Registration §2).
const defaultIDTokenAlg = jose.RS256

// opaquePrefix marks access tokens that we alone can open.
const opaquePrefix = "gha_"

// accessClaims are the claims of an access token (RFC 9068 §2.2). An opaque
// token seals the same ones.
type accessClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Expiry   int64  `json:"exp"`
	IssuedAt int64  `json:"iat"`
	ID       string `json:"jti"`
	ClientID string `json:"client_id"`
	Scope    string `json:"scope,omitempty"`
	AuthTime int64  `json:"auth_time,omitempty"`
	ACR      string `json:"acr,omitempty"`
	// Handle ties the token to its grant.
	Handle string `json:"gid,omitempty"`
	// Act is who acts for the subject, MayAct who alone may (RFC 8693 §4.1,
	// §4.4).
	Act    *actor `json:"act,omitempty"`
	MayAct *party `json:"may_act,omitempty"`
	// Lineage are the tokens of which it was made by exchange, the first one
	// first: what ended them ended it.
	Lineage []gatehouse.Ancestor `json:"lineage,omitempty"`

	// keyID names the key that signed a token that was read, own are the
	// tenant's own claims in it, and user is whom its sub stands for.
	keyID string
	own   claims
	user  string
}

// idClaims are the claims of every ID token (OpenID Connect Core §2).
type idClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	Expiry    int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	AuthTime  int64    `json:"auth_time"`
	Nonce     string   `json:"nonce,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
	ATHash    string   `json:"at_hash,omitempty"`
	SessionID string   `json:"sid,omitempty"`
	MayAct    *party   `json:"may_act,omitempty"` // RFC 8693 §4.4
}

// tokenResponse is the successful answer of the token endpoint (RFC 6749
// §5.1, OpenID Connect Core §3.1.3.3).
type tokenResponse struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type,omitempty"` // RFC 8693 §2.2.1
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"`
	Scope           string `json:"scope,omitempty"`
	RefreshToken    string `json:"refresh_token,omitempty"`
	IDToken         string `json:"id_token,omitempty"`
}

// minted are tokens that exist but were not handed out.
type minted struct {
	response tokenResponse
	jti      string
	// until is when the access token expires.
	until time.Time
	// rowless says that nothing but the log tells of them.
	rowless bool
	// told is what the log tells of them beside what it tells of all.
	told []slog.Attr
}

type tenantStore interface {
	TenantRecord(ctx context.Context, tenant gatehouse.TenantID) (gatehouse.TenantRecord, bool, error)
}

// ticket is what a token is made for.
type ticket struct {
	resource gatehouse.Resource
	scope    oauth.Scope
	// grant is nil for a token without a user.
	grant *gatehouse.Grant
	// nonce goes into the ID token of the code's redemption, not into later
	// ones (OpenID Connect Core §12.2).
	nonce string
	// made is what a token is made of by exchange, nil for others.
	made *exchanged
}

// mayIssue decides whether this client, and the user behind the grant, may
// have a token now. Every grant, refresh and introspection asks it; where an
// act commits what is issued, standing is enough, because the act asks the rest
// of the rows themselves.
func (s *Server) mayIssue(ctx context.Context, tenant gatehouse.TenantID, client gatehouse.Client, grant *gatehouse.Grant) (bool, error) {
	if grant == nil {
		return !client.Disabled(), nil
	}
	if grant.Ended() || !s.standing(client, *grant) {
		return false, nil
	}
	user, found, err := s.Store.User(ctx, tenant, grant.Subject)
	return found && !user.Disabled(), err
}

// standing is the part of mayIssue that a grant's terms tell.
func (s *Server) standing(client gatehouse.Client, grant gatehouse.Grant) bool {
	return !client.Disabled() && grant.ClientID == client.ID && s.Store.Now().Before(grant.ExpiresAt)
}

// mint makes the access token of a ticket of a tenant that is served, and the ID token when the scope
// asks for one.
func (s *Server) mint(c *call, t ticket) (minted, error) {
	// The request may have been on its way for longer than it took to disable the tenant.
	tenant, _, err := s.Store.TenantRecord(c.Context(), c.tenant())
	if err != nil {
		return minted{}, err
	}
	if tenant.Disabled() {
		return minted{}, oauth.Refuse("tenant-disabled", oauth.UnauthorizedClient, "This issuer was switched off.")
	}
	now := s.Store.Now()
	m := minted{jti: rand.Text(), until: now.Add(s.accessLifetime(c, t.resource)), rowless: t.grant == nil || t.made != nil}
	if t.made != nil { // it never outlives what it is made of
		m.until = sooner(m.until, t.made.until)
	}
	access, err := s.accessToken(c, t, m, now)
	if err != nil {
		return minted{}, err
	}
	m.response = tokenResponse{
		AccessToken: access, TokenType: "Bearer", Scope: t.scope.String(),
		ExpiresIn: m.until.Unix() - now.Unix(),
	}
	if t.grant != nil && t.made == nil && t.scope.Has("openid") {
		m.response.IDToken, err = s.idToken(c, t, access, now)
	}
	return m, err
}

func (s *Server) accessLifetime(c *call, resource gatehouse.Resource) time.Duration {
	if resource.TokenLifetime > 0 {
		return resource.TokenLifetime.Std()
	}
	return c.Tenant.Settings.AccessTokenLifetime.Std()
}

func (s *Server) accessToken(c *call, t ticket, m minted, now time.Time) (string, error) {
	facts := accessClaims{
		Issuer: c.Tenant.Issuer, Subject: c.Client.ID, Audience: t.resource.Identifier,
		Expiry: m.until.Unix(), IssuedAt: now.Unix(), ID: m.jti, ClientID: c.Client.ID, Scope: t.scope.String(), MayAct: mayActFor(c.Client),
	}
	if t.made != nil {
		facts.Subject, facts.Act, facts.Lineage = t.made.subject, t.made.act, t.made.lineage
	}
	var own claims
	if t.grant != nil {
		subject, err := s.subjectFor(c.Context(), c.tenant(), c.Client, t.grant.Subject)
		if err != nil {
			return "", err
		}
		if own, err = s.own(c, t, gatehouse.ClaimInAccessToken); err != nil {
			return "", err
		}
		facts.Subject, facts.AuthTime, facts.ACR, facts.Handle = subject, t.grant.AuthTime.Unix(), t.grant.ACR, t.grant.Handle
	}
	payload, err := own.with(facts.assemble())
	if err != nil {
		return "", err
	}
	s.warnOfSize(c, "access token", payload, own)
	if t.resource.TokenFormat == gatehouse.FormatOpaque {
		sealed := s.Keys.SealRing(c.tenant(), "access token").Seal(payload, nil)
		encoded := make([]byte, 0, len(opaquePrefix)+base64.RawURLEncoding.EncodedLen(len(sealed)))
		return string(base64.RawURLEncoding.AppendEncode(append(encoded, opaquePrefix...), sealed)), nil
	}
	algorithm := defaultAccessAlg
	if t.resource.TokenSigningAlg != "" {
		algorithm = jose.Algorithm(t.resource.TokenSigningAlg)
	}
	return s.sign(c.tenant(), algorithm, "at+jwt", payload) // RFC 9068 §2.1
}

func idTokenAlg(client gatehouse.Client) jose.Algorithm {
	if client.IDTokenSignedResponseAlg != "" {
		return jose.Algorithm(client.IDTokenSignedResponseAlg)
	}
	return defaultIDTokenAlg
}

func (s *Server) idToken(c *call, t ticket, access string, now time.Time) (string, error) {
	algorithm := idTokenAlg(c.Client)
	subject, err := s.subjectFor(c.Context(), c.tenant(), c.Client, t.grant.Subject)
	if err != nil {
		return "", err
	}
	own, err := s.own(c, t, gatehouse.ClaimInIDToken)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(idClaims{
		Issuer: c.Tenant.Issuer, Subject: subject, Audience: c.Client.ID,
		Expiry: now.Add(c.Tenant.Settings.IDTokenLifetime.Std()).Unix(), IssuedAt: now.Unix(),
		AuthTime: t.grant.AuthTime.Unix(), Nonce: t.nonce, ACR: t.grant.ACR, AMR: t.grant.AMR,
		ATHash: accessTokenHash(algorithm, access), SessionID: t.grant.SessionID, MayAct: mayActFor(c.Client),
	})
	if err != nil {
		return "", err
	}
	if payload, err = own.with(payload); err != nil {
		return "", err
	}
	s.warnOfSize(c, "ID token", payload, own)
	return s.sign(c.tenant(), algorithm, "JWT", payload)
}

// logoutClaims are the claims of a logout token (OpenID Connect Back-Channel
// Logout §2.4). There is no nonce, so that none passes for an ID token.
type logoutClaims struct {
	Issuer    string              `json:"iss"`
	Subject   string              `json:"sub"`
	Audience  string              `json:"aud"`
	Expiry    int64               `json:"exp"`
	IssuedAt  int64               `json:"iat"`
	ID        string              `json:"jti"`
	Events    map[string]struct{} `json:"events"`
	SessionID string              `json:"sid"`
}

const (
	// logoutTokenLife is as long as a logout token is good: "at most two minutes"
	// (Back-Channel Logout §2.4).
	logoutTokenLife = 2 * time.Minute
	logoutEvent     = "http://schemas.openid.net/event/backchannel-logout"
)

// logoutToken makes the token that tells a client of the end of a session: by
// the sub and the sid of its ID tokens, signed as they are.
func (s *Server) logoutToken(ctx context.Context, tenant gatehouse.Tenant, client gatehouse.Client, notice gatehouse.LogoutNotice) (string, error) {
	subject, err := s.subjectFor(ctx, tenant.ID, client, notice.Subject)
	if err != nil {
		return "", err
	}
	now := s.Store.Now()
	payload, err := json.Marshal(logoutClaims{
		Issuer: tenant.Issuer, Subject: subject, Audience: client.ID, Expiry: now.Add(logoutTokenLife).Unix(), IssuedAt: now.Unix(),
		ID: rand.Text(), Events: map[string]struct{}{logoutEvent: {}}, SessionID: notice.ToldSID,
	})
	if err != nil {
		return "", err
	}
	return s.sign(tenant.ID, idTokenAlg(client), "logout+jwt", payload)
}

func (s *Server) sign(tenant gatehouse.TenantID, algorithm jose.Algorithm, typ string, payload []byte) (string, error) {
	signer, found := s.Keys.Signer(tenant, algorithm)
	if !found {
		return "", fmt.Errorf("tenant %s has no key that signs %s", tenant, algorithm)
	}
	return signer.Sign(typ, payload)
}

// accessTokenHash is the left half of the hash that the ID token's algorithm
// uses (OpenID Connect Core §3.1.3.6); SHA-512 for EdDSA with Ed25519.
func accessTokenHash(algorithm jose.Algorithm, access string) string {
	var h hash.Hash = sha256.New()
	if algorithm == jose.EdDSA {
		h = sha512.New()
	}
	h.Write([]byte(access))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
