package resource

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"gatehouse/jose"
)

// Claim is one that a token must have.
type Claim struct {
	// Name of the claim; one that begins with a slash is the way to a member inside of
	// one: /realm_access/roles (RFC 6901).
	Name string
	// Values of which the claim must be one, or have one if it is a list. Numbers and
	// booleans are compared as JSON writes them. None means any that is not null.
	Values []string
}

// maxClaimDepth bounds the way to a claim's member.
const maxClaimDepth = 8

func (c Claim) check() error {
	if c.Name == "" || c.Name == "/" || strings.Count(c.Name, "/") > maxClaimDepth && c.Name[0] == '/' {
		return errors.New("a claim has no name, or one of too many parts")
	}
	return nil
}

// fulfilled says whether the token has the claim.
func (c Claim) fulfilled(access *Access) bool {
	value, has := c.find(access)
	if !has || string(value) == "null" {
		return false
	}
	if len(c.Values) == 0 {
		return true
	}
	if value[0] != '[' {
		return c.is(value)
	}
	var elements []json.RawMessage
	return json.Unmarshal(value, &elements) == nil && slices.ContainsFunc(elements, c.is)
}

// is says whether a text, number or boolean is one of the values.
func (c Claim) is(value json.RawMessage) bool {
	switch value[0] {
	case '"':
		var text string
		return json.Unmarshal(value, &text) == nil && slices.Contains(c.Values, text)
	case '{', '[', 'n':
		return false
	}
	return slices.Contains(c.Values, string(value))
}

// pointer undoes the escapes of RFC 6901 §4.
var pointer = strings.NewReplacer("~1", "/", "~0", "~")

// find returns the claim's JSON.
func (c Claim) find(access *Access) (json.RawMessage, bool) {
	inside, isPath := strings.CutPrefix(c.Name, "/")
	if !isPath {
		value, has := access.Claims.Raw[c.Name]
		return value, has
	}
	members := access.Claims.Raw
	for {
		name, rest, more := strings.Cut(inside, "/")
		value, has := members[pointer.Replace(name)]
		if !more || !has {
			return value, has
		}
		var err error
		if members, err = jose.StrictMembers(value); err != nil {
			return nil, false
		}
		inside = rest
	}
}
