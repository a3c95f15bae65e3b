package authserver

import (
	"bytes"
	"encoding/json"
	"strconv"

	"gatehouse"
)

// members assembles a JSON object by hand, octet for octet as encoding/json
// would write it. The names need no escaping.
type members struct{ out []byte }

// assembled begins an object of about size octets.
func assembled(size int) members { return members{append(make([]byte, 0, size), '{')} }

func (m *members) name(name string) {
	if len(m.out) > 1 {
		m.out = append(m.out, ',')
	}
	m.out = append(append(append(m.out, '"'), name...), '"', ':')
}

func (m *members) text(name, value string) {
	m.name(name)
	m.out = appendText(m.out, value)
}

// optionalText leaves an empty value out.
func (m *members) optionalText(name, value string) {
	if value != "" {
		m.text(name, value)
	}
}

func (m *members) number(name string, value int64) {
	m.name(name)
	m.out = strconv.AppendInt(m.out, value, 10)
}

// optionalNumber leaves 0 out.
func (m *members) optionalNumber(name string, value int64) {
	if value != 0 {
		m.number(name, value)
	}
}

// value writes what encoding/json makes of it.
func (m *members) value(name string, value any) {
	written, err := json.Marshal(value)
	if err != nil { // of structs of texts there is none
		panic("authserver: " + err.Error())
	}
	m.name(name)
	m.out = append(m.out, written...)
}

// provenance writes act, may_act and lineage where a token has them.
func (m *members) provenance(act *actor, mayAct *party, lineage []gatehouse.Ancestor) {
	if act != nil {
		m.value("act", act)
	}
	if mayAct != nil {
		m.value("may_act", mayAct)
	}
	if len(lineage) > 0 {
		m.value("lineage", lineage)
	}
}

func (m *members) end() []byte { return append(m.out, '}') }

// appendText appends a JSON string as encoding/json writes it.
func appendText(out []byte, text string) []byte {
	for i := range len(text) {
		switch c := text[i]; {
		case c < 0x20 || c >= 0x7f, c == '"', c == '\\', c == '<', c == '>', c == '&':
			escaped, err := json.Marshal(text)
			if err != nil { // of a string there is none
				panic("authserver: " + err.Error())
			}
			return append(out, escaped...)
		}
	}
	return append(append(append(out, '"'), text...), '"')
}

// claimsRoom is about how long the claims of an access token are, in octets.
const claimsRoom = 384

// assemble returns the claims as JSON.
func (c accessClaims) assemble() []byte {
	m := assembled(claimsRoom)
	m.text("iss", c.Issuer)
	m.text("sub", c.Subject)
	m.text("aud", c.Audience)
	m.number("exp", c.Expiry)
	m.number("iat", c.IssuedAt)
	m.text("jti", c.ID)
	m.text("client_id", c.ClientID)
	m.optionalText("scope", c.Scope)
	m.optionalNumber("auth_time", c.AuthTime)
	m.optionalText("acr", c.ACR)
	m.optionalText("gid", c.Handle)
	m.provenance(c.Act, c.MayAct, c.Lineage)
	return m.end()
}

// readAssembled reads claims as assemble wrote them. It says false when there
// is more, or something that only a JSON decoder can read.
func readAssembled(payload []byte) (c accessClaims, plain bool) {
	rest, begins := bytes.CutPrefix(payload, []byte{'{'})
	for begins {
		var name, value []byte
		if rest, begins = bytes.CutPrefix(rest, []byte{'"'}); !begins {
			break
		}
		if name, rest, begins = bytes.Cut(rest, []byte(`":`)); !begins || len(rest) == 0 {
			break
		}
		text, number := c.member(string(name))
		switch {
		case text != nil && rest[0] == '"':
			value, rest, begins = bytes.Cut(rest[1:], []byte{'"'})
			if !begins || bytes.IndexByte(value, '\\') >= 0 {
				return accessClaims{}, false
			}
			*text = string(value)
		case number != nil:
			end := bytes.IndexAny(rest, ",}")
			if end < 0 {
				return accessClaims{}, false
			}
			var err error
			if *number, err = strconv.ParseInt(string(rest[:end]), 10, 64); err != nil {
				return accessClaims{}, false
			}
			rest = rest[end:]
		default:
			return accessClaims{}, false
		}
		if len(rest) == 1 && rest[0] == '}' {
			return c, true
		}
		rest, begins = bytes.CutPrefix(rest, []byte{','})
	}
	return accessClaims{}, false
}

// member returns where the value of a claim goes, nil for one of the tenant's
// own.
func (c *accessClaims) member(name string) (text *string, number *int64) {
	switch name {
	case "iss":
		return &c.Issuer, nil
	case "sub":
		return &c.Subject, nil
	case "aud":
		return &c.Audience, nil
	case "exp":
		return nil, &c.Expiry
	case "iat":
		return nil, &c.IssuedAt
	case "jti":
		return &c.ID, nil
	case "client_id":
		return &c.ClientID, nil
	case "scope":
		return &c.Scope, nil
	case "auth_time":
		return nil, &c.AuthTime
	case "acr":
		return &c.ACR, nil
	case "gid":
		return &c.Handle, nil
	}
	return nil, nil
}

// assemble returns the response as JSON.
func (r tokenResponse) assemble() []byte {
	m := assembled(len(r.AccessToken) + len(r.RefreshToken) + len(r.IDToken) + claimsRoom)
	m.text("access_token", r.AccessToken)
	m.optionalText("issued_token_type", r.IssuedTokenType)
	m.text("token_type", r.TokenType)
	m.number("expires_in", r.ExpiresIn)
	m.optionalText("scope", r.Scope)
	m.optionalText("refresh_token", r.RefreshToken)
	m.optionalText("id_token", r.IDToken)
	return m.end()
}

// assemble returns the answer as JSON, with the tenant's own claims behind it.
func (i introspection) assemble() ([]byte, error) {
	m := assembled(claimsRoom)
	m.name("active")
	m.out = strconv.AppendBool(m.out, i.Active)
	m.optionalText("iss", i.Issuer)
	m.optionalText("sub", i.Subject)
	m.optionalText("aud", i.Audience)
	m.optionalText("client_id", i.ClientID)
	m.optionalText("username", i.Username)
	m.optionalText("scope", i.Scope)
	m.optionalText("token_type", i.TokenType)
	m.optionalNumber("exp", i.Expiry)
	m.optionalNumber("iat", i.IssuedAt)
	m.optionalText("jti", i.ID)
	m.optionalNumber("auth_time", i.AuthTime)
	m.optionalText("acr", i.ACR)
	m.optionalText("gid", i.Handle)
	m.provenance(i.Act, i.MayAct, i.Lineage)
	return i.own.with(m.end())
}
