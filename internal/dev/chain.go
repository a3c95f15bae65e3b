package dev

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"gatehouse/oauth"
	"gatehouse/resource"
)

// Bounds of GET /watch.
const (
	maxWatchers = 16
	watchTime   = time.Minute
	watchPause  = 25 * time.Millisecond
)

// thumbnail answers with a picture that the thumbnails API draws.
func (api *photoAPI) thumbnail(w http.ResponseWriter, r *http.Request) {
	api.mu.Lock()
	photos := api.album(api.subject(r))
	at := slices.IndexFunc(photos, func(p Photo) bool { return p.ID == r.PathValue("id") })
	hue := 0
	if at >= 0 {
		hue = photos[at].Hue
	}
	api.mu.Unlock()
	if at < 0 {
		answer(w, http.StatusNotFound, map[string]string{"error": "the album has no such photo"})
		return
	}
	kind, picture, ok := api.onward.ask(w, r, bearerOf(r), "/thumbnail?hue="+strconv.Itoa(hue), maxThumbnail)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox") // a picture, also where a browser opens it as a page
	_, _ = w.Write(picture)
}

// chain answers with what each of the two APIs sees of who calls. Claims are no
// secret to who sent the token.
func (api *photoAPI) chain(w http.ResponseWriter, r *http.Request) {
	_, body, ok := api.onward.ask(w, r, bearerOf(r), "/caller", maxCaller)
	if !ok {
		return
	}
	answer(w, http.StatusOK, map[string]any{"photoapi": callerOf(r), "thumbnails": json.RawMessage(body)})
}

// glance is what watch tells: the status with which each API answers the token now.
type glance struct {
	// MS is the time since the watch began, in milliseconds.
	MS         int64 `json:"ms"`
	PhotoAPI   int   `json:"photoapi"`
	Thumbnails int   `json:"thumbnails"`
}

// watch goes on with the token of the request, and with one that was exchanged for it
// at the beginning, until both are refused or a minute has passed; as work that was
// begun for a user does. Each time that an answer changes, it says so.
func (api *photoAPI) watch(w http.ResponseWriter, r *http.Request) {
	select {
	case api.watchers <- struct{}{}:
		defer func() { <-api.watchers }()
	default:
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusServiceUnavailable, map[string]string{"error": "too many are watching"})
		return
	}
	raw := bearerOf(r)
	exchanged, err := api.onward.token(r.Context(), raw)
	if err != nil {
		api.onward.refuse(w, r, 0, err)
		return
	}
	began := time.Now()
	controller := http.NewResponseController(w)
	_ = controller.SetWriteDeadline(began.Add(watchTime + answerTimeout)) // where the listener can
	w.Header().Set("Content-Type", "text/event-stream")
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	var told glance
	for time.Since(began) < watchTime {
		seen := glance{PhotoAPI: http.StatusOK}
		var refused *oauth.Error
		if err := api.still(r.Context(), raw); errors.As(err, &refused) {
			seen.PhotoAPI = refused.Status
		}
		if seen.Thumbnails, _, _, err = api.onward.get(r.Context(), exchanged, "/caller", maxCaller); err != nil {
			seen.Thumbnails = http.StatusServiceUnavailable
		}
		if seen != told {
			told = seen
			seen.MS = time.Since(began).Milliseconds()
			if line, err := json.Marshal(seen); err == nil {
				_, _ = fmt.Fprintf(w, "data: %s\n\n", line)
			}
			if controller.Flush() != nil {
				return
			}
		}
		if seen.PhotoAPI == http.StatusUnauthorized && seen.Thumbnails == http.StatusUnauthorized {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-api.ending:
			return
		}
	}
}

// bearerOf is the token that the guard has let in.
func bearerOf(r *http.Request) string {
	raw, err := resource.BearerToken(r.Header.Values("Authorization"))
	if err != nil {
		return ""
	}
	return raw
}
