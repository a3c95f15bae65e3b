package kvredis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/redistest"
	"gatehouse/kv/kvredis"
)

// TestFailover: the master is killed, Sentinel promotes the replica, and the store goes on by itself
// with what was replicated, in a new epoch.
func TestFailover(t *testing.T) {
	master := redistest.Start(t)
	replica := redistest.Start(t, "--replicaof", fmt.Sprintf("127.0.0.1 %d", master.Port))
	sentinel := redistest.StartSentinel(t,
		fmt.Sprintf("sentinel monitor house 127.0.0.1 %d 1", master.Port),
		"sentinel down-after-milliseconds house 500", "sentinel failover-timeout house 3000")
	waitFor(t, "the replica to follow", func() bool {
		return strings.Contains(sentinel.Do(t, "SENTINEL", "REPLICAS", "house"), fmt.Sprint(replica.Port)) &&
			strings.Contains(replica.Do(t, "INFO", "replication"), "master_link_status:up")
	})
	for _, server := range []*redistest.Server{master, replica} {
		setUser(t, server, minimal+" +role")
	}
	config := kvredis.Config{Addresses: []string{sentinel.Addr()}, SentinelMaster: "house", Username: "gatehouse", Password: kvredis.NewSecret("right horse")}
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
	refuses(t, config, sentinel.Addr())
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * recovery); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s took too long", what)
		}
	}
}
