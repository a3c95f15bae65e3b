package gatehouse

import (
	"strings"
	"testing"
)

func TestTenantIDs(t *testing.T) {
	for _, good := range []TenantID{"a", "blue", "blue-2", "0", "a-b-c", TenantID(strings.Repeat("x", 40))} {
		if err := CheckTenantID(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []TenantID{"", "-", "-a", "a-", "Blue", "a.b", "a/b", "a b", "a_b", "é", "a\x00", "..", "%61", TenantID(strings.Repeat("x", 41))} {
		if CheckTenantID(bad) == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestIssuersOfTenants(t *testing.T) {
	for _, c := range []struct {
		record             TenantRecord
		public, want, host string
	}{
		{TenantRecord{ID: DefaultTenant}, "https://id.example", "https://id.example", ""},
		{TenantRecord{ID: "blue"}, "https://id.example", "https://id.example/t/blue", ""},
		{TenantRecord{ID: "blue"}, "", "", ""},
		{TenantRecord{ID: "blue", Issuer: "https://id.blue.example:8443"}, "https://id.example", "https://id.blue.example:8443", "id.blue.example:8443"},
		{TenantRecord{ID: "blue", Issuer: "https://id.blue.example"}, "", "https://id.blue.example", "id.blue.example"},
	} {
		if got, host := c.record.IssuerUnder(c.public), c.record.Host(); got != c.want || host != c.host {
			t.Errorf("%+v under %q: %q at %q, not %q at %q", c.record, c.public, got, host, c.want, c.host)
		}
	}
}
