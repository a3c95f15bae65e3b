package admin

import (
	"strings"
	"testing"

	"gatehouse"
)

func TestWhichTenantsCanBeMade(t *testing.T) {
	const public = "https://id.example"
	for _, c := range []struct {
		id             gatehouse.TenantID
		issuer, public string
		wrong          string
	}{
		{"blue", "", public, ""},
		{"blue", "https://id.blue.example", public, ""},
		{"blue", "https://id.blue.example", "", "cannot be compared"},
		{"blue", "", "", ""},
		{"blue", "http://localhost:8080", "http://127.0.0.1:8080", ""},
		{"Blue", "", public, "lower-case"},
		{"default", "", public, "without being made"},
		{"blue", "https://id.blue.example/", public, "the issuer must be a scheme and a host"},
		{"blue", "https://id.example", public, "public URL"},
		{"blue", "http://id.blue.example", public, "must be an https URL"},
	} {
		err := CheckTenant(gatehouse.TenantRecord{ID: c.id, Issuer: c.issuer}, c.public)
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s %s at %s: %v, want %q", c.id, c.issuer, c.public, err, c.wrong)
		}
	}
}
