package oauth_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"gatehouse/oauth"
)

func TestDocument(t *testing.T) {
	document := oauth.NewDocument([]byte(`{"keys":[]}`), 5*time.Minute)
	for range 2 {
		w := httptest.NewRecorder()
		document.Write(w)
		for name, want := range map[string]string{
			"Content-Type": "application/json", "Cache-Control": "public, max-age=300", "Content-Length": "11",
		} {
			if got := w.Header().Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
			w.Header().Add(name, "another") // of this answer alone
		}
		if w.Code != 200 || w.Body.String() != `{"keys":[]}` {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
