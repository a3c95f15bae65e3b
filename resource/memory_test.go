package resource_test

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"

	"gatehouse/resource"
)

// TestDistinctTokensLeaveNothing shows a server tokens that it has not seen before, of every kind: what
// it holds, and what runs, is bounded by what its caches are made for. TestAMillionTokensLeaveNothing
// fills the cache itself with a million.
func TestDistinctTokensLeaveNothing(t *testing.T) {
	const cached = 200
	a := newAS()
	rs := a.server(t, func(c *resource.Config) { c.Opaque, c.MaxCached = true, cached })
	next := 0
	show := func(count int) {
		for range count {
			next++
			id := fmt.Sprint("token-", next)
			wants(t, ask(rs, a.jwt(t, claims{"jti": id, "note": id + fmt.Sprintf("%2000d", next)}), nothing), http.StatusOK, "")
			wants(t, ask(rs, a.opaque("gha_"+id, ""), nothing), http.StatusOK, "")
			a.change(func(a *as) { delete(a.active, "gha_"+id) })
			for range 3 { // strangers guess more than callers call
				next++
				wants(t, ask(rs, fmt.Sprint("gha_guess-", next), nothing), http.StatusUnauthorized, "resource-token-invalid")
			}
			wants(t, ask(rs, claims{"iss": asURL, "jti": id}.signed(t, attackerKey(), "at+jwt"), nothing), http.StatusUnauthorized, "resource-token-invalid")
		}
	}
	held := func() (bytes int64, goroutines int) {
		runtime.GC()
		runtime.GC() // what pools held
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc), runtime.NumGoroutine()
	}
	show(1500) // all caches are full
	before, ran := held()
	show(3000)
	after, run := held()
	const tolerance = 512 << 10
	if grown := after - before; grown > tolerance || run > ran+2 {
		t.Errorf("%d bytes more are held and %d goroutines run in place of %d after 3000 of each kind", grown, run, ran)
	}
	runtime.KeepAlive(rs)
}
