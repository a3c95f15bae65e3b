package revocation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const issuer = "https://as.test"

// publisher answers in memory, so that synctest can move the clock. serve is
// called for each connection; it ends with it.
type publisher struct {
	serve func(*connection)

	mu       sync.Mutex
	attempts []time.Time
}

// connection is one reader's, as the server sees it.
type connection struct {
	*Writer
	cursor string
	number int // from 1
	gone   <-chan struct{}
	raw    io.Writer
	broken error // how it ends; nil in good order

	mu     sync.Mutex
	status int // instead of a feed
	header http.Header
}

// answers sets what stands before the feed, or instead of it.
func (c *connection) answers(status int, header, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
	c.header.Set(header, value)
}

func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	serve := p.serve
	p.attempts = append(p.attempts, time.Now())
	c := &connection{number: len(p.attempts), gone: r.Context().Done(), header: http.Header{"Content-Type": {MediaType}}, status: http.StatusOK}
	p.mu.Unlock()
	if id, secret, _ := r.BasicAuth(); r.Method != http.MethodPost || id != "api" || secret != "the+secret%3A" || r.URL.String() != issuer+"/revocations" {
		return nil, fmt.Errorf("%s %s by %s", r.Method, r.URL, id)
	}
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	c.cursor = r.PostForm.Get("cursor")
	reader, writer := io.Pipe()
	c.Writer, c.raw = NewWriter(writer), writer
	go func() {
		stop := context.AfterFunc(r.Context(), func() { _ = writer.CloseWithError(r.Context().Err()) })
		serve(c)
		stop()
		_ = writer.CloseWithError(c.broken)
	}()
	time.Sleep(time.Nanosecond) // serve has set the status by then
	c.mu.Lock()
	defer c.mu.Unlock()
	return &http.Response{StatusCode: c.status, Header: c.header, Body: reader, Request: r}, nil
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.attempts)
}

// begin begins; say writes an entry, mark a mark of now and then.
func (c *connection) begin(snapshot bool) { _ = c.Begin(Beginning{issuer, snapshot}) }

func (c *connection) say(claim Claim, value string) {
	_ = c.Entry(Entry{Claim: claim, Value: value, Expiry: time.Now().Add(time.Hour)})
	_ = c.Flush()
}

func (c *connection) mark(age time.Duration) {
	_ = c.Mark(Mark{time.Now().Add(-age), fmt.Sprint("cursor-", c.number)})
	_ = c.Flush()
}

// beat marks each second until the reader goes.
func (c *connection) beat() { c.beatFor(1 << 62) }

func (c *connection) beatFor(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		c.mark(0)
		select {
		case <-c.gone:
			return
		case <-time.After(time.Second):
		}
	}
}

// follow follows in a bubble until the test ends.
func follow(t *testing.T, p *publisher, change func(*Config)) *Follower {
	t.Helper()
	config := Config{
		Issuer: issuer, URL: issuer + "/revocations", ClientID: "api", ClientSecret: "the secret:",
		HTTPClient: &http.Client{Transport: p, Timeout: time.Second}, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	f, err := Follow(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// views checks what is known of a grant's token.
func views(t *testing.T, f *Follower, grant string, want State) {
	t.Helper()
	synctest.Wait()
	if got := f.View(Token{GrantHandle: grant, IssuedAt: time.Now()}); got != want {
		t.Errorf("%s is %v, want %v (%+v)", grant, got, want, f.Status())
	}
}

func TestFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{serve: func(c *connection) {
			time.Sleep(time.Second)
			c.begin(true)
			c.say(GrantHandle, "a")
			time.Sleep(time.Second)
			c.mark(0)
			time.Sleep(time.Second)
			c.say(GrantHandle, "b")
			c.beat()
		}}
		f := follow(t, p, nil)
		defer f.Close()
		views(t, f, "b", Unknown)
		time.Sleep(1500 * time.Millisecond)
		views(t, f, "a", Revoked) // before the snapshot is complete
		views(t, f, "b", Unknown)
		<-f.Ready()
		views(t, f, "b", Live)
		time.Sleep(1001 * time.Millisecond)
		views(t, f, "b", Revoked)
		time.Sleep(time.Hour)
		views(t, f, "c", Live)
		if s := f.Status(); !s.Connected || s.Err != nil || s.Entries != 2 || time.Since(s.AsOf) > 2*time.Second || p.count() != 1 {
			t.Errorf("%+v, %d connections", s, p.count())
		}
		time.Sleep(2 * time.Minute)
		views(t, f, "a", Live) // the entry has expired, as the token has
		if s := f.Status(); s.Entries != 0 {
			t.Errorf("%+v", s)
		}
		f.Close()
		time.Sleep(DefaultMaxAge - 2*time.Second)
		views(t, f, "c", Live)
		time.Sleep(2 * time.Second)
		views(t, f, "c", Unknown)
	})
}

func TestFollowerGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cursors []string
		p := &publisher{serve: func(c *connection) {
			cursors = append(cursors, c.cursor)
			c.begin(c.cursor == "")
			c.say(GrantHandle, fmt.Sprint("entry-", c.number))
			if c.number == 1 {
				c.broken = errors.New("reset")
			}
			c.beatFor(20 * time.Second)
		}}
		f := follow(t, p, nil)
		defer f.Close()
		time.Sleep(70 * time.Second)
		for i := range 3 {
			views(t, f, fmt.Sprint("entry-", i+1), Revoked)
		}
		views(t, f, "x", Live)
		if got := strings.Join(cursors, ","); got != ",cursor-1,cursor-2,cursor-3" {
			t.Errorf("cursors %s", got)
		}
		for i, at := range p.attempts[1:] {
			if pause := at.Sub(p.attempts[i]) - 20*time.Second; pause > time.Second {
				t.Errorf("attempt %d came %v after the end of the one before", i+2, pause)
			}
		}
	})
}

// TestAFeedThatCannotBeReliedOn has connections after a good one go wrong: the view
// stays as it was, grows older, and says so after a minute.
func TestAFeedThatCannotBeReliedOn(t *testing.T) {
	var recorded strings.Builder
	for name, bad := range map[string]func(*connection){
		"cut":                func(c *connection) { c.broken = errors.New("reset") },
		"cut within a line":  func(c *connection) { c.begin(false); _ = c.Flush(); _, _ = io.WriteString(c.raw, `{"n":2,"at":17`) },
		"silent":             func(c *connection) { <-c.gone },
		"silent after begin": func(c *connection) { c.begin(false); _ = c.Flush(); <-c.gone },
		"of another issuer":  func(c *connection) { _ = c.Begin(Beginning{issuer + "/", true}); c.beat() },
		"from a place that is not ours": func(c *connection) {
			c.begin(false)
			c.n++ // a message is missing
			c.beat()
		},
		"out of order": func(c *connection) {
			c.begin(false)
			_ = c.Flush()
			_, _ = fmt.Fprintf(c.raw, "{\"n\":3,\"claim\":\"gid\",\"value\":\"x\",\"exp\":1}\n{\"n\":2,\"at\":%d,\"cursor\":\"c\"}\n", time.Now().Unix())
			<-c.gone
		},
		"replayed":     func(c *connection) { _, _ = io.WriteString(c.raw, recorded.String()); <-c.gone },
		"held up":      func(c *connection) { c.begin(false); beatOf(c, DefaultMaxAge+time.Second) },
		"ahead":        func(c *connection) { c.begin(false); beatOf(c, -DefaultSkew-2*time.Second) },
		"refused":      func(c *connection) { c.answers(http.StatusUnauthorized, "Content-Type", "application/json") },
		"HTML":         func(c *connection) { c.answers(http.StatusOK, "Content-Type", "text/html") },
		"compressed":   func(c *connection) { c.answers(http.StatusOK, "Content-Encoding", "gzip"); c.begin(false); c.beat() },
		"of version 2": func(c *connection) { _, _ = io.WriteString(c.raw, `{"n":1,"feed":2,"iss":"`+issuer+"\"}\n") },
		"huge line": func(c *connection) {
			c.begin(false)
			_ = c.Flush()
			_, _ = io.WriteString(c.raw, `{"n":2,"claim":"gid","value":"`+strings.Repeat("x", 1<<20))
		},
		"only entries": func(c *connection) {
			c.begin(true)
			for i := 0; ; i++ {
				c.say(GrantHandle, fmt.Sprint("n", i))
				select {
				case <-c.gone:
					return
				case <-time.After(time.Second):
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var healed atomic.Bool
				p := &publisher{}
				p.serve = func(c *connection) {
					if c.number > 1 && !healed.Load() {
						bad(c)
						return
					}
					c.begin(c.cursor == "")
					c.say(GrantHandle, "a")
					c.beatFor(20 * time.Second)
				}
				recorded.Reset()
				w := NewWriter(&recorded)
				_ = w.Begin(Beginning{issuer, true})
				for i := range 30 {
					_ = w.Mark(Mark{time.Now().Add(time.Duration(i) * time.Second), "old"})
				}
				_ = w.Flush()
				f := follow(t, p, nil)
				defer f.Close()
				time.Sleep(15 * time.Second)
				views(t, f, "x", Live)
				time.Sleep(3 * time.Minute)
				views(t, f, "x", Unknown)
				views(t, f, "a", Revoked)
				if s := f.Status(); s.Err == nil {
					t.Errorf("%+v", s)
				}
				if n := p.count(); n > 30 {
					t.Errorf("%d connections in three minutes", n)
				}
				healed.Store(true)
				time.Sleep(3 * time.Minute)
				views(t, f, "x", Live)
			})
		})
	}
}

func beatOf(c *connection, age time.Duration) {
	for {
		c.mark(age)
		select {
		case <-c.gone:
			return
		case <-time.After(time.Second):
		}
	}
}

func TestFeedWhoseTimeGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{serve: func(c *connection) {
			c.begin(c.cursor == "")
			c.mark(0)
			c.mark(time.Second)
			<-c.gone
		}}
		f := follow(t, p, nil)
		defer f.Close()
		time.Sleep(time.Millisecond)
		if s := f.Status(); !errors.Is(s.Err, errBackwards) || s.Connected {
			t.Errorf("%+v", s)
		}
	})
}

// TestNoViewBeforeTheSnapshot: a snapshot that is cut, or never begins, shows nothing.
func TestNoViewBeforeTheSnapshot(t *testing.T) {
	for name, bad := range map[string]func(*connection){
		"cut":                  func(c *connection) { c.begin(true); c.say(GrantHandle, "a"); c.broken = errors.New("reset") },
		"ended":                func(c *connection) { c.begin(true); c.say(GrantHandle, "a") },
		"not from the start":   func(c *connection) { c.begin(false); c.say(GrantHandle, "a"); c.beat() },
		"of another issuer":    func(c *connection) { _ = c.Begin(Beginning{"https://evil.test", true}); c.beat() },
		"a minute old and one": func(c *connection) { c.begin(true); c.mark(61 * time.Second); <-c.gone },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &publisher{serve: bad}
				f := follow(t, p, nil)
				defer f.Close()
				for range 100 {
					time.Sleep(time.Second)
					views(t, f, "x", Unknown)
				}
				select {
				case <-f.Ready():
					t.Error("it is ready")
				default:
				}
			})
		})
	}
}

func TestFollowerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{serve: func(c *connection) {
			if c.cursor != "" {
				t.Errorf("it goes on at %s, though it does not have everything", c.cursor)
			}
			c.begin(true)
			for i := range 15 {
				_ = c.Entry(Entry{Claim: TokenID, Value: fmt.Sprint("jti-", i), Expiry: time.Unix(time.Now().Unix()/600*600+600, 0)})
			}
			c.beat()
		}}
		f := follow(t, p, func(c *Config) { c.MaxEntries = 10 })
		defer f.Close()
		time.Sleep(time.Minute)
		views(t, f, "x", Unknown)
		if f.View(Token{ID: "jti-3"}) != Revoked || f.Status().Entries != 10 || !errors.Is(f.Status().Err, errFull) {
			t.Errorf("%+v", f.Status())
		}
		p.mu.Lock()
		p.serve = func(c *connection) {
			c.begin(true)
			for i := range 10 {
				_ = c.Entry(Entry{Claim: TokenID, Value: fmt.Sprint("later-", i), Expiry: time.Now().Add(time.Hour)})
			}
			c.beat()
		}
		p.mu.Unlock()
		time.Sleep(15 * time.Minute) // the entries of before have expired
		views(t, f, "x", Live)
		if f.View(Token{ID: "later-9"}) != Revoked || f.Status().Entries != 10 {
			t.Errorf("a snapshot that fits was not taken: %+v", f.Status())
		}
	})
}

// TestEntriesOutliveAClockThatIsAhead: entries expire by the issuer's clock, since they are not told
// again when ours is set right.
func TestEntriesOutliveAClockThatIsAhead(t *testing.T) {
	const ahead = 10 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{serve: func(c *connection) {
			c.begin(c.cursor == "")
			if c.cursor == "" {
				_ = c.Entry(Entry{Claim: GrantHandle, Value: "ended", Expiry: time.Now().Add(5*time.Minute - ahead)})
				c.mark(ahead)
				return
			}
			c.mark(ahead)
		}}
		f := follow(t, p, nil)
		defer f.Close()
		time.Sleep(3 * time.Minute) // two more minutes until it expires by the issuer's clock
		views(t, f, "ended", Revoked)
		views(t, f, "x", Unknown) // the clocks are too far apart
		time.Sleep(4 * time.Minute)
		views(t, f, "ended", Unknown)
	})
}

func TestFollowerWaitsAsLongAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{serve: func(c *connection) {
			c.answers(http.StatusServiceUnavailable, "Retry-After", "25")
		}}
		f := follow(t, p, nil)
		defer f.Close()
		time.Sleep(time.Hour)
		if n := p.count(); n < 120 || n > 145 {
			t.Errorf("%d connections in an hour", n)
		}
	})
}

func TestFollowRefuses(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"Issuer":       func(c *Config) { c.Issuer = "" },
		"URL":          func(c *Config) { c.URL = "" },
		"ClientSecret": func(c *Config) { c.ClientSecret = "" },
		"ClientID":     func(c *Config) { c.ClientID = "" },
		"MaxAge":       func(c *Config) { c.MaxAge = time.Hour },
		"Skew":         func(c *Config) { c.Skew = time.Hour },
		"MaxEntries":   func(c *Config) { c.MaxEntries = -1 },
	} {
		config := Config{Issuer: issuer, URL: issuer, ClientID: "api", ClientSecret: "secret"}
		change(&config)
		if _, err := Follow(t.Context(), config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestFollowerLocates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{serve: func(c *connection) { c.begin(true); c.beat() }}
		asked := 0
		f := follow(t, p, func(c *Config) {
			c.URL = ""
			c.Locate = func(ctx context.Context) (string, error) {
				if asked++; asked == 1 {
					return "", errors.New("no metadata")
				}
				return issuer + "/revocations", nil
			}
		})
		defer f.Close()
		<-f.Ready()
		if asked != 2 || p.count() != 1 {
			t.Errorf("asked %d times, connected %d times", asked, p.count())
		}
	})
}
