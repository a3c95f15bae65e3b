package secret

import (
	"strings"
	"testing"
)

func TestCommon(t *testing.T) {
	for password, want := range map[string]bool{
		"password": true, "Password123!": true, "P@ssw0rd!": true, "123456789": true, "qwertz123": true, "aaaaaaaa": true, "abcabcabc": true, "20.11.2026": true, "": true,
		"correct horse battery": false, "vT9#kLp2qX": false, "493027561834": false, "wonderland-1865": false, "white-rabbit": false,
	} {
		if Common(password) != want {
			t.Errorf("%q: common is %v", password, !want)
		}
	}
	const shortest = 8 // of what anybody may set
	for word := range strings.Lines(commonWords) {
		word = strings.TrimSpace(word)
		if word == "" || word != strings.ToLower(word) || len(word) >= shortest && !Common(word) {
			t.Errorf("the list has %q, which it does not find", word)
		}
	}
}
