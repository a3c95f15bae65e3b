package revocation

import (
	"strings"
	"sync"
	"time"
)

// meanValue is how long values may be in the mean, in bytes: a set of n entries
// keeps n times as much of them, and a line more. Those of our server have 20 to 60.
const meanValue = 256

// spareLeaving is how many more places than twice the entries may be noted.
const spareLeaving = 64

// Set is a bounded set of entries. Entries of one claim and value are one: the
// later times count. It is safe for concurrent use.
type Set struct {
	limit int

	mu     sync.RWMutex
	count  int
	bytes  int // of the values
	tables [len(claims)]map[string]span
	// leaving are the entries by the minute at whose end they may go, noted of
	// them all, and nextLeave the first of those minutes. An entry whose expiry
	// was put off stands there more than once.
	leaving   map[int64][]place
	noted     int
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

// NewSet returns an empty set of at most limit entries, whose values have at most
// 256 bytes in the mean.
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
	case !exists && (s.count >= s.limit || s.bytes+len(e.Value) > s.limit*meanValue+MaxLine):
		return false
	case !exists:
		s.count++
		s.bytes += len(e.Value)
		e.Value = strings.Clone(e.Value) // not a part of something longer
	}
	if s.tables[table] == nil {
		s.tables[table] = map[string]span{}
	}
	merged := span{max(known.issuedUntil, added.issuedUntil), max(known.expiry, added.expiry)}
	s.tables[table][e.Value] = merged
	if minute := minuteOf(merged.expiry); !exists || minute != minuteOf(known.expiry) {
		s.note(minute, place{table, e.Value})
		if s.noted > 2*s.count+spareLeaving {
			s.noteAnew()
		}
	}
	return true
}

// note notes when an entry leaves. It is called with the lock held.
func (s *Set) note(minute int64, where place) {
	s.leaving[minute] = append(s.leaving[minute], where)
	s.noted++
	s.nextLeave = min(s.nextLeave, minute)
}

// noteAnew notes each entry once. It is called with the lock held.
func (s *Set) noteAnew() {
	s.leaving, s.noted, s.nextLeave = map[int64][]place{}, 0, everIssued
	for table, entries := range s.tables {
		for value, times := range entries {
			s.note(minuteOf(times.expiry), place{table, value})
		}
	}
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
				s.bytes -= len(p.value)
			}
		}
		s.noted -= len(places)
		delete(s.leaving, minute)
	}
}
