package store

import (
	"context"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"gatehouse/kv"
)

const (
	// kvMaxKeys bounds the keys of all replicas together. The count is looked at every
	// kvCountEvery, so that it may be exceeded by what comes in between.
	kvMaxKeys    = 1 << 20
	kvCountEvery = 10 * time.Second
)

// KV returns the database as a kv.Store, which all replicas share. Keys expire by the store's clock.
// It refuses with kv.ErrFull beyond about a million keys.
func (s *Store) KV() kv.Store { return &s.kv }

// sqlKV is a kv.Store in the database.
type sqlKV struct {
	store   *Store
	counted atomic.Int64 // when, in milliseconds of the store's clock
	full    atomic.Bool
}

// until is when something with the ttl expires; a part of a millisecond counts as a whole one.
func until(now time.Time, ttl time.Duration) int64 {
	life := int64(ttl / time.Millisecond)
	if ttl%time.Millisecond > 0 {
		life++
	}
	if at := millis(now); life < math.MaxInt64-at {
		return at + life
	}
	return math.MaxInt64
}

func (k *sqlKV) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := k.admit(ctx, key, value, ttl); err != nil {
		return false, err
	}
	return write(ctx, k.store, "adding a key", "", func(a *act) (bool, error) {
		added, err := a.exec(sqlKVAdd, []byte(key), blob(value), until(a.now, ttl), millis(a.now))
		return added == 1, err
	})
}

func (k *sqlKV) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	if err := kv.CheckKey(key); err != nil {
		return nil, false, err
	}
	now := k.store.Now()
	value, err = read(ctx, k.store, "reading a key", func(c *connection) (value []byte, err error) {
		found, err = c.one(sqlKVGet, []any{&value}, []byte(key), millis(now))
		return value, err
	})
	return value, found && err == nil, err
}

func (k *sqlKV) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := k.admit(ctx, key, value, ttl); err != nil {
		return err
	}
	_, err := write(ctx, k.store, "setting a key", "", func(a *act) (int64, error) {
		return a.exec(sqlKVSet, []byte(key), blob(value), until(a.now, ttl))
	})
	return err
}

func (k *sqlKV) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if err := kv.CheckEntry(key, new, ttl); err != nil {
		return false, err
	}
	return write(ctx, k.store, "swapping a key", "", func(a *act) (bool, error) {
		swapped, err := a.exec(sqlKVSwap, []byte(key), blob(new), until(a.now, ttl), millis(a.now), blob(old))
		return swapped == 1, err
	})
}

func (k *sqlKV) Take(ctx context.Context, key string) (value []byte, found bool, err error) {
	if err := kv.CheckKey(key); err != nil {
		return nil, false, err
	}
	value, err = write(ctx, k.store, "taking a key", "", func(a *act) (value []byte, err error) {
		found, err = a.one(sqlKVTake, []any{&value}, []byte(key), millis(a.now))
		return value, err
	})
	return value, found && err == nil, err
}

func (k *sqlKV) Incr(ctx context.Context, key string, delta int64, ttl time.Duration) (int64, error) {
	if err := k.admit(ctx, key, nil, ttl); err != nil {
		return 0, err
	}
	return write(ctx, k.store, "counting a key", "", func(a *act) (int64, error) {
		// The first statement takes the row, whoever made it, so that nobody counts beside us.
		added, err := a.exec(sqlKVAdd, []byte(key), strconv.AppendInt(nil, delta, 10), until(a.now, ttl), millis(a.now))
		if err != nil || added == 1 {
			return delta, err
		}
		if err := a.engine.seizeKey(a, key); err != nil {
			return 0, err
		}
		var stored []byte
		found, err := a.one(sqlKVGet, []any{&stored}, []byte(key), millis(a.now))
		if err != nil {
			return 0, err
		}
		if !found { // it was taken away in between
			_, err := a.exec(sqlKVSet, []byte(key), strconv.AppendInt(nil, delta, 10), until(a.now, ttl))
			return delta, err
		}
		sum, err := kv.AddNumbers(stored, delta)
		if err != nil {
			return 0, err
		}
		_, err = a.exec(sqlKVPut, []byte(key), strconv.AppendInt(nil, sum, 10))
		return sum, err
	})
}

func (k *sqlKV) Delete(ctx context.Context, key string) error {
	if err := kv.CheckKey(key); err != nil {
		return err
	}
	_, err := write(ctx, k.store, "deleting a key", "", func(a *act) (int64, error) {
		return a.exec(sqlKVDelete, []byte(key))
	})
	return err
}

// admit checks a key that may be new.
func (k *sqlKV) admit(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := kv.CheckEntry(key, value, ttl); err != nil {
		return err
	}
	now, last := k.store.Now().UnixMilli(), k.counted.Load()
	if now-last >= kvCountEvery.Milliseconds() && k.counted.CompareAndSwap(last, now) {
		count, err := read(ctx, k.store, "counting the keys", func(c *connection) (count int64, err error) {
			_, err = c.one(sqlKVCount, []any{&count})
			return count, err
		})
		if err != nil {
			return err
		}
		k.full.Store(count >= kvMaxKeys)
	}
	if k.full.Load() {
		return kv.ErrFull
	}
	return nil
}

// sweepKV removes keys that have expired.
func (s *Store) sweepKV(ctx context.Context) (removed int, err error) {
	for {
		count, err := writeAt(ctx, s, thorough, "sweeping keys", "", func(a *act) (int64, error) {
			if err := a.seize(lockSweep, ""); err != nil {
				return 0, err
			}
			return a.exec(sqlKVSweep, millis(a.now), sweepBatch)
		})
		removed += int(count)
		if err != nil || count < sweepBatch {
			return removed, err
		}
	}
}
