package seal_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gatehouse/internal/seal"
)

func key(t testing.TB, id uint32, fill byte) seal.Key {
	t.Helper()
	k, err := seal.NewKey(id, bytes.Repeat([]byte{fill}, seal.KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestNewKeyRefuses(t *testing.T) {
	if _, err := seal.NewKey(0, make([]byte, 32)); err == nil {
		t.Error("id 0 was taken")
	}
	for _, size := range []int{0, 16, 31, 33, 64} {
		if _, err := seal.NewKey(1, make([]byte, size)); err == nil {
			t.Errorf("%d bytes were taken", size)
		}
	}
}

func TestKeyKeepsItsOwnCopy(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, seal.KeyBytes)
	k, err := seal.NewKey(1, secret)
	if err != nil {
		t.Fatal(err)
	}
	before := k.MAC([]byte("m"))
	clear(secret)
	if !bytes.Equal(before, k.MAC([]byte("m"))) {
		t.Error("the caller's bytes are the key's")
	}
}

func TestKeyNeverPrintsItsSecret(t *testing.T) {
	k := key(t, 0xbeef, '~') // found in a text also when it is printed as one
	k.MAC([]byte("m"))
	type holder struct{ key seal.Key }
	for name, value := range map[string]any{"key": k, "pointer": &k, "field": holder{k}, "pointer to field": &holder{k}, "list": []holder{{k}}, "ring": seal.NewRing(k)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%t", "%p"} {
			got := strings.ToLower(fmt.Sprintf(verb, value))
			for _, form := range []string{"~~~", "7e7e7e", "126 126", "0x7e, 0x7e"} {
				if strings.Contains(got, form) {
					t.Errorf("%s with %s: %s", name, verb, got)
				}
			}
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "key", k)
	if !strings.Contains(log.String(), `"key":"key 0000beef"`) {
		t.Errorf("in the log: %s", log.String())
	}
}

func TestDerive(t *testing.T) {
	root := key(t, 9, 1)
	seen := map[string]string{}
	for _, arguments := range [][]string{
		{"a"}, {"b"}, {"a", ""}, {"a", "", ""}, {"a", "bc"}, {"ab", "c"}, {"abc"}, {"a", "b", "c"}, {""}, {"a", "b\x00c"}, {"a\x00b", "c"},
	} {
		derived := root.Derive(arguments[0], arguments[1:]...)
		if derived.ID != 9 {
			t.Errorf("%q has the id %d", arguments, derived.ID)
		}
		mac := string(derived.MAC())
		if other, repeated := seen[mac]; repeated {
			t.Errorf("%q and %s give the same key", arguments, other)
		}
		seen[mac] = fmt.Sprintf("%q", arguments)
		if again := root.Derive(arguments[0], arguments[1:]...); string(again.MAC()) != mac {
			t.Errorf("%q is not stable", arguments)
		}
	}
	if _, repeated := seen[string(root.MAC())]; repeated {
		t.Error("a derived key is the root key")
	}
	if other := key(t, 9, 2).Derive("a"); seen[string(other.MAC())] != "" {
		t.Error("two roots derive the same key")
	}
}

func TestMACIsInjective(t *testing.T) {
	k := key(t, 1, 1)
	b := func(s string) []byte { return []byte(s) }
	seen := map[string]int{}
	for i, parts := range [][][]byte{
		{}, {b("")}, {b(""), b("")}, {b("abc")}, {b("a"), b("bc")}, {b("ab"), b("c")}, {b("a"), b("b"), b("c")},
		{b("abc"), b("")}, {b(""), b("abc")}, {b("\x00\x00\x00\x00\x00\x00\x00\x03abc")},
	} {
		mac := k.MAC(parts...)
		if len(mac) != seal.MACBytes {
			t.Errorf("%d bytes", len(mac))
		}
		if other, repeated := seen[string(mac)]; repeated {
			t.Errorf("sequences %d and %d have the same MAC", i, other)
		}
		seen[string(mac)] = i
	}
	if bytes.Equal(k.MAC(b("a")), key(t, 1, 2).MAC(b("a"))) {
		t.Error("two keys give the same MAC")
	}
}

// sealedVector is "plaintext" with "additional", sealed with the key of id 0x01020304 and bytes 0x0B.
const sealedVector = "0101020304554fc15c49886800c3244f35f37c6c6db7f3cac0d5b7c4d800ec2d120ddf9b81301c2a16d44c6e00f48a9213492c5bd4db"

// What is written in databases and tokens must still be readable by the next version.
func TestFormatsAreStable(t *testing.T) {
	k := key(t, 0x01020304, 0x0B)
	if got := hex.EncodeToString(k.Derive("refresh", "tenant").MAC([]byte("a"), []byte("b"))); got != "fae1be84f8d868fc5702b5243a2e58d1566bec601c3aa7dfb43e48bb33c8849d" {
		t.Errorf("the MAC of a derived key changed: %s", got)
	}
	sealed, _ := hex.DecodeString(sealedVector)
	if plain, ok := seal.NewRing(k).Open(sealed, []byte("additional")); !ok || string(plain) != "plaintext" {
		t.Errorf("a message of an earlier version: %q, %v", plain, ok)
	}
}

func TestSealAndOpen(t *testing.T) {
	ring := seal.NewRing(key(t, 1, 1))
	for _, plain := range []string{"", "a", strings.Repeat("long ", 1000)} {
		for _, additional := range []string{"", "tenant"} {
			sealed := ring.Seal([]byte(plain), []byte(additional))
			if len(sealed) != len(plain)+seal.Overhead {
				t.Errorf("%d bytes became %d", len(plain), len(sealed))
			}
			got, ok := ring.Open(sealed, []byte(additional))
			if !ok || string(got) != plain {
				t.Errorf("%d bytes: %v", len(plain), ok)
			}
			if _, ok := ring.Open(sealed, []byte(additional+"x")); ok {
				t.Error("opened under other additional data")
			}
		}
	}
	if bytes.Equal(ring.Seal([]byte("a"), nil), ring.Seal([]byte("a"), nil)) {
		t.Error("two seals of one plaintext are equal")
	}
}

func TestOpenRefusesEveryChange(t *testing.T) {
	ring := seal.NewRing(key(t, 1, 1), key(t, 2, 2))
	sealed := ring.Seal([]byte("plaintext"), []byte("additional"))
	for i := range sealed {
		for _, bit := range []byte{1, 3, 0x80} {
			changed := bytes.Clone(sealed)
			changed[i] ^= bit
			if _, ok := ring.Open(changed, []byte("additional")); ok {
				t.Errorf("opened with byte %d changed by %#x", i, bit)
			}
		}
		if _, ok := ring.Open(sealed[:i], []byte("additional")); ok {
			t.Errorf("opened with %d of %d bytes", i, len(sealed))
		}
	}
	if _, ok := ring.Open(append(bytes.Clone(sealed), 0), []byte("additional")); ok {
		t.Error("opened with a byte more")
	}
	if plain, ok := ring.Open(sealed, []byte("additional")); !ok || string(plain) != "plaintext" {
		t.Error("the unchanged message does not open")
	}
}

// The key id is authenticated: even under one secret, a message does not pass for another key's.
func TestOpenBindsTheKeyID(t *testing.T) {
	sealed := seal.NewRing(key(t, 1, 1)).Seal([]byte("p"), nil)
	sealed[4] = 2
	if _, ok := seal.NewRing(key(t, 2, 1)).Open(sealed, nil); ok {
		t.Error("opened under another id")
	}
}

func TestRotation(t *testing.T) {
	first, second, third := key(t, 1, 1), key(t, 2, 2), key(t, 3, 3)
	before := seal.NewRing(first, second)
	after := seal.NewRing(second, first)
	sealed := before.Seal([]byte("p"), nil)
	if plain, ok := after.Open(sealed, nil); !ok || string(plain) != "p" {
		t.Error("the old key no longer opens")
	}
	if _, ok := seal.NewRing(second, third).Open(sealed, nil); ok {
		t.Error("a removed key still opens")
	}
	if after.Current().ID != 2 {
		t.Errorf("current is %d", after.Current().ID)
	}
	if k, found := after.Key(1); !found || k.ID != 1 || !bytes.Equal(k.MAC(), first.MAC()) {
		t.Error("the old key is not found")
	}
	if _, found := after.Key(3); found {
		t.Error("a key that is not there was found")
	}
}

func TestRingDerive(t *testing.T) {
	ring := seal.NewRing(key(t, 1, 1), key(t, 2, 2))
	cookies := ring.Derive("cookie", "acme")
	if cookies.Current().ID != 1 {
		t.Errorf("current is %d", cookies.Current().ID)
	}
	want := key(t, 2, 2).Derive("cookie", "acme")
	if got, found := cookies.Key(2); !found || !bytes.Equal(got.MAC(), want.MAC()) {
		t.Error("the old key is not derived as Key.Derive does")
	}
	sealed := cookies.Seal([]byte("p"), nil)
	for name, other := range map[string]*seal.Ring{"root": ring, "tenant": ring.Derive("cookie", "other"), "purpose": ring.Derive("other", "acme")} {
		if _, ok := other.Open(sealed, nil); ok {
			t.Errorf("opened with the %s's ring", name)
		}
	}
	if _, ok := ring.Derive("cookie", "acme").Open(sealed, nil); !ok {
		t.Error("the same derivation does not open")
	}
}

func FuzzOpen(f *testing.F) {
	ring := seal.NewRing(key(f, 0x01020304, 0x0B), key(f, 2, 2))
	genuine, err := hex.DecodeString(sealedVector)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(genuine, []byte("additional"))
	f.Add(genuine[:seal.Overhead], []byte("additional"))
	f.Add([]byte{1, 0, 0, 0, 1}, []byte{})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, sealed, additional []byte) {
		plain, ok := ring.Open(sealed, additional)
		if ok && !(bytes.Equal(sealed, genuine) && string(additional) == "additional") {
			t.Errorf("a forgery opened as %q", plain)
		}
		if !ok && plain != nil {
			t.Error("a refusal came with a plaintext")
		}
	})
}

func BenchmarkMAC(b *testing.B) {
	k := key(b, 1, 1)
	part := make([]byte, 32)
	for b.Loop() {
		k.MAC(part, part, part)
	}
}

func BenchmarkSeal(b *testing.B) {
	ring := seal.NewRing(key(b, 1, 1))
	plain := make([]byte, 1024)
	for b.Loop() {
		ring.Seal(plain, nil)
	}
}
