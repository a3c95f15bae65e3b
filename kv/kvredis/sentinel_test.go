package kvredis_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/redistest"
	"gatehouse/kv/kvredis"
)

// TestFailover: the master is killed, Sentinel promotes the replica, and the store goes on by itself
// with what was replicated, in a new epoch. Without and with TLS, which all of them then speak to
// each other.
func TestFailover(t *testing.T) {
	t.Run("plain", func(t *testing.T) { failsOver(t, nil) })
	t.Run("TLS", func(t *testing.T) { failsOver(t, newAuthority(t)) })
}

func failsOver(t *testing.T, a *authority) {
	t.Parallel()
	var trust *tls.Config
	options := func() (options []string, port int) { return nil, 0 }
	if a != nil {
		trust = a.trust(t)
		options = func() ([]string, int) { return a.options(t) }
	}
	ofMaster, port := options()
	master := redistest.Start(t, ofMaster...)
	if port == 0 {
		port = master.Port
	}
	ofReplica, replicaPort := options()
	replica := redistest.Start(t, append(ofReplica, "--replicaof", fmt.Sprintf("127.0.0.1 %d", port))...)
	if replicaPort == 0 {
		replicaPort = replica.Port
	}
	lines := []string{fmt.Sprintf("sentinel monitor house 127.0.0.1 %d 1", port), "sentinel down-after-milliseconds house 500", "sentinel failover-timeout house 3000"}
	ofSentinel, sentinelPort := options()
	for i := 0; i+1 < len(ofSentinel); i += 2 {
		if name := strings.TrimPrefix(ofSentinel[i], "--"); name != "tls-cluster" {
			lines = append(lines, name+" "+ofSentinel[i+1])
		}
	}
	sentinel := redistest.StartSentinel(t, lines...)
	if sentinelPort == 0 {
		sentinelPort = sentinel.Port
	}
	waitFor(t, "the replica to follow", func() bool {
		return strings.Contains(sentinel.Do(t, "SENTINEL", "REPLICAS", "house"), fmt.Sprint(replicaPort)) &&
			strings.Contains(replica.Do(t, "INFO", "replication"), "master_link_status:up")
	})
	for _, server := range []*redistest.Server{master, replica} {
		setUser(t, server, minimal+" +role")
	}
	config := kvredis.Config{Addresses: []string{loopbackAt(sentinelPort)}, SentinelMaster: "house", TLS: trust, Username: "gatehouse", Password: kvredis.NewSecret("right horse")}
	s := open(t, config)
	before := epochOf(t, s)
	if added, err := s.Add(t.Context(), "mark", []byte("v"), time.Hour); !added || err != nil {
		t.Fatal(added, err)
	}
	// WAIT would speak of its own connection's writes alone.
	waitFor(t, "the mark to be replicated", func() bool { return strings.Contains(replica.Do(t, "KEYS", "*"), "mark") })
	master.Kill(t)
	wantFaults(t, s)
	wantRecovery(t, s)
	if added, err := s.Add(t.Context(), "mark", []byte("w"), time.Hour); added || err != nil {
		t.Errorf("the mark was lost: %v, %v", added, err)
	}
	if after := epochOf(t, s); after.ID == before.ID {
		t.Error("a new master is in the old epoch")
	}

	master.Again(t)
	setUser(t, master, minimal+" +role") // empty otherwise, and a master until Sentinel makes it a replica
	for range 20 {
		if added, err := s.Add(t.Context(), "mark", nil, time.Hour); added || err != nil {
			t.Fatalf("the store followed the wrong one: %v, %v", added, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	config.SentinelMaster = "another"
	refuses(t, config, loopbackAt(sentinelPort))
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * recovery); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s took too long", what)
		}
	}
}
