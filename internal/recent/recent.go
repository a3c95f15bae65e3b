package recent

import "sync"

// Map holds at most as many values as it was made for: when the younger half is
// full, the older one goes. It is safe for concurrent use.
type Map[K comparable, V any] struct {
	half int

	mu           sync.RWMutex
	young, older map[K]V
}

// New makes an empty Map for so many values, and at least for one.
func New[K comparable, V any](bound int) *Map[K, V] {
	return &Map[K, V]{half: max(bound/2, 1), young: make(map[K]V)}
}

// Get returns the key's value, which counts as young from then on.
func (m *Map[K, V]) Get(key K) (V, bool) {
	m.mu.RLock()
	value, found := m.young[key]
	if found {
		m.mu.RUnlock()
		return value, true
	}
	value, found = m.older[key]
	m.mu.RUnlock()
	if found {
		m.Put(key, value)
	}
	return value, found
}

// Put sets the key's value.
func (m *Map[K, V]) Put(key K, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.young[key]; !known && len(m.young) >= m.half {
		m.older, m.young = m.young, make(map[K]V)
	}
	m.young[key] = value
}

// Drop forgets the key.
func (m *Map[K, V]) Drop(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.young, key)
	delete(m.older, key)
}

// Len is how many values are held, those twice that are in both halves.
func (m *Map[K, V]) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.young) + len(m.older)
}
