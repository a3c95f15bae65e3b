package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatehouse/kv"
)

// Revocations that are owed to the issuer are kept in the Store, if the Config has
// one, from before their session ends until they are done: a process that dies leaves
// them to the others, and to the one that is started in its place.
const (
	// owedShards are values in the store, of owedInShard revocations each.
	owedShards  = 16
	owedInShard = 128
	// owedEvery is how often a process looks for some, and owedBatch how many it takes
	// of a shard at once.
	owedEvery = 5 * time.Second
	owedBatch = 8
	// owedFirst is how long those are left alone that somebody has only just written
	// down. After each attempt the pause is doubled, from owedPause to owedLastPause.
	owedFirst     = 5 * time.Second
	owedPause     = 10 * time.Second
	owedLastPause = 5 * time.Minute
	// owedDoubt is when a session that still lives will not be ended any more by whoever
	// was about to.
	owedDoubt = time.Minute
	// owedRetries is how often a shard is written again that others write, too.
	owedRetries = 32
	// owedPatience bounds each dealing with the store.
	owedPatience = 5 * time.Second
)

var errOwedFull = errors.New("client: too many revocations are owed")

// owed is a token that is to be revoked when its session is gone. Times are Unix
// milliseconds.
type owed struct {
	ID      string `json:"id"`
	Session string `json:"session"`
	Token   string `json:"token"`
	Hint    string `json:"hint"`
	Since   int64  `json:"since"`
	Due     int64  `json:"due"`
	Ends    int64  `json:"ends"`
	Tries   int    `json:"tries,omitempty"`

	shard int
	kept  bool // in the store
}

// owe notes, before a session is ended, that its token is to be revoked. Where there
// is no store, or no room in it, this process alone knows.
func (c *Client) owe(ctx context.Context, session string, tokens Tokens) owed {
	now := time.Now()
	var shard [1]byte
	_, _ = rand.Read(shard[:]) // never fails: it ends the process instead
	o := owed{
		ID: randomText(), Session: session, Token: tokens.RefreshToken.Reveal(), Hint: "refresh_token",
		Since: now.UnixMilli(), Due: now.Add(owedFirst).UnixMilli(), Ends: now.Add(c.config.SessionLife).UnixMilli(), shard: int(shard[0]) % owedShards,
	}
	if o.Token == "" {
		o.Token, o.Hint = tokens.AccessToken.Reveal(), "access_token"
		if !tokens.Expiry.IsZero() {
			o.Ends = min(o.Ends, tokens.Expiry.UnixMilli())
		}
	}
	if c.config.Store == nil || o.Token == "" || o.Ends <= now.UnixMilli() {
		return o
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), owedPatience)
	defer cancel()
	var err error
	for range owedShards {
		err = c.changeOwed(ctx, o.shard, func(list []owed) ([]owed, error) {
			if len(list) >= owedInShard {
				return nil, errOwedFull
			}
			return append(list, o), nil
		})
		if !errors.Is(err, errOwedFull) {
			break
		}
		o.shard = (o.shard + 1) % owedShards
	}
	if o.kept = err == nil; !o.kept {
		c.config.Logger.WarnContext(ctx, "a revocation could not be noted for other processes", "error", err)
	}
	return o
}

// settled takes a revocation that is done off the list.
func (c *Client) settled(ctx context.Context, o owed) {
	if !o.kept {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), owedPatience)
	defer cancel()
	err := c.changeOwed(ctx, o.shard, func(list []owed) ([]owed, error) {
		return slices.DeleteFunc(list, func(one owed) bool { return one.ID == o.ID }), nil
	})
	if err != nil { // it will be revoked once more, which does nothing (RFC 7009 §2.2)
		c.config.Logger.WarnContext(ctx, "a revocation that is done could not be taken off the list", "error", err)
	}
}

// owedKeys names the shards, once: they are looked at as long as the client lives.
func (c *Client) owedKeys() (keys [owedShards]string) {
	group := c.groupOf("owed", c.provider.issuer, c.config.ClientID)
	for shard := range keys {
		keys[shard] = fmt.Sprintf("client owed %s %d", group, shard)
	}
	return keys
}

// readOwed returns what a shard holds, and the value itself, nil if there is none.
func (c *Client) readOwed(ctx context.Context, shard int) (list []owed, value []byte, err error) {
	key := c.owedAt[shard]
	value, found, err := c.store.Get(ctx, key)
	if err != nil || !found {
		return nil, nil, err
	}
	// What was sealed with a key that is no longer known is lost.
	if plain, opened := c.sealer.Open(value, []byte(key)); opened {
		_ = json.Unmarshal(plain, &list)
	}
	now := time.Now().UnixMilli()
	list = slices.DeleteFunc(list, func(o owed) bool { return o.Ends <= now })
	for i := range list {
		list[i].shard, list[i].kept = shard, true
	}
	return list, value, nil
}

// changeOwed writes what change makes of a shard, again until nobody else wrote
// meanwhile.
func (c *Client) changeOwed(ctx context.Context, shard int, change func([]owed) ([]owed, error)) error {
	key := c.owedAt[shard]
	for range owedRetries {
		list, old, err := c.readOwed(ctx, shard)
		if err != nil {
			return err
		}
		if list, err = change(list); err != nil {
			return err
		}
		if len(list) == 0 && old == nil {
			return nil
		}
		plain, err := json.Marshal(list)
		if err != nil {
			return err
		}
		value := c.sealer.Seal(plain, []byte(key))
		if len(value) > kv.MaxValueBytes {
			return errOwedFull
		}
		life := time.Millisecond // of an empty one: there is no deletion on a condition
		for _, o := range list {
			life = max(life, time.Until(time.UnixMilli(o.Ends)))
		}
		var written bool
		if old == nil {
			written, err = c.store.Add(ctx, key, value, life)
		} else {
			written, err = c.store.Swap(ctx, key, old, value, life)
		}
		if err != nil || written {
			return err
		}
	}
	return errors.New("client: the revocations that are owed change too fast")
}

// settleOwed looks for revocations that are owed, until the client is closed.
func (c *Client) settleOwed() {
	ticker := time.NewTicker(owedEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-c.beside.lives.Done():
			return
		}
		for shard := range owedShards {
			if !c.settleShard(c.beside.lives, shard) {
				break // the store or the issuer is away
			}
		}
	}
}

// settleShard revokes what is due in a shard, and says whether to go on.
func (c *Client) settleShard(ctx context.Context, shard int) bool {
	due, err := c.claimOwed(ctx, shard)
	if err != nil {
		return false
	}
	for _, o := range due {
		if _, err := c.loadSession(ctx, o.Session); err == nil {
			if time.Since(time.UnixMilli(o.Since)) > owedDoubt { // the logout failed, and the person knows
				c.settled(ctx, o)
			}
			continue
		} else if !errors.Is(err, ErrNoSession) {
			return false
		}
		attempt, cancel := context.WithTimeout(ctx, revocationWait)
		err := c.Revoke(attempt, NewSecret(o.Token), o.Hint)
		cancel()
		if mayPass(err) {
			return false
		}
		if err != nil {
			c.config.Logger.WarnContext(ctx, "a token could not be revoked", "error", err)
		}
		c.settled(ctx, o)
	}
	return true
}

// claimOwed returns revocations that are due, which are not due for others then.
func (c *Client) claimOwed(ctx context.Context, shard int) (due []owed, err error) {
	ctx, cancel := context.WithTimeout(ctx, owedPatience)
	defer cancel()
	isDue := func(o owed) bool { return o.Due <= time.Now().UnixMilli() }
	list, _, err := c.readOwed(ctx, shard)
	if err != nil || !slices.ContainsFunc(list, isDue) {
		return nil, err
	}
	err = c.changeOwed(ctx, shard, func(list []owed) ([]owed, error) {
		due = nil
		for i := range list {
			if o := &list[i]; isDue(*o) && len(due) < owedBatch {
				o.Due = time.Now().Add(min(owedPause<<min(o.Tries, 10), owedLastPause)).UnixMilli()
				o.Tries++
				due = append(due, *o)
			}
		}
		return list, nil
	})
	if err != nil {
		return nil, err
	}
	return due, nil
}
