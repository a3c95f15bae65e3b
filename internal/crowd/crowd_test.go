package crowd

import (
	"runtime"
	"sync"
	"testing"
)

func TestTheMeasureSeesALeak(t *testing.T) {
	var mu sync.Mutex
	leak := map[string]bool{}
	grown := Grows(100, func(n int) {
		mu.Lock()
		defer mu.Unlock()
		leak[Name(n)] = true
	})
	if len(leak) != Size()+100 || grown <= Keeps {
		t.Errorf("%d names were kept in %d bytes, which the measure does not see", len(leak), grown)
	}
	runtime.KeepAlive(leak)
	var turned []int
	_ = GrowsInTurns(1000, 0, func(n int) {
		mu.Lock()
		defer mu.Unlock()
		turned = append(turned, n)
	})
	if len(turned) < Size() || len(turned)%1000 != 0 {
		t.Errorf("%d came in turns of 1000", len(turned))
	}
	if grown := Grows(100, func(n int) { _ = Long(n) }); grown > Keeps {
		t.Errorf("nothing was kept, and %d bytes grew", grown)
	}
}
