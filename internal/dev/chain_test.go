package dev

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/oauth"
)

// second is a thumbnails API that answers as it is told, and an exchange beside it.
type second struct {
	status    atomic.Int32
	exchanges atomic.Int32
	refusal   error
	gate      chan struct{} // nil lets everybody through
}

func (s *second) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer exchanged" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	if status := int(s.status.Load()); status != 0 {
		w.WriteHeader(status)
	}
	_, _ = w.Write([]byte(`{"claims":{}}`))
}

func (s *second) exchange(_ context.Context, asked client.Exchange) (client.Tokens, error) {
	s.exchanges.Add(1)
	if s.gate != nil {
		<-s.gate
	}
	if asked.SubjectToken.Reveal() != "subject" || asked.Resources[0] != thumbnailsIdentifier {
		return client.Tokens{}, errors.New("asked for something else")
	}
	return client.Tokens{AccessToken: client.NewSecret("exchanged"), Expiry: time.Now().Add(time.Hour)}, s.refusal
}

func (s *second) onward(t *testing.T) *onward {
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return newOnward(server.URL, server.Client(), s.exchange, slog.New(slog.DiscardHandler))
}

func (s *second) photos(t *testing.T, still func(context.Context, string) error, ending <-chan struct{}) http.Handler {
	return newPhotoAPI(photoParts{require: open, subject: bySubjectHeader, now: noon, onward: s.onward(t), still: still, ending: ending})
}

func askWithToken(api http.Handler, path string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", path, nil)
	r.Header.Set("Authorization", "Bearer subject")
	api.ServeHTTP(w, r)
	return w
}

func TestWhatTheSecondAPIDoesNotGive(t *testing.T) {
	for name, test := range map[string]struct {
		status  int
		refusal error
		answer  int
	}{
		"it answers":          {0, nil, http.StatusOK},
		"the token has ended": {http.StatusUnauthorized, nil, http.StatusServiceUnavailable},
		"it is at odds":       {http.StatusForbidden, nil, http.StatusBadGateway},
		"no exchange":         {0, &client.RefusedError{}, http.StatusServiceUnavailable},
		"the issuer is away":  {0, &client.UnavailableError{}, http.StatusServiceUnavailable},
		"it has a fault":      {http.StatusInternalServerError, nil, http.StatusBadGateway},
	} {
		s := &second{refusal: test.refusal}
		s.status.Store(int32(test.status))
		if w := askWithToken(s.photos(t, nil, nil), "/chain"); w.Code != test.answer || strings.Contains(w.Body.String(), "exchanged\"") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := askWithToken((&second{}).photos(t, nil, nil), "/photos/nothing/thumbnail"); w.Code != http.StatusNotFound {
		t.Errorf("a photo that is not there: %d", w.Code)
	}
}

// TestOneExchangeForAllAtOnce and for those who come later.
func TestOneExchangeForAllAtOnce(t *testing.T) {
	s := &second{gate: make(chan struct{})}
	api := s.photos(t, nil, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if w := askWithToken(api, "/chain"); w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	close(s.gate)
	all.Wait()
	askWithToken(api, "/chain")
	if n := s.exchanges.Load(); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

// TestWatchEndsWhenBothRefuse and tells each change once.
func TestWatchEndsWhenBothRefuse(t *testing.T) {
	s := &second{}
	var ended atomic.Bool
	api := s.photos(t, func(context.Context, string) error {
		if ended.Load() {
			return &oauth.Error{Status: http.StatusUnauthorized}
		}
		ended.Store(true)
		s.status.Store(http.StatusUnauthorized)
		return nil
	}, nil)
	w := askWithToken(api, "/watch")
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n\n")
	if w.Header().Get("Content-Type") != "text/event-stream" || len(lines) != 2 ||
		!strings.Contains(lines[0], `"photoapi":200,"thumbnails":401`) || !strings.Contains(lines[1], `"photoapi":401,"thumbnails":401`) {
		t.Errorf("%q", lines)
	}
}

func TestWatchEndsWithTheStage(t *testing.T) {
	ending := make(chan struct{})
	close(ending)
	w := askWithToken((&second{}).photos(t, func(context.Context, string) error { return nil }, ending), "/watch")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"photoapi":200,"thumbnails":200`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWatchersAreBounded(t *testing.T) {
	ending := make(chan struct{})
	api := (&second{}).photos(t, func(context.Context, string) error { return nil }, ending)
	var all sync.WaitGroup
	var busy atomic.Int32
	for range maxWatchers + 1 {
		all.Go(func() {
			if askWithToken(api, "/watch").Code == http.StatusServiceUnavailable {
				busy.Add(1)
				close(ending)
			}
		})
	}
	all.Wait()
	if busy.Load() != 1 {
		t.Errorf("%d were told that too many are watching", busy.Load())
	}
}
