package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// millis is how a time is stored; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// blob keeps an absent value from becoming NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func listText(list []string) string {
	if len(list) == 0 {
		return "[]"
	}
	text := []byte{'['}
	for i, item := range list {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendQuoted(text, item)
	}
	return string(append(text, ']'))
}

// appendQuoted appends a text as encoding/json writes it.
func appendQuoted(to []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(text) // strings always marshal
			return append(to, quoted...)
		}
	}
	return append(append(append(to, '"'), text...), '"')
}

func recordText(record any) (string, error) {
	text, err := json.Marshal(record)
	if err != nil {
		return "", fmt.Errorf("writing %T as JSON: %w", record, err)
	}
	return string(text), nil
}

// column scans one column into a field whose type database/sql does not know.
type column[T, S any] struct {
	into  *T
	parse func(S) (T, error)
}

func (c column[T, S]) Scan(src any) error {
	value, ok := src.(S)
	if !ok && src != nil { // SQLite's driver gives nil for an empty blob

		return fmt.Errorf("a column holds a %T", src)
	}
	var err error
	*c.into, err = c.parse(value)
	return err
}

// stamp scans stored milliseconds without the allocations of a column: most columns are times.
type stamp time.Time

func moment(into *time.Time) any { return (*stamp)(into) }

func (s *stamp) Scan(src any) error {
	stored, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a column of times holds a %T", src)
	}
	*s = stamp(timeOf(stored))
	return nil
}

// number scans an integer that is wider in the database than in memory.
func number[T ~int | ~uint32 | ~uint64](into *T) any {
	return column[T, int64]{into, func(n int64) (T, error) { return T(n), nil }}
}

// record scans JSON.
func record[T any](into *T) any {
	return column[T, string]{into, func(text string) (value T, err error) {
		if text == "[]" || text == "{}" {
			return value, nil // absent lists and records are nil
		}
		if err = json.Unmarshal([]byte(text), &value); err != nil {
			err = fmt.Errorf("a stored %T is not readable: %w", value, err)
		}
		return value, err
	}}
}

// octets scans bytes that may be absent; an empty value is nil.
func octets(into *[]byte) any {
	return column[[]byte, []byte]{into, func(stored []byte) ([]byte, error) {
		if len(stored) == 0 {
			return nil, nil
		}
		return bytes.Clone(stored), nil
	}}
}

// strangerText is the most that is kept of what a request says of itself.
const strangerText = 512

// clip makes text that a stranger chose, such as a User-Agent, fit to be stored.
func clip(text string) string {
	if len(text) > strangerText {
		text = text[:strangerText]
	}
	return cleaned(text)
}

// isStorable says whether both engines can store the text: PostgreSQL takes no NUL and no invalid
// UTF-8.
func isStorable(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

// cleaned is the text with a replacement character for what cannot be stored.
func cleaned(text string) string {
	if isStorable(text) {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// storable cleans texts among the arguments of a statement. What strangers choose and what must be
// kept exactly is refused long before; this keeps the rest from being a fault.
func storable(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = cleaned(text)
		}
	}
	return args
}
