package admin

import (
	"testing"

	"gatehouse"
)

func TestApplyOfClaimsAttributesAndSectors(t *testing.T) {
	d := newDesk(t)
	const sector = "https://sector.example/uris.json"
	const file = `
settings:
  claims:
    - {claim: department, scope: profile, in: [userinfo, id_token]}
resources:
  - identifier: https://documents.example
    scopes: {"document:read:{id}": "Read the document {id}"}
clients:
  - client_id: pair
    client_secret: pair-secret-that-is-long-enough-to-be-random
    redirect_uris: [https://a.example/cb, https://b.example/cb]
    scope: openid document:read:{id}
    subject_type: pairwise
    sector_identifier_uri: https://sector.example/uris.json
users:
  - username: alice
    password: wonderland-alice
    attributes: {department: Tea, floor: 3, guest: false, teams: [hare, hatter]}
`
	with := func(web played) Options { return Options{Fetch: web} }
	if _, err := d.tryApply(file, with(played{sector: `["https://a.example/cb"]`})); err == nil {
		t.Error("a sector that lacks a redirect URI was taken")
	}
	full := played{sector: `["https://a.example/cb","https://b.example/cb"]`}
	if _, err := d.tryApply(file, with(full)); err != nil {
		t.Fatal(err)
	}
	if got := (d.client("pair")).Sector(); got != "sector.example" {
		t.Errorf("the sector is %q", got)
	}
	if got := d.user("alice").Attributes; got["department"] != "Tea" || got["floor"] != 3.0 || got["guest"] != false || len(got["teams"].([]any)) != 2 {
		t.Errorf("the attributes are %v", got)
	}
	// The other server is away, and the same file changes nothing.
	report, err := d.tryApply(file, with(played{}))
	if err != nil || len(report.Changes) != 0 {
		t.Errorf("applied again: %v, %v", report.Changes, err)
	}
	if public := (gatehouse.Client{ID: "x"}); public.Sector() != "" {
		t.Error("a public client has a sector")
	}
}
