package endpoint

import (
	"net/http"
	"net/http/httptest"
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

func TestAnswersThatShareValuesGrowApart(t *testing.T) {
	mux, err := NewMux(Config{Rows: []Row{{
		Name: "document", Path: "/document", Methods: []string{http.MethodGet}, CORS: AnyOrigin, Process: true, Errors: JSONErrors,
		Serve: func(w http.ResponseWriter, r *Request) error {
			if r.URL.RawQuery != "" {
				w.Header().Add("X-Content-Type-Options", "else")
				w.Header().Set("Access-Control-Allow-Origin", "https://app.example")
			}
			return nil
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(target string) http.Header {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		return w.Header()
	}
	changed, plain := ask("/document?changed"), ask("/document")
	if got := changed.Values("X-Content-Type-Options"); len(got) != 2 || changed.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("%v", changed)
	}
	if got := plain.Values("X-Content-Type-Options"); len(got) != 1 || got[0] != "nosniff" || plain.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v", plain)
	}
	if id := plain.Get("X-Request-Id"); len(id) != 16 || id == changed.Get("X-Request-Id") {
		t.Errorf("request id %q after %q", id, changed.Get("X-Request-Id"))
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
