package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

func makingActs() map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error {
	return map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error{
		"CreateTenant": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			outcome, err := s.CreateTenant(s.Context(), gatehouse.TenantRecord{ID: tenant}, gatehouse.Settings{}, nil, byCLI)
			if err != nil || outcome != gatehouse.TenantExists {
				return fmt.Errorf("a tenant that exists: %q, %w", outcome, err)
			}
			return s.PutSettings(s.Context(), tenant, gatehouse.Settings{Name: "so that something has changed"}, byCLI)
		},
		"DisableTenant": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.DisableTenant(s.Context(), tenant, true, byCLI))
		},
	}
}

// making is how tenants are made, found and disabled.
func making(t *testing.T, open Open) {
	t.Run("a tenant is made once", func(t *testing.T) {
		s := setUp(t, open)
		const callers = 16
		var outcomes [callers]gatehouse.CreateTenantOutcome
		var all sync.WaitGroup
		barrier := make(chan struct{})
		for i := range callers {
			all.Go(func() {
				<-barrier
				keys := []gatehouse.StoredKey{{ID: fmt.Sprint("k", i), Purpose: gatehouse.KeySign}}
				outcome, err := s.CreateTenant(s.Context(), gatehouse.TenantRecord{ID: "blue"}, gatehouse.Settings{Name: fmt.Sprint("Blue ", i)}, keys, byCLI)
				if err != nil {
					t.Error(err)
				}
				outcomes[i] = outcome
			})
		}
		close(barrier)
		all.Wait()
		keys, err := s.Keys(s.Context(), "blue")
		s.ok(err)
		record, found, err := s.TenantRecord(s.Context(), "blue")
		s.ok(err)
		if !found || len(keys) != 1 || record.Issuer != "" || record.Disabled() {
			t.Fatalf("%v %+v, keys %+v", found, record, keys)
		}
		winners := 0
		for i, outcome := range outcomes {
			if outcome == gatehouse.TenantCreated {
				winners++
				if keys[0].ID != fmt.Sprint("k", i) || record.Name != fmt.Sprint("Blue ", i) {
					t.Errorf("caller %d made it, but it has %s and %q", i, keys[0].ID, record.Name)
				}
			} else if outcome != gatehouse.TenantExists {
				t.Errorf("caller %d: %q", i, outcome)
			}
		}
		if winners != 1 {
			t.Errorf("%d made it", winners)
		}
	})
	t.Run("hosts", func(t *testing.T) {
		s := setUp(t, open)
		create := func(tenant gatehouse.TenantID, issuer string, want gatehouse.CreateTenantOutcome) {
			t.Helper()
			is(s.TB, want)(s.CreateTenant(s.Context(), gatehouse.TenantRecord{ID: tenant, Issuer: issuer}, gatehouse.Settings{}, nil, byCLI))
		}
		at := func(host string, want gatehouse.TenantID) {
			t.Helper()
			hosts, err := s.TenantHosts(s.Context())
			s.ok(err)
			if tenant, found := hosts.Owner(host); tenant != want || found != (want != "") {
				t.Errorf("at %q: %q %v, not %q", host, tenant, found, want)
			}
		}
		at("id.blue.example", "")
		create("blue", "https://id.blue.example", gatehouse.TenantCreated)
		create("red", "https://id.red.example:8443", gatehouse.TenantCreated)
		create("green", "", gatehouse.TenantCreated)
		create("yellow", "", gatehouse.TenantCreated) // many have none
		create("thief", "https://id.blue.example", gatehouse.TenantHostTaken)
		for range 2 { // read, and remembered
			at("id.blue.example", "blue")
			at("id.red.example:8443", "red")
			at("id.red.example", "")
			at("", "")
			at("ID.BLUE.EXAMPLE", "")
		}
		hosts, err := s.TenantHosts(s.Context())
		s.ok(err)
		for host, near := range map[string]bool{"id.red.example": true, "id.red.example:1": true, "id.blue.example:8443": true, "red.example": false, "": false} {
			if hosts.Near(host) != near {
				t.Errorf("%q is near a tenant's: %v", host, !near)
			}
		}
		for uri, has := range map[string]bool{"https://id.blue.example/cb": true, "https://id.red.example:8443/cb": true, "https://id.red.example/cb": false, "https://blue.example/cb": false} {
			if hosts.Has(uri) != has {
				t.Errorf("%s is at a tenant's host: %v", uri, !has)
			}
		}
		if _, found, err := s.TenantRecord(s.Context(), "thief"); err != nil || found {
			t.Errorf("the thief exists: %v %v", found, err)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		s := setUp(t, open)
		for _, tenant := range []gatehouse.TenantID{"nobody", "", "a\x00", "\xff"} {
			if _, found, err := s.TenantRecord(s.Context(), tenant); err != nil || found {
				t.Errorf("%q: %v %v", tenant, found, err)
			}
		}
		is(s.TB, false)(s.DisableTenant(s.Context(), "nobody", true, byCLI))
	})
	t.Run("disabling ends the tokens so far", func(t *testing.T) {
		s := setUp(t, open, tenant, stranger)
		s.furnishBoth()
		ended := func(tenant gatehouse.TenantID, issued time.Time, want bool) {
			t.Helper()
			is(s.TB, want)(s.TokenEnded(s.Context(), tenant, gatehouse.TokenFacts{ID: "jti", ClientID: clientID, Subject: subject, IssuedAt: issued}))
		}
		before := s.Now()
		ended(tenant, before, false)
		is(s.TB, true)(s.DisableTenant(s.Context(), tenant, true, byCLI))
		record, _, err := s.TenantRecord(s.Context(), tenant)
		s.ok(err)
		if !record.Disabled() {
			t.Error("it is not disabled")
		}
		ended(tenant, before, true)
		ended(stranger, before, false)
		is(s.TB, true)(s.DisableTenant(s.Context(), tenant, false, byCLI))
		if record, _, err = s.TenantRecord(s.Context(), tenant); err != nil || record.Disabled() {
			t.Errorf("it is still disabled: %v", err)
		}
		ended(tenant, before, true)
		s.clock.Move(2 * time.Second)
		ended(tenant, s.Now(), false)
	})
	t.Run("a page of them", func(t *testing.T) {
		s := setUp(t, open)
		for _, tenant := range []gatehouse.TenantID{"c", "a", "b"} {
			is(s.TB, gatehouse.TenantCreated)(s.CreateTenant(s.Context(), gatehouse.TenantRecord{ID: tenant}, gatehouse.Settings{Name: "Tenant " + string(tenant)}, nil, byCLI))
		}
		list := func(after gatehouse.TenantID, limit int) (text string) {
			records, err := s.Tenants(s.Context(), after, limit)
			s.ok(err)
			for _, record := range records {
				text += string(record.ID) + "=" + record.Name + " "
			}
			return text
		}
		if got := list("", 2); got != "a=Tenant a b=Tenant b " {
			t.Error(got)
		}
		if got := list("b", 0); got != "c=Tenant c " {
			t.Error(got)
		}
	})
	t.Run("another process follows", func(t *testing.T) {
		s := setUp(t, open)
		other := open(t, s.clock)
		if _, found, err := other.TenantRecord(s.Context(), "blue"); err != nil || found {
			t.Fatalf("%v %v", found, err)
		}
		is(s.TB, gatehouse.TenantCreated)(s.CreateTenant(s.Context(), gatehouse.TenantRecord{ID: "blue"}, gatehouse.Settings{}, nil, byCLI))
		follows(t, other, func(record gatehouse.TenantRecord, found bool) bool { return found })
		is(s.TB, true)(s.DisableTenant(s.Context(), "blue", true, byCLI))
		follows(t, other, func(record gatehouse.TenantRecord, found bool) bool { return record.Disabled() })
	})
}

// follows waits for what the store knows of the tenant blue.
func follows(t *testing.T, db *store.Store, holds func(gatehouse.TenantRecord, bool) bool) {
	t.Helper()
	for deadline := time.Now().Add(followed); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		record, found, err := db.TenantRecord(t.Context(), "blue")
		if err != nil {
			t.Fatal(err)
		}
		if holds(record, found) {
			return
		}
	}
	t.Error("another process does not know in time")
}
