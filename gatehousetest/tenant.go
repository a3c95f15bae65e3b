package gatehousetest

import (
	"testing"

	"gatehouse"
	"gatehouse/internal/admin"
	"gatehouse/internal/secret"
)

// AddTenant makes a tenant of the running server and returns it as an issuer
// of its own. It lives below the server's URL or, if issuer is not empty, at
// that host; file is a tenant file in YAML.
func (i *Issuer) AddTenant(t testing.TB, id gatehouse.TenantID, issuer, file string) *Issuer {
	t.Helper()
	record := gatehouse.TenantRecord{ID: id, Issuer: issuer}
	if err := admin.CheckTenant(record, i.config.PublicURL); err != nil {
		t.Fatalf("tenant %s: %v", id, err)
	}
	keys, err := i.server.Keys().FirstKeys(id)
	if err != nil {
		t.Fatalf("make the keys of tenant %s: %v", id, err)
	}
	by := gatehouse.Event{Actor: "test"}
	outcome, err := i.server.Store().CreateTenant(t.Context(), record, gatehouse.Settings{}, keys, by)
	if err != nil || outcome != gatehouse.TenantCreated {
		t.Fatalf("make tenant %s: %s %v", id, outcome, err)
	}
	i.noteTenant(file)
	view := *i
	view.URL = record.IssuerUnder(i.config.PublicURL)
	described, err := admin.Decode([]byte(file), string(id)+".yaml")
	if err != nil {
		t.Fatal(err)
	}
	cheap := secret.NewHasher(secret.Params{MemoryKiB: i.config.PasswordHashing.MemoryMiB << 10, Passes: i.config.PasswordHashing.Passes, Slots: 1})
	if _, err := admin.Apply(t.Context(), i.server.Store(), cheap, id, i.config.PublicURL, described, admin.Options{Actor: "test"}); err != nil {
		t.Fatalf("apply to tenant %s: %v", id, err)
	}
	return &view
}
