package kvredis_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/redistest"
	"gatehouse/kv"
	"gatehouse/kv/kvredis"
	"gatehouse/kv/kvtest"
)

// refuses fails unless Open refuses with an error that has all the words.
func refuses(t *testing.T, config kvredis.Config, words ...string) {
	t.Helper()
	s, err := kvredis.Open(t.Context(), config)
	if err == nil {
		s.Close()
		t.Errorf("opened; want a refusal with %q", words)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v\nlacks %q", err, word)
		}
	}
}

func TestServersThatForgetAreRefused(t *testing.T) {
	server := redistest.Start(t)
	for _, policy := range []string{"allkeys-lru", "volatile-ttl", "volatile-lru", "allkeys-random"} {
		server.Do(t, "CONFIG", "SET", "maxmemory-policy", policy)
		refuses(t, at(server), policy, "maxmemory-policy noeviction")
	}
	server.Do(t, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	open(t, at(server))
}

func TestAReplicaIsRefused(t *testing.T) {
	master := redistest.Start(t)
	replica := redistest.Start(t, "--replicaof", fmt.Sprintf("127.0.0.1 %d", master.Port))
	refuses(t, at(replica), "is a replica")
}

// A master that becomes a replica while we hold its connection takes no writes.
func TestReadOnly(t *testing.T) {
	master, server := redistest.Start(t), redistest.Start(t)
	s := open(t, at(server))
	if err := s.Set(t.Context(), "k", []byte("v"), time.Minute); err != nil {
		t.Fatal(err)
	}
	master.Do(t, "SET", "{gatehouse}:k", "v") // which the server has before and after it follows
	server.Do(t, "REPLICAOF", "127.0.0.1", strconv.Itoa(master.Port))
	for name, run := range operations(s) {
		claimed, err := run(t.Context())
		if name == "Get" {
			continue
		}
		if claimed || err == nil {
			t.Errorf("%s: %v, %v", name, claimed, err)
		}
	}
	server.Do(t, "REPLICAOF", "NO", "ONE")
	wantRecovery(t, s)
}

// minimal is what docs/operations/redis.md says to grant.
const minimal = "resetchannels resetkeys ~{gatehouse}* -@all +get +set +getdel +del +incrby +eval +evalsha +info +time +ping"

func setUser(t *testing.T, server *redistest.Server, rights string) {
	t.Helper()
	server.Do(t, append([]string{"ACL", "SETUSER", "gatehouse", "reset", "on", ">right horse"}, strings.Fields(rights)...)...)
}

func TestAUserWithNoMoreRightsThanItNeeds(t *testing.T) {
	server := redistest.Start(t)
	setUser(t, server, minimal)
	config := at(server)
	config.Username, config.Password = "gatehouse", kvredis.NewSecret("right horse")
	s := open(t, config)
	wantRecovery(t, s)
	epochOf(t, s)
	page, err := os.ReadFile("../../docs/operations/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), minimal) {
		t.Errorf("docs/operations/redis.md does not say %q", minimal)
	}

	wrong := config
	wrong.Password = kvredis.NewSecret("wrong horse")
	refuses(t, wrong, "WRONGPASS")
	wrong.Password = kvredis.Secret{}
	refuses(t, wrong, "no password")
	if text := fmt.Sprintf("%v %+v %#v", config, config, &config); strings.Contains(text, "horse") || !strings.Contains(text, "[redacted]") {
		t.Errorf("the configuration prints as %s", text)
	}
	if _, err := kvredis.Open(t.Context(), wrong); strings.Contains(err.Error(), "horse") {
		t.Errorf("the error tells the password: %v", err)
	}

	wrong = config
	wrong.Prefix = "another"
	other := open(t, wrong)
	if added, err := other.Add(t.Context(), "k", nil, time.Minute); added || err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("a key of somebody else's: %v, %v", added, err)
	}

	setUser(t, server, strings.ReplaceAll(minimal, " +info", ""))
	refuses(t, config, "INFO", "+info", "ACL SETUSER")
}

func TestConfigurationsThatCannotBe(t *testing.T) {
	for _, test := range []struct {
		config kvredis.Config
		word   string
	}{
		{kvredis.Config{}, "an address is missing"},
		{kvredis.Config{Addresses: []string{"127.0.0.1"}}, "must be host:port"},
		{kvredis.Config{Addresses: []string{":6379"}}, "must be host:port"},
		{kvredis.Config{Addresses: []string{"redis.example.com:6379"}}, "TLS is off"},
		{kvredis.Config{Addresses: []string{"10.0.0.1:6379"}}, "TLS is off"},
		{kvredis.Config{Addresses: []string{"127.0.0.1:1", "127.0.0.1:2"}}, "several addresses"},
		{kvredis.Config{Addresses: []string{"127.0.0.1:1"}, Cluster: true, SentinelMaster: "m"}, "exclude each other"},
		{kvredis.Config{Addresses: []string{"/run/redis.sock"}, Cluster: true}, "Unix socket"},
		{kvredis.Config{Addresses: []string{"127.0.0.1:1"}, Cluster: true, Database: 1}, "0 in a cluster"},
		{kvredis.Config{Addresses: []string{"127.0.0.1:1"}, Database: -1}, "0 or above"},
		{kvredis.Config{Addresses: []string{"127.0.0.1:1"}, Prefix: "a{b"}, "no braces"},
		{kvredis.Config{Addresses: []string{"127.0.0.1:1"}, Username: "u"}, "no password"},
		{kvredis.Config{Addresses: []string{"127.0.0.1:1"}, SentinelUsername: "u"}, "no master"},
		{kvredis.Config{Addresses: []string{"127.0.0.1:1"}, Timeout: -1}, "below zero"},
	} {
		if err := test.config.Check(); err == nil || !strings.Contains(err.Error(), test.word) {
			t.Errorf("%+v: %v; want %q", test.config, err, test.word)
		}
		refuses(t, test.config, test.word)
	}
	for _, good := range []kvredis.Config{
		{Addresses: []string{"localhost:6379"}},
		{Addresses: []string{"[::1]:6379"}},
		{Addresses: []string{"/run/redis.sock"}, Database: 3},
		{Addresses: []string{"redis.example.com:6379"}, TLS: &tls.Config{}},
		{Addresses: []string{"redis:6379"}, InsecurePlaintext: true},
		{Addresses: []string{"127.0.0.1:1", "127.0.0.1:2"}, SentinelMaster: "m", SentinelPassword: kvredis.NewSecret("p")},
	} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}

func TestUnixSocketAndDatabases(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "redis.sock")
	redistest.Start(t, "--unixsocket", socket)
	first := open(t, kvredis.Config{Addresses: []string{socket}})
	second := open(t, kvredis.Config{Addresses: []string{socket}, Database: 5})
	other := open(t, kvredis.Config{Addresses: []string{socket}, Prefix: "other"})
	for i, s := range []kv.Store{first, second, other} {
		if added, err := s.Add(t.Context(), "k", nil, time.Minute); !added || err != nil {
			t.Errorf("store %d: %v, %v", i, added, err)
		}
	}
}

func TestCluster(t *testing.T) {
	servers := redistest.Cluster(t, 3, nil)
	refuses(t, at(servers[0]), "part of a cluster")
	for _, server := range servers {
		server.Do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
		refuses(t, kvredis.Config{Addresses: []string{servers[0].Addr()}, Cluster: true}, server.Addr(), "noeviction")
		server.Do(t, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	}
	prefix := 0
	kvtest.Run(t, func(t *testing.T) kv.Store {
		prefix++ // which leads to another server now and then
		return open(t, kvredis.Config{Addresses: []string{servers[0].Addr(), servers[1].Addr()}, Cluster: true, Prefix: strconv.Itoa(prefix)})
	})
	for _, server := range servers {
		setUser(t, server, minimal+" +cluster|slots +cluster|shards")
	}
	s := open(t, kvredis.Config{Addresses: []string{servers[2].Addr()}, Cluster: true, Username: "gatehouse", Password: kvredis.NewSecret("right horse")})
	wantRecovery(t, s)
	before := epochOf(t, s)
	for _, server := range servers {
		server.Do(t, "FLUSHALL")
	}
	if after := epochOf(t, s); after.ID == before.ID {
		t.Error("the epoch outlived a flush")
	}
	refuses(t, kvredis.Config{Addresses: []string{redistest.Start(t).Addr()}, Cluster: true}, "not part of a cluster")
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	options, port := a.options(t)
	server := redistest.Start(t, options...)
	roots, pair := a.trust(t).RootCAs, a.trust(t).Certificates[0]
	address := loopbackAt(port)
	good := kvredis.Config{Addresses: []string{address}, TLS: a.trust(t)}
	s := open(t, good)
	wantRecovery(t, s)
	server.Kill(t)
	wantFaults(t, s)
	server.Again(t)
	wantRecovery(t, s)

	for name, bad := range map[string]kvredis.Config{
		"no client certificate": {Addresses: []string{address}, TLS: &tls.Config{RootCAs: roots}},
		"an unknown authority":  {Addresses: []string{address}, TLS: &tls.Config{Certificates: []tls.Certificate{pair}}},
		"another name":          {Addresses: []string{address}, TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, ServerName: "redis.example.com"}},
		"no TLS":                {Addresses: []string{address}},
		"TLS where there is none": {Addresses: []string{server.Addr()},
			TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}},
	} {
		if s, err := kvredis.Open(t.Context(), bad); err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
		}
	}
}
