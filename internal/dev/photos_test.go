package dev

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// open is a guard that lets everybody in.
func open(...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return next }
}

func bySubjectHeader(r *http.Request) string { return r.Header.Get("Subject") }

func noon() time.Time { return time.Date(2026, time.November, 20, 12, 0, 0, 0, time.UTC) }

func ask(t *testing.T, api http.Handler, method, path, subject, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Subject", subject)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

func photosOf(t *testing.T, api http.Handler, subject string) []Photo {
	t.Helper()
	w := ask(t, api, "GET", "/photos", subject, "")
	var album struct{ Photos []Photo }
	if err := json.Unmarshal(w.Body.Bytes(), &album); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	return album.Photos
}

func TestPhotosBelongToTheirSubject(t *testing.T) {
	api := newPhotoAPI(photoParts{require: open, subject: bySubjectHeader, now: noon})
	w := ask(t, api, "POST", "/photos", "alice", `{"title": " Sunset "}`)
	var added Photo
	if err := json.Unmarshal(w.Body.Bytes(), &added); err != nil || w.Code != http.StatusCreated || added.Title != "Sunset" || !added.TakenAt.Equal(noon()) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if location := w.Header().Get("Location"); location != "/photos/"+added.ID {
		t.Errorf("Location is %q", location)
	}
	if alice, bob := photosOf(t, api, "alice"), photosOf(t, api, "bob"); len(alice) != 4 || len(bob) != 3 {
		t.Errorf("alice has %d photos and bob %d", len(alice), len(bob))
	}
	if w := ask(t, api, "DELETE", "/photos/"+added.ID, "bob", ""); w.Code != http.StatusNotFound {
		t.Errorf("bob deletes a photo of alice: %d", w.Code)
	}
	if w := ask(t, api, "DELETE", "/photos/"+added.ID, "alice", ""); w.Code != http.StatusNoContent {
		t.Errorf("alice deletes her photo: %d", w.Code)
	}
	if alice := photosOf(t, api, "alice"); len(alice) != 3 {
		t.Errorf("alice has %d photos", len(alice))
	}
}

func TestPhotosThatAreNone(t *testing.T) {
	api := newPhotoAPI(photoParts{require: open, subject: bySubjectHeader, now: noon})
	for body, want := range map[string]int{
		``:                               http.StatusBadRequest,
		`[]`:                             http.StatusBadRequest,
		`{}`:                             http.StatusBadRequest,
		`{"title": "  "}`:                http.StatusBadRequest,
		`{"title": 7}`:                   http.StatusBadRequest,
		`{"title": "` + long(121) + `"}`: http.StatusBadRequest,
		`{"title": "` + long(maxPhotoBody) + `"}`: http.StatusRequestEntityTooLarge,
		`{"title": "` + long(120) + `"}`:          http.StatusCreated,
	} {
		if w := ask(t, api, "POST", "/photos", "alice", body); w.Code != want {
			t.Errorf("%.40s: %d, want %d: %s", body, w.Code, want, w.Body)
		}
	}
	r := httptest.NewRequest("POST", "/photos", strings.NewReader("title=Sunset"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if api.ServeHTTP(w, r); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("a form: %d", w.Code)
	}
}

func long(n int) string { return strings.Repeat("ä", n) }

func TestPhotosAreBounded(t *testing.T) {
	api := newPhotoAPI(photoParts{require: open, subject: bySubjectHeader, now: noon})
	for range maxPhotosPerAlbum - 3 {
		ask(t, api, "POST", "/photos", "alice", `{"title": "Again"}`)
	}
	if w := ask(t, api, "POST", "/photos", "alice", `{"title": "Once more"}`); w.Code != http.StatusConflict {
		t.Errorf("photo %d: %d", maxPhotosPerAlbum+1, w.Code)
	}
	albums := &photoAPI{albums: map[string][]Photo{}}
	for range maxAlbums + 10 {
		albums.album(newPhotoID())
	}
	if len(albums.albums) != maxAlbums {
		t.Errorf("%d albums", len(albums.albums))
	}
}

func TestPhotoAPIForBrowsers(t *testing.T) {
	closed := func(...string) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
		}
	}
	api := newPhotoAPI(photoParts{require: closed, subject: bySubjectHeader, now: noon})
	w := ask(t, api, "OPTIONS", "/photos", "", "")
	if w.Code != http.StatusNoContent || !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("the preflight: %d %v", w.Code, w.Header())
	}
	for _, path := range []string{"/photos", "/nothing"} {
		w = ask(t, api, "GET", path, "", "")
		if w.Header().Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
			t.Errorf("%s: a page cannot read why it was refused: %v", path, w.Header())
		}
	}
	if w = ask(t, api, "GET", "/", "", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), scopeWrite) {
		t.Errorf("the description: %d %s", w.Code, w.Body)
	}
}
