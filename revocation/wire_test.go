package revocation

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

// written are messages as a server writes them.
func written(t testing.TB, messages ...Message) string {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out)
	for _, m := range messages {
		var err error
		switch {
		case m.Beginning != nil:
			err = w.Begin(*m.Beginning)
		case m.Entry != nil:
			err = w.Entry(*m.Entry)
		default:
			err = w.Mark(*m.Mark)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func usual() []Message {
	at := time.Unix(1764504000, 0)
	return []Message{
		{Beginning: &Beginning{Issuer: "https://as.test", Snapshot: true}},
		{Entry: &Entry{Claim: GrantHandle, Value: "gid-1", Expiry: at.Add(time.Hour)}},
		{Entry: &Entry{Claim: Subject, Value: "a\"\\<ü\n", IssuedUntil: at, Expiry: at.Add(time.Hour)}},
		{Mark: &Mark{At: at, Cursor: "c1"}},
		{Entry: &Entry{Claim: Issuer, Value: "https://as.test", IssuedUntil: time.Unix(0, 0), Expiry: at.Add(time.Hour)}},
		{Mark: &Mark{At: at.Add(time.Second), Cursor: "c2"}},
	}
}

const usualText = `{"n":1,"feed":1,"iss":"https://as.test","snapshot":true}
{"n":2,"claim":"gid","value":"gid-1","exp":1764507600}
{"n":3,"claim":"sub","value":"a\"\\\u003cü\n","iat":1764504000,"exp":1764507600}
{"n":4,"at":1764504000,"cursor":"c1"}
{"n":5,"claim":"iss","value":"https://as.test","iat":0,"exp":1764507600}
{"n":6,"at":1764504001,"cursor":"c2"}
`

func TestWireForm(t *testing.T) {
	if got := written(t, usual()...); got != usualText {
		t.Errorf("written\n%s want\n%s", got, usualText)
	}
	r := NewReader(strings.NewReader(usualText))
	for _, want := range usual() {
		got, err := r.Next()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("read %+v %v, want %+v", got, err, want)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	w := NewWriter(io.Discard)
	if err := w.Entry(Entry{Claim: TokenID, Value: strings.Repeat("x", MaxLine)}); err == nil {
		t.Error("a line that no reader takes was written")
	}
}

// read reads to the end.
func read(text string) (messages []Message, err error) {
	for r := NewReader(strings.NewReader(text)); ; {
		m, err := r.Next()
		if err != nil {
			return messages, err
		}
		messages = append(messages, m)
	}
}

func TestWhatCannotBeReliedOn(t *testing.T) {
	const begin = `{"n":1,"feed":1,"iss":"https://as.test","snapshot":true}` + "\n"
	lines := strings.SplitAfter(usualText, "\n")
	for name, text := range map[string]string{
		"no beginning":            strings.Join(lines[1:], ""),
		"a message is missing":    lines[0] + lines[2],
		"a message came twice":    lines[0] + lines[1] + lines[1],
		"out of order":            lines[0] + lines[2] + lines[1],
		"a second beginning":      begin + `{"n":2,"feed":1,"iss":"https://as.test"}` + "\n",
		"another version":         `{"n":1,"feed":2,"iss":"https://as.test"}` + "\n",
		"an unknown claim":        begin + `{"n":2,"claim":"cnf","value":"x","exp":1}` + "\n",
		"an unknown kind":         begin + `{"n":2,"event":"x"}` + "\n",
		"two kinds at once":       begin + `{"n":2,"claim":"gid","value":"x","exp":1,"at":1,"cursor":"c"}` + "\n",
		"no value":                begin + `{"n":2,"claim":"gid","exp":1}` + "\n",
		"no exp":                  begin + `{"n":2,"claim":"gid","value":"x"}` + "\n",
		"exp is negative":         begin + `{"n":2,"claim":"gid","value":"x","exp":-1}` + "\n",
		"exp is huge":             begin + `{"n":2,"claim":"gid","value":"x","exp":253402300800}` + "\n",
		"exp is a fraction":       begin + `{"n":2,"claim":"gid","value":"x","exp":1.5}` + "\n",
		"iat is text":             begin + `{"n":2,"claim":"gid","value":"x","exp":1,"iat":"1"}` + "\n",
		"a mark without cursor":   begin + `{"n":2,"at":1}` + "\n",
		"a mark with a long one":  begin + `{"n":2,"at":1,"cursor":"` + strings.Repeat("c", MaxCursor+1) + `"}` + "\n",
		"a mark before all times": begin + `{"n":2,"at":-1,"cursor":"c"}` + "\n",
		"a repeated member":       begin + `{"n":2,"claim":"gid","claim":"jti","value":"x","exp":1}` + "\n",
		"a member in capitals":    begin + `{"n":2,"Claim":"gid","value":"x","exp":1}` + "\n",
		"not JSON":                begin + "<html>\n",
		"an empty line":           begin + "\n",
		"two objects in a line":   begin + `{"n":2,"at":1,"cursor":"c"}{"n":3,"at":1,"cursor":"c"}` + "\n",
		"a long line":             begin + `{"n":2,"claim":"gid","value":"` + strings.Repeat("x", MaxLine) + `","exp":1}` + "\n",
		"a line without end":      strings.Repeat("x", 1<<20),
	} {
		messages, err := read(text)
		if !errors.Is(err, ErrFormat) || len(messages) > 2 {
			t.Errorf("%s: %d messages, then %v", name, len(messages), err)
		}
	}
	for cut := 1; cut < len(usualText); cut++ {
		_, err := read(usualText[:cut])
		want := io.ErrUnexpectedEOF
		if usualText[cut-1] == '\n' {
			want = io.EOF
		}
		if err != want {
			t.Fatalf("cut after %d bytes: %v, want %v", cut, err, want)
		}
	}
	if _, err := read(strings.Replace(usualText, `"exp"`, `"why":{"x":[1]},"exp"`, 1)); err != io.EOF {
		t.Errorf("a member that is not known: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(usualText))
	f.Add([]byte(`{"n":1,"feed":1,"iss":"","snapshot":false}` + "\n" + `{"n":2,"claim":"kid","value":"k","exp":0}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		messages, err := read(string(data))
		if err == nil {
			t.Fatal("no end")
		}
		if len(messages) == 0 || len(data) > MaxLine/len(`\u0000`) { // a line may become longer when it is written
			return
		}
		again, err := read(written(t, messages...))
		if err != io.EOF || !reflect.DeepEqual(again, messages) {
			t.Fatalf("read %+v, written and read again %+v (%v)", messages, again, err)
		}
	})
}
