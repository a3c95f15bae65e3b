package kvredis_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/redistest"
	"gatehouse/kv/kvredis"
)

// TestFailoverInACluster: the master that holds the keys is killed, the cluster promotes its
// replica, and the store goes on by itself with what was replicated, in a new epoch. Without and with
// TLS, which the nodes then speak to each other, too.
func TestFailoverInACluster(t *testing.T) {
	t.Run("plain", func(t *testing.T) { clusterFailsOver(t, nil) })
	t.Run("TLS", func(t *testing.T) { clusterFailsOver(t, newAuthority(t)) })
}

func clusterFailsOver(t *testing.T, a *authority) {
	t.Parallel()
	var ports []int
	var trust *tls.Config
	var options redistest.Options
	if a != nil {
		trust = a.trust(t)
		options = func() ([]string, int) {
			arguments, port := a.options(t)
			ports = append(ports, port)
			return arguments, port
		}
	}
	masters := redistest.Cluster(t, 3, options)
	master := redistest.HolderOf(t, masters, "{gatehouse}:mark")
	replica := redistest.Follow(t, masters, master, options)
	var addresses []string
	for i, server := range masters {
		setUser(t, server, minimal+" +cluster|slots +cluster|shards")
		if a != nil {
			addresses = append(addresses, loopbackAt(ports[i]))
		} else {
			addresses = append(addresses, server.Addr())
		}
	}
	setUser(t, replica, minimal+" +cluster|slots +cluster|shards")
	config := kvredis.Config{Addresses: addresses, Cluster: true, TLS: trust, Username: "gatehouse", Password: kvredis.NewSecret("right horse")}
	s := open(t, config)
	before := epochOf(t, s)
	if added, err := s.Add(t.Context(), "mark", []byte("v"), time.Hour); !added || err != nil {
		t.Fatal(added, err)
	}
	waitFor(t, "the mark to be replicated", func() bool { return strings.Contains(replica.Do(t, "KEYS", "*"), "mark") })
	master.Kill(t)
	wantFaults(t, s)
	waitFor(t, "the cluster to promote the replica", func() bool { return strings.Contains(replica.Do(t, "INFO", "replication"), "role:master") })
	wantRecovery(t, s)
	if added, err := s.Add(t.Context(), "mark", []byte("w"), time.Hour); added || err != nil {
		t.Errorf("the mark was lost: %v, %v", added, err)
	}
	after := epochOf(t, s)
	if after.ID == before.ID {
		t.Error("a new master is in the old epoch")
	}

	master.Again(t) // as a replica, by what the cluster says
	setUser(t, master, minimal+" +cluster|slots +cluster|shards")
	waitFor(t, "the old master to follow", func() bool {
		return strings.Contains(master.Do(t, "INFO", "replication"), "master_link_status:up")
	})
	wantRecovery(t, s)
	if again := epochOf(t, s); again.ID != after.ID {
		t.Error("the return of a replica began a new epoch")
	}
	other := open(t, config) // finds the new master by the nodes that there are
	if added, err := other.Add(t.Context(), "mark", nil, time.Hour); added || err != nil {
		t.Errorf("another store followed the wrong one: %v, %v", added, err)
	}
	if a != nil { // the port without TLS does not do
		refuses(t, kvredis.Config{Addresses: []string{masters[0].Addr()}, Cluster: true, TLS: trust}, masters[0].Addr())
	}
}
