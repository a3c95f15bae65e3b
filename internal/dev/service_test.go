package dev

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// issuerOf is an issuer that answers every request alike, and remembers its form.
func issuerOf(t *testing.T, status int, body string) (at string, seen func() string) {
	form := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		text, _ := io.ReadAll(r.Body)
		form = r.URL.Path + " " + id + ":" + secret + " " + string(text)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() string { return form }
}

func actOf(t *testing.T, machine service, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	page, err := newPlayground(somewhere, nil, machine)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Host = "127.0.0.1:8081"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	return w
}

func TestTheServiceActsAndKeepsItsSecret(t *testing.T) {
	at, seen := issuerOf(t, http.StatusOK, `{"access_token":"eyJ"}`)
	machine := service{issuer: at, secret: "only-the-service-knows", client: http.DefaultClient}
	w := actOf(t, machine, "/service/token", "{}")
	var record exchanged
	if err := json.Unmarshal(w.Body.Bytes(), &record); err != nil || w.Code != http.StatusOK || record.Status != 200 || string(record.Answer) != `{"access_token":"eyJ"}` {
		t.Errorf("%v: %d %s", err, w.Code, w.Body)
	}
	if strings.Contains(w.Body.String(), machine.secret) {
		t.Error("the page is told the secret")
	}
	if got := seen(); got != "/token machine:only-the-service-knows grant_type=client_credentials&scope=photos%3Aread" {
		t.Errorf("the issuer saw %s", got)
	}
	if w := actOf(t, machine, "/service/revoke", `{"token":"eyJ"}`); w.Code != http.StatusOK || !strings.HasSuffix(seen(), " token=eyJ&token_type_hint=access_token") {
		t.Errorf("%d %s; the issuer saw %s", w.Code, w.Body, seen())
	}
}

func TestTheServiceActsForItsOwnPageAlone(t *testing.T) {
	at, seen := issuerOf(t, http.StatusOK, `{}`)
	machine := service{issuer: at, secret: "secret", client: http.DefaultClient}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://127.0.0.1:3000"}} {
		if w := actOf(t, machine, "/service/token", "{}", header...); w.Code != http.StatusForbidden || seen() != "" {
			t.Errorf("%v: %d", header, w.Code)
		}
	}
	if w := actOf(t, machine, "/service/token", "{}", "Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:8081"); w.Code != http.StatusOK {
		t.Errorf("its own page: %d", w.Code)
	}
}

func TestWhatTheServiceCannotDo(t *testing.T) {
	at, _ := issuerOf(t, http.StatusBadRequest, `{"error":"invalid_scope"}`)
	machine := service{issuer: at, secret: "secret", client: http.DefaultClient}
	if w := actOf(t, machine, "/service/token", "{}"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"status":400`) {
		t.Errorf("a refusal: %d %s", w.Code, w.Body)
	}
	for _, body := range []string{"", "{}", "[]", `{"token":""}`, `{"token":"` + strings.Repeat("x", maxServiceBody) + `"}`} {
		if w := actOf(t, machine, "/service/revoke", body); w.Code != http.StatusBadRequest {
			t.Errorf("%.20q: %d", body, w.Code)
		}
	}
	machine.secret = ""
	if w := actOf(t, machine, "/service/token", "{}"); w.Code != http.StatusConflict {
		t.Errorf("without a secret: %d", w.Code)
	}
	away, _ := issuerOf(t, http.StatusOK, `<html>`)
	if w := actOf(t, service{issuer: away, secret: "secret", client: http.DefaultClient}, "/service/token", "{}"); w.Code != http.StatusBadGateway {
		t.Errorf("nonsense: %d %s", w.Code, w.Body)
	}
}
