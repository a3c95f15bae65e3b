package proxy

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// Errors of Streams.
var (
	// ErrEnded is the cause of a stream's context that End ended.
	ErrEnded = errors.New("proxy: the session ended")
	// ErrTooManyStreams says that a key, or all together, have as many as they may.
	ErrTooManyStreams = errors.New("proxy: too many streams are open")
)

// Bounds of Streams.
const (
	MaxStreamsPerKey = 64
	MaxStreams       = 64 << 10
)

// Streams are answers that go on for long, each open under the key of what it
// belongs to, such as a session. The zero value has none open. It is safe for
// concurrent use.
type Streams struct {
	mu    sync.Mutex
	open  map[string]map[*context.CancelCauseFunc]struct{}
	count int
}

// Open makes the context of a stream: it ends with ctx, with close, and when End is
// called for the key. first says that the key had none open.
func (s *Streams) Open(ctx context.Context, key string) (_ context.Context, first bool, closeStream func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open[key]) >= MaxStreamsPerKey || s.count >= MaxStreams {
		return nil, false, nil, ErrTooManyStreams
	}
	ctx, cancel := context.WithCancelCause(ctx)
	first = len(s.open[key]) == 0
	if first {
		if s.open == nil {
			s.open = map[string]map[*context.CancelCauseFunc]struct{}{}
		}
		s.open[key] = map[*context.CancelCauseFunc]struct{}{}
	}
	s.open[key][&cancel] = struct{}{}
	s.count++
	return ctx, first, sync.OnceFunc(func() {
		cancel(nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open[key], &cancel)
		if len(s.open[key]) == 0 {
			delete(s.open, key)
		}
		s.count--
	}), nil
}

// End ends all streams of the key.
func (s *Streams) End(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for cancel := range s.open[key] {
		(*cancel)(ErrEnded)
	}
}

// EndAll ends every stream.
func (s *Streams) EndAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, streams := range s.open {
		for cancel := range streams {
			(*cancel)(ErrEnded)
		}
	}
}

// Any says whether the key has a stream open.
func (s *Streams) Any(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open[key]) > 0
}

// Count is how many streams are open.
func (s *Streams) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// CutAtEnd takes the deadlines from a stream, and has nothing read or written any more
// once its context has ended, also if the other end does not take what was written. The
// handler calls finish before it returns.
func CutAtEnd(ctx context.Context, controller *http.ResponseController) (finish func()) {
	_, _ = controller.SetReadDeadline(time.Time{}), controller.SetWriteDeadline(time.Time{})
	var mu sync.Mutex
	finished := false
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !finished { // the controller is the handler's
			past := time.Unix(1, 0)
			_, _ = controller.SetReadDeadline(past), controller.SetWriteDeadline(past)
		}
	})
	return func() {
		stop()
		mu.Lock()
		finished = true
		mu.Unlock()
	}
}
