package dev

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Bounds of PhotoAPI, which keeps everything in memory.
const (
	maxAlbums         = 1000
	maxPhotosPerAlbum = 100
	maxTitleLength    = 120 // characters
	maxPhotoBody      = 16 << 10
)

// Photo is one entry of an album, without a picture: hue is an angle of the
// colour circle from which a page may paint one.
type Photo struct {
	ID      string    `json:"id"`
	Title   string    `json:"title"`
	TakenAt time.Time `json:"taken_at"`
	Hue     int       `json:"hue"`
}

// guard wraps a handler so that only requests with an access token of all the
// scopes reach it; others are answered as RFC 6750 §3 says.
type guard func(scopes ...string) func(http.Handler) http.Handler

// photoParts are what PhotoAPI is made of.
type photoParts struct {
	require guard
	// subject names whose token a request bears, after the guard.
	subject func(*http.Request) string
	now     func() time.Time
	// onward leads to the thumbnails API.
	onward *onward
	// still says whether a token that the guard let in is still right.
	still func(ctx context.Context, raw string) error
	// ending is closed when nobody shall be kept waiting any more.
	ending <-chan struct{}
}

// photoAPI is the protected sample API: an album for each subject.
type photoAPI struct {
	photoParts
	watchers chan struct{}

	mu     sync.Mutex
	albums map[string][]Photo
}

// newPhotoAPI returns the API's handler. It answers pages of every origin,
// since it takes bearer tokens and no cookies.
func newPhotoAPI(parts photoParts) http.Handler {
	api := &photoAPI{photoParts: parts, watchers: make(chan struct{}, maxWatchers), albums: map[string][]Photo{}}
	mux := http.NewServeMux()
	handle := func(pattern, scope string, handler http.HandlerFunc) {
		mux.Handle(pattern, parts.require(scope)(handler))
	}
	handle("GET /photos", scopeRead, api.list)
	handle("POST /photos", scopeWrite, api.add)
	handle("DELETE /photos/{id}", scopeWrite, api.remove)
	handle("GET /photos/{id}/thumbnail", scopeRead, api.thumbnail)
	handle("GET /chain", scopeRead, api.chain)
	handle("GET /watch", scopeRead, api.watch)
	mux.HandleFunc("GET /{$}", about)
	return withCORS(mux)
}

func withCORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Location")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-store")
		if r.Method == http.MethodOptions {
			header.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
			header.Set("Access-Control-Allow-Headers", "Authorization, DPoP, Content-Type")
			header.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func about(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"name": "PhotoAPI",
		"endpoints": map[string]string{
			"GET /photos":                "needs " + scopeRead,
			"POST /photos":               `needs ` + scopeWrite + `; send {"title": "…"} as application/json`,
			"DELETE /photos/{id}":        "needs " + scopeWrite,
			"GET /photos/{id}/thumbnail": "needs " + scopeRead + "; drawn by a second API, which is called with an exchanged token",
			"GET /chain":                 "needs " + scopeRead + "; what both APIs see of who calls",
			"GET /watch":                 "needs " + scopeRead + "; server-sent events about whether both APIs still take the token",
		},
	})
}

func (api *photoAPI) list(w http.ResponseWriter, r *http.Request) {
	api.mu.Lock()
	photos := slices.Clone(api.album(api.subject(r)))
	api.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"photos": photos})
}

func (api *photoAPI) add(w http.ResponseWriter, r *http.Request) {
	title, problem, status := readTitle(w, r)
	if problem != "" {
		answer(w, status, map[string]string{"error": problem})
		return
	}
	subject := api.subject(r)
	photo := Photo{ID: newPhotoID(), Title: title, TakenAt: api.now().UTC().Truncate(time.Second), Hue: hueOf(title)}
	api.mu.Lock()
	photos := api.album(subject)
	full := len(photos) >= maxPhotosPerAlbum
	if !full {
		api.albums[subject] = append(photos, photo)
	}
	api.mu.Unlock()
	if full {
		answer(w, http.StatusConflict, map[string]string{"error": "the album is full; delete a photo first"})
		return
	}
	w.Header().Set("Location", "/photos/"+photo.ID)
	answer(w, http.StatusCreated, photo)
}

func (api *photoAPI) remove(w http.ResponseWriter, r *http.Request) {
	subject, id := api.subject(r), r.PathValue("id")
	api.mu.Lock()
	photos := api.album(subject)
	at := slices.IndexFunc(photos, func(p Photo) bool { return p.ID == id })
	if at >= 0 {
		api.albums[subject] = slices.Delete(photos, at, at+1)
	}
	api.mu.Unlock()
	if at < 0 {
		answer(w, http.StatusNotFound, map[string]string{"error": "the album has no such photo"})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// album returns a subject's photos; everybody begins with three. The caller
// holds the lock.
func (api *photoAPI) album(subject string) []Photo {
	if photos, found := api.albums[subject]; found {
		return photos
	}
	for other := range api.albums { // any one makes room
		if len(api.albums) < maxAlbums {
			break
		}
		delete(api.albums, other)
	}
	var photos []Photo
	for i, title := range []string{"The gatehouse at dawn", "Ivy on the north wall", "Key number seven"} {
		taken := time.Date(2026, time.May, 4+i, 6+3*i, 12, 0, 0, time.UTC)
		photos = append(photos, Photo{ID: newPhotoID(), Title: title, TakenAt: taken, Hue: hueOf(title)})
	}
	api.albums[subject] = photos
	return photos
}

func readTitle(w http.ResponseWriter, r *http.Request) (title, problem string, status int) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return "", "send the photo as application/json", http.StatusUnsupportedMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPhotoBody))
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		return "", "the photo's description is too long", http.StatusRequestEntityTooLarge
	}
	var photo struct {
		Title string `json:"title"`
	}
	if err != nil || json.Unmarshal(body, &photo) != nil {
		return "", `send a JSON object such as {"title": "Sunset"}`, http.StatusBadRequest
	}
	title = strings.TrimSpace(photo.Title)
	if title == "" || utf8.RuneCountInString(title) > maxTitleLength {
		return "", "a photo needs a title of 1 to 120 characters", http.StatusBadRequest
	}
	return title, "", 0
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // a reader who left needs no answer
}

// newPhotoID makes an identifier of 80 random bits.
func newPhotoID() string { return strings.ToLower(rand.Text()[:16]) }

// hueOf gives a title its colour, in degrees.
func hueOf(title string) int {
	hue := 0
	for _, r := range title {
		hue = (hue*31 + int(r)) % 360
	}
	return hue
}
