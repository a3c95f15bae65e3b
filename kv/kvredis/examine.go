package kvredis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// The oldest version that knows every command that is used: GETDEL came with 6.2.
const minMajor, minMinor = 6, 2

// wantedPolicy is the only one under which a full server refuses instead of forgetting.
const wantedPolicy = "noeviction"

// examine looks at every server that may hold the keys.
func (s *Store) examine(ctx context.Context, config Config) error {
	if config.Cluster && s.client.Mode() != rueidis.ClientModeCluster {
		return errors.New("the server is not part of a cluster; say that it is none")
	}
	nodes := s.client.Nodes()
	masters := 0
	addresses := make([]string, 0, len(nodes))
	for address := range nodes {
		addresses = append(addresses, address)
	}
	slices.Sort(addresses)
	for _, address := range addresses {
		master, err := s.examineNode(ctx, nodes[address], config.Cluster)
		if err != nil {
			return fmt.Errorf("the server at %s: %w", address, err)
		}
		if master {
			masters++
		}
	}
	if masters == 0 {
		return errors.New("the server is a replica, which takes no writes; give the address of its master, or have Sentinel tell it")
	}
	return nil
}

// examineNode says whether the server is a master, and what is wrong with it if it is one.
func (s *Store) examineNode(ctx context.Context, node rueidis.Client, cluster bool) (master bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	text, err := node.Do(ctx, node.B().Info().Build()).ToString()
	if err != nil {
		return false, explain("INFO", "+info", err)
	}
	facts := readInfo(text)
	if err := checkVersion(facts["redis_version"]); err != nil {
		return false, err
	}
	if facts["role"] == "slave" {
		return false, nil
	}
	if !cluster && facts["cluster_enabled"] == "1" {
		return false, errors.New("it is part of a cluster; say that it is one")
	}
	policy := facts["maxmemory_policy"]
	if policy == "" {
		settings, err := node.Do(ctx, node.B().ConfigGet().Parameter("maxmemory-policy").Build()).AsStrMap()
		if err != nil {
			return false, explain("CONFIG GET maxmemory-policy", "+config|get", err)
		}
		policy = settings["maxmemory-policy"]
	}
	if policy != wantedPolicy {
		return false, fmt.Errorf("its maxmemory-policy is %q, under which it forgets marks of what was used when its memory is full, and then what was used is accepted again; set `maxmemory-policy %s` in redis.conf, or give Gatehouse a server of its own", policy, wantedPolicy)
	}
	return true, nil
}

// explain adds what to grant to the error of a command that the ACL forbids.
func explain(command, grant string, err error) error {
	if refused, ok := rueidis.IsRedisErr(err); ok && strings.Contains(refused.Error(), "NOPERM") {
		return fmt.Errorf("the user may not run %s, which tells whether the server keeps what it is given; grant it with ACL SETUSER … %s: %w", command, grant, err)
	}
	return fmt.Errorf("%s: %w", command, err)
}

func checkVersion(version string) error {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(second)
	switch {
	case err != nil || err2 != nil:
		return errors.New("it does not tell the version of Redis that it is")
	case major < minMajor || major == minMajor && minor < minMinor:
		return fmt.Errorf("it is Redis %s; %d.%d or newer is needed", version, minMajor, minMinor)
	}
	return nil
}

// readInfo reads the lines of INFO.
func readInfo(text string) map[string]string {
	facts := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		if name, fact, found := strings.Cut(strings.TrimRight(line, "\r"), ":"); found {
			facts[name] = fact
		}
	}
	return facts
}
