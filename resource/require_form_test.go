package resource_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestScopesWithParameters(t *testing.T) {
	a := newAPI(t, "document:read:{id}")
	mux := http.NewServeMux()
	mux.Handle("/documents/{id}", a.handler)
	get := func(path, scope string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+a.issuer.token(t, map[string]any{"scope": scope}))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	for _, test := range []struct {
		path, scope string
		status      int
	}{
		{"/documents/42", "document:read:42", 200},
		{"/documents/42", "document:read:41 document:read:42", 200},
		{"/documents/42", "document:read:41", 403},
		{"/documents/42", "document:read:{id}", 403},
		{"/documents/42", "document:read:", 403},
		{"/documents/%7Bid%7D", "document:read:{id}", 403},
		{"/documents/4%3A2", "document:read:4:2", 403},
		{"/documents/4%2F2", "document:read:4", 403},
	} {
		if w := get(test.path, test.scope); w.Code != test.status {
			t.Errorf("%s with %q: %d %s", test.path, test.scope, w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a scope that is no form was taken")
		}
	}()
	newAPI(t, "document:read:{ID}")
}
