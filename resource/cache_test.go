package resource

import (
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"testing"
)

func numbered(i int) digest {
	var octets [8]byte
	binary.BigEndian.PutUint64(octets[:], uint64(i))
	return sha256.Sum256(octets[:])
}

func TestTheCacheIsBounded(t *testing.T) {
	c := newCache[int](100)
	for i := range 1000 {
		c.put(numbered(i), -i)
		if value, found := c.get(numbered(0)); !found || value != 0 {
			t.Fatalf("after %d others the one that is always asked for is gone", i)
		}
		if c.len() > 100 {
			t.Fatalf("it holds %d", c.len())
		}
	}
	if _, found := c.get(numbered(1)); found {
		t.Error("the first one is still there")
	}
	if c.drop(numbered(999)); c.len() > 99 {
		t.Errorf("it holds %d", c.len())
	}
	if _, found := c.get(numbered(999)); found {
		t.Error("one that was dropped is still there")
	}
	tiny := newCache[int](0)
	tiny.put(numbered(1), 1)
	if _, found := tiny.get(numbered(1)); !found {
		t.Error("the smallest cache holds nothing")
	}
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
	c := newCache[*checked](DefaultMaxCached)
	before := heap()
	for i := range count {
		one := &checked{access: &Access{}, generation: uint64(i)}
		one.access.JTI = string(make([]byte, 2<<10))
		c.put(numbered(i), one)
	}
	if held := int64(heap()) - int64(before); held > 3*DefaultMaxCached*(2<<10) {
		t.Errorf("%d bytes are held after %d tokens", held, count)
	}
	runtime.KeepAlive(c)
}
