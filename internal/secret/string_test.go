package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"gatehouse/internal/secret"
)

const hidden = "hunter2hunter2"

func TestStringNeverPrints(t *testing.T) {
	type exported struct{ Secret secret.String }
	type unexported struct{ secret secret.String }
	s := secret.New(hidden)
	values := map[string]any{
		"value": s, "pointer": &s, "slice": []secret.String{s}, "map": map[string]secret.String{"k": s},
		"exported field": exported{s}, "pointer to struct": &exported{s},
		"unexported field": unexported{s}, "pointer to unexported field": &unexported{s},
		"error": fmt.Errorf("refused %v: %w", s, errors.New("why")),
	}
	for name, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "%p"} {
			if got := fmt.Sprintf(verb, value); leaks(got) {
				t.Errorf("%s with %s: %s", name, verb, got)
			}
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Errorf("%s as JSON: %v", name, err)
		}
		if leaks(string(encoded)) {
			t.Errorf("%s as JSON: %s", name, encoded)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "a", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "a", value)
		if leaks(log.String()) {
			t.Errorf("%s in the log: %s", name, log.String())
		}
	}
	if got := fmt.Sprintf("%v %s %#v", s, s, s); got != "[redacted] [redacted] [redacted]" {
		t.Errorf("a String prints as %q", got)
	}
	if got, _ := json.Marshal(exported{s}); string(got) != `{"Secret":"[redacted]"}` {
		t.Errorf("a String in JSON is %s", got)
	}
	if s.Reveal() != hidden {
		t.Errorf("Reveal gave %q", s.Reveal())
	}
}

func leaks(text string) bool {
	hex := fmt.Sprintf("%x", hidden)
	return strings.Contains(text, hidden) || strings.Contains(strings.ToLower(text), hex) || strings.Contains(text, "104 117 110")
}

func TestStringZeroAndEqual(t *testing.T) {
	var zero secret.String
	if !zero.IsZero() || !secret.New("").IsZero() || secret.New("x").IsZero() {
		t.Error("only the empty secret is zero")
	}
	if zero.Reveal() != "" {
		t.Error("the zero secret reveals something")
	}
	if !secret.New("a").Equal(secret.New("a")) || secret.New("a").Equal(secret.New("b")) || secret.New("a").Equal(zero) {
		t.Error("Equal compares the texts")
	}
}

func TestStringUnmarshal(t *testing.T) {
	var document struct{ Secret secret.String }
	if err := json.Unmarshal([]byte(`{"Secret":"a b"}`), &document); err != nil || document.Secret.Reveal() != "a b" {
		t.Errorf("got %q, %v", document.Secret.Reveal(), err)
	}
	if err := json.Unmarshal([]byte(`{"Secret":"[redacted]"}`), &document); err == nil {
		t.Error("a printed placeholder was taken for a secret")
	}
}

func TestRandom(t *testing.T) {
	shape := regexp.MustCompile(`^[A-Za-z0-9]{43}$`)
	seen, letters := map[string]bool{}, map[rune]int{}
	const rounds = 5000
	for range rounds {
		text := secret.Random().Reveal()
		if !shape.MatchString(text) {
			t.Fatalf("%q", text)
		}
		if seen[text] {
			t.Fatalf("%q came twice", text)
		}
		seen[text] = true
		for _, c := range text {
			letters[c]++
		}
	}
	const mean = rounds * 43 / 62 // about 3468, standard deviation about 58
	for c, count := range letters {
		if count < mean-450 || count > mean+450 {
			t.Errorf("%q came %d times, not about %d", c, count, mean)
		}
	}
	if len(letters) != 62 {
		t.Errorf("%d different letters", len(letters))
	}
}

func TestHashAndEqual(t *testing.T) {
	// FIPS 180-2, appendix B.1.
	if got := fmt.Sprintf("%x", secret.Hash("abc")); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("SHA-256 of abc is %s", got)
	}
	if !secret.Equal(secret.Hash("a"), secret.Hash("a")) || secret.Equal(secret.Hash("a"), secret.Hash("b")) || secret.Equal([]byte("a"), []byte("ab")) {
		t.Error("Equal is wrong")
	}
}
