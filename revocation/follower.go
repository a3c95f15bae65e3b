package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// How long things last and how much is kept, unless a [Config] says otherwise.
const (
	// DefaultMaxAge is how old a view may be that still answers; more is not
	// admitted.
	DefaultMaxAge = time.Minute
	// DefaultMaxEntries bounds what is kept, about 150 bytes each.
	DefaultMaxEntries = 1_000_000
	// DefaultSkew and MaxSkew are by how much the issuer's clock may be ahead.
	DefaultSkew = 5 * time.Second
	MaxSkew     = time.Minute

	// silence is how long nothing may come before the connection is given up; a
	// mark is due each second.
	silence = 10 * time.Second
	// markless is how long a connection may go on without a mark, as it does while
	// it tells a snapshot.
	markless = 2 * time.Minute
	// The pause before the next connection doubles with each failure.
	firstPause = 500 * time.Millisecond
	maxPause   = 30 * time.Second
	// shortPause is at most waited after a connection that ended in good order.
	shortPause = 250 * time.Millisecond
	// goodLife is how long a connection must have served to count as good.
	goodLife = 10 * time.Second
)

// Config says which feed to follow.
type Config struct {
	// Issuer whose feed it must say it is, octet for octet. Required.
	Issuer string
	// URL of the feed, as the issuer's metadata has it in
	// revocation_feed_endpoint. Locate, if set, finds it before each connection
	// instead.
	URL    string
	Locate func(ctx context.Context) (url string, err error)
	// ClientID and ClientSecret authenticate the reader by client_secret_basic.
	ClientID, ClientSecret string
	// HTTPClient makes the connections; nil stands for one with the default
	// transport. Redirects are not followed, and its Timeout is not used.
	HTTPClient *http.Client
	// MaxAge is how old the view may be that still answers; 0 means
	// [DefaultMaxAge], which is also the most.
	MaxAge time.Duration
	// MaxEntries bounds what is kept, with values of 256 bytes in the mean; 0 means
	// [DefaultMaxEntries]. A feed with more is not followed: all that is not known
	// to have ended is unknown.
	MaxEntries int
	// Skew is by how much the issuer's clock may be ahead of ours; 0 means
	// [DefaultSkew], the bound is [MaxSkew]. Further ahead, nothing is known.
	Skew time.Duration
	// Logger is told of connections that come and go; nil means slog.Default.
	Logger *slog.Logger
}

func (c Config) checked() (Config, error) {
	switch {
	case c.Issuer == "":
		return c, errors.New("revocation: Issuer is missing")
	case c.URL == "" && c.Locate == nil:
		return c, errors.New("revocation: URL is missing")
	case c.ClientID == "" || c.ClientSecret == "":
		return c, errors.New("revocation: ClientID or ClientSecret is missing; the feed is for clients that authenticate")
	case c.MaxAge < 0 || c.MaxAge > DefaultMaxAge:
		return c, fmt.Errorf("revocation: MaxAge is not between 0 and %v", DefaultMaxAge)
	case c.Skew < 0 || c.Skew > MaxSkew:
		return c, fmt.Errorf("revocation: Skew is not between 0 and %v", MaxSkew)
	case c.MaxEntries < 0:
		return c, errors.New("revocation: MaxEntries cannot be negative")
	}
	if c.MaxAge == 0 {
		c.MaxAge = DefaultMaxAge
	}
	if c.Skew == 0 {
		c.Skew = DefaultSkew
	}
	if c.MaxEntries == 0 {
		c.MaxEntries = DefaultMaxEntries
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	own := http.Client{}
	if c.HTTPClient != nil {
		own = *c.HTTPClient
	}
	own.Timeout = 0
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.HTTPClient = &own
	return c, nil
}

// State is what a follower knows of a token.
type State int

// The states. The zero value is the one to be careful with.
const (
	// Unknown: the view is too old, or there was none yet. Ask the issuer.
	Unknown State = iota
	// Revoked: the token has ended.
	Revoked
	// Live: it had not ended as of MaxAge ago at most, and while the connection
	// stands, as of a second ago.
	Live
)

func (s State) String() string {
	switch s {
	case Revoked:
		return "revoked"
	case Live:
		return "live"
	}
	return "unknown"
}

// Follower follows one issuer's feed. It is safe for concurrent use.
type Follower struct {
	config  Config
	set     *Set
	started time.Time

	// asOf is the time, in Unix seconds, up to which nothing is missing, and
	// heardAt when that was said, since started; 0 before the first snapshot was
	// complete.
	asOf, heardAt atomic.Int64
	ready         chan struct{} // closed then

	cancel context.CancelFunc
	done   chan struct{}

	// cursor is from where the feed goes on; "" when all entries are to be sent.
	// It is of the goroutine that follows.
	cursor string

	mu     sync.Mutex
	status Status
}

// Status is how a follower is, for whoever watches over it.
type Status struct {
	Connected bool
	// AsOf is the time up to which nothing is missing, by the issuer's clock;
	// zero before the first snapshot.
	AsOf    time.Time
	Entries int
	// Err is why the last connection failed, nil after one that served.
	Err error
}

// Follow starts to follow a feed, until ctx is over or Close is called. It refuses
// a configuration that cannot work, and waits for nothing: until the first
// snapshot is there, all is unknown.
func Follow(ctx context.Context, config Config) (*Follower, error) {
	config, err := config.checked()
	if err != nil {
		return nil, err
	}
	f := &Follower{config: config, set: NewSet(config.MaxEntries), started: time.Now(), ready: make(chan struct{}), done: make(chan struct{})}
	ctx, f.cancel = context.WithCancel(ctx)
	go f.run(ctx)
	return f, nil
}

// Close ends the connection and returns when nothing of the follower runs. The
// view goes on to answer until it is too old.
func (f *Follower) Close() {
	f.cancel()
	<-f.done
}

// Ready is closed when the first snapshot is complete.
func (f *Follower) Ready() <-chan struct{} { return f.ready }

// View says what is known of a token, at once. What is known to have ended is
// revoked, however old the view is.
func (f *Follower) View(t Token) State {
	switch {
	case f.set.Ended(t):
		return Revoked
	case f.current():
		return Live
	}
	return Unknown
}

// current says whether the view is young enough, by our clock and by the time
// since the issuer was heard: neither a clock that is set back nor a feed that is
// held up makes it seem younger.
func (f *Follower) current() bool {
	heard := time.Duration(f.heardAt.Load())
	if heard == 0 {
		return false
	}
	now := time.Now()
	return now.Sub(f.started)-heard <= f.config.MaxAge && now.Sub(time.Unix(f.asOf.Load(), 0)) <= f.config.MaxAge
}

// Status returns how the follower is.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.status
	if f.heardAt.Load() != 0 {
		status.AsOf = time.Unix(f.asOf.Load(), 0)
	}
	status.Entries = f.set.Len()
	return status
}

// run connects again and again.
func (f *Follower) run(ctx context.Context) {
	defer close(f.done)
	pause := firstPause
	for {
		began := time.Now()
		err := f.connect(ctx)
		served := f.disconnected(err)
		if ctx.Err() != nil {
			return
		}
		wait := scattered(shortPause)
		if served && time.Since(began) >= goodLife {
			pause = firstPause
		} else if err == nil {
			err = errShort
		}
		if err != nil {
			wait = scattered(pause)
			pause = min(2*pause, maxPause)
			if refused, is := errors.AsType[*refusal](err); is {
				wait = max(wait, min(refused.retryAfter, maxPause))
			}
			f.config.Logger.WarnContext(ctx, "the revocation feed was lost", "issuer", f.config.Issuer, "error", err, "again_in", wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// scattered is a time between half of it and all, so that readers who were cut off
// together do not come again together.
func scattered(d time.Duration) time.Duration {
	const scale = 1000
	return d/2 + d/2*time.Duration(time.Now().Nanosecond()/int(time.Microsecond)%scale)/scale
}
