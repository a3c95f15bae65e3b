package revocation

import (
	"strings"
	"sync"
	"time"
)

// Set is a bounded set of entries. Entries of one claim and value are one: the
// later times count. It is safe for concurrent use.
type Set struct {
	limit int

	mu     sync.RWMutex
	count  int
	tables [len(claims)]map[string]span
	// leaving are the entries by the minute at whose end they may go, and
	// nextLeave the first of those minutes.
	leaving   map[int64][]place
	nextLeave int64
}

// span is the times of an entry in Unix seconds.
type span struct{ issuedUntil, expiry int64 }

// everIssued stands for tokens whenever they were issued.
const everIssued = 1<<63 - 1

// place is where an entry is.
type place struct {
	table int
	value string
}

// NewSet returns an empty set of at most limit entries.
func NewSet(limit int) *Set {
	return &Set{limit: limit, leaving: map[int64][]place{}, nextLeave: everIssued}
}

// Len is how many entries there are.
func (s *Set) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.count
}

// Add adds an entry, and says false when there is no room for it or its claim is
// none of ours.
func (s *Set) Add(e Entry) bool {
	table := indexOf(e.Claim)
	if table < 0 {
		return false
	}
	added := span{everIssued, e.Expiry.Unix()}
	if !e.IssuedUntil.IsZero() {
		added.issuedUntil = e.IssuedUntil.Unix()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known, exists := s.tables[table][e.Value]
	switch {
	case exists && known.issuedUntil >= added.issuedUntil && known.expiry >= added.expiry:
		return true
	case !exists && s.count >= s.limit:
		return false
	case !exists:
		s.count++
		e.Value = strings.Clone(e.Value) // not a part of something longer
	}
	if s.tables[table] == nil {
		s.tables[table] = map[string]span{}
	}
	merged := span{max(known.issuedUntil, added.issuedUntil), max(known.expiry, added.expiry)}
	s.tables[table][e.Value] = merged
	if minute := minuteOf(merged.expiry); !exists || minute != minuteOf(known.expiry) {
		s.leaving[minute] = append(s.leaving[minute], place{table, e.Value})
		s.nextLeave = min(s.nextLeave, minute)
	}
	return true
}

func minuteOf(seconds int64) int64 { return seconds / 60 }

// Ended says whether an entry concerns the token.
func (s *Set) Ended(t Token) bool {
	values, issuedAt := t.values(), t.IssuedAt.Unix()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, value := range values {
		if value == "" || len(s.tables[i]) == 0 {
			continue
		}
		if known, found := s.tables[i][value]; found && issuedAt <= known.issuedUntil {
			return true
		}
	}
	return false
}

// Expire removes entries that have expired, those of one minute together.
func (s *Set) Expire(now time.Time) {
	current := minuteOf(now.Unix())
	s.mu.RLock()
	due := s.nextLeave < current
	s.mu.RUnlock()
	if !due {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextLeave = everIssued
	for minute, places := range s.leaving {
		if minute >= current {
			s.nextLeave = min(s.nextLeave, minute)
			continue
		}
		for _, p := range places {
			if known, found := s.tables[p.table][p.value]; found && minuteOf(known.expiry) <= minute {
				delete(s.tables[p.table], p.value)
				s.count--
			}
		}
		delete(s.leaving, minute)
	}
}
