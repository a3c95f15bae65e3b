package client

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"gatehouse/kv"
)

// What is owed has a bound, and many that write at once lose nothing.
func TestOwedRevocationsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := kv.NewMemory(kv.MemoryConfig{MaxBytes: 16 << 20})
		c, err := New(t.Context(), "https://id.example", Config{
			ClientID: "app", Logger: slog.New(slog.DiscardHandler), ClientSecret: NewSecret("a secret that is long enough to be one"), RedirectURI: "https://app.example/callback",
			Lazy: true, Store: store, Keys: [][]byte{make([]byte, KeyBytes)},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil { // nothing is settled beside
			t.Fatal(err)
		}
		tokens := Tokens{RefreshToken: NewSecret("a refresh token")}
		var at sync.WaitGroup
		begin, all := make(chan struct{}), make([]owed, owedShards*4)
		for i := range all {
			at.Go(func() {
				<-begin
				all[i] = c.owe(t.Context(), fmt.Sprint("session ", i), tokens)
			})
		}
		close(begin)
		at.Wait()
		for _, o := range all {
			if !o.kept {
				t.Error("one of those that were noted at once was not")
			}
		}
		for range owedShards*owedInShard - len(all) {
			if o := c.owe(t.Context(), "session", tokens); !o.kept {
				t.Fatal("refused before all is full")
			}
		}
		if o := c.owe(t.Context(), "session", tokens); o.kept || o.Token == "" {
			t.Error("one more than there is room for is noted, or forgotten")
		}
		c.settled(t.Context(), all[0])
		if o := c.owe(t.Context(), "session", tokens); !o.kept {
			t.Error("there is room again, and none is found")
		}
		err = c.changeOwed(t.Context(), 0, func(list []owed) ([]owed, error) {
			return append(list, owed{Token: string(make([]byte, kv.MaxValueBytes)), Ends: list[0].Ends}), nil
		})
		if !errors.Is(err, errOwedFull) {
			t.Errorf("more than a value may hold: %v", err)
		}
	})
}
