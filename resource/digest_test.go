package resource

import (
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"testing"

	"gatehouse/internal/recent"
)

func numbered(i int) digest {
	var octets [8]byte
	binary.BigEndian.PutUint64(octets[:], uint64(i))
	return sha256.Sum256(octets[:])
}

// TestAMillionTokensLeaveNothing fills the cache of verified tokens with a million, each with some
// kilobytes, and looks what is held in the end.
func TestAMillionTokensLeaveNothing(t *testing.T) {
	count := 1_000_000
	if testing.Short() {
		count /= 10
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	c := recent.New[digest, *checked](DefaultMaxCached)
	before := heap()
	for i := range count {
		one := &checked{access: &Access{}, generation: uint64(i)}
		one.access.JTI = string(make([]byte, 2<<10))
		c.Put(numbered(i), one)
	}
	if held := int64(heap()) - int64(before); held > 3*DefaultMaxCached*(2<<10) {
		t.Errorf("%d bytes are held after %d tokens", held, count)
	}
	runtime.KeepAlive(c)
}
