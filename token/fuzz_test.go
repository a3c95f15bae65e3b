package token_test

import (
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"

	"gatehouse/token"
)

// FuzzCheck signs claims of any form with the issuer's own key: what is accepted
// has to be for this audience, from this issuer and in time all the same.
func FuzzCheck(f *testing.F) {
	for _, change := range []claims{{}, {"exp": nil}, {"aud": []string{"a", audience}}, {"exp": "1"}, {"nbf": 1.5}, {"iss": "\u00e4\n"}} {
		payload, err := json.Marshal(accessClaims().with(change))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Add([]byte(`{"iss":"https:\/\/as.test","exp":1e400}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		raw, err := edSigner().Sign("at+jwt", payload)
		if err != nil {
			t.Fatal(err)
		}
		got, err := token.Check(t.Context(), raw, accessRules())
		if err != nil {
			return
		}
		if got.Issuer != issuer || !slices.Contains(got.Audience, audience) || got.Subject == "" || got.ClientID == "" || got.ID == "" {
			t.Fatalf("accepted: %+v", got)
		}
		if !noon.Before(got.Expiry.Add(token.DefaultSkew)) || noon.Add(token.DefaultSkew).Before(got.IssuedAt) || noon.Add(token.DefaultSkew).Before(got.NotBefore) {
			t.Fatalf("accepted out of its time: %+v", got)
		}
		var decoded map[string]any
		if err := json.Unmarshal(payload, &decoded); err != nil || decoded["sub"] != got.Subject || !utf8.ValidString(got.Scope) {
			t.Fatalf("encoding/json reads %v, %v", decoded, err)
		}
	})
}
