package login

import (
	"encoding/binary"
	"time"
)

// slotWays is how many keys one slot of a throttle's table counts apart. One
// more than that shares the count of the one that has failed least.
const slotWays = 8

// tally is what one key of a slot has failed.
type tally struct {
	mark      uint32 // which of the keys that fall into the slot
	failures  int
	shut      time.Time // until then
	forgotten time.Time // from then on
}

const tallyBytes = 4 + 4 + 8 + 8

// slot is the content of a slot: at most slotWays tallies.
type slot []tally

func (s slot) bytes() []byte {
	b := make([]byte, 0, len(s)*tallyBytes)
	for _, t := range s {
		b = binary.BigEndian.AppendUint32(b, t.mark)
		b = binary.BigEndian.AppendUint32(b, uint32(t.failures))
		b = binary.BigEndian.AppendUint64(b, uint64(t.shut.UnixMilli()))
		b = binary.BigEndian.AppendUint64(b, uint64(t.forgotten.UnixMilli()))
	}
	return b
}

// readSlot returns the tallies that are not forgotten; none of what slot.bytes
// did not make.
func readSlot(b []byte, now time.Time) slot {
	s := make(slot, 0, slotWays)
	if len(b)%tallyBytes != 0 || len(b) > slotWays*tallyBytes {
		return s
	}
	for ; len(b) > 0; b = b[tallyBytes:] {
		t := tally{
			mark: binary.BigEndian.Uint32(b), failures: int(binary.BigEndian.Uint32(b[4:])),
			shut: time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:]))), forgotten: time.UnixMilli(int64(binary.BigEndian.Uint64(b[16:]))),
		}
		if now.Before(t.forgotten) {
			s = append(s, t)
		}
	}
	return s
}

// find returns the tally of a mark, nil if the slot has none.
func (s slot) find(mark uint32) *tally {
	for i := range s {
		if s[i].mark == mark {
			return &s[i]
		}
	}
	return nil
}

// of returns the tally under which a mark is counted.
func (s *slot) of(mark uint32) *tally {
	if own := s.find(mark); own != nil {
		return own
	}
	if len(*s) < slotWays {
		*s = append(*s, tally{mark: mark})
		return &(*s)[len(*s)-1]
	}
	least := &(*s)[0]
	for i := range *s {
		if (*s)[i].failures < least.failures {
			least = &(*s)[i]
		}
	}
	return least
}

// without returns the slot without the tally of a mark.
func (s slot) without(mark uint32) slot {
	for i := range s {
		if s[i].mark == mark {
			return append(s[:i:i], s[i+1:]...)
		}
	}
	return s
}

// lasts is until when the slot is worth keeping.
func (s slot) lasts(now time.Time) time.Duration {
	longest := time.Millisecond // of an empty one, the shortest that stores know
	for _, t := range s {
		longest = max(longest, t.forgotten.Sub(now))
	}
	return longest
}
