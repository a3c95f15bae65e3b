package crowd

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
)

const (
	// byDay is how many strangers of each kind come, and byNight how many when there
	// is time.
	byDay, byNight = 1_200, 1_000_000
	// atOnce is how many of them come at the same time.
	atOnce = 4

	// Keeps is how much more of the heap may be taken after a crowd, in bytes. What
	// keeps every one of a small crowd takes more.
	Keeps = 64 << 10
)

// Size is how many strangers come: a million with GATEHOUSE_TEST_NIGHTLY=1.
func Size() int {
	switch {
	case os.Getenv("GATEHOUSE_TEST_NIGHTLY") != "1":
		return byDay
	case raced:
		return byNight / 50
	}
	return byNight
}

// Grows returns by how many bytes the heap grew while a crowd came. send is called
// for each stranger by its number, several at once. So many forerunners, which are
// not measured, fill what has a fixed size.
func Grows(forerunners int, send func(n int)) int64 {
	return GrowsInTurns(1, forerunners, send)
}

// GrowsInTurns is Grows of what fills up with so many strangers and then begins anew:
// as many come as make whole turns, so that it is as full afterwards as before.
func GrowsInTurns(turn, forerunners int, send func(n int)) int64 {
	come(0, forerunners, send)
	before := taken()
	come(forerunners, forerunners+(Size()+turn-1)/turn*turn, send)
	return taken() - before
}

func come(first, last int, send func(n int)) {
	var callers sync.WaitGroup
	for caller := range atOnce {
		callers.Go(func() {
			for n := first + caller; n < last; n += atOnce {
				send(n)
			}
		})
	}
	callers.Wait()
}

// taken is how much of the heap is in use.
func taken() int64 {
	var stats runtime.MemStats
	for range 3 { // pools give back what they hold at the second collection
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// Name is as long as the name of a tenant can be: of all that strangers choose, the
// shortest.
func Name(n int) string { return fmt.Sprintf("stranger-%031d", n) }

// Long is what strangers choose where they may choose much.
func Long(n int) string { return Name(n) + strings.Repeat("x", 200) }
