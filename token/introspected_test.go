package token

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/spec"
)

func TestCheckIntrospected(t *testing.T) {
	spec.Covers(t, "RFC7662-4-1", "JW-10")
	now := time.Unix(1764504000, 0)
	rules := Rules{Issuers: []string{"https://as.test"}, Audience: "https://rs.test", Required: []string{"sub"}, Now: func() time.Time { return now }}
	answer := func(members string) string {
		return `{"active":true,"sub":"alice","aud":"https://rs.test","exp":1764504600` + members + `}`
	}
	claims, err := CheckIntrospected([]byte(answer(`,"iss":"https://as.test","iat":1764504000,"jti":"1","gid":"g","client_id":"web","scope":"a b","username":"Alice","acr":"2"`)), rules)
	if err != nil || claims.Subject != "alice" || claims.Issuer != "https://as.test" || claims.ID != "1" || claims.GrantHandle != "g" || claims.ClientID != "web" ||
		claims.Scope != "a b" || claims.ACR != "2" || claims.Expiry.Unix() != 1764504600 || string(claims.Raw["username"]) != `"Alice"` {
		t.Errorf("%+v, %v", claims, err)
	}
	if claims, err := CheckIntrospected([]byte(answer("")), rules); err != nil || claims.Issuer != "https://as.test" {
		t.Errorf("without iss: %+v, %v", claims, err)
	}
	if _, err := CheckIntrospected([]byte(strings.Replace(answer(""), `,"exp":1764504600`, "", 1)), rules); err != nil {
		t.Errorf("without exp: %v", err)
	}
	aged := rules
	aged.MaxAge = time.Minute
	for name, test := range map[string]struct {
		answer string
		rules  Rules
		reason Reason
	}{
		"not active":        {`{"active":false}`, rules, Inactive},
		"active as text":    {strings.Replace(answer(""), "true", `"true"`, 1), rules, Inactive},
		"active in letters": {strings.Replace(answer(""), "active", "Active", 1), rules, Inactive},
		"no active":         {`{"sub":"alice","aud":"https://rs.test"}`, rules, Inactive},
		"twice":             {answer(`,"active":false`), rules, Malformed},
		"another issuer":    {answer(`,"iss":"https://as2.test"`), rules, WrongIssuer},
		"another audience":  {strings.Replace(answer(""), "rs.test", "rs2.test", 1), rules, WrongAudience},
		"no audience":       {strings.Replace(answer(""), `"aud":"https://rs.test",`, "", 1), rules, WrongAudience},
		"no sub":            {strings.Replace(answer(""), `"sub":"alice",`, "", 1), rules, BadClaim},
		"expired":           {strings.Replace(answer(""), "1764504600", "1764503000", 1), rules, Expired},
		"not yet":           {answer(`,"nbf":1764504100`), rules, NotYetValid},
		"too old":           {answer(`,"iat":1764503000`), aged, Expired},
		"of no known age":   {answer(""), aged, BadClaim},
		"an array":          {`[]`, rules, Malformed},
		"empty":             {``, rules, Malformed},
		"exp as text":       {strings.Replace(answer(""), "1764504600", `"soon"`, 1), rules, BadClaim},
	} {
		_, err := CheckIntrospected([]byte(test.answer), test.rules)
		if refused, is := errors.AsType[*Error](err); !is || refused.Reason != test.reason {
			t.Errorf("%s: %v, want %s", name, err, test.reason)
		}
	}
}

func TestCheckTimesAgain(t *testing.T) {
	now := time.Unix(1764504000, 0)
	rules := Rules{Issuers: []string{"https://as.test"}, Audience: "a", MaxAge: time.Hour, Skew: time.Second, Now: func() time.Time { return now }}
	claims, err := CheckIntrospected([]byte(fmt.Sprintf(`{"active":true,"aud":"a","iat":%d,"exp":%d}`, now.Unix(), now.Unix()+600)), rules)
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]bool{0: true, 600 * time.Second: true, 601 * time.Second: false, -2 * time.Second: false} {
		moved := rules
		moved.Now = func() time.Time { return now.Add(after) }
		if err := moved.CheckTimes(&claims); (err == nil) != want {
			t.Errorf("after %v: %v", after, err)
		}
	}
}

func FuzzIntrospected(f *testing.F) {
	f.Add([]byte(`{"active":true,"sub":"alice","aud":["https://rs.test"],"exp":9999999999}`))
	f.Add([]byte(`{"active":true,"active":false}`))
	rules := Rules{Issuers: []string{"https://as.test"}, Audience: "https://rs.test"}
	f.Fuzz(func(t *testing.T, answer []byte) {
		claims, err := CheckIntrospected(answer, rules)
		if err == nil && (string(claims.Raw["active"]) != "true" || !strings.Contains(string(claims.Raw["aud"]), "rs.test") && !strings.Contains(string(claims.Raw["aud"]), `\u`)) {
			t.Errorf("%s was taken", answer)
		}
	})
}
