package client

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gatehouse/kv"
)

// The tokens for resources that a session has stay within what a store takes, and those
// that ended go.
func TestTokensForResourcesAreBounded(t *testing.T) {
	now := time.Now()
	long := strings.Repeat("x", MaxTokenBytes)
	tokens := func(access string, life time.Duration) Tokens {
		return Tokens{AccessToken: NewSecret(access), RefreshToken: NewSecret(long), Expiry: now.Add(life)}
	}
	r := record{}.with("", tokens(long, time.Hour), now)
	for i := range MaxMoreResources {
		before := len(r.Others)
		next := r.with(fmt.Sprintf("https://api.example/%d", i), tokens(long[:4000], time.Duration(i+1)*time.Minute), now)
		if len(r.Others) != before {
			t.Fatal("the record of before changed")
		}
		r = next
		if got := r.at(fmt.Sprintf("https://api.example/%d", i)); got.Access != long[:4000] || got.Refresh != long {
			t.Fatalf("%d: it is not there", i)
		}
	}
	if n := len(r.Others); n != 6 || size(r.Others) > maxOtherBytes || 2*MaxTokenBytes+maxOtherBytes > kv.MaxValueBytes {
		t.Errorf("%d are kept, of %d bytes", n, size(r.Others))
	}
	if r.at("https://api.example/0").Access != "" || r.at("https://api.example/15").Access == "" {
		t.Error("those that end last went")
	}
	if r = r.with("", tokens("next", time.Hour), now.Add(15*time.Minute)); len(r.Others) != 1 || r.Tokens.Access != "next" {
		t.Errorf("%d are kept after their end", len(r.Others))
	}
}

// A session that has much to keep keeps its refresh token before tokens that can be had again.
func TestSessionsAreSavedWithoutTokensForResources(t *testing.T) {
	c, err := New(t.Context(), "https://id.example", Config{
		ClientID: "app", Logger: slog.New(slog.DiscardHandler), ClientSecret: NewSecret("a secret that is long enough to be one"), RedirectURI: "https://app.example/callback",
		Lazy: true, Store: kv.NewMemory(kv.MemoryConfig{}), Keys: [][]byte{make([]byte, KeyBytes)},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	now := time.Now()
	full := record{Claims: json.RawMessage(`"` + strings.Repeat("x", kv.MaxValueBytes-4<<10) + `"`), Seen: now.Unix(), Ends: now.Add(time.Hour).Unix()}
	full = full.with("https://api.example", Tokens{AccessToken: NewSecret(strings.Repeat("y", 4<<10)), RefreshToken: NewSecret("the next one"), Expiry: now.Add(time.Minute)}, now)
	s := &Session{client: c, id: "full"}
	if saved, err := s.save(t.Context(), full); !saved || err != nil {
		t.Fatalf("%v, %v", saved, err)
	}
	again, err := c.loadSession(t.Context(), "full")
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := again.now(); r.Tokens.Refresh != "the next one" || r.Others != nil {
		t.Errorf("the refresh token is %q, beside %d others", r.Tokens.Refresh, len(r.Others))
	}
}
