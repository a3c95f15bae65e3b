package redistest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

const slots = 16384

// Options are further arguments of a node of a cluster, and the port by which other
// nodes are to find it, when that is not its Port.
type Options func() (arguments []string, port int)

// node starts one, which is alone yet, and returns by which ports others meet it.
func node(t testing.TB, options Options) (s *Server, meeting []string) {
	t.Helper()
	var more []string
	port, bus := 0, strconv.Itoa(freePort(t))
	if options != nil {
		more, port = options()
	}
	s = Start(t, append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", bus}, more...)...)
	if port == 0 {
		port = s.Port
	}
	return s, []string{strconv.Itoa(port), bus}
}

// Cluster starts masters that share all slots among them. Options are asked for each;
// they may be nil.
func Cluster(t testing.TB, masters int, options Options) []*Server {
	t.Helper()
	servers := make([]*Server, masters)
	for i := range servers {
		s, meeting := node(t, options)
		s.Do(t, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*slots/masters), strconv.Itoa((i+1)*slots/masters-1))
		if servers[i] = s; i > 0 {
			servers[0].meet(t, meeting)
		}
	}
	await(t, "the cluster to come together", func() bool {
		for _, s := range servers {
			info := s.Do(t, "CLUSTER", "INFO")
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_size:%d", masters)) {
				return false
			}
		}
		return true
	})
	return servers
}

func (s *Server) meet(t testing.TB, meeting []string) {
	t.Helper()
	s.Do(t, append([]string{"CLUSTER", "MEET", "127.0.0.1"}, meeting...)...)
}

// HolderOf returns the one of a cluster's masters, as Cluster made them, that holds a
// key.
func HolderOf(t testing.TB, masters []*Server, key string) *Server {
	t.Helper()
	slot, err := strconv.Atoi(masters[0].Do(t, "CLUSTER", "KEYSLOT", key))
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for (i+1)*slots/len(masters) <= slot {
		i++
	}
	return masters[i]
}

// Follow starts a replica of one of a cluster's masters, and waits until all masters
// know it and it has what its own has.
func Follow(t testing.TB, masters []*Server, master *Server, options Options) *Server {
	t.Helper()
	replica, meeting := node(t, options)
	master.meet(t, meeting)
	id := master.Do(t, "CLUSTER", "MYID")
	await(t, "the replica to know its master", func() bool {
		_, err := replica.ask("CLUSTER", "REPLICATE", id)
		return err == nil
	})
	own := replica.Do(t, "CLUSTER", "MYID")
	await(t, "the replica to follow", func() bool {
		if !strings.Contains(replica.Do(t, "INFO", "replication"), "master_link_status:up") {
			return false
		}
		for _, s := range masters {
			if !strings.Contains(s.Do(t, "CLUSTER", "REPLICAS", id), own) {
				return false
			}
		}
		return true
	})
	return replica
}

func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(startTime); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s took too long", what)
		}
	}
}
