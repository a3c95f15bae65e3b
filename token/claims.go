package token

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"gatehouse/jose"
)

// Bounds of claims.
const (
	MaxNumericDate = 253402300799 // the last second of the year 9999
	MaxAudiences   = 64
)

// Claims are those of a token that was checked. A claim that is absent is the
// zero value; Raw tells absent from empty.
type Claims struct {
	Issuer      string
	Subject     string
	Audience    []string
	Expiry      time.Time
	IssuedAt    time.Time
	NotBefore   time.Time
	ID          string // jti
	ClientID    string
	Scope       string // space-delimited, as it stands
	AuthTime    time.Time
	ACR         string
	SessionID   string // sid
	GrantHandle string // gid
	Nonce       string
	AZP         string

	// KeyID names the key whose signature verified, Algorithm is the key's.
	KeyID     string
	Algorithm jose.Algorithm

	// Raw holds every claim by its name, as JSON.
	Raw map[string]json.RawMessage

	payload []byte
}

// Has says whether the token has the claim, even as null.
func (c Claims) Has(name string) bool {
	_, has := c.Raw[name]
	return has
}

// Decode decodes the whole claims set into v, strictly ([jose.DecodeStrict]).
func (c Claims) Decode(v any) error { return jose.DecodeStrict(c.payload, v) }

func readClaims(payload []byte) (Claims, error) {
	members, err := jose.StrictMembers(payload)
	c := Claims{Raw: members, payload: payload}
	if err != nil {
		return Claims{}, &Error{Reason: Malformed, Detail: "the claims are not a strict JSON object", Cause: err}
	}
	for name, value := range c.Raw {
		var ok bool
		switch name {
		case "iss":
			c.Issuer, ok = readText(value)
		case "sub":
			c.Subject, ok = readText(value)
		case "aud":
			c.Audience, ok = readAudience(value)
		case "exp":
			c.Expiry, ok = readTime(value)
		case "iat":
			c.IssuedAt, ok = readTime(value)
		case "nbf":
			c.NotBefore, ok = readTime(value)
		case "auth_time":
			c.AuthTime, ok = readTime(value)
		case "jti":
			c.ID, ok = readText(value)
		case "client_id":
			c.ClientID, ok = readText(value)
		case "scope":
			c.Scope, ok = readText(value)
		case "acr":
			c.ACR, ok = readText(value)
		case "sid":
			c.SessionID, ok = readText(value)
		case "gid":
			c.GrantHandle, ok = readText(value)
		case "nonce":
			c.Nonce, ok = readText(value)
		case "azp":
			c.AZP, ok = readText(value)
		default:
			ok = true // RFC 7519 §4: claims that are not understood are ignored
		}
		if !ok {
			return Claims{}, refuse(BadClaim, "a claim has the wrong type or is out of range")
		}
	}
	return c, nil
}

func readText(value json.RawMessage) (string, bool) {
	if value[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	var text string
	err := json.Unmarshal(value, &text)
	return text, err == nil
}

// readAudience takes a string or an array of strings (RFC 7519 §4.1.3).
func readAudience(value json.RawMessage) ([]string, bool) {
	if one, ok := readText(value); ok {
		return []string{one}, true
	}
	var elements []json.RawMessage
	if value[0] != '[' || json.Unmarshal(value, &elements) != nil || len(elements) > MaxAudiences {
		return nil, false
	}
	audience := make([]string, 0, len(elements))
	for _, element := range elements {
		one, ok := readText(element)
		if !ok {
			return nil, false
		}
		audience = append(audience, one)
	}
	return audience, true
}

// readTime takes a NumericDate (RFC 7519 §2): a number of seconds, whose
// fraction is dropped.
func readTime(value json.RawMessage) (time.Time, bool) {
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > MaxNumericDate {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}
