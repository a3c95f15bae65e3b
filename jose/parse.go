package jose

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Bounds of a compact JWS.
const (
	MaxTokenBytes  = 16 << 10 // unless a Limits says otherwise
	maxHeaderBytes = 2 << 10  // decoded
	maxTypeLength  = 64
	maxHeaderDepth = 4
	maxHeaderNames = 32
)

// Header is what a JWS says about itself. It is unverified.
type Header struct {
	Algorithm Algorithm
	KeyID     string // kid, "" when absent
	Type      string // typ, "" when absent
}

// Unverified is a JWS whose form is right and whose signature nobody has
// checked. Its content comes out of [Unverified.Verify].
type Unverified struct {
	Header Header

	signed    []byte
	payload   []byte
	signature []byte
}

// Parse reads a compact JWS strictly. limits.Bytes bounds raw before anything
// else is done with it; [MaxTokenBytes] is the default. It refuses: anything but
// three non-empty parts of unpadded base64url without stray bits or line ends; a
// header that is not a strict JSON object; an alg that is not of the house; the
// members crit and b64 (RFC 7515 §4.1.11, RFC 7797), zip and enc, and jwk, jku,
// x5c and x5u, which name a key that the sender chose (RFC 8725 §3.10); a kid
// that is not at most [MaxKeyIDLength] printable characters. Unknown members
// are ignored. Errors wrap [ErrMalformed] or [ErrAlgorithm].
func Parse(raw string, limits Limits) (Unverified, error) {
	if limits.Bytes == 0 {
		limits.Bytes = MaxTokenBytes
	}
	if len(raw) > limits.Bytes {
		return Unverified{}, fmt.Errorf("%w token: longer than %d bytes", ErrMalformed, limits.Bytes)
	}
	firstDot := strings.IndexByte(raw, '.')
	secondDot := firstDot + 1 + strings.IndexByte(raw[firstDot+1:], '.')
	if firstDot < 0 || secondDot <= firstDot || strings.IndexByte(raw[secondDot+1:], '.') >= 0 {
		return Unverified{}, fmt.Errorf("%w token: not three parts", ErrMalformed)
	}
	if strings.ContainsAny(raw, "\r\n") { // encoding/base64 skips these
		return Unverified{}, fmt.Errorf("%w token: not base64url", ErrMalformed)
	}
	// One buffer holds the text and, behind it, the three decoded parts.
	buffer := make([]byte, len(raw), 2*len(raw))
	copy(buffer, raw)
	u := Unverified{signed: buffer[:secondDot:secondDot]}
	var header []byte
	for _, part := range []struct {
		text    []byte
		decoded *[]byte
	}{
		{buffer[:firstDot], &header},
		{buffer[firstDot+1 : secondDot], &u.payload},
		{buffer[secondDot+1 : len(raw)], &u.signature},
	} {
		start := len(buffer)
		var err error
		if buffer, err = base64.RawURLEncoding.Strict().AppendDecode(buffer, part.text); err != nil || len(buffer) == start {
			return Unverified{}, fmt.Errorf("%w token: not base64url, or a part is empty", ErrMalformed)
		}
		*part.decoded = buffer[start:len(buffer):len(buffer)]
	}
	var err error
	u.Header, err = parseHeader(header)
	return u, err
}

func parseHeader(data []byte) (Header, error) {
	var header Header
	var hasAlgorithm bool
	s := scanner{
		data:   data,
		limits: Limits{Bytes: maxHeaderBytes, Depth: maxHeaderDepth, Members: maxHeaderNames},
		visit: func(name, value []byte) error {
			switch string(name) {
			case "alg":
				hasAlgorithm = true
				return headerText(value, maxTypeLength, (*string)(&header.Algorithm))
			case "kid":
				return headerText(value, MaxKeyIDLength, &header.KeyID)
			case "typ":
				return headerText(value, maxTypeLength, &header.Type)
			}
			return refuseMember(name)
		},
	}
	if err := s.document(nil); err != nil {
		return Header{}, err
	}
	if !hasAlgorithm || !header.Algorithm.Valid() {
		return Header{}, ErrAlgorithm // RFC 8725 §3.1, §3.2
	}
	return header, nil
}

// refusedMembers would change how the signature is checked, or with which key.
var refusedMembers = [...]string{"crit", "b64", "zip", "enc", "jwk", "jku", "x5c", "x5u"}

// casedMembers are read above; another spelling of them is an attempt to be
// read differently by two readers.
var casedMembers = [...]string{"alg", "kid", "typ"}

func refuseMember(name []byte) error {
	for _, refused := range refusedMembers {
		if strings.EqualFold(string(name), refused) {
			return fmt.Errorf("%w token: the header has the member %s", ErrMalformed, refused)
		}
	}
	for _, cased := range casedMembers {
		if strings.EqualFold(string(name), cased) {
			return fmt.Errorf("%w token: the header has another spelling of %s", ErrMalformed, cased)
		}
	}
	return nil
}

// headerText decodes a JSON string of 1 to limit printable ASCII characters.
func headerText(value []byte, limit int, out *string) error {
	if value[0] != '"' {
		return fmt.Errorf("%w token: a header member is not a string", ErrMalformed)
	}
	if bytes.IndexByte(value, '\\') < 0 {
		*out = string(value[1 : len(value)-1])
	} else if err := json.Unmarshal(value, out); err != nil {
		return fmt.Errorf("%w token: a header member is malformed", ErrMalformed)
	}
	if *out == "" || !printable(*out, limit) {
		return fmt.Errorf("%w token: a header member is empty, too long or not printable", ErrMalformed)
	}
	return nil
}

// UnverifiedPayload returns what the sender claims. It serves to choose whose
// keys to ask for, by iss, and nothing else: nothing here has been proved.
func (u Unverified) UnverifiedPayload() []byte { return u.payload }

func (u Unverified) String() string { return "jose.Unverified(" + string(u.Header.Algorithm) + ")" }

// Format keeps every verb of fmt from printing the token.
func (u Unverified) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, u.String()) }

// LogValue keeps the token out of structured logs.
func (u Unverified) LogValue() slog.Value { return slog.StringValue(u.String()) }
