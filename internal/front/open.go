package front

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"gatehouse/bff"
	"gatehouse/client"
	"gatehouse/internal/process"
	"gatehouse/internal/server"
	"gatehouse/internal/store"
	"gatehouse/kv"
)

// Front is a backend for frontend with its store, ready to serve. It is to be closed.
type Front struct {
	config Config
	bff    *bff.BFF
	store  kv.Store // nil in memory
	sweep  func(context.Context) error
	close  []func() error
	log    *slog.Logger
}

// Open makes a Front of a configuration that Check accepts.
func Open(ctx context.Context, c Config, log *slog.Logger) (_ *Front, err error) {
	f := &Front{config: c, log: log, sweep: func(context.Context) error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	settings, err := c.settings()
	if err != nil {
		return nil, err
	}
	settings.Logger = log
	if err := c.readSecrets(&settings); err != nil {
		return nil, err
	}
	if c.Files.Directory != "" {
		root, err := os.OpenRoot(c.Files.Directory)
		if err != nil {
			return nil, fmt.Errorf("files.directory: %w", err)
		}
		f.close = append(f.close, root.Close)
		settings.Files = newFiles(root.FS(), c.Files.ContentSecurityPolicy)
	}
	if c.sealed() {
		if settings.Keys, err = readKeys(c.Sessions.KeyFile); err != nil {
			return nil, err
		}
		if f.store, err = f.openStore(ctx); err != nil {
			return nil, err
		}
		settings.Store = f.store
	}
	if f.bff, err = bff.New(ctx, settings); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Front) openStore(ctx context.Context) (kv.Store, error) {
	if f.config.Sessions.Store == InRedis {
		redis, err := server.Config{Redis: f.config.Redis, CAFile: f.config.CAFile}.OpenRedis(ctx)
		if err != nil {
			return nil, err
		}
		f.close = append(f.close, func() error { redis.Close(); return nil })
		return redis, nil
	}
	database, err := store.Open(ctx, store.Config{Path: f.config.Sessions.Database, Log: f.log})
	if err != nil {
		return nil, fmt.Errorf("sessions.database: %w", err)
	}
	f.close = append(f.close, database.Close)
	f.sweep = func(ctx context.Context) error { _, err := database.Sweep(ctx); return err }
	return database.KV(), nil
}

// Close ends streams and what goes on beside requests, and closes the store.
func (f *Front) Close() error {
	var failed error
	if f.bff != nil {
		failed = f.bff.Close()
	}
	for _, closeOne := range f.close {
		failed = errors.Join(failed, closeOne())
	}
	return failed
}

// Ready asks the store whether it answers.
func (f *Front) Ready(ctx context.Context) error {
	if f.store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	_, _, err := f.store.Get(ctx, "bff ready")
	return err
}

const readyTime = 2 * time.Second

// readSecrets completes the settings with what is in files.
func (c Config) readSecrets(settings *bff.Config) error {
	roots, err := process.Authorities("ca_file", c.CAFile, true)
	if err != nil {
		return err
	}
	for i, issuer := range c.Issuers {
		own := &settings.Issuers[i].Client
		own.HTTPClient = process.HTTPClient(roots)
		if err := issuer.Prove(own); err != nil {
			return err
		}
	}
	for i, u := range c.Upstreams {
		roots, err := process.Authorities("the ca_file of "+u.Path, u.CAFile, false)
		if err != nil {
			return err
		}
		if roots != nil {
			settings.Upstreams[i].TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
		}
	}
	return nil
}

// maxKeys bounds the keys of a key file: the one in use and those of before.
const maxKeys = 8

// readKeys reads the sealing keys.
func readKeys(path string) ([][]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sessions.key_file: %w; openssl rand -base64 32 makes a key", err)
	}
	var keys [][]byte
	for line := range strings.FieldsSeq(string(text)) {
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) != client.KeyBytes || len(keys) == maxKeys {
			return nil, fmt.Errorf("sessions.key_file: %s must have 1 to %d lines of %d bytes in base64", path, maxKeys, client.KeyBytes)
		}
		keys = append(keys, key)
	}
	if keys == nil {
		return nil, fmt.Errorf("sessions.key_file: %s has no key", path)
	}
	return keys, nil
}
