package jose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"unicode/utf8"
)

// Bounds of strict JSON, unless a [Limits] says otherwise.
const (
	MaxJSONBytes     = 64 << 10
	MaxJSONDepth     = 16
	MaxJSONMembers   = 512 // over all objects of the document
	MaxObjectMembers = 256 // of one object
	MaxNumberLength  = 32  // characters
)

// Limits bounds a document. A zero member stands for the package's default.
type Limits struct {
	Bytes   int
	Depth   int
	Members int
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = MaxJSONBytes
	}
	if l.Depth == 0 {
		l.Depth = MaxJSONDepth
	}
	if l.Members == 0 {
		l.Members = MaxJSONMembers
	}
	return l
}

// StrictObject says why data is not one strict JSON object within the limits,
// or nil. Strict means: valid UTF-8 without unpaired surrogates, exactly one
// value, no two members of one object whose names are equal or differ only in
// case, at any depth, and no number that a float64 cannot hold. Errors wrap
// [ErrMalformed] and name the offset, never the content.
func StrictObject(data []byte, limits Limits) error {
	s := scanner{data: data, limits: limits.withDefaults()}
	return s.document(nil)
}

// DecodeStrict decodes a strict JSON object into v by encoding/json, within the
// default limits. A member that differs from one of v's only in case is refused,
// where encoding/json would take it. Unknown members are ignored. The error
// wraps [ErrMalformed].
func DecodeStrict(data []byte, v any) error {
	return Limits{}.Decode(data, v)
}

// Decode is [DecodeStrict] within limits of the caller's.
func (l Limits) Decode(data []byte, v any) error {
	s := scanner{data: data, limits: l.withDefaults()}
	if err := s.document(reflect.TypeOf(v)); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		if mismatch, ok := err.(*json.UnmarshalTypeError); ok {
			return fmt.Errorf("%w JSON at offset %d: a value has the wrong type", ErrMalformed, mismatch.Offset)
		}
		return fmt.Errorf("%w JSON: a value has the wrong form", ErrMalformed)
	}
	return nil
}

// StrictMembers returns the members of a strict JSON object by their names,
// within the default limits, each value as it stands: slices of data, which
// must not be changed. The error wraps [ErrMalformed].
func StrictMembers(data []byte) (map[string]json.RawMessage, error) {
	const usualMembers = 12
	members := make(map[string]json.RawMessage, usualMembers)
	s := scanner{data: data, limits: Limits{}.withDefaults(), visit: func(name, value []byte) error {
		members[string(name)] = value[:len(value):len(value)]
		return nil
	}}
	if err := s.document(nil); err != nil {
		return nil, err
	}
	return members, nil
}

type scanner struct {
	data    []byte
	at      int
	limits  Limits
	members int
	// names of the members of all open objects, the innermost object's last.
	names [][]byte
	// visit, if set, receives the members of the outermost object in order.
	visit func(name, value []byte) error
}

func (s *scanner) fault(what string) error {
	return fmt.Errorf("%w JSON at offset %d: %s", ErrMalformed, s.at, what)
}

// document scans one object and the end. target is the Go type it will be
// decoded into, or nil.
func (s *scanner) document(target reflect.Type) error {
	if len(s.data) > s.limits.Bytes {
		return fmt.Errorf("%w JSON: longer than %d bytes", ErrMalformed, s.limits.Bytes)
	}
	if !utf8.Valid(s.data) {
		return fmt.Errorf("%w JSON: not UTF-8", ErrMalformed)
	}
	s.space()
	if s.peek() != '{' {
		return s.fault("an object is expected")
	}
	const usualMembers = 16
	s.names = make([][]byte, 0, usualMembers)
	if err := s.object(1, target); err != nil {
		return err
	}
	s.space()
	if s.at != len(s.data) {
		return s.fault("something follows the object")
	}
	return nil
}

func (s *scanner) peek() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) value(depth int, target reflect.Type) error {
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth+1, target)
	case c == '[':
		return s.array(depth+1, target)
	case c == '"':
		_, _, err := s.text()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.data[s.at:], []byte(word)) {
			s.at += len(word)
			return nil
		}
	}
	return s.fault("a value is expected")
}

func (s *scanner) object(depth int, target reflect.Type) error {
	if depth > s.limits.Depth {
		return s.fault("nested too deep")
	}
	shape := shapeOf(target)
	first := len(s.names)
	s.at++ // {
	s.space()
	if s.peek() == '}' {
		s.at++
		return nil
	}
	for {
		name, err := s.name(first)
		if err != nil {
			return err
		}
		member, err := shape.member(name)
		if err != nil {
			return s.fault(err.Error())
		}
		s.space()
		start := s.at
		if err := s.value(depth, member); err != nil {
			return err
		}
		if depth == 1 && s.visit != nil {
			if err := s.visit(name, s.data[start:s.at]); err != nil {
				return err
			}
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
			s.space()
		case '}':
			s.at++
			s.names = s.names[:first]
			return nil
		default:
			return s.fault("a comma or the end of the object is expected")
		}
	}
}

// name scans a member's name and the colon; first is the index in s.names of
// the object's first name.
func (s *scanner) name(first int) ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.fault("a member name is expected")
	}
	start := s.at
	name, escaped, err := s.text()
	if err != nil {
		return nil, err
	}
	if escaped {
		var decoded string
		if err := json.Unmarshal(s.data[start:s.at], &decoded); err != nil {
			return nil, s.fault("a member name is malformed")
		}
		name = []byte(decoded)
	}
	if s.members++; s.members > s.limits.Members || len(s.names)-first >= MaxObjectMembers {
		return nil, s.fault("too many members")
	}
	for _, other := range s.names[first:] {
		if bytes.EqualFold(other, name) {
			return nil, s.fault("a member is repeated or differs from another only in case")
		}
	}
	s.names = append(s.names, name)
	s.space()
	if s.peek() != ':' {
		return nil, s.fault("a colon is expected")
	}
	s.at++
	return name, nil
}

func (s *scanner) array(depth int, target reflect.Type) error {
	if depth > s.limits.Depth {
		return s.fault("nested too deep")
	}
	element := elementOf(target)
	s.at++ // [
	s.space()
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for {
		if err := s.value(depth, element); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
			s.space()
		case ']':
			s.at++
			return nil
		default:
			return s.fault("a comma or the end of the array is expected")
		}
	}
}

// text scans a string and returns what stands between the quotes, and whether
// it has escapes.
func (s *scanner) text() (raw []byte, escaped bool, err error) {
	s.at++ // the quote
	start := s.at
	for s.at < len(s.data) {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return s.data[start : s.at-1], escaped, nil
		case c < 0x20:
			return nil, false, s.fault("a control character stands in a string")
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		default:
			s.at++
		}
	}
	return nil, false, s.fault("a string does not end")
}

func (s *scanner) escape() error {
	s.at++ // the backslash
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at++
		return nil
	case 'u':
	default:
		return s.fault("an escape is unknown")
	}
	unit, ok := s.hex()
	if !ok {
		return s.fault("an escape is malformed")
	}
	if unit < 0xd800 || unit > 0xdfff {
		return nil
	}
	// RFC 7493 §2.1: no unpaired surrogates, which decoders replace silently.
	if unit >= 0xdc00 || s.peek() != '\\' {
		return s.fault("a surrogate is unpaired")
	}
	s.at++
	if low, ok := s.hex(); !ok || low < 0xdc00 || low > 0xdfff {
		return s.fault("a surrogate is unpaired")
	}
	return nil
}

// hex scans "uXXXX".
func (s *scanner) hex() (uint64, bool) {
	const length = len("uXXXX")
	if s.peek() != 'u' || len(s.data)-s.at < length {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(s.data[s.at+1:s.at+length]), 16, 16)
	s.at += length
	return unit, err == nil
}

func (s *scanner) number() error {
	start := s.at
	if s.peek() == '-' {
		s.at++
	}
	leading := s.peek()
	if whole := s.digits(); whole == 0 || whole > 1 && leading == '0' {
		return s.fault("a number is malformed")
	}
	exact := true
	if s.peek() == '.' {
		s.at++
		if s.digits() == 0 {
			return s.fault("a number is malformed")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		exact = false
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if s.digits() == 0 {
			return s.fault("a number is malformed")
		}
	}
	if s.at-start > MaxNumberLength {
		return s.fault("a number is too long")
	}
	if exact {
		return nil
	}
	if f, err := strconv.ParseFloat(string(s.data[start:s.at]), 64); err != nil || math.IsInf(f, 0) {
		return s.fault("a number is too large")
	}
	return nil
}

func (s *scanner) digits() int {
	start := s.at
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.at++
	}
	return s.at - start
}
