package endpoint

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"gatehouse/oauth"
)

func TestEveryRequestIsToldOfOnce(t *testing.T) {
	noting := row("noting", "/noting", http.MethodPost)
	noting.Serve = func(w http.ResponseWriter, r *Request) error {
		r.Note("client_id", "web")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
		return nil
	}
	refusing := row("refusing", "/refusing", http.MethodGet)
	refusing.Serve = func(http.ResponseWriter, *Request) error {
		return oauth.Refuse("form-too-large", oauth.InvalidRequest, "No.")
	}
	panicking := row("panicking", "/panicking", http.MethodGet)
	panicking.Serve = func(http.ResponseWriter, *Request) error { panic("in the middle") }
	b := newBench(t, row("plain", "/plain", http.MethodGet), noting, refusing, panicking)
	var told []Answer
	b.config.Answered = func(_ context.Context, a Answer) { told = append(told, a) }
	for _, c := range []struct {
		method, path, endpoint string
		status                 int
		client                 string
	}{
		{http.MethodGet, "/plain", "plain", 200, ""},
		{http.MethodPost, "/noting", "noting", 201, "web"},
		{http.MethodGet, "/refusing", "refusing", 400, ""},
		{http.MethodGet, "/panicking", "panicking", 500, ""},
		{http.MethodDelete, "/plain", "", 405, ""},
		{http.MethodGet, "/nowhere", "", 404, ""},
		{http.MethodGet, "/t/red/plain", "", 404, ""},
	} {
		told = nil
		w := b.ask(c.method, c.path)
		if len(told) != 1 {
			t.Errorf("%s %s was told of %d times", c.method, c.path, len(told))
			continue
		}
		got := told[0]
		if got.Endpoint != c.endpoint || got.Status != c.status || got.Method != c.method || got.Note("client_id") != c.client || got.Took < 0 {
			t.Errorf("%s %s: %+v (the answer was %d)", c.method, c.path, got, w.Code)
		}
	}
}

func TestTheServersOwnWriterBoundsBodies(t *testing.T) {
	own := httptest.NewRecorder()
	if unkept(&statusKeeper{ResponseWriter: own}) != http.ResponseWriter(own) || unkept(own) != http.ResponseWriter(own) {
		t.Error("the limit of bodies does not get the server's own writer")
	}
}
