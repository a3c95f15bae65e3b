package kv

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	shards = 64 // a power of two

	// entryOverhead is what a key costs beside its own and its value's bytes: the map's slot, the
	// entry and its place in the queue, by measurement and rounded up.
	entryOverhead = 192

	// sweptPerWrite is how many expired keys a write clears away beside its own work. It is above
	// one, so that what has expired always leaves faster than new keys come.
	sweptPerWrite = 4

	defaultMaxBytes = 64 << 20
	defaultMaxKeys  = 1 << 20
)

// MemoryConfig bounds a Memory. A zero field takes its default.
type MemoryConfig struct {
	MaxBytes int64 // keys, values and their overhead (192 bytes each) together; default 64 MiB
	MaxKeys  int64 // default 1048576
}

// Memory is a Store in this process: lost when it ends, invisible to other replicas. A Memory that
// is full refuses with ErrFull. It runs no goroutine and needs no closing; expired keys leave a few
// at a time whenever something is written.
type Memory struct {
	maxBytes, maxKeys int64
	bytes, keys       atomic.Int64
	started           time.Time
	seed              maphash.Seed
	shards            [shards]shard
	sweep             atomic.Uint32 // the shard that gives way next when the store is full
}

type shard struct {
	mu      sync.Mutex
	entries map[string]*entry
	expiry  expiryQueue
}

type entry struct {
	key     string
	value   []byte
	expires time.Duration // since the Memory started, by the monotonic clock
	place   int           // in the expiry queue
}

func (e *entry) size() int64 { return sizeOf(e.key, e.value) }

func sizeOf(key string, value []byte) int64 {
	return int64(len(key) + len(value) + entryOverhead)
}

// NewMemory makes an empty Memory.
func NewMemory(config MemoryConfig) *Memory {
	if config.MaxBytes <= 0 {
		config.MaxBytes = defaultMaxBytes
	}
	if config.MaxKeys <= 0 {
		config.MaxKeys = defaultMaxKeys
	}
	m := &Memory{maxBytes: config.MaxBytes, maxKeys: config.MaxKeys, started: time.Now(), seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].entries = map[string]*entry{}
	}
	return m
}

var _ Store = (*Memory)(nil)

func (m *Memory) now() time.Duration { return time.Since(m.started) }

// locked returns the key's shard, locked.
func (m *Memory) locked(key string) *shard {
	// The seed is random, so that nobody can aim all keys at one shard.
	s := &m.shards[maphash.String(m.seed, key)%shards]
	s.mu.Lock()
	return s
}

// live is the entry that has not expired. The shard is locked.
func (s *shard) live(key string, now time.Duration) *entry {
	if e := s.entries[key]; e != nil && e.expires > now {
		return e
	}
	return nil
}

func (m *Memory) Add(_ context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := CheckEntry(key, value, ttl); err != nil {
		return false, err
	}
	return m.put(key, value, ttl, func(present *entry) bool { return present == nil })
}

func (m *Memory) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	if err := CheckEntry(key, value, ttl); err != nil {
		return err
	}
	_, err := m.put(key, value, ttl, func(*entry) bool { return true })
	return err
}

func (m *Memory) Swap(_ context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if err := CheckEntry(key, new, ttl); err != nil {
		return false, err
	}
	return m.put(key, new, ttl, func(present *entry) bool { return present != nil && bytes.Equal(present.value, old) })
}

func (m *Memory) Get(_ context.Context, key string) ([]byte, bool, error) {
	if err := CheckKey(key); err != nil {
		return nil, false, err
	}
	s := m.locked(key)
	defer s.mu.Unlock()
	e := s.live(key, m.now())
	if e == nil {
		return nil, false, nil
	}
	return bytes.Clone(e.value), true, nil
}

func (m *Memory) Take(_ context.Context, key string) ([]byte, bool, error) {
	if err := CheckKey(key); err != nil {
		return nil, false, err
	}
	s := m.locked(key)
	defer s.mu.Unlock()
	e := s.live(key, m.now())
	if e == nil {
		return nil, false, nil
	}
	m.remove(s, e)
	return e.value, true, nil
}

func (m *Memory) Incr(_ context.Context, key string, delta int64, ttl time.Duration) (int64, error) {
	if err := CheckEntry(key, nil, ttl); err != nil {
		return 0, err
	}
	var sum int64
	var failed error
	_, err := m.putFor(key, func(present *entry, now time.Duration) ([]byte, time.Duration, bool) {
		stored, expires := []byte("0"), deadline(now, ttl)
		if present != nil {
			stored, expires = present.value, present.expires
		}
		sum, failed = AddNumbers(stored, delta)
		return strconv.AppendInt(nil, sum, 10), expires, failed == nil
	})
	if err = errors.Join(failed, err); err != nil {
		return 0, err
	}
	return sum, nil
}

func (m *Memory) Delete(_ context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	s := m.locked(key)
	defer s.mu.Unlock()
	if e := s.entries[key]; e != nil {
		m.remove(s, e)
	}
	return nil
}

// put writes the value if the condition holds for the live entry, nil when there is none.
func (m *Memory) put(key string, value []byte, ttl time.Duration, condition func(*entry) bool) (bool, error) {
	return m.putFor(key, func(present *entry, now time.Duration) ([]byte, time.Duration, bool) {
		if !condition(present) {
			return nil, 0, false
		}
		return append([]byte{}, value...), deadline(now, ttl), true
	})
}

// putFor writes what decide returns, unless that says false. When there is no room, it makes some
// of what has expired in other shards and tries again, once around.
func (m *Memory) putFor(key string, decide func(present *entry, now time.Duration) (value []byte, expires time.Duration, write bool)) (bool, error) {
	for tries := 0; ; tries++ {
		s := m.locked(key)
		now := m.now()
		m.expire(s, now, sweptPerWrite)
		present := s.live(key, now)
		value, expires, write := decide(present, now)
		if !write {
			s.mu.Unlock()
			return false, nil
		}
		if present == nil {
			present = s.entries[key] // expired, but still in the way
		}
		fits := m.write(s, present, key, value, expires)
		s.mu.Unlock()
		if fits {
			return true, nil
		}
		if tries == shards {
			return false, ErrFull
		}
		m.sweepNext()
	}
}

// write replaces the present entry, nil when there is none. It says false when there is no room.
func (m *Memory) write(s *shard, present *entry, key string, value []byte, expires time.Duration) bool {
	growth, newKeys := sizeOf(key, value), int64(1)
	if present != nil {
		growth, newKeys = growth-present.size(), 0
	}
	if !m.reserve(growth, newKeys) {
		return false
	}
	if present != nil {
		present.value, present.expires = value, expires
		s.expiry.fix(present)
		return true
	}
	e := &entry{key: key, value: value, expires: expires}
	s.entries[key] = e
	s.expiry.push(e)
	return true
}

func (m *Memory) reserve(bytes, keys int64) bool {
	if m.keys.Add(keys) > m.maxKeys && keys > 0 {
		m.keys.Add(-keys)
		return false
	}
	if m.bytes.Add(bytes) > m.maxBytes && bytes > 0 {
		m.bytes.Add(-bytes)
		m.keys.Add(-keys)
		return false
	}
	return true
}

func (m *Memory) remove(s *shard, e *entry) {
	delete(s.entries, e.key)
	s.expiry.remove(e)
	m.bytes.Add(-e.size())
	m.keys.Add(-1)
}

// expire removes at most limit expired entries of the locked shard.
func (m *Memory) expire(s *shard, now time.Duration, limit int) {
	for range limit {
		e := s.expiry.first()
		if e == nil || e.expires > now {
			return
		}
		m.remove(s, e)
	}
}

// sweepNext clears expired entries of the next shard away. Of a live one it takes none.
func (m *Memory) sweepNext() {
	s := &m.shards[m.sweep.Add(1)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	m.expire(s, m.now(), sweptPerWrite*shards)
}

// deadline is now + ttl, or the end of time when that is beyond it.
func deadline(now, ttl time.Duration) time.Duration {
	const end = time.Duration(1<<63 - 1)
	if ttl > end-now {
		return end
	}
	return now + ttl
}

// parseNumber reads what Incr wrote.
func parseNumber(stored []byte) (int64, error) {
	number, err := strconv.ParseInt(string(stored), 10, 64)
	if err != nil {
		return 0, errors.New("kv: the value is not a number")
	}
	return number, nil
}
