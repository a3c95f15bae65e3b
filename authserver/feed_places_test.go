package authserver

import (
	"fmt"
	"testing"

	"gatehouse"
)

// TestFeedPlacesOfATenant: no tenant takes the places of the others, and none
// that was left is remembered.
func TestFeedPlacesOfATenant(t *testing.T) {
	f := newFeeds()
	var leaving []func()
	enter := func(tenant gatehouse.TenantID, client string) bool {
		leave, found := f.enter(tenant, client)
		if found {
			leaving = append(leaving, leave)
		}
		return found
	}
	for n := range maxFeedsPerTenant {
		if !enter("one", fmt.Sprint("api-", n%3)) {
			t.Fatalf("reader %d of a tenant finds no place", n)
		}
	}
	if enter("one", "api-4") {
		t.Error("a tenant has more than its share")
	}
	if !enter("two", "api-1") {
		t.Error("the same client id of another tenant finds no place")
	}
	leaving[0]()
	if !enter("one", "api-4") {
		t.Error("a place that was left is not given again")
	}
	for _, leave := range leaving[1:] {
		leave()
	}
	if f.count != 0 || len(f.byTenant) != 0 || len(f.byClient) != 0 {
		t.Errorf("%d, %v and %v are remembered", f.count, f.byTenant, f.byClient)
	}
}
