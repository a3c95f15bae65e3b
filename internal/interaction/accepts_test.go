package interaction

import (
	"testing"
	"time"

	"gatehouse"
)

func TestAcceptsTheAuthenticationContext(t *testing.T) {
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	old := start.Add(-time.Hour)
	wished := Interaction{Start: start, ACRValues: []string{gatehouse.ACRPassword}}
	demanded, silently := wished, wished
	demanded.ACREssential, demanded.Prompt = true, []string{"none"}
	silently.Prompt = []string{"none"}
	for _, test := range []struct {
		what    string
		in      Interaction
		session gatehouse.Session
		want    bool
	}{
		{"nothing wished", Interaction{Start: start}, gatehouse.Session{AuthTime: old}, true},
		{"wished and there", wished, gatehouse.Session{AuthTime: old, ACR: gatehouse.ACRPassword}, true},
		{"wished: a new sign-in may reach it", wished, gatehouse.Session{AuthTime: old}, false},
		{"wished, and nobody may be asked", silently, gatehouse.Session{AuthTime: old}, true},
		{"demanded, and nobody may be asked", demanded, gatehouse.Session{AuthTime: old}, false},
		{"demanded and there", demanded, gatehouse.Session{AuthTime: old, ACR: gatehouse.ACRPassword}, true},
		{"signed in anew", wished, gatehouse.Session{AuthTime: start}, true},
	} {
		if got := test.in.Accepts(test.session); got != test.want {
			t.Errorf("%s: %v", test.what, got)
		}
	}
}
