package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/internal/proxy"
	"gatehouse/internal/recent"
	"gatehouse/jose"
	"gatehouse/resource"
)

// TypeIdentity is the typ of identity JWTs: no other token is one, and one is no other.
const TypeIdentity = "identity+jwt"

// maxSigned bounds how many identity JWTs are remembered.
const maxSigned = 4096

// standardHeaders are identity headers behind the prefix.
var standardHeaders = []string{"Issuer", "Subject", "Client-Id", "Scope", "Jti", "Expires"}

// newFilter makes the filter of requests: nothing that begins with the prefix passes.
func newFilter(i Identity) (*proxy.Filter, error) {
	return proxy.NewFilter(func(string) bool { return false }, i.HeaderPrefix+"*", i.JWTHeader)
}

// identity tells upstreams who asks.
type identity struct {
	Identity
	// names of headers in the order of standardHeaders.
	names  [6]string
	header string // of the JWT
	claims map[string]string
	signed *recent.Map[signedFor, signed]
	jwks   []byte
}

// signedFor is the token and the upstream that a JWT is for.
type signedFor struct {
	token    digest
	audience string
}

type signed struct {
	jwt    string
	expiry time.Time
}

// digest names a token in memory, which then holds no token that works.
type digest [sha256.Size]byte

func digestOf(raw string) digest { return sha256.Sum256([]byte(raw)) }

func newIdentity(config Identity) (*identity, error) {
	i := &identity{Identity: config, claims: map[string]string{}, signed: recent.New[signedFor, signed](maxSigned)}
	for at, name := range standardHeaders {
		i.names[at] = textproto.CanonicalMIMEHeaderKey(config.HeaderPrefix + name)
	}
	i.header = textproto.CanonicalMIMEHeaderKey(config.JWTHeader)
	for name, claim := range config.Claims {
		i.claims[textproto.CanonicalMIMEHeaderKey(config.HeaderPrefix+name)] = claim
	}
	var set jose.KeySet
	for _, key := range config.Keys {
		set.Keys = append(set.Keys, key.Public())
	}
	var err error
	if i.jwks, err = json.Marshal(set); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return i, nil
}

// tell sets the identity headers.
func (i *identity) tell(h http.Header, access *resource.Access) {
	values := [6]string{access.Issuer, access.Claims.Subject, access.ClientID, access.Scope.String(), access.JTI}
	if !access.Expiry.IsZero() {
		values[5] = strconv.FormatInt(access.Expiry.Unix(), 10)
	}
	for at, value := range values {
		if value != "" {
			h[i.names[at]] = []string{fieldValue(value)}
		}
	}
	for name, claim := range i.claims {
		if value, has := claimText(access.Claims.Raw[claim]); has {
			h[name] = []string{fieldValue(value)}
		}
	}
}

// claimText is a claim as a header tells it.
func claimText(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 {
		return "", false
	}
	switch raw[0] {
	case '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err == nil
	case '[':
		var texts []string
		if json.Unmarshal(raw, &texts) != nil || slices.ContainsFunc(texts, func(one string) bool { return strings.ContainsRune(one, ' ') }) {
			return "", false // two lists must not read the same
		}
		return strings.Join(texts, " "), true
	case '{', 'n':
		return "", false
	}
	return string(raw), true // a number or a boolean
}

// fieldValue is a text as a header can carry it (RFC 9110 §5.5), such that two texts
// never read the same.
func fieldValue(text string) string {
	plain := !strings.HasPrefix(text, " ") && !strings.HasSuffix(text, " ")
	for at := 0; plain && at < len(text); at++ {
		plain = ' ' <= text[at] && text[at] <= '~' && text[at] != '%'
	}
	if plain {
		return text
	}
	var b strings.Builder
	for at := range len(text) {
		c := text[at]
		if c < ' ' || c > '~' || c == '%' || c == ' ' && (at == 0 || at == len(text)-1) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// identityClaims are those of an identity JWT (docs/gateway.md).
type identityClaims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	Subject  string `json:"sub,omitempty"`
	IssuedAt int64  `json:"iat"`
	Expiry   int64  `json:"exp"`
	ID       string `json:"jti"`
	ClientID string `json:"client_id,omitempty"`
	Scope    string `json:"scope,omitempty"`
	ACR      string `json:"acr,omitempty"`
	AuthTime int64  `json:"auth_time,omitempty"`
	// TokenIssuer and TokenID are iss and jti of the access token.
	TokenIssuer string          `json:"token_iss"`
	TokenID     string          `json:"token_jti,omitempty"`
	Actor       json.RawMessage `json:"act,omitempty"`
}

// jwt is the identity JWT for an upstream. One that has half of its life before it serves
// again for the same token.
func (i *identity) jwt(access *resource.Access, token digest, audience string) (string, error) {
	now, key := time.Now(), signedFor{token, audience}
	if known, found := i.signed.Get(key); found && now.Add(i.JWTLife/2).Before(known.expiry) {
		return known.jwt, nil
	}
	expiry := now.Add(i.JWTLife)
	if !access.Expiry.IsZero() && access.Expiry.Before(expiry) {
		expiry = access.Expiry
	}
	claims := identityClaims{
		Issuer: i.Issuer, Audience: audience, Subject: access.Claims.Subject, IssuedAt: now.Unix(), Expiry: expiry.Unix(), ID: rand.Text(),
		ClientID: access.ClientID, Scope: access.Scope.String(), ACR: access.Claims.ACR, TokenIssuer: access.Issuer, TokenID: access.JTI, Actor: access.Claims.Raw["act"],
	}
	if !access.Claims.AuthTime.IsZero() {
		claims.AuthTime = access.Claims.AuthTime.Unix()
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	jwt, err := i.Keys[0].Sign(TypeIdentity, payload)
	if err == nil {
		i.signed.Put(key, signed{jwt, expiry})
	}
	return jwt, err
}
