package client

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of challenges.
const (
	MaxChallenges = 16

	maxChallengeBytes      = 8 << 10 // over all headers
	maxChallengeParameters = 32      // of one challenge
)

// Challenge is one of those that a 401 names (RFC 9110 §11.6.1).
type Challenge struct {
	Scheme string
	// Token68 is what stands there instead of parameters, usually nothing.
	Token68 string
	// Parameters have their names in lower case. The first of a name counts.
	Parameters map[string]string
}

// StepUp returns the login that a resource asks for when the one behind the token
// is too old or too weak (RFC 9470 §3).
func (c Challenge) StepUp() (asked AuthorizationRequest, is bool) {
	if !strings.EqualFold(c.Scheme, "Bearer") || c.Parameters["error"] != "insufficient_user_authentication" {
		return AuthorizationRequest{}, false
	}
	asked.ACRValues = strings.Fields(c.Parameters["acr_values"])
	asked.RequireACR = len(asked.ACRValues) > 0
	if seconds, err := strconv.ParseUint(c.Parameters["max_age"], 10, 31); err == nil {
		if asked.MaxAge = time.Duration(seconds) * time.Second; seconds == 0 {
			// A new sign-in, and one that the ID token proves.
			asked.Prompt, asked.MaxAge = "login", time.Second
		}
	}
	return asked, true
}

// ParseChallenges returns the challenges of all WWW-Authenticate headers, in
// order. What is malformed ends the reading of its header.
func ParseChallenges(header http.Header) []Challenge {
	var challenges []Challenge
	left := maxChallengeBytes
	for _, line := range header.Values("WWW-Authenticate") {
		if left -= len(line); left < 0 {
			break
		}
		p := challengeReader{rest: line}
		challenges = append(challenges, p.read()...)
	}
	if len(challenges) > MaxChallenges {
		challenges = challenges[:MaxChallenges:MaxChallenges]
	}
	return challenges
}

type challengeReader struct{ rest string }

// read is challenge = auth-scheme [ 1*SP ( token68 / #auth-param ) ], in a list
// whose commas also divide the parameters: what follows a comma is a parameter if
// an equals sign comes after its first word, and a new challenge if not.
func (p *challengeReader) read() []Challenge {
	var all []Challenge
	for len(all) < MaxChallenges {
		p.commas()
		scheme := p.token()
		if scheme == "" {
			return all
		}
		one := Challenge{Scheme: scheme, Parameters: map[string]string{}}
		spaced := p.spaces()
		if spaced {
			one.Token68 = p.token68()
		}
		sound := true
		for sound && one.Token68 == "" && spaced && len(one.Parameters) < maxChallengeParameters {
			before := p.rest
			p.commas()
			name, value, is := p.parameter()
			if !is {
				sound = value == "" // else it was one, and malformed
				p.rest = before
				break
			}
			if _, there := one.Parameters[name]; !there {
				one.Parameters[name] = value
			}
			p.spaces()
			if sound = p.rest == "" || p.rest[0] == ','; !sound {
				break
			}
		}
		all = append(all, one)
		p.spaces()
		if !sound || p.rest == "" || p.rest[0] != ',' {
			return all
		}
	}
	return all
}

func (p *challengeReader) spaces() bool {
	trimmed := strings.TrimLeft(p.rest, " \t")
	some := len(trimmed) < len(p.rest)
	p.rest = trimmed
	return some
}

func (p *challengeReader) commas() { p.rest = strings.TrimLeft(p.rest, " \t,") }

// token is 1*tchar (RFC 9110 §5.6.2), "" if there is none.
func (p *challengeReader) token() string {
	end := 0
	for end < len(p.rest) && tokenCharacter(p.rest[end]) {
		end++
	}
	text := p.rest[:end]
	p.rest = p.rest[end:]
	return text
}

func tokenCharacter(c byte) bool {
	return alphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// token68 is a text that the end or a comma follows; nothing is read if there is
// none (RFC 9110 §11.2).
func (p *challengeReader) token68() string {
	end := 0
	for end < len(p.rest) && (alphanumeric(p.rest[end]) || strings.IndexByte("-._~+/", p.rest[end]) >= 0) {
		end++
	}
	if end == 0 {
		return ""
	}
	for end < len(p.rest) && p.rest[end] == '=' {
		end++
	}
	if after := strings.TrimLeft(p.rest[end:], " \t"); after != "" && after[0] != ',' {
		return ""
	}
	text := p.rest[:end]
	p.rest = p.rest[end:]
	return text
}

// parameter is token BWS "=" BWS ( token / quoted-string ). A name without a value
// that can be read is no parameter, and the value tells that it was begun.
func (p *challengeReader) parameter() (name, value string, is bool) {
	name = strings.ToLower(p.token())
	p.spaces()
	if name == "" || p.rest == "" || p.rest[0] != '=' {
		return "", "", false
	}
	p.rest = p.rest[1:]
	p.spaces()
	if p.rest != "" && p.rest[0] == '"' {
		value, is = p.quoted()
	} else {
		value = p.token()
		is = value != ""
	}
	if !is {
		return "", "malformed", false
	}
	return name, value, true
}

// quoted is a quoted-string (RFC 9110 §5.6.4) without control characters.
func (p *challengeReader) quoted() (string, bool) {
	var text strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return text.String(), true
		case c == '\\' && i+1 < len(p.rest):
			i++
			text.WriteByte(p.rest[i])
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", false
		default:
			text.WriteByte(c)
		}
	}
	return "", false
}
