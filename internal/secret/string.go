package secret

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what a String prints as, everywhere and with every verb.
const Redacted = "[redacted]"

// String is a text that prints as "[redacted]" through fmt, slog, encoding/json and any other
// encoder that asks for text. Only Reveal gives the text. The zero value is the absent secret.
//
// Two Strings of the same text differ under ==; compare with Equal, which takes constant time.
type String struct {
	// A pointer, because fmt does not ask the methods of unexported fields: of a String inside
	// such a field it prints an address.
	text *string
}

// New makes a String of text; New("") is the zero value.
func New(text string) String {
	if text == "" {
		return String{}
	}
	return String{text: &text}
}

// Reveal returns the text itself.
func (s String) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero says that there is no secret.
func (s String) IsZero() bool { return s.text == nil }

// Equal compares the two texts in a time that does not depend on where they differ.
func (s String) Equal(other String) bool {
	return Equal(Hash(s.Reveal()), Hash(other.Reveal()))
}

func (s String) String() string { return Redacted }

func (s String) GoString() string { return Redacted }

// Format prints "[redacted]" for every verb and flag.
func (s String) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, Redacted) }

func (s String) LogValue() slog.Value { return slog.StringValue(Redacted) }

func (s String) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

func (s String) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// UnmarshalText takes the text as the secret. It refuses "[redacted]", which can only be the
// printed form of a secret that was lost.
func (s *String) UnmarshalText(text []byte) error {
	if string(text) == Redacted {
		return errors.New(`the value is the placeholder "` + Redacted + `" of a printed secret; write the secret itself`)
	}
	*s = New(string(text))
	return nil
}
