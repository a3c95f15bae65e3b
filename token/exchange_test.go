package token

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestWhoActsAndOfWhatATokenWasMade(t *testing.T) {
	claims := Claims{Raw: map[string]json.RawMessage{
		"act":     json.RawMessage(`{"sub":"deep","iss":"https://id.example","act":{"sub":"alice","client_id":"web"}}`),
		"lineage": json.RawMessage(`[{"jti":"1","client_id":"web","kid":"k"},{"client_id":"svc","gid":"g","sid":"s"}]`),
	}}
	act, err := claims.Actor()
	if want := (&Actor{Issuer: "https://id.example", Subject: "deep", Act: &Actor{Subject: "alice", ClientID: "web"}}); err != nil || !reflect.DeepEqual(act, want) {
		t.Errorf("%+v %v", act, err)
	}
	made, err := claims.Ancestors()
	if want := []Ancestor{{ID: "1", ClientID: "web", KeyID: "k"}, {ClientID: "svc", GrantHandle: "g", SessionID: "s"}}; err != nil || !reflect.DeepEqual(made, want) {
		t.Errorf("%+v %v", made, err)
	}
	if act, err := (Claims{}).Actor(); act != nil || err != nil {
		t.Errorf("nobody acts: %+v %v", act, err)
	}
	if made, err := (Claims{}).Ancestors(); made != nil || err != nil {
		t.Errorf("made of nothing: %+v %v", made, err)
	}
}

// TestProvenanceThatCannotBeReadIsRefused rather than passed over.
func TestProvenanceThatCannotBeReadIsRefused(t *testing.T) {
	for _, text := range []string{`null`, `"deep"`, `{}`, `[]`, `{"sub":1}`, `{"Sub":"a"}`, `{"sub":"a","act":{}}`, `{"sub":"a","act":[]}`, `{"sub":"a","sub":"b"}`} {
		act, err := Claims{Raw: map[string]json.RawMessage{"act": json.RawMessage(text)}}.Actor()
		if refused, is := errors.AsType[*Error](err); !is || refused.Reason != BadClaim || act != nil {
			t.Errorf("act %s: %+v %v", text, act, err)
		}
	}
	many := `[` + strings.Repeat(`{"client_id":"a"},`, MaxAncestors) + `{"client_id":"a"}]`
	for _, text := range []string{`null`, `{}`, `[]`, `"1"`, `["1"]`, `[{}]`, `[null]`, `[{"client_id":1}]`, `[{"CLIENT_ID":"a"}]`, `[{"client_id":"a","jti":1}]`, many} {
		made, err := Claims{Raw: map[string]json.RawMessage{"lineage": json.RawMessage(text)}}.Ancestors()
		if refused, is := errors.AsType[*Error](err); !is || refused.Reason != BadClaim || made != nil {
			t.Errorf("lineage %s: %+v %v", text, made, err)
		}
	}
}
