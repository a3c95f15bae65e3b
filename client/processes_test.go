package client_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/internal/redistest"
	"gatehouse/internal/spec"
	"gatehouse/kv/kvredis"
)

const (
	// replicaVariable makes the test binary a replica: Redis' address, the issuer and
	// the callback, divided by spaces.
	replicaVariable = "GATEHOUSE_CLIENT_REPLICA"

	stormCallers = 100 // in each process
	stormRounds  = 4
)

// TestMain makes the binary a replica where it is told to be one.
func TestMain(m *testing.M) {
	if words := strings.Fields(os.Getenv(replicaVariable)); len(words) == 3 {
		if err := beReplica(words[0], words[1], words[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// openReplica is a client on a shared Redis, until it is closed.
func openReplica(address, issuer, callback string) (c *client.Client, closing func(), err error) {
	ctx := context.Background()
	store, err := kvredis.Open(ctx, kvredis.Config{Addresses: []string{address}, Timeout: 10 * time.Second})
	if err != nil {
		return nil, nil, err
	}
	c, err = client.New(ctx, issuer, client.Config{
		ClientID: clientID, ClientSecret: client.NewSecret(clientSecret), RedirectURI: callback,
		Store: store, Keys: [][]byte{sealingKey}, Logger: slog.New(slog.DiscardHandler),
	})
	return c, func() {
		_ = c.Close()
		store.Close()
	}, err
}

// storm asks for the session's access token many times at once, when begin is
// closed, and returns the hashes of the tokens and the errors that came.
func storm(c *client.Client, cookie string, begin <-chan struct{}) []string {
	got := make([]string, stormCallers)
	var asking sync.WaitGroup
	for i := range stormCallers {
		asking.Go(func() {
			r, err := http.NewRequest("GET", "http://127.0.0.1/", nil)
			if err != nil {
				panic(err)
			}
			r.Header.Set("Cookie", cookie)
			<-begin
			s, err := c.Session(r)
			if err != nil {
				got[i] = fmt.Sprint("session-", client.StatusOf(err))
				return
			}
			tokens, err := s.Token(r.Context())
			if err != nil {
				got[i] = fmt.Sprint("token-", client.StatusOf(err))
				return
			}
			sum := sha256.Sum256([]byte(tokens.AccessToken.Reveal()))
			got[i] = hex.EncodeToString(sum[:])
		})
	}
	asking.Wait()
	slices.Sort(got)
	return slices.Compact(got)
}

// beReplica is the other process of TestStormOfTwoProcesses: it reads a cookie,
// says that it is ready, begins at the next line, and tells what it got.
func beReplica(address, issuer, callback string) error {
	c, closing, err := openReplica(address, issuer, callback)
	if err != nil {
		return err
	}
	defer closing()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		cookie, begin := lines.Text(), make(chan struct{})
		done := make(chan []string)
		go func() { done <- storm(c, cookie, begin) }()
		fmt.Println("ready")
		lines.Scan()
		close(begin)
		fmt.Println("got " + strings.Join(<-done, " "))
	}
	return lines.Err()
}

// other is the other process.
type other struct {
	stdin  io.Writer
	stdout *bufio.Scanner
}

func startOther(t *testing.T, words ...string) *other {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), replicaVariable+"="+strings.Join(words, " "))
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		if err := command.Wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
	})
	return &other{stdin, bufio.NewScanner(stdout)}
}

// line waits for a line that begins so, and returns the rest.
func (o *other) line(t *testing.T, prefix string) string {
	t.Helper()
	for o.stdout.Scan() {
		if rest, found := strings.CutPrefix(o.stdout.Text(), prefix); found {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("the other process ended without %q", prefix)
	return ""
}

func TestStormOfTwoProcesses(t *testing.T) {
	spec.Covers(t, "BB-06")
	redis := redistest.Start(t)
	p := newProvider(t)
	callback := "http://127.0.0.1:9/callback"
	here, closing, err := openReplica(redis.Addr(), p.issuer, callback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closing)
	there := startOther(t, redis.Addr(), p.issuer, callback)
	for round := range stormRounds {
		p.change(func(p *provider) { p.life, p.answer = 0, nil }) // the access token has ended already
		cookie := signInBy(t, p, here)
		slow := time.Duration(round) * 300 * time.Millisecond
		p.change(func(p *provider) {
			p.life = 600
			p.answer = func(http.ResponseWriter, *http.Request) bool { time.Sleep(slow); return false }
		})
		before := p.refreshes()
		got, theirs := there.both(t, here, cookie)
		if !slices.Equal(got, theirs) || len(got) != 1 || len(got[0]) != 2*sha256.Size {
			t.Errorf("round %d: here %v, there %v", round, got, theirs)
		}
		if n := p.refreshes() - before; n != 1 {
			t.Errorf("round %d: %d refreshes", round, n)
		}
	}
}

// both lets both processes storm at once and returns what each got.
func (o *other) both(t *testing.T, here *client.Client, cookie string) (ours, theirs []string) {
	t.Helper()
	fmt.Fprintln(o.stdin, cookie)
	o.line(t, "ready")
	begin, done := make(chan struct{}), make(chan []string)
	go func() { done <- storm(here, cookie, begin) }()
	fmt.Fprintln(o.stdin, "begin")
	close(begin)
	return <-done, strings.Fields(o.line(t, "got"))
}

// While the issuer fails nobody is signed out, and few requests reach it; once it
// is well again, everybody goes on.
func TestStormWhileTheIssuerFails(t *testing.T) {
	redis := redistest.Start(t)
	p := newProvider(t)
	callback := "http://127.0.0.1:9/callback"
	here, closing, err := openReplica(redis.Addr(), p.issuer, callback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closing)
	there := startOther(t, redis.Addr(), p.issuer, callback)
	for name, fail := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"500": func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		},
		"429": func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		},
		"the answer is lost": func(_ http.ResponseWriter, r *http.Request) bool {
			p.mu.Lock()
			p.token(httptest.NewRecorder(), r.PostForm) // it acts, and says nothing
			p.mu.Unlock()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p.change(func(p *provider) { p.life, p.answer, p.grace = 0, nil, map[string]any{} })
			cookie := signInBy(t, p, here)
			p.change(func(p *provider) {
				p.life = 600
				p.answer = func(w http.ResponseWriter, r *http.Request) bool { return r.URL.Path == "/token" && fail(w, r) }
			})
			before := p.refreshes()
			ours, theirs := there.both(t, here, cookie)
			for _, got := range slices.Concat(ours, theirs) {
				if got != "token-503" {
					t.Errorf("while it fails: %s", got)
				}
			}
			if n := p.refreshes() - before; n < 1 || n > 10 {
				t.Errorf("%d requests of %d callers", n, 2*stormCallers)
			}
			p.change(func(p *provider) { p.answer = nil })
			for deadline := time.Now().Add(20 * time.Second); ; {
				ours, theirs = there.both(t, here, cookie)
				if all := slices.Concat(ours, theirs); !slices.Contains(all, "token-503") {
					if len(slices.Compact(all)) != 1 || len(all[0]) != 2*sha256.Size {
						t.Errorf("when it is well again: %v", all)
					}
					return
				}
				if time.Now().After(deadline) {
					t.Fatal("it is well again, and nobody has noticed")
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
}

// signInBy signs in without an application and returns the session's cookie.
func signInBy(t *testing.T, p *provider, c *client.Client) (cookie string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/login", c.LoginHandler())
	mux.Handle("/callback", c.CallbackHandler(nil))
	b := newBrowser(t)
	b.network = direct{"127.0.0.1:9": mux, strings.TrimPrefix(p.URL, "http://"): p}
	b.get(b.get(b.get("http://127.0.0.1:9/login").to(t)).to(t))
	for _, one := range b.jar {
		cookie = one.Name + "=" + one.Value
	}
	if len(b.jar) != 1 {
		t.Fatalf("cookies %v", b.names())
	}
	return cookie
}
