package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"gatehouse/internal/proxy"
)

const (
	// breakerFailures in a row open an upstream's breaker for breakerOpen; then one
	// request tries it.
	breakerFailures = 5
	breakerOpen     = 10 * time.Second
	// trialPatience is how long altogether the request that tries an upstream may wait for its
	// own body; then another one may try.
	trialPatience = time.Second
	// lookEvery is how often the files of certificates are looked at.
	lookEvery = 2 * time.Second
	// maxCertificates bounds each of them, in bytes.
	maxCertificates = 4 << 20
	// defaultAnswerTimeout is for upstreams that say nothing.
	defaultAnswerTimeout = 30 * time.Second
	// pingAfter is how long nothing may come on a connection of HTTP/2 until it is asked
	// whether it lives, and pingTimeout how long it may take to say so.
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second
	// retryPause comes before a request is sent again.
	retryPause = 20 * time.Millisecond
)

// errResting is the error of a request that the breaker keeps from an upstream.
var errResting = errors.New("gateway: the upstream did not answer several times and is spared for a while")

// errSender is the error of a request that failed by who sent it, of which nothing follows
// for its upstream.
var errSender = errors.New("gateway: the request was given up, or its body did not come as announced")

// upstream is one that is ready to be used: it sends requests, again where that is safe,
// by a transport whose certificates follow their files, and not while it does not answer.
type upstream struct {
	Upstream
	at        *url.URL
	proxy     proxy.Upstream
	breaker   *gobreaker.TwoStepCircuitBreaker[struct{}]
	logger    *slog.Logger
	transport atomic.Pointer[http.Transport]

	mu   sync.Mutex // of files
	seen [sha256.Size]byte
}

func newUpstream(config Upstream, logger *slog.Logger) (*upstream, error) {
	at, err := url.Parse(config.URL)
	if err != nil {
		return nil, err
	}
	u := &upstream{Upstream: config, at: at, logger: logger}
	u.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: config.Name, Timeout: breakerOpen,
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= breakerFailures },
		IsExcluded:  func(err error) bool { return errors.Is(err, errSender) },
		OnStateChange: func(name string, from, to gobreaker.State) {
			logger.Warn("the circuit breaker of an upstream changed", "upstream", name, "from", from.String(), "to", to.String())
		},
	})
	transport, seen, err := config.newTransport()
	if err != nil {
		return nil, fmt.Errorf("the upstream %q: %w", config.Name, err)
	}
	u.seen = seen
	u.transport.Store(transport)
	return u, nil
}

// checkFiles says what is wrong with the files of certificates.
func (u Upstream) checkFiles() error {
	_, _, err := u.newTransport()
	return err
}

// newTransport makes a transport with what the files hold now, of which seen is a digest.
func (u Upstream) newTransport() (*http.Transport, [sha256.Size]byte, error) {
	config, seen, err := u.tls()
	if err != nil {
		return nil, seen, err
	}
	transport := proxy.NewTransport()
	transport.TLSClientConfig = config
	if transport.ResponseHeaderTimeout = u.AnswerTimeout; u.AnswerTimeout == 0 {
		transport.ResponseHeaderTimeout = defaultAnswerTimeout
	}
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	if u.H2C {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	return transport, seen, nil
}

func (u Upstream) tls() (*tls.Config, [sha256.Size]byte, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.ServerName}
	hash := sha256.New()
	var content [3][]byte
	for i, name := range []string{u.CAFile, u.CertFile, u.KeyFile} {
		if name == "" {
			continue
		}
		var err error
		if content[i], err = readFile(name); err != nil {
			return nil, [sha256.Size]byte{}, err
		}
		digest := sha256.Sum256(content[i])
		hash.Write(digest[:])
	}
	seen := [sha256.Size]byte(hash.Sum(nil))
	if u.CAFile != "" {
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(content[0]) {
			return nil, seen, fmt.Errorf("%s has no certificate in PEM", u.CAFile)
		}
	}
	if u.CertFile != "" {
		certificate, err := tls.X509KeyPair(content[1], content[2])
		if err != nil {
			return nil, seen, fmt.Errorf("%s and %s: %w", u.CertFile, u.KeyFile, err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, seen, nil
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxCertificates {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxCertificates)
	}
	content, err := os.ReadFile(name)
	return bytes.Clone(content), err
}

// follow reads the files again when they change, until ctx is over. Connections that are
// open stay as long as they are used.
func (u *upstream) follow(ctx context.Context) {
	if u.CAFile == "" && u.CertFile == "" {
		return
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			u.reload(ctx)
		}
	}
}

func (u *upstream) reload(ctx context.Context) {
	u.mu.Lock()
	defer u.mu.Unlock()
	transport, seen, err := u.newTransport()
	if seen == u.seen {
		return
	}
	u.seen = seen
	if err != nil {
		u.logger.ErrorContext(ctx, "the certificates of an upstream cannot be read; those from before stay", "upstream", u.Name, "error", err)
		return
	}
	u.transport.Swap(transport).CloseIdleConnections()
	u.logger.InfoContext(ctx, "the certificates of an upstream changed", "upstream", u.Name)
}

// RoundTrip sends a request to the upstream.
func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	done, err := u.breaker.Allow()
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, errResting
	}
	var sent *sentBody
	if r.Body != nil && r.Body != http.NoBody {
		sent = &sentBody{ReadCloser: r.Body}
		if u.breaker.State() == gobreaker.StateHalfOpen {
			done = once(done)
			sent.patience, sent.late = trialPatience, func() { done(errSender) }
		}
		whole := *r // a RoundTripper changes no request
		whole.Body, r = sent, &whole
	}
	for again := u.Retries; ; again-- {
		response, err := u.transport.Load().RoundTrip(r)
		if err == nil {
			done(nil)
			return response, nil
		}
		if again <= 0 || !mayRepeat(r, err) || !pause(r.Context()) {
			if errors.Is(r.Context().Err(), context.Canceled) || proxy.TooLarge(err) || sent.missing() {
				err = fmt.Errorf("%w: %w", errSender, err)
			}
			done(err)
			return nil, err
		}
	}
}

// once is a function of which the first call alone counts.
func once(f func(error)) func(error) {
	var first sync.Once
	return func(err error) { first.Do(func() { f(err) }) }
}

// sentBody is a request's body that knows whether its sender is waited for.
type sentBody struct {
	io.ReadCloser
	waiting, broken atomic.Bool
	// late, if set, is called when all waiting together takes longer than patience.
	late     func()
	patience time.Duration
}

func (b *sentBody) Read(p []byte) (int, error) {
	if b.late != nil {
		began, timer := time.Now(), time.AfterFunc(b.patience, b.late)
		defer func() {
			timer.Stop()
			b.patience -= time.Since(began)
		}()
	}
	b.waiting.Store(true)
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.broken.Store(true)
	}
	b.waiting.Store(false)
	return n, err
}

// missing says that the body broke off, or that more of it was still to come.
func (b *sentBody) missing() bool { return b != nil && (b.waiting.Load() || b.broken.Load()) }

// mayRepeat says whether a request that got no answer may be sent again: it has no body
// that is gone, and it changes nothing twice (RFC 9110 §9.2.2) or was not sent at all.
func mayRepeat(r *http.Request, err error) bool {
	if r.Body != nil && r.Body != http.NoBody || r.Context().Err() != nil || r.Header.Get("Upgrade") != "" {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		timeout, is := errors.AsType[net.Error](err)
		return !is || !timeout.Timeout() || notSent(err) // who waits for long once should not do so twice
	}
	return notSent(err)
}

// notSent says that there was no connection.
func notSent(err error) bool {
	operation, is := errors.AsType[*net.OpError](err)
	return is && operation.Op == "dial"
}

func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(retryPause):
		return true
	}
}
