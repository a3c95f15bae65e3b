package gatehouse

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"
)

// TestGrantIDsBeginWithTheirTime: what is born later sorts later, and ids of
// one moment differ.
func TestGrantIDsBeginWithTheirTime(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	one, other := sha256.Sum256([]byte("one")), sha256.Sum256([]byte("other"))
	first, second, later := GrantIDOf(now, one), GrantIDOf(now, other), GrantIDOf(now.Add(time.Millisecond), one)
	if first == second {
		t.Error("two grants of one moment have one id")
	}
	if bytes.Compare(first[:], later[:]) >= 0 || bytes.Compare(second[:], later[:]) >= 0 {
		t.Errorf("%s and %s do not come before %s", first, second, later)
	}
	if again := GrantIDOf(now, one); again != first || !bytes.Equal(first[idTimeBytes:], one[idTimeBytes:len(first)]) {
		t.Errorf("%s and %s are not of the same moment and hash", first, again)
	}
	for _, at := range []time.Time{now, time.UnixMilli(0), time.UnixMilli(1<<47 + 12345)} {
		if got := GrantIDOf(at, one).BornAt(); !got.Equal(at) {
			t.Errorf("born at %v, the id says %v", at, got)
		}
	}
}
