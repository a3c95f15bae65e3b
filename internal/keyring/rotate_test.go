package keyring

import (
	"fmt"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/jwks"
)

// TestASigningKeyIsKnownToAllWhoAsk: our own verifiers read the key set again, at
// a key that they do not know, no later than such a key signs.
func TestASigningKeyIsKnownToAllWhoAsk(t *testing.T) {
	if askAgain < jwks.DefaultFloor {
		t.Errorf("a verifier may ask again after %v, and a key signs %v after all servers know it", jwks.DefaultFloor, askAgain)
	}
	if spread <= 2*followEvery {
		t.Errorf("servers read keys every %v, and a key is used after %v", followEvery, spread)
	}
}

func TestTurns(t *testing.T) {
	signing := func(published, from time.Duration) gatehouse.StoredKey {
		return gatehouse.StoredKey{ID: "k", Purpose: gatehouse.KeySign, Algorithm: "ES256", PublishAt: noon.Add(published), SignFrom: noon.Add(from)}
	}
	root := func(published, from time.Duration) gatehouse.StoredKey {
		return gatehouse.StoredKey{ID: "k", Purpose: gatehouse.KeyMAC, PublishAt: noon.Add(published), SignFrom: noon.Add(from)}
	}
	policy := Policy{Wait: time.Hour}
	for _, row := range []struct {
		what   string
		keys   []gatehouse.StoredKey
		atOnce bool
		want   string // what is done, and when it takes over
	}{
		{"a signing key, as planned", []gatehouse.StoredKey{signing(-day, -day)}, false, "make 1h0m0s"},
		{"a signing key, now", []gatehouse.StoredKey{signing(-day, -day)}, true, "make 1m10s"},
		{"a root, now", []gatehouse.StoredKey{root(-day, -day)}, true, "make 10s"},
		{"one waits", []gatehouse.StoredKey{signing(-day, -day), signing(-time.Minute, 59*time.Minute)}, false, "waits 59m0s"},
		{"one that everybody knows waits", []gatehouse.StoredKey{signing(-day, -day), signing(-10*time.Minute, 50*time.Minute)}, true, "hasten 10s"},
		{"one that is new waits", []gatehouse.StoredKey{signing(-day, -day), signing(-5*time.Second, 59*time.Minute)}, true, "hasten 1m5s"},
		{"one waits, and was hastened", []gatehouse.StoredKey{signing(-day, -day), signing(-5*time.Second, 65*time.Second)}, true, "waits 1m5s"},
		{"a root waits", []gatehouse.StoredKey{root(-day, -day), root(-5*time.Second, 59*time.Minute)}, true, "hasten 10s"},
	} {
		of := lineOf(row.keys[0])
		step, waiting := planTurn(of, ofLine(row.keys, of), noon, policy, row.atOnce)
		got := fmt.Sprint(step.Do, " ", step.Key.SignFrom.Sub(noon))
		if waiting.ID != "" {
			got = fmt.Sprint("waits ", waiting.SignFrom.Sub(noon))
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", row.what, got, row.want)
		}
	}
}
