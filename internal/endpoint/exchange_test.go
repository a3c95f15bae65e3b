package endpoint

import (
	"net/http"
	"strings"
	"testing"
)

func TestRequestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newRequestID()
		if len(id) != 16 || strings.Trim(id, requestIDAlphabet) != "" || seen[id] {
			t.Fatalf("%q, seen before: %v", id, seen[id])
		}
		seen[id] = true
	}
}

func TestHeadersThatShareMemoryGrowApart(t *testing.T) {
	header := http.Header{}
	setHeaders(header, "Vary", "Origin", "X-Request-Id", "one")
	header.Add("Vary", "Accept")
	if got := header.Values("Vary"); len(got) != 2 || got[0] != "Origin" || header.Get("X-Request-Id") != "one" {
		t.Errorf("%v", header)
	}
}

func TestNotesBeyondTheUsual(t *testing.T) {
	r := &begin(&http.Request{}).request
	for _, name := range []string{"a", "b", "c", "d"} {
		r.Note(name, name)
	}
	if len(r.notes) != 4 || r.notes[0].Key != "a" || r.notes[3].Key != "d" {
		t.Errorf("%v", r.notes)
	}
}
