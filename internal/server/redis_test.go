package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/redistest"
	"gatehouse/internal/secret"
	"gatehouse/kv"
)

func TestLoadRedis(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "gatehouse.yaml")
	write(t, file, `
public_url: https://id.example
data: data
redis:
  addresses: [a.example:26379, b.example:26379]
  sentinel_master: house
  username: gatehouse
  password_file: redis.password
  sentinel_password_file: /run/sentinel
  tls: {ca_file: redis.pem, certificate: me.pem, key: me.key, server_name: redis.example}
  connect_timeout: 2s
  timeout: 300ms
`)
	c, err := LoadConfig(file, []string{"GATEHOUSE_REDIS_PREFIX=other"})
	if err != nil || c.Check() != nil {
		t.Fatal(err, c.Check())
	}
	r := c.Redis
	if r.PasswordFile != filepath.Join(directory, "redis.password") || r.SentinelPasswordFile != "/run/sentinel" || r.TLS.CAFile != filepath.Join(directory, "redis.pem") ||
		r.TLS.Key != filepath.Join(directory, "me.key") || r.Prefix != "other" || r.Timeout.Std() != 300*time.Millisecond || !r.Encrypted() || !r.Used() {
		t.Errorf("%+v", r)
	}
	c, err = LoadConfig("", []string{"GATEHOUSE_DATA=d", "GATEHOUSE_PUBLIC_URL=https://id.example", "GATEHOUSE_REDIS_ADDRESSES=redis.example:6379", "GATEHOUSE_REDIS_PASSWORD=right horse"})
	if err != nil || c.Check() != nil || c.Redis.Password.Reveal() != "right horse" || !c.Redis.Encrypted() {
		t.Errorf("%v, %v, %+v", err, c.Check(), c.Redis)
	}
	if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, "horse") {
		t.Error("the password is printed")
	}
}

func TestCheckRedis(t *testing.T) {
	for name, c := range map[string]struct {
		redis     Redis
		complaint string
	}{
		"none":                  {Redis{}, ""},
		"this machine":          {Redis{Addresses: []string{"127.0.0.1:6379"}}, ""},
		"a socket":              {Redis{Addresses: []string{"/run/redis.sock"}}, ""},
		"another machine":       {Redis{Addresses: []string{"redis.example:6379"}}, ""},
		"in clear":              {Redis{Addresses: []string{"redis:6379"}, InsecurePlaintext: true}, ""},
		"a user":                {Redis{Addresses: []string{"[::1]:6379"}, Username: "u", PasswordFile: "f"}, ""},
		"a cluster":             {Redis{Addresses: []string{"a:1", "b:1"}, Cluster: true}, ""},
		"no address":            {Redis{Username: "u"}, "redis.addresses is missing"},
		"a strange address":     {Redis{Addresses: []string{"redis"}}, "must be host:port"},
		"half a certificate":    {Redis{Addresses: []string{"a:1"}, TLS: RedisTLS{Key: "k"}}, "both certificate and key"},
		"TLS in clear":          {Redis{Addresses: []string{"a:1"}, TLS: RedisTLS{CAFile: "c"}, InsecurePlaintext: true}, "exclude each other"},
		"two passwords":         {Redis{Addresses: []string{"a:1"}, Password: secret.New("p"), PasswordFile: "f"}, ""},
		"a user alone":          {Redis{Addresses: []string{"a:1"}, Username: "u"}, "redis.password_file"},
		"several servers":       {Redis{Addresses: []string{"a:1", "b:1"}}, "several addresses"},
		"a cluster of database": {Redis{Addresses: []string{"a:1"}, Cluster: true, Database: 2}, "0 in a cluster"},
	} {
		err := Config{PublicURL: "https://id.example", Data: "data", Redis: c.redis}.Check()
		if c.complaint == "" && err != nil || c.complaint != "" && (err == nil || !strings.Contains(err.Error(), c.complaint)) {
			t.Errorf("%s: %v, want %q", name, err, c.complaint)
		}
	}
	if (Redis{Addresses: []string{"localhost:1", "/run/redis.sock"}}).Encrypted() || !(Redis{Addresses: []string{"localhost:1", "a:1"}}).Encrypted() ||
		!(Redis{Addresses: []string{"localhost:1"}, TLS: RedisTLS{ServerName: "redis"}}).Encrypted() {
		t.Error("TLS is for whatever leaves the machine")
	}
}

func TestStartWithRedis(t *testing.T) {
	redis := redistest.Start(t, "--requirepass", "right horse")
	redis.Password = "right horse"
	data := dataDirectory(t)
	config := Config{PublicURL: "http://127.0.0.1:8080", Data: data, Redis: Redis{Addresses: []string{redis.Addr()}, PasswordFile: filepath.Join(data, "password")}}
	if complaint := refuses(t, config); !strings.Contains(complaint, config.Redis.PasswordFile) {
		t.Error(complaint)
	}
	for text, want := range map[string]string{"": "is empty", "wrong horse\n": "WRONGPASS"} {
		write(t, config.Redis.PasswordFile, text)
		if complaint := refuses(t, config); !strings.Contains(complaint, want) || strings.Contains(complaint, "horse") {
			t.Errorf("%q: %s", text, complaint)
		}
	}
	other := config
	other.Redis.Password = secret.New("right horse") // wins over the file
	if err := open(t, other, quiet()).Close(); err != nil {
		t.Error(err)
	}
	write(t, config.Redis.PasswordFile, "right horse\n")
	s := open(t, config, quiet())
	if added, err := s.counters().Add(t.Context(), "k", nil, time.Minute); !added || err != nil || redis.Do(t, "EXISTS", "{gatehouse}:k") != "1" {
		t.Errorf("what is counted is not in Redis: %v, %v", added, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	redis.Do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	if complaint := refuses(t, config); !strings.Contains(complaint, "maxmemory-policy noeviction") {
		t.Error(complaint)
	}
	papers := newPapers(t)
	config.Redis.TLS = RedisTLS{CAFile: papers.Certificate, Certificate: papers.Certificate, Key: papers.Key}
	if complaint := refuses(t, config); !strings.Contains(complaint, redis.Addr()) { // it does not speak TLS
		t.Error(complaint)
	}
	config.Redis.TLS.CAFile = config.Redis.PasswordFile
	if complaint := refuses(t, config); !strings.Contains(complaint, "redis.tls.ca_file") {
		t.Error(complaint)
	}
	redis.Kill(t)
	config.Redis.TLS = RedisTLS{}
	if complaint := refuses(t, config); !strings.Contains(complaint, redis.Addr()) {
		t.Error(complaint)
	}
}

// faulty counters fail while they are told to.
type faulty struct {
	*kv.Memory
	err   error
	asked int
}

func (f *faulty) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if f.asked++; f.err != nil {
		return nil, false, f.err
	}
	return f.Memory.Get(ctx, key)
}

func (f *faulty) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if f.asked++; f.err != nil {
		return false, f.err
	}
	return f.Memory.Add(ctx, key, value, ttl)
}

func (f *faulty) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if f.asked++; f.err != nil {
		return false, f.err
	}
	return f.Memory.Swap(ctx, key, old, new, ttl)
}

func TestSharedCounters(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	shared, said := &faulty{Memory: kv.NewMemory(kv.MemoryConfig{})}, &record{}
	c := &sharedCounters{shared: shared, own: kv.NewMemory(kv.MemoryConfig{}), log: said.logger(), now: func() time.Time { return now }}
	ctx := t.Context()
	holds := func(when, want string) {
		t.Helper()
		if value, found, err := c.Get(ctx, "k"); string(value) != want || found != (want != "") || err != nil {
			t.Errorf("%s: %q, %v, %v; want %q", when, value, found, err, want)
		}
	}
	if added, err := c.Add(ctx, "k", []byte("shared"), time.Hour); !added || err != nil {
		t.Fatal(added, err)
	}
	holds("sharing", "shared")

	shared.err, shared.asked = errors.New("away"), 0
	holds("away", "")
	if added, err := c.Add(ctx, "k", []byte("own"), time.Hour); !added || err != nil {
		t.Error(added, err)
	}
	if swapped, err := c.Swap(ctx, "k", []byte("own"), []byte("mine"), time.Hour); !swapped || err != nil {
		t.Error(swapped, err)
	}
	holds("counted for itself", "mine")
	if c.answers() {
		t.Error("a store that is away is said to answer")
	}
	if shared.asked != 1 {
		t.Errorf("a store that is away was asked %d times within a second", shared.asked)
	}
	for range 3 { // once for every second
		now = now.Add(countersRetry)
		holds("still away", "mine")
		holds("still away", "mine")
	}
	if shared.asked != 4 {
		t.Errorf("a store that is away was asked %d times in four seconds", shared.asked)
	}

	shared.err = nil
	holds("back, but not looked at again", "mine")
	now = now.Add(countersRetry)
	holds("back", "shared")
	if swapped, err := c.Swap(ctx, "k", []byte("stale"), []byte("forgiven"), time.Hour); swapped || err != nil {
		t.Error(swapped, err)
	}
	if value, _, _ := c.own.Get(ctx, "k"); string(value) != "mine" {
		t.Errorf("a write that did not happen forgot %q", value)
	}
	if swapped, err := c.Swap(ctx, "k", []byte("shared"), []byte("forgiven"), time.Hour); !swapped || err != nil {
		t.Error(swapped, err)
	}
	shared.err = errors.New("away")
	holds("what was counted in the outage before has not come back", "")
	now = now.Add(countersRetry)
	if swapped, err := c.Swap(ctx, "k", []byte("forgiven"), nil, time.Hour); swapped || err != nil {
		t.Errorf("a value of the shared store was swapped in its absence: %v, %v", swapped, err)
	}
	now = now.Add(countersRetry)
	if added, err := c.Add(ctx, "k", nil, time.Hour); !added || err != nil {
		t.Error(added, err)
	}
	if text := said.String(); strings.Count(text, "for itself until") != 2 || strings.Count(text, "together again") != 1 {
		t.Errorf("the log says %s", text)
	}

	// A caller that has gone says nothing about the store.
	shared.err = nil
	now = now.Add(countersRetry)
	holds("back again", "forgiven")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	shared.err = context.Canceled
	if _, _, err := c.Get(gone, "k"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !c.answers() {
		t.Error("a caller that went away made the store be away")
	}
}
