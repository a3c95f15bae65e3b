package gatehouse

import (
	"bytes"
	"testing"
	"time"
)

// TestGrantIDsBeginWithTheirTime: what is born later sorts later, and ids of
// one moment differ.
func TestGrantIDsBeginWithTheirTime(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	first, second, later := NewGrantID(now), NewGrantID(now), NewGrantID(now.Add(time.Millisecond))
	if first == second {
		t.Error("two grants of one moment have one id")
	}
	if bytes.Compare(first[:], later[:]) >= 0 || bytes.Compare(second[:], later[:]) >= 0 {
		t.Errorf("%s and %s do not come before %s", first, second, later)
	}
	for _, at := range []time.Time{now, time.UnixMilli(0), time.UnixMilli(1<<47 + 12345)} {
		if got := NewGrantID(at).BornAt(); !got.Equal(at) {
			t.Errorf("born at %v, the id says %v", at, got)
		}
	}
}

// TestPutTimeKeepsTheRest: only the bytes of the time are replaced.
func TestPutTimeKeepsTheRest(t *testing.T) {
	key := bytes.Repeat([]byte{0xab}, 12)
	PutTime(key, time.UnixMilli(0x010203040506))
	if want := []byte{1, 2, 3, 4, 5, 6, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab}; !bytes.Equal(key, want) {
		t.Errorf("%x, not %x", key, want)
	}
}
