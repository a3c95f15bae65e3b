package revocation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Reasons to give a connection up. The view stays as it is and grows older.
var (
	errSilent    = errors.New("nothing was heard for too long")
	errMarkless  = errors.New("the feed does not say how far it has come")
	errShort     = errors.New("the connection ended early")
	errNoMark    = errors.New("the feed went on from a place that it was not asked for")
	errBackwards = errors.New("the feed's time went back")
	errAhead     = errors.New("the issuer's clock is too far ahead of ours; set the clocks right")
	errBehind    = errors.New("the feed is too old: it is held up, its server lost its database, or our clock is ahead")
	errFull      = errors.New("the feed has more entries than are kept")
)

// refusal is an answer that is no feed.
type refusal struct {
	status     int
	retryAfter time.Duration
}

func (r *refusal) Error() string { return fmt.Sprintf("the answer has status %d, want 200", r.status) }

// connect follows one connection to its end. The error is nil when that came in
// good order.
func (f *Follower) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	marks := time.AfterFunc(markless, func() { cancel(errMarkless) })
	defer marks.Stop()
	cause := func(err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	response, err := f.request(ctx)
	if err != nil {
		return cause(err)
	}
	defer func() { _ = response.Body.Close() }()
	messages := NewReader(response.Body)
	first, err := messages.Next()
	if err != nil {
		return cause(orUnexpected(err))
	}
	c, err := f.begun(*first.Beginning)
	if err != nil {
		return err
	}
	for {
		watchdog.Reset(silence)
		m, err := messages.Next()
		if err == io.EOF {
			return cause(nil)
		}
		if err != nil {
			return cause(err)
		}
		if err := c.take(m); err != nil {
			return err
		}
		if m.Mark != nil {
			marks.Reset(markless)
		}
	}
}

func orUnexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (f *Follower) request(ctx context.Context) (*http.Response, error) {
	address := f.config.URL
	if f.config.Locate != nil {
		var err error
		if address, err = f.config.Locate(ctx); err != nil {
			return nil, fmt.Errorf("locating the feed: %w", err)
		}
	}
	form := url.Values{}
	if f.cursor != "" {
		form.Set("cursor", f.cursor)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", MediaType)
	request.Header.Set("Accept-Encoding", "identity")                                                // what is compressed may be held up, or be huge
	request.SetBasicAuth(url.QueryEscape(f.config.ClientID), url.QueryEscape(f.config.ClientSecret)) // RFC 6749 §2.3.1
	response, err := f.config.HTTPClient.Do(request)
	if err != nil {
		return nil, err
	}
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case response.StatusCode != http.StatusOK:
		err = &refusal{response.StatusCode, retryAfter(response.Header)}
	case mediaType != MediaType || response.Header.Get("Content-Encoding") != "":
		err = fmt.Errorf("%w: the answer is not %s", ErrFormat, MediaType)
	}
	if err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return response, nil
}

// retryAfter reads seconds; a date counts as nothing.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// reading is one connection that has begun.
type reading struct {
	*Follower
	last time.Time // of its marks
}

func (f *Follower) begun(b Beginning) (*reading, error) {
	if b.Issuer != f.config.Issuer {
		return nil, fmt.Errorf("%w: it is of issuer %q, want %q exactly", ErrFormat, b.Issuer, f.config.Issuer)
	}
	if !b.Snapshot && f.cursor == "" {
		return nil, errNoMark
	}
	if b.Snapshot { // all that lives is told anew, and is to be, if this one breaks off
		f.cursor = ""
		// Else a set that is full stays so: a mark comes after what has no room.
		f.set.Expire(time.Now())
	}
	return &reading{Follower: f}, nil
}

func (r *reading) take(m Message) error {
	if m.Entry == nil {
		return r.mark(*m.Mark)
	}
	if !r.set.Add(*m.Entry) {
		// What is missing is not known, so nothing is until all was told again.
		r.cursor = ""
		r.heardAt.Store(0)
		return errFull
	}
	return nil
}

// mark takes a mark: what this connection has told, with what was known at the
// cursor that it went on from, is everything up to it.
func (r *reading) mark(m Mark) error {
	now := time.Now()
	if m.At.Before(r.last) {
		return errBackwards
	}
	if m.At.After(now.Add(r.config.Skew)) {
		return errAhead
	}
	r.last = m.At
	r.cursor = m.Cursor
	// By the clock that is behind: what ours lets go too early is not told again.
	r.set.Expire(time.Unix(min(m.At.Unix(), now.Unix()), 0))
	// Another server's clock may be a little behind the one before.
	r.asOf.Store(max(r.asOf.Load(), m.At.Unix()))
	if now.Sub(m.At) > r.config.MaxAge {
		return errBehind
	}
	r.heard(now)
	return nil
}

func (r *reading) heard(now time.Time) {
	first := r.heardAt.Swap(int64(max(now.Sub(r.started), 1))) == 0
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.status.Connected {
		r.status.Connected, r.status.Err = true, nil
		r.config.Logger.Info("the revocation feed is followed", "issuer", r.config.Issuer, "entries", r.set.Len())
	}
	if first {
		select {
		case <-r.ready:
		default:
			close(r.ready)
		}
	}
}

// disconnected notes the end of a connection and says whether it had served.
func (f *Follower) disconnected(err error) (served bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	served = f.status.Connected
	f.status.Connected = false
	if err != nil || !served {
		f.status.Err = err
	}
	return served
}
