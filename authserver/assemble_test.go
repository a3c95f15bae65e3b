package authserver

import (
	"encoding/json"
	"reflect"
	"testing"

	"gatehouse"
)

// awkward are values that encoding/json writes in its own way.
var awkward = []string{"", "plain", `quo"te`, `back\slash`, "<&>", "ünïcode", "\u2028", "bad\xff", "tab\t", "\x7f", "a:b c", "{},"}

func TestAssembledLikeEncodingJSON(t *testing.T) {
	same := func(name string, value any, got []byte) {
		t.Helper()
		want, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s:\n%s, want\n%s", name, got, want)
		}
	}
	for i, text := range awkward {
		other, number := awkward[(i+1)%len(awkward)], int64(i*1_000_000_007)
		claims := accessClaims{Issuer: text, Subject: other, Audience: text, Expiry: number, IssuedAt: -number, ID: other, ClientID: text, Scope: other, AuthTime: number, ACR: text, Handle: other,
			Act: &actor{Subject: text, ClientID: other, Act: &actor{Subject: other}}, MayAct: &party{Subject: text},
			Lineage: []gatehouse.Ancestor{{ID: text, ClientID: other}, {ClientID: text, Handle: other, SessionID: text, KeyID: other}}}
		same("claims", claims, claims.assemble())
		same("few claims", accessClaims{}, accessClaims{}.assemble())
		response := tokenResponse{text, other, other, number, text, other, text}
		same("response", response, response.assemble())
		answer := introspection{Active: i%2 == 0, Issuer: text, Subject: other, Audience: text, ClientID: other, Username: text, Scope: other, TokenType: text, Expiry: number, IssuedAt: number, ID: other, AuthTime: number, ACR: text, Handle: other, Act: claims.Act, MayAct: claims.MayAct, Lineage: claims.Lineage}
		got, err := answer.assemble()
		if err != nil {
			t.Fatal(err)
		}
		same("introspection", answer, got)
		answer.own = ownOf(text, number)
		if got, err = answer.assemble(); err != nil || !json.Valid(got) {
			t.Errorf("%v: %s", err, got)
		}
		same("own claims", map[string]any{"value": text}, must(ownOf(text, number)[:1].MarshalJSON()))
	}
}

func ownOf(text string, number int64) claims { return claims{{"value", text}, {"number", number}} }

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}

// FuzzReadAssembled: what is read by hand is what encoding/json reads.
func FuzzReadAssembled(f *testing.F) {
	for _, text := range awkward {
		f.Add(accessClaims{Issuer: text, ID: text, Expiry: 1, Scope: text}.assemble())
	}
	f.Add([]byte(`{"iss":"a","iss":"b","exp":1}`))
	f.Add([]byte(`{"exp":1.5}`))
	f.Add([]byte(`{"exp":+1}`))
	f.Add([]byte(`{"iss":"a"} `))
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, plain := readAssembled(payload)
		if !plain {
			return
		}
		var want accessClaims
		if err := json.Unmarshal(got.assemble(), &want); err != nil {
			t.Fatal(err)
		}
		written := accessClaims{Issuer: got.Issuer, Subject: got.Subject, Audience: got.Audience, Expiry: got.Expiry, IssuedAt: got.IssuedAt, ID: got.ID, ClientID: got.ClientID, Scope: got.Scope, AuthTime: got.AuthTime, ACR: got.ACR, Handle: got.Handle}
		if !reflect.DeepEqual(got, written) {
			t.Fatalf("%+v", got)
		}
		if again, plain := readAssembled(written.assemble()); plain && !reflect.DeepEqual(again, got) {
			t.Fatalf("%+v, want %+v", again, got)
		}
	})
}

func TestAssembledIsReadAsItWasWritten(t *testing.T) {
	claims := accessClaims{Issuer: "https://id.example", Subject: "s", Audience: "https://api.example", Expiry: 2, IssuedAt: 1, ID: "J", ClientID: "c", Scope: "a:b c", AuthTime: 3, ACR: "urn:x", Handle: "h"}
	if got, plain := readAssembled(claims.assemble()); !plain || !reflect.DeepEqual(got, claims) {
		t.Errorf("%v %+v", plain, got)
	}
	for _, foreign := range []string{``, `{}`, `{`, `[]`, `{"iss"}`, `{"iss":}`, `{"iss":"a`, `{"iss":"a"`, `{"iss":"a\n"}`, `{"iss":1}`, `{"exp":"1"}`, `{"exp":1.5}`, `{"exp":1`, `{"exp":1}x`, `{"department":"x"}`, `{"iss":"a",}`, `{"iss":"a","department":"x"}`} {
		if got, plain := readAssembled([]byte(foreign)); plain {
			t.Errorf("%s was read by hand: %+v", foreign, got)
		}
	}
}
