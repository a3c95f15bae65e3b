package bff_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/bff"
	"gatehouse/internal/proxy"
	"gatehouse/internal/redistest"
	"gatehouse/internal/spec"
	"gatehouse/kv"
	"gatehouse/kv/kvredis"
)

// patience is how long a test waits for something that must come.
const patience = 20 * time.Second

// open opens an EventSource or a WebSocket and reads its first line. The channel is
// closed when the stream has ended.
func (b *browser) open(kind string) <-chan struct{} {
	b.Helper()
	var reader *bufio.Reader
	var closer io.Closer
	if kind == "events" {
		response, err := http.DefaultTransport.RoundTrip(b.request("GET", "/api/events", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Accept": {"text/event-stream"}}, nil))
		if err != nil {
			b.Fatal(err)
		}
		if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
			b.Fatalf("the stream is answered %d %v", response.StatusCode, response.Header)
		}
		reader, closer = bufio.NewReader(response.Body), response.Body
	} else {
		connection, response := b.dialSocket(http.Header{"Origin": {origin}})
		if response.StatusCode != http.StatusSwitchingProtocols {
			b.Fatalf("the WebSocket is answered %d", response.StatusCode)
		}
		reader, closer = connection.reader, connection
	}
	line, err := reader.ReadString('\n')
	if err != nil || !strings.Contains(line, "first") {
		b.Fatalf("the stream begins with %q, %v", line, err)
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, reader)
		_ = closer.Close()
		close(ended)
	}()
	b.Cleanup(func() { _ = closer.Close() })
	return ended
}

type socket struct {
	net.Conn
	reader *bufio.Reader
}

func (b *browser) dialSocket(headers http.Header) (socket, *http.Response) {
	b.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(b.fronts[b.replica].URL, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	headers = with(headers, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13", "Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	r := b.request("GET", "/api/socket", headers, nil)
	r.Host = "app.example"
	if err := r.Write(connection); err != nil {
		b.Fatal(err)
	}
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, r)
	if err != nil {
		b.Fatal(err)
	}
	return socket{connection, reader}, response
}

func wantEnd(t *testing.T, about string, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Errorf("%s: the stream goes on", about)
	}
}

func TestOtherSitesOpenNoStream(t *testing.T) {
	spec.Covers(t, "BB-03")
	s := newStage(t, nil, nil)
	b := s.browser()
	for _, path := range []string{"/api/events", "/api/socket"} {
		wantRefusal(t, "nobody at "+path, b.do("GET", path, http.Header{"Sec-Fetch-Site": {"same-origin"}}, nil), http.StatusUnauthorized, bff.CodeLoginRequired)
	}
	b.signIn()
	for about, headers := range map[string]http.Header{
		"nothing told": {}, "another site": {"Sec-Fetch-Site": {"cross-site"}}, "a sibling": {"Sec-Fetch-Site": {"same-site"}}, "another origin": {"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"same-origin"}},
		"an origin alone": {"Origin": {origin}},
	} {
		wantRefusal(t, about, b.do("GET", "/api/events", headers, nil), http.StatusForbidden, bff.CodeCrossSite)
	}
	for about, headers := range map[string]http.Header{
		"nothing told": {}, "no origin": {"Sec-Fetch-Site": {"same-origin"}}, "another origin": {"Origin": {"https://evil.example"}}, "http": {"Origin": {"http://app.example"}}, "null": {"Origin": {"null"}},
		"a sibling": {"Origin": {origin}, "Sec-Fetch-Site": {"same-site"}}, "the header instead": {"X-Csrf": {"1"}},
	} {
		connection, response := b.dialSocket(headers)
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("a WebSocket, %s: %d", about, response.StatusCode)
		}
		_ = connection.Close()
	}
	if s.calls() != 0 {
		t.Error("the API was reached")
	}
	b.open("events")
	b.open("socket")
	if token := s.last().Header.Get("Authorization"); token != "Bearer "+s.line.seen()[0] {
		t.Errorf("the WebSocket's handshake has %q", token)
	}
}

func TestStreamsEndWithTheSession(t *testing.T) {
	s := newStage(t, nil, nil)
	for _, kind := range []string{"events", "socket"} {
		for about, end := range map[string]func(*browser){
			"logout":       func(b *browser) { b.call("POST", "/bff/logout") },
			"a new login":  func(b *browser) { b.signIn() },
			"the shutdown": func(*browser) { s.bffs[0].EndStreams() },
		} {
			bystander, b := s.browser(), s.browser()
			bystander.signIn()
			b.signIn()
			theirs, ours := bystander.open(kind), b.open(kind)
			end(b)
			wantEnd(t, kind+", "+about, ours)
			if about != "the shutdown" {
				select {
				case <-theirs:
					t.Errorf("%s, %s: another session's stream ended, too", kind, about)
				default:
				}
			}
		}
	}
}

// A browser that takes nothing of a stream holds neither the API nor us after the end.
func TestAStreamThatNobodyReads(t *testing.T) {
	s := newStage(t, nil, nil)
	b := s.browser()
	b.signIn()
	response, err := http.DefaultTransport.RoundTrip(b.request("GET", "/api/flood", http.Header{"Sec-Fetch-Site": {"same-origin"}}, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() // after it is over: until then nothing is read
	if p := b.call("POST", "/bff/logout"); p.StatusCode != http.StatusOK {
		t.Fatalf("%v", p)
	}
	select {
	case <-s.flooded:
	case <-time.After(patience):
		t.Error("the API still sends")
	}
}

func TestStreamsAreCounted(t *testing.T) {
	s := newStage(t, nil, nil)
	b := s.browser()
	b.signIn()
	for range proxy.MaxStreamsPerKey {
		b.open("socket")
	}
	p := b.do("GET", "/api/events", http.Header{"Sec-Fetch-Site": {"same-origin"}}, nil)
	wantRefusal(t, "one more", p, http.StatusTooManyRequests, bff.CodeTooMany)
	other := s.browser()
	other.signIn()
	other.open("events")
}

// Two BFFs over one Redis behave as one: a login begun at one ends at the other,
// sessions and their ends are everywhere, streams too, and tokens are renewed once.
func TestTwoOverOneRedis(t *testing.T) {
	spec.Covers(t, "BB-06", "SE-04")
	server := redistest.Start(t)
	var stores []kv.Store
	for range 2 {
		store, err := kvredis.Open(t.Context(), kvredis.Config{Addresses: []string{server.Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(store.Close)
		stores = append(stores, store)
	}
	s := newStage(t, stores, nil)
	b := s.browser()
	back := b.callback("/bff/login")
	b.replica = 1
	b.do("GET", back, nil, nil)
	if !b.signedIn() {
		t.Fatal("a login that moved to the other replica failed")
	}
	b.replica = 0
	if !b.signedIn() {
		t.Fatal("the session is at one replica alone")
	}
	events, webSocket := b.open("events"), b.open("socket")

	b.replica = 1
	thief := b.copied()
	if p := b.call("POST", "/bff/logout"); p.StatusCode != http.StatusOK {
		t.Fatalf("%v", p)
	}
	wantEnd(t, "events at the other replica", events)
	wantEnd(t, "a WebSocket at the other replica", webSocket)
	for replica := range 2 {
		thief.replica = replica
		if thief.signedIn() {
			t.Errorf("replica %d takes the cookie of a session that is over", replica)
		}
	}
	// What Redis holds is sealed.
	b.signIn()
	for _, key := range strings.Fields(server.Do(t, "KEYS", "*")) {
		if strings.Contains(key, b.jar["__Host-Http-bff"]) {
			t.Error("a key of Redis has the cookie's value")
		}
	}
	server.Kill(t)
	p := b.call("GET", "/bff/user")
	wantRefusal(t, "Redis is away", p, http.StatusServiceUnavailable, bff.CodeUnavailable)
	if p.Header.Get("Set-Cookie") != "" {
		t.Errorf("%v", p)
	}
}

// At the end of an access token any number of requests at two replicas cause one
// refresh; and each failure does to the session what RFC 10017's table says.
func TestRefreshTable(t *testing.T) {
	spec.Covers(t, "BB-06", "BB-07")
	store := kv.NewMemory(kv.MemoryConfig{})
	for about, test := range map[string]struct {
		begin   func(*line)
		status  int
		code    string
		lives   bool
		renewed int // requests, where it is known how many
	}{
		"renewed":            {func(*line) {}, http.StatusOK, "", true, 1},
		"the answer is lost": {func(l *line) { l.lose = 1 }, http.StatusOK, "", true, 2},
		"we are not known":   {func(l *line) { l.answer["/token"], l.code = http.StatusUnauthorized, "invalid_client" }, http.StatusInternalServerError, bff.CodeServerError, true, 0},
		"we may not refresh": {func(l *line) { l.answer["/token"], l.code = http.StatusBadRequest, "unauthorized_client" }, http.StatusInternalServerError, bff.CodeServerError, true, 0},
		"the token is dead":  {func(l *line) { l.answer["/token"], l.code = http.StatusBadRequest, "invalid_grant" }, http.StatusUnauthorized, bff.CodeLoginRequired, false, 0},
		"the issuer is away": {func(l *line) { l.cut["/token"] = true }, http.StatusServiceUnavailable, bff.CodeUnavailable, true, 0},
		"the issuer is sick": {func(l *line) { l.answer["/token"] = http.StatusInternalServerError }, http.StatusServiceUnavailable, bff.CodeUnavailable, true, 0},
		"too many requests":  {func(l *line) { l.answer["/token"] = http.StatusTooManyRequests }, http.StatusServiceUnavailable, bff.CodeUnavailable, true, 0},
	} {
		t.Run(strings.ReplaceAll(about, " ", "-"), func(t *testing.T) {
			s := newStage(t, []kv.Store{store, store}, nil)
			s.line.set(func() { s.line.expired = true })
			b := s.browser()
			b.signIn()
			s.line.set(func() { test.begin(s.line) })
			asked := s.line.asked("/token")
			begin := make(chan struct{})
			var all sync.WaitGroup
			pages := make(chan page, 50)
			for i := range cap(pages) {
				one := b.copied()
				one.replica = i % 2
				all.Go(func() { <-begin; pages <- one.call("GET", "/api/photos") })
			}
			close(begin)
			all.Wait()
			close(pages)
			for p := range pages {
				if test.code == "" && p.StatusCode != test.status {
					t.Errorf("%v", p)
				} else if test.code != "" {
					wantRefusal(t, about, p, test.status, test.code)
				}
			}
			if got := s.line.asked("/token") - asked; test.renewed != 0 && got != test.renewed {
				t.Errorf("%d token requests, want %d", got, test.renewed)
			}
			if !strings.Contains(s.log.String(), "until somebody mends the configuration") && strings.HasPrefix(about, "we ") {
				t.Error("nobody is told of what is wrong with the configuration")
			}
			if b.signedIn() != test.lives {
				t.Errorf("the session lives: %v", !test.lives)
			}
		})
	}
}
