package resource_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"gatehouse/resource"
)

// TestDistinctTokensLeaveNothing shows a server tokens that it has not seen before, of every kind: what
// it holds, and what runs, is bounded by what its caches are made for. TestAMillionTokensLeaveNothing
// fills the cache itself with a million.
func TestDistinctTokensLeaveNothing(t *testing.T) {
	// A cache lets half of it go at once: with these numbers all are as full at both measurements.
	const cached, rounds = 256, 1024
	a := newAS()
	rs := a.server(t, func(c *resource.Config) { c.Opaque, c.MaxCached = true, cached })
	next := 0
	show := func(count int) {
		for range count {
			next++
			id := fmt.Sprint("token-", next)
			jwt := a.jwt(t, claims{"jti": id, "note": id + fmt.Sprintf("%2000d", next)})
			wants(t, ask(rs, jwt, nothing), http.StatusOK, "")
			wants(t, ask(rs, a.opaque("gha_"+id, ""), nothing), http.StatusOK, "")
			a.change(func(a *as) { delete(a.active, "gha_"+id) })
			for range 6 { // strangers guess more than callers call
				next++
				wants(t, ask(rs, fmt.Sprint("gha_guess-", next), nothing), http.StatusUnauthorized, "resource-token-invalid")
			}
			signature := strings.LastIndexByte(jwt, '.') + 1
			wants(t, ask(rs, jwt[:signature]+strings.Repeat("A", len(jwt)-signature), nothing), http.StatusUnauthorized, "resource-token-invalid")
		}
	}
	held := func() (bytes int64, goroutines int) {
		runtime.GC()
		runtime.GC() // what pools held
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc), runtime.NumGoroutine()
	}
	show(rounds) // all caches are full
	before, ran := held()
	show(rounds)
	after, run := held()
	const tolerance = 512 << 10
	if grown := after - before; grown > tolerance || run > ran+2 {
		t.Errorf("%d bytes more are held and %d goroutines run in place of %d after %d of each kind", grown, run, ran, rounds)
	}
	runtime.KeepAlive(rs)
}
