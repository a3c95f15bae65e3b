package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"gatehouse/internal/proxy"
	"gatehouse/internal/spec"
)

// echo tells what an upstream saw.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Set-Cookie", "__Host-Http-session=evil")
	w.Header().Add("Connection", "X-Hop")
	w.Header().Set("X-Hop", "1")
	fmt.Fprintf(w, "%s %s host=%s\n", r.Method, r.RequestURI, r.Host)
	_ = r.Header.Write(w)
}

func newUpstream(t *testing.T, handler http.HandlerFunc, trusted ...string) (*proxy.Upstream, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL + "/v1")
	if err != nil {
		t.Fatal(err)
	}
	u := &proxy.Upstream{
		URL: at, Public: &url.URL{Scheme: "https", Host: "app.example"}, Filter: newFilter(t), Logger: slog.New(slog.DiscardHandler),
		Error: func(w http.ResponseWriter, _ *http.Request, err error) {
			status := http.StatusBadGateway
			if proxy.TooLarge(err) {
				status = http.StatusRequestEntityTooLarge
			}
			w.WriteHeader(status)
		},
	}
	for _, one := range trusted {
		u.Trusted = append(u.Trusted, netip.MustParsePrefix(one))
	}
	return u, server
}

type addToken struct{ http.RoundTripper }

func (a addToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer ours")
	return a.RoundTripper.RoundTrip(r)
}

func TestUpstreamSeesOurHeadersOrNone(t *testing.T) {
	spec.Covers(t, "PX-04", "PX-06")
	u, server := newUpstream(t, echo)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.Serve(w, r, r.URL.EscapedPath(), addToken{proxy.NewTransport()}, nil)
	}))
	defer front.Close()
	r, err := http.NewRequest("POST", front.URL+"/a%20b?q=1%2F2", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{
		"Connection": {"close, Authorization, X-Forwarded-For, X-Forwarded-Host"}, "Authorization": {"Bearer theirs"}, "X-Forwarded-For": {"6.6.6.6"},
		"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"http"}, "X-Original-URL": {"/admin"}, "Cookie": {"__Host-Http-session=secret; a=1"}, "X-Keep": {"1"},
	}
	r.Host = "evil.example"
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	saw := strings.ReplaceAll(string(text), "\r", "")
	for _, want := range []string{
		"POST /v1/a%20b?q=1%2F2 host=" + strings.TrimPrefix(server.URL, "http://") + "\n", "Authorization: Bearer ours\n",
		"X-Forwarded-For: 127.0.0.1\n", "X-Forwarded-Host: app.example\n", "X-Forwarded-Proto: https\n", "Cookie: a=1\n", "X-Keep: 1\n",
	} {
		if !strings.Contains(saw, want) {
			t.Errorf("the upstream did not see %q:\n%s", want, saw)
		}
	}
	for _, not := range []string{"evil", "6.6.6.6", "theirs", "secret", "admin"} {
		if strings.Contains(saw, not) {
			t.Errorf("the upstream saw %q:\n%s", not, saw)
		}
	}
	if h := response.Header; h.Get("Set-Cookie") != "" || h.Get("X-Hop") != "" {
		t.Errorf("the browser saw %v", h)
	}

	for peer, want := range map[string]string{"127.0.0.0/8": "6.6.6.6, 127.0.0.1\n", "10.0.0.0/8": "X-Forwarded-For: 127.0.0.1\n"} {
		u.Trusted = []netip.Prefix{netip.MustParsePrefix(peer)}
		r, err := http.NewRequest("GET", front.URL+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", "6.6.6.6")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if !strings.Contains(strings.ReplaceAll(string(text), "\r", ""), want) {
			t.Errorf("trusting %s:\n%s", peer, text)
		}
	}
}

// Interim answers of an upstream are its own business.
func TestInterimAnswersStayBehind(t *testing.T) {
	u, _ := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "__Host-Http-session=evil")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Set-Cookie")
		_, _ = io.WriteString(w, "done")
	})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.Serve(w, r, "/", proxy.NewTransport(), func(response *http.Response) { response.Header.Set("X-Ours", "1") })
	}))
	defer front.Close()
	connection, err := (&http.Transport{}).RoundTrip(mustRequest(t, front.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Body.Close()
	text, _ := io.ReadAll(connection.Body)
	if connection.StatusCode != 200 || string(text) != "done" || connection.Header.Get("X-Ours") != "1" || connection.Header.Get("Set-Cookie") != "" {
		t.Errorf("%d %s %v", connection.StatusCode, text, connection.Header)
	}
}

func mustRequest(t *testing.T, target string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("GET", target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The end of a key ends its streams on both sides, and no other's.
func TestStreamsEndWithTheirKey(t *testing.T) {
	gone := make(chan string, 2)
	u, _ := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		gone <- r.URL.Path
	})
	var streams proxy.Streams
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, _, done, err := streams.Open(r.Context(), r.URL.Path)
		if err != nil {
			t.Error(err)
			return
		}
		defer done()
		u.Serve(w, r.WithContext(ctx), r.URL.Path, proxy.NewTransport(), nil)
	}))
	defer front.Close()
	open := func(path string) *bufio.Reader {
		response, err := http.Get(front.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		reader := bufio.NewReader(response.Body)
		if line, err := reader.ReadString('\n'); err != nil || line != "data: 1\n" {
			t.Fatalf("%q %v", line, err)
		}
		return reader
	}
	one, two := open("/one"), open("/two")
	if streams.Count() != 2 || !streams.Any("/one") {
		t.Errorf("%d streams", streams.Count())
	}
	streams.End("/one")
	if _, err := io.ReadAll(one); err == nil {
		t.Error("the browser takes the cut stream for a whole one")
	}
	if path := <-gone; path != "/v1/one" {
		t.Errorf("%s ended", path)
	}
	if streams.Any("/two") != true {
		t.Error("another key's stream ended, too")
	}
	streams.EndAll()
	_, _ = io.ReadAll(two)
	<-gone
}

func TestStreamsAreBounded(t *testing.T) {
	var streams proxy.Streams
	var done []func()
	for i := range proxy.MaxStreamsPerKey {
		_, first, closeStream, err := streams.Open(t.Context(), "key")
		if err != nil || first != (i == 0) {
			t.Fatal(i, first, err)
		}
		done = append(done, closeStream)
	}
	if _, _, _, err := streams.Open(t.Context(), "key"); !errors.Is(err, proxy.ErrTooManyStreams) {
		t.Errorf("one more: %v", err)
	}
	// All close twice at the same time, while the key ends.
	begin := make(chan struct{})
	var all sync.WaitGroup
	for _, closeStream := range append(done, done...) {
		all.Go(func() { <-begin; closeStream() })
	}
	all.Go(func() { <-begin; streams.End("key") })
	close(begin)
	all.Wait()
	if streams.Count() != 0 || streams.Any("key") {
		t.Errorf("%d are left", streams.Count())
	}
	ctx, first, closeStream, err := streams.Open(t.Context(), "key")
	if err != nil || !first {
		t.Fatal(first, err)
	}
	defer closeStream()
	streams.End("key")
	if !errors.Is(context.Cause(ctx), proxy.ErrEnded) {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
}
