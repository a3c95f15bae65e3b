package admin

import (
	"strings"
	"testing"

	"gatehouse"
)

func TestWhereAClientIsToldOfLogouts(t *testing.T) {
	told := func(uri string, change func(*gatehouse.ClientMetadata)) gatehouse.ClientMetadata {
		metadata := web()
		metadata.BackchannelLogoutURI = uri
		if change != nil {
			change(&metadata)
		}
		return metadata
	}
	required := func(m *gatehouse.ClientMetadata) { m.BackchannelLogoutSessionRequired = true }
	for _, test := range []struct {
		metadata gatehouse.ClientMetadata
		says     string
	}{
		{told("https://app.example/logout?kept=1", required), ""},
		{told("http://127.0.0.1:3000/logout", nil), ""}, // egress.allow has the last word
		{told("", required), "backchannel_logout_session_required: a client without backchannel_logout_uri"},
		{told("http://app.example/logout", nil), "backchannel_logout_uri: "},
		{told("https://app.example/logout#x", nil), "backchannel_logout_uri: "},
		{told("https://user@app.example/logout", nil), "backchannel_logout_uri: "},
		{told("javascript:alert(1)", nil), "backchannel_logout_uri: "},
		{told("https://id.example/logout", nil), "of this server itself"},
		{gatehouse.ClientMetadata{GrantTypes: []string{"client_credentials"}, BackchannelLogoutURI: "https://app.example/logout"}, "nobody signs in"},
	} {
		_, wrong := Register(test.metadata, around())
		if got := explain(wrong); test.says == "" && got != "" || !strings.Contains(got, test.says) {
			t.Errorf("%q:\n%q, want %q", test.metadata.BackchannelLogoutURI, got, test.says)
		}
	}
}
