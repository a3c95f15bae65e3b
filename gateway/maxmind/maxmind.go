package maxmind

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

const (
	// DefaultLook is how often a file is looked at.
	DefaultLook = 10 * time.Second
	// maxFile bounds a file, which is held in memory, in bytes.
	maxFile = 1 << 30
)

// Config says which file, and how it is followed.
type Config struct {
	File string
	// Look is how often it is looked at; 0 means DefaultLook.
	Look time.Duration
	// Logger is told when it changed, or cannot be read; nil means slog.Default.
	Logger *slog.Logger
}

// Countries tells countries. It is safe for concurrent use.
type Countries struct {
	config Config
	now    atomic.Pointer[maxminddb.Reader]
	seen   state // of the goroutine that follows
	ends   context.CancelFunc
	beside sync.WaitGroup
}

// state tells whether a file is another one than before.
type state struct {
	size     int64
	modified time.Time
}

// Open reads the file, and again whenever it changes, until Close. A new file that is
// wrong is told in the log, and the last good one stays.
func Open(config Config) (*Countries, error) {
	if config.Look <= 0 {
		config.Look = DefaultLook
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	c := &Countries{config: config}
	seen, err := c.look()
	if err != nil {
		return nil, err
	}
	if err := c.read(); err != nil {
		return nil, err
	}
	c.seen = seen
	ctx, ends := context.WithCancel(context.Background())
	c.ends = ends
	c.beside.Go(func() { c.follow(ctx) })
	return c, nil
}

// Close ends the following of the file; what was read last still serves.
func (c *Countries) Close() {
	c.ends()
	c.beside.Wait()
}

// Country returns the code of the country that an address is in (ISO 3166-1 alpha-2);
// known is false if the file has none for it. The error says that the file cannot be
// asked about such an address.
func (c *Countries) Country(address netip.Addr) (code string, known bool, err error) {
	var record struct {
		Country struct {
			ISOCode string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
	}
	result := c.now.Load().Lookup(address.Unmap().WithZone(""))
	if err := result.Err(); err != nil {
		return "", false, fmt.Errorf("maxmind: %w", err)
	}
	if !result.Found() {
		return "", false, nil
	}
	if err := result.Decode(&record); err != nil {
		return "", false, fmt.Errorf("maxmind: %w", err)
	}
	return record.Country.ISOCode, record.Country.ISOCode != "", nil
}

func (c *Countries) look() (state, error) {
	info, err := os.Stat(c.config.File)
	if err != nil {
		return state{}, fmt.Errorf("maxmind: %w", err)
	}
	return state{info.Size(), info.ModTime()}, nil
}

// read reads the whole file: one that is written over while it is mapped would end the
// program.
func (c *Countries) read() error {
	seen, err := c.look()
	if err != nil {
		return err
	}
	if seen.size > maxFile {
		return fmt.Errorf("maxmind: %s is larger than %d bytes", c.config.File, maxFile)
	}
	content, err := os.ReadFile(c.config.File)
	if err != nil {
		return fmt.Errorf("maxmind: %w", err)
	}
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		return fmt.Errorf("maxmind: %s: %w", c.config.File, err)
	}
	if err := reader.Verify(); err != nil {
		return errors.Join(fmt.Errorf("maxmind: %s: %w", c.config.File, err), reader.Close())
	}
	c.now.Store(reader) // the one before is memory, and goes when nobody uses it
	return nil
}

func (c *Countries) follow(ctx context.Context) {
	ticker := time.NewTicker(c.config.Look)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		seen, err := c.look()
		if err == nil && seen == c.seen {
			continue
		}
		if err == nil {
			err = c.read()
		}
		switch {
		case err != nil && seen == c.seen: // told before
		case err != nil:
			c.config.Logger.ErrorContext(ctx, "the file of countries cannot be read; the one from before stays", "error", err)
		default:
			c.config.Logger.InfoContext(ctx, "the file of countries changed", "file", c.config.File)
		}
		c.seen = seen
	}
}
