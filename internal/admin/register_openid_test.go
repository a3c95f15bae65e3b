package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/egress"
	"gatehouse/internal/spec"
)

func TestWhatOpenIDConnectAddsToClients(t *testing.T) {
	pairwise := func(uris ...string) gatehouse.ClientMetadata {
		return gatehouse.ClientMetadata{SubjectType: "pairwise", RedirectURIs: uris}
	}
	with := func(change func(*gatehouse.ClientMetadata)) gatehouse.ClientMetadata {
		metadata := web()
		change(&metadata)
		return metadata
	}
	for _, test := range []struct {
		metadata gatehouse.ClientMetadata
		says     string
	}{
		{with(func(m *gatehouse.ClientMetadata) { m.DefaultACRValues = []string{gatehouse.ACRPassword} }), ""},
		{with(func(m *gatehouse.ClientMetadata) { m.DefaultACRValues = []string{"2"} }), "default_acr_values[0]: no sign-in reaches"},
		{with(func(m *gatehouse.ClientMetadata) { m.UserinfoSignedResponseAlg = "ES256" }), ""},
		{with(func(m *gatehouse.ClientMetadata) { m.UserinfoSignedResponseAlg = "none" }), "userinfo_signed_response_alg: UserInfo cannot be signed"},
		{with(func(m *gatehouse.ClientMetadata) { m.UserinfoSignedResponseAlg = "HS256" }), "userinfo_signed_response_alg: UserInfo cannot be signed"},
		{with(func(m *gatehouse.ClientMetadata) { m.InitiateLoginURI = "https://app.example/login" }), ""},
		{with(func(m *gatehouse.ClientMetadata) { m.InitiateLoginURI = "http://app.example/login" }), "initiate_login_uri: "},
		{with(func(m *gatehouse.ClientMetadata) { m.InitiateLoginURI = "javascript:alert(1)" }), "initiate_login_uri: "},
		{with(func(m *gatehouse.ClientMetadata) { m.InitiateLoginURI = "https://id.example/logout" }), "of this server itself"},
		{with(func(m *gatehouse.ClientMetadata) { m.SubjectType = "private" }), "subject_type: unknown subject type"},
		{with(func(m *gatehouse.ClientMetadata) { m.SectorIdentifierURI = "http://127.0.0.1/sector" }), "must be an https URL"},
		{with(func(m *gatehouse.ClientMetadata) { m.SectorIdentifierURI = "file:///etc/passwd" }), "sector_identifier_uri: "},
		{pairwise("https://app.example/cb", "https://app.example/other"), ""},
		{pairwise("https://app.example/cb", "https://app.example:8443/cb"), ""},
		{pairwise("https://app.example/cb", "https://other.example/cb"), "sector_identifier_uri: is needed, since the redirect URIs have the hosts app.example and other.example"},
		{pairwise("http://127.0.0.1/cb"), "belongs to nobody in particular"},
		{pairwise("com.example.app:/cb"), "belongs to nobody in particular"},
		{gatehouse.ClientMetadata{SubjectType: "pairwise", GrantTypes: []string{"client_credentials"}}, "sees no user"},
	} {
		_, wrong := Register(test.metadata, around())
		if got := explain(wrong); test.says == "" && got != "" || !strings.Contains(got, test.says) {
			t.Errorf("%+v:\n%q, want %q", test.metadata, got, test.says)
		}
	}
}

// played answers for the web.
type played map[string]string

func (p played) Get(_ context.Context, url string) ([]byte, http.Header, error) {
	if body, found := p[url]; found {
		return []byte(body), nil, nil
	}
	return nil, nil, errors.New("the answer has the status 404, not 200")
}

func TestASectorNamesAllRedirectURIs(t *testing.T) {
	spec.Covers(t, "OIDF-9")
	const sector = "https://sector.example/uris.json"
	metadata := gatehouse.ClientMetadata{SectorIdentifierURI: sector, RedirectURIs: []string{"https://a.example/cb", "https://b.example/cb"}}
	for body, says := range map[string]string{
		`["https://b.example/cb","https://c.example/","https://a.example/cb"]`: "",
		`["https://a.example/cb"]`:                         `redirect_uris[1]: "https://b.example/cb" is not in the document`,
		`["https://a.example/cb","https://b.example/cb/"]`: "redirect_uris[1]",
		`{"redirect_uris":["https://a.example/cb"]}`:       "is not a JSON array",
		`["https://a.example/cb", 1]`:                      "is not a JSON array",
		``:                                                 "is not a JSON array",
	} {
		if got := explain(checkSector(t.Context(), played{sector: body}, metadata)); says == "" && got != "" || !strings.Contains(got, says) {
			t.Errorf("%s: %q, want %q", body, got, says)
		}
	}
	if got := explain(checkSector(t.Context(), played{}, metadata)); !strings.Contains(got, "could not be fetched") {
		t.Errorf("a document that is not there: %q", got)
	}
	if got := explain(checkSector(t.Context(), nil, metadata)); !strings.Contains(got, "cannot be fetched here") {
		t.Errorf("nobody who fetches: %q", got)
	}
	stored := metadata
	if sectorChanged(stored, metadata) {
		t.Error("the same client is looked at again")
	}
	stored.RedirectURIs = stored.RedirectURIs[:1]
	if !sectorChanged(stored, metadata) || !sectorChanged(gatehouse.ClientMetadata{}, metadata) || sectorChanged(stored, web()) {
		t.Error("what has changed is not looked at")
	}
}

// SS-03: the address of a sector is a stranger's.
func TestSS03SectorsWithinTheNetwork(t *testing.T) {
	spec.Covers(t, "SS-03")
	fetch, err := egress.NewClient(egress.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{
		"https://127.0.0.1/uris", "https://169.254.169.254/latest/meta-data", "https://[::1]/uris", "https://10.0.0.1/", "https://localhost/uris", "https://[::ffff:10.0.0.1]/",
	} {
		metadata := gatehouse.ClientMetadata{SectorIdentifierURI: uri, RedirectURIs: []string{"https://a.example/cb"}}
		if got := explain(checkSector(t.Context(), fetch, metadata)); !strings.Contains(got, "could not be fetched") {
			t.Errorf("%s: %q", uri, got)
		}
	}
}
