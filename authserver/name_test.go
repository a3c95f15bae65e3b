package authserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/seal"
)

// namesOf makes the keys of a tenant from fixed roots, the second of which is
// the current one.
func namesOf(t testing.TB, tenant gatehouse.TenantID) grantKeys {
	t.Helper()
	var roots []seal.Key
	for id := range uint32(2) {
		root, err := seal.NewKey(id+1, bytes.Repeat([]byte{byte(id + 1)}, 32))
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, root)
	}
	return grantKeys{seal.NewRing(roots[1], roots[0]), tenant}
}

var someGrant = gatehouse.GrantID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// someNames returns a code and two refresh tokens, one under an older key.
func someNames(t testing.TB, keys grantKeys) []string {
	t.Helper()
	secret, found := keys.codeSecret(2, someGrant, [16]byte{1})
	code, written := keys.code(2, someGrant, secret)
	first, _ := keys.firstRefresh(someGrant)
	old := refreshToken{keyID: 1, grant: someGrant, generation: 1<<64 - 2, secret: bytes.Repeat([]byte{9}, secretLength)}
	one, firstWritten := keys.writeRefresh(first)
	two, oldWritten := keys.writeRefresh(old)
	if !found || !written || !firstWritten || !oldWritten {
		t.Fatal("a name could not be written")
	}
	return []string{code, one, two}
}

func TestNamesOfGrants(t *testing.T) {
	keys := namesOf(t, "default")
	all := someNames(t, keys)
	code, genuine := keys.parseCode(all[0])
	secret, _ := keys.codeSecret(2, someGrant, [16]byte{1})
	if hash := sha256.Sum256(secret); !genuine || code.grant != someGrant || !bytes.Equal(code.hash, hash[:]) {
		t.Errorf("the code is read as %+v, genuine is %v", code, genuine)
	}
	old, genuine := keys.parseRefresh(all[2])
	if !genuine || old.grant != someGrant || old.generation != 1<<64-2 || old.keyID != 1 {
		t.Errorf("the refresh token is read as %+v, genuine is %v", old, genuine)
	}
	next, state := keys.nextRefresh(old)
	if same, succeeds := keys.successor(old, state); !succeeds || !bytes.Equal(same.secret, next.secret) || next.keyID != 2 {
		t.Error("the successor is not derived anew")
	}
	for name, change := range map[string]func(*gatehouse.RefreshState){
		"another salt":       func(s *gatehouse.RefreshState) { s.Salt = []byte("another salt....") },
		"another hash":       func(s *gatehouse.RefreshState) { s.Hash = old.hash() },
		"another generation": func(s *gatehouse.RefreshState) { s.Generation++ },
		"another key":        func(s *gatehouse.RefreshState) { s.KeyID = 1 },
		"an unknown key":     func(s *gatehouse.RefreshState) { s.KeyID = 3 },
	} {
		changed := state
		change(&changed)
		if _, succeeds := keys.successor(old, changed); succeeds {
			t.Errorf("%s: succeeds", name)
		}
	}
	other := namesOf(t, "other")
	if _, genuine := other.parseCode(all[0]); genuine {
		t.Error("a code counts in another tenant")
	}
	if _, genuine := other.parseRefresh(all[1]); genuine {
		t.Error("a refresh token counts in another tenant")
	}
	if keys.handle(someGrant) == other.handle(someGrant) || keys.handle(someGrant) == keys.handle(gatehouse.GrantID{}) {
		t.Error("two grants have one handle")
	}
	if _, found := keys.codeSecret(3, someGrant, [16]byte{}); found {
		t.Error("a code under an unknown key")
	}
	if _, written := keys.code(3, someGrant, secret); written {
		t.Error("a code under an unknown key")
	}
	if _, written := keys.writeRefresh(refreshToken{keyID: 3}); written {
		t.Error("a refresh token under an unknown key")
	}
}

// TestHandlesOfASecondLieTogether: they begin alike, and that beginning tells
// neither the time nor the tenant.
func TestHandlesOfASecondLieTogether(t *testing.T) {
	keys, other := namesOf(t, "default"), namesOf(t, "other")
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	born := func(at time.Time, of string) gatehouse.GrantID {
		return gatehouse.GrantIDOf(at, sha256.Sum256([]byte(of)))
	}
	first := keys.handle(born(at, "first"))
	const near = 5 // characters that stand for the second alone
	for name, row := range map[string]struct {
		handle string
		alike  bool
	}{
		"the same second": {keys.handle(born(at.Add(999*time.Millisecond), "second")), true},
		"the next second": {keys.handle(born(at.Add(time.Second), "first")), false},
		"another tenant":  {other.handle(born(at, "first")), false},
	} {
		if (row.handle[:near] == first[:near]) != row.alike || row.handle == first {
			t.Errorf("%s: %s beside %s", name, row.handle, first)
		}
	}
}

// TestLineBreaksInNames: encoding/base64 skips them, so that a name of the
// right length could decode to too few bytes.
func TestLineBreaksInNames(t *testing.T) {
	keys := namesOf(t, "default")
	for _, name := range someNames(t, keys) {
		for count := range len(name) - 4 {
			broken := name[:4] + strings.Repeat("\n", count) + name[4:len(name)-count]
			reversed := name[:len(name)-count] + strings.Repeat("\r", count)
			for _, text := range []string{broken, reversed} {
				_, isCode := keys.parseCode(text)
				_, isRefresh := keys.parseRefresh(text)
				if count > 0 && (isCode || isRefresh) {
					t.Fatalf("%q is genuine", text)
				}
			}
		}
	}
}

func FuzzNames(f *testing.F) {
	keys := namesOf(f, "default")
	known := someNames(f, keys)
	for _, name := range append(known, "", "ghc_", "ghr_", "ghc_"+strings.Repeat("\n", 93), "ghr_"+strings.Repeat("A", 103)) {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, isCode := keys.parseCode(text)
		token, isRefresh := keys.parseRefresh(text)
		switch {
		case isCode && isRefresh:
			t.Errorf("%q is both", text)
		case isRefresh:
			if again, written := keys.writeRefresh(token); !written || again != text {
				t.Errorf("%q is written as %q", text, again)
			}
		case isCode:
			raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, codePrefix))
			if hash := sha256.Sum256(raw[5+idLength : codeBody]); err != nil || !bytes.Equal(hash[:], code.hash) {
				t.Errorf("%q: %v", text, err)
			}
		}
		if (isCode || isRefresh) && text != known[0] && text != known[2] && !strings.HasPrefix(text, refreshPrefix) {
			t.Errorf("%q is genuine, and we did not write it", text)
		}
	})
}
