package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is the listener's certificate. It follows its files; while they
// cannot be read, do not fit each other or have expired, the last good one
// stays.
type certificate struct {
	paths TLS
	log   *slog.Logger
	now   func() time.Time
	// maxAge is how long a certificate is used before its files are looked
	// at again.
	maxAge time.Duration

	mu      sync.Mutex
	current *tls.Certificate
	files   [2]fileState
	checked time.Time
	failure string
}

// fileState changes whenever a file is written.
type fileState struct {
	modified time.Time
	size     int64
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.checked) >= c.maxAge {
		c.follow()
	}
	return c.current, nil
}

// follow loads what is new and says once what is wrong with it.
func (c *certificate) follow() {
	before := c.current
	err := c.load()
	switch {
	case err != nil && err.Error() != c.failure:
		c.failure = err.Error()
		c.log.Warn("the new TLS certificate cannot be used; the last good one stays", "error", err)
	case err == nil && c.current != before:
		c.failure = ""
		c.log.Info("the TLS certificate was replaced", "expires", c.current.Leaf.NotAfter)
	}
}

// load reads the files if they changed. The caller holds the lock, or is the
// only one.
func (c *certificate) load() error {
	c.checked = c.now()
	var files [2]fileState
	for i, path := range []string{c.paths.Certificate, c.paths.Key} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		files[i] = fileState{info.ModTime(), info.Size()}
	}
	if c.current != nil && files == c.files {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.paths.Certificate, c.paths.Key)
	if err != nil {
		return err
	}
	if expiry := pair.Leaf.NotAfter; c.now().After(expiry) {
		if c.current != nil {
			return errors.New("it expired at " + expiry.UTC().Format(time.RFC3339))
		}
		c.log.Warn("the TLS certificate has expired; clients will refuse it", "expired", expiry)
	}
	c.current, c.files = &pair, files
	return nil
}

// tlsConfig returns the listener's TLS, or nil when the server speaks http.
func (s *Server) tlsConfig() (*tls.Config, error) {
	return s.config.TLS.following(s.log, s.clock, s.limits.certificateAge)
}

// Listener returns the TLS of a listener whose certificate follows its files, or
// nil without a certificate.
func (t TLS) Listener(log *slog.Logger) (*tls.Config, error) {
	return t.following(log, time.Now, defaultLimits().certificateAge)
}

func (t TLS) following(log *slog.Logger, now func() time.Time, maxAge time.Duration) (*tls.Config, error) {
	if t.Certificate == "" {
		return nil, nil
	}
	kept := &certificate{paths: t, log: log, now: now, maxAge: maxAge}
	if err := kept.load(); err != nil {
		return nil, fmt.Errorf("tls: %w; check tls.certificate and tls.key", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // RFC 9325 §3.1.1
		NextProtos: []string{"h2", "http/1.1"}, GetCertificate: kept.get,
	}, nil
}
