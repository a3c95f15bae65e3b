package recent_test

import (
	"testing"

	"gatehouse/internal/recent"
)

func TestWhatIsAskedForStaysAndTheRestIsBounded(t *testing.T) {
	m := recent.New[int, int](100)
	for i := range 1000 {
		m.Put(i, -i)
		if value, found := m.Get(0); !found || value != 0 {
			t.Fatalf("after %d others the one that is always asked for is gone", i)
		}
		if m.Len() > 100 {
			t.Fatalf("it holds %d", m.Len())
		}
	}
	if value, found := m.Get(999); !found || value != -999 {
		t.Error("the last one is gone")
	}
	if _, found := m.Get(1); found {
		t.Error("the first one is still there")
	}
}

func TestWhatIsDroppedIsGone(t *testing.T) {
	m := recent.New[string, int](4)
	m.Put("old", 1)
	m.Put("a", 2)
	m.Put("b", 3) // "old" and "a" are the older half now
	m.Get("old")  // and "old" is in both
	for _, key := range []string{"old", "b"} {
		if m.Drop(key); m.Len() > 3 {
			t.Errorf("it holds %d", m.Len())
		}
		if _, found := m.Get(key); found {
			t.Errorf("%s is still there", key)
		}
	}
	if _, found := m.Get("a"); !found {
		t.Error("another one went with them")
	}
}

func TestTheSmallestHoldsOne(t *testing.T) {
	m := recent.New[int, int](0)
	m.Put(1, 1)
	if _, found := m.Get(1); !found {
		t.Error("it holds nothing")
	}
}
