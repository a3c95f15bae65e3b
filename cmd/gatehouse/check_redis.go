package main

import (
	"context"
	"os"
	"strings"
)

// checkRedis looks whether Redis answers and keeps what it is given.
func (e *examination) checkRedis(ctx context.Context) {
	r := e.process.Redis
	switch {
	case !r.Used() && e.process.OnPostgres():
		e.ok("redis", "none: failed sign-ins are counted in the database, for all servers together")
		return
	case !r.Used():
		e.ok("redis", "none: failed sign-ins are counted by the server itself")
		return
	}
	if r.InsecurePlaintext {
		e.warn("redis", "redis.tls, and no redis.insecure_plaintext", "insecure_plaintext: everybody on the way reads the password and forgives failed sign-ins")
	}
	for _, path := range []string{r.PasswordFile, r.SentinelPasswordFile, r.TLS.Key} {
		if info, err := os.Stat(path); path != "" && err == nil && sharedWithOthers(info) {
			e.warn("redis", "chmod 600 "+path, "others than its owner may use %s", path)
		}
	}
	redis, err := e.process.OpenRedis(ctx)
	if err != nil {
		e.fail("redis", "what the message says; docs/operations/redis.md has the set-up", "%s", err)
		return
	}
	defer redis.Close()
	epoch, err := redis.Epoch(ctx)
	if err != nil {
		e.fail("redis", "grant what docs/operations/redis.md lists", "%s", err)
		return
	}
	protection := "in clear"
	if r.Encrypted() {
		protection = "over TLS"
	}
	e.ok("redis", "%s answers %s, refuses when it is full, and has lost nothing since %s", strings.Join(r.Addresses, ", "), protection, moment(epoch.Since))
}
