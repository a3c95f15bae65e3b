package storetest

import (
	"testing"

	"gatehouse/internal/store"
)

// Open opens a fresh store that goes by the clock and closes it with the test. Called again with
// the same test it opens the same database once more, as another process would.
type Open func(t *testing.T, clock *Clock) *store.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"codes":     codes,
		"terms":     terms,
		"rotations": rotations,
		"races":     races,
		"tenants":   tenants,
		"making":    making,
		"people":    people,
		"sessions":  sessions,
		"clients":   clients,
		"ledger":    ledger,
		"replicas":  replicas,
		"texts":     texts,
		"account":   account,
		"exchange":  exchange,
		"logouts":   logouts,
		"feed":      feed,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}
