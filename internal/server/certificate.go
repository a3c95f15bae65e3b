package server

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
)

// certificateAge is how long a certificate is used before its files are
// looked at again.
const certificateAge = 10 * time.Second

// certificate is the listener's certificate. It follows its files; while they
// cannot be read, or do not fit each other, the last good one stays.
type certificate struct {
	paths TLS

	mu       sync.Mutex
	current  *tls.Certificate
	modified [2]time.Time
	checked  time.Time
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) > certificateAge {
		_ = c.load() // the last good one stays
	}
	return c.current, nil
}

// load reads the files if they changed. The caller holds the lock, or is the
// only one.
func (c *certificate) load() error {
	c.checked = time.Now()
	var modified [2]time.Time
	for i, path := range []string{c.paths.Certificate, c.paths.Key} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		modified[i] = info.ModTime()
	}
	if c.current != nil && modified == c.modified {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.paths.Certificate, c.paths.Key)
	if err != nil {
		return err
	}
	c.current, c.modified = &pair, modified
	return nil
}
