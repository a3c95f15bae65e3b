package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/redistest"
	"gatehouse/internal/server"
)

func TestCheckLooksAtRedis(t *testing.T) {
	redis := redistest.Start(t, "--requirepass", "right horse")
	redis.Password = "right horse"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("right horse"), 0o600); err != nil {
		t.Fatal(err)
	}
	process := server.Config{Redis: server.Redis{Addresses: []string{redis.Addr()}, PasswordFile: file}}
	look := func(process server.Config) *examination {
		e := &examination{process: process, now: time.Now()}
		e.checkRedis(t.Context())
		if text := e.said(t); strings.Contains(text, "horse") {
			t.Errorf("the password is told:\n%s", text)
		}
		return e
	}
	if e := look(process); e.count(fine) != 1 || len(e.findings) != 1 || !strings.Contains(e.said(t), "in clear, refuses when it is full") {
		t.Errorf("all is well:\n%s", e.said(t))
	}
	if e := look(server.Config{}); e.count(fine) != 1 || !strings.Contains(e.said(t), "by the server itself") {
		t.Errorf("none:\n%s", e.said(t))
	}
	if e := look(server.Config{Database: "postgres://h/d"}); e.count(fine) != 1 || !strings.Contains(e.said(t), "for all servers together") {
		t.Errorf("none, on PostgreSQL:\n%s", e.said(t))
	}
	weak := process
	weak.Redis.InsecurePlaintext = true
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if e := look(weak); e.count(doubt) != 2 || e.count(fine) != 1 {
		t.Errorf("weak:\n%s", e.said(t))
	}
	redis.Do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
	if e := look(process); e.count(failing) != 1 || !strings.Contains(e.said(t), "maxmemory-policy noeviction") {
		t.Errorf("a cache:\n%s", e.said(t))
	}
	redis.Kill(t)
	if e := look(process); e.count(failing) != 1 || !strings.Contains(e.said(t), redis.Addr()) {
		t.Errorf("away:\n%s", e.said(t))
	}
}
