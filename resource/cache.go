package resource

import (
	"crypto/sha256"
	"sync"
)

// digest names a token in caches, which then hold no token that works.
type digest [sha256.Size]byte

func digestOf(raw string) digest { return sha256.Sum256([]byte(raw)) }

// cache is a bounded map that forgets what was not asked for lately: when the
// younger half is full, the older one goes.
type cache[V any] struct {
	half int

	mu           sync.RWMutex
	young, older map[digest]V
}

func newCache[V any](bound int) *cache[V] {
	return &cache[V]{half: max(bound/2, 1), young: map[digest]V{}}
}

func (c *cache[V]) get(key digest) (V, bool) {
	c.mu.RLock()
	value, found := c.young[key]
	if found {
		c.mu.RUnlock()
		return value, true
	}
	value, found = c.older[key]
	c.mu.RUnlock()
	if found {
		c.put(key, value)
	}
	return value, found
}

func (c *cache[V]) put(key digest, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.young[key]; !known && len(c.young) >= c.half {
		c.older, c.young = c.young, make(map[digest]V, c.half)
	}
	c.young[key] = value
}

func (c *cache[V]) drop(key digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.young, key)
	delete(c.older, key)
}

func (c *cache[V]) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.young) + len(c.older)
}
