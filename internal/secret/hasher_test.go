package secret_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/bcrypt"

	"gatehouse/internal/secret"
)

var cheap = secret.Params{MemoryKiB: 64, Passes: 1, Threads: 1}

func TestHashAndVerify(t *testing.T) {
	h := secret.NewHasher(cheap)
	first, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	second, _ := h.Hash(t.Context(), "correct horse")
	if first == second {
		t.Error("two hashes share a salt")
	}
	if !strings.HasPrefix(first, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Errorf("not in PHC form: %s", first)
	}
	if err := secret.ParsePHC(first); err != nil {
		t.Errorf("our own hash is refused: %v", err)
	}
	for password, want := range map[string]bool{"correct horse": true, "Correct horse": false, "correct hors": false, "": false} {
		ok, rehash, err := h.Verify(t.Context(), first, password)
		if ok != want || rehash || err != nil {
			t.Errorf("%q: ok=%v rehash=%v err=%v", password, ok, rehash, err)
		}
	}
}

// The vector is the reference implementation's: argon2 "somesalt" -id -t 2 -k 65536 -p 1 <<< password.
func TestVerifyReferenceHash(t *testing.T) {
	const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	h := secret.NewHasher(secret.Params{})
	ok, rehash, err := h.Verify(t.Context(), reference, "password")
	if !ok || err != nil {
		t.Errorf("ok=%v err=%v", ok, err)
	}
	if !rehash {
		t.Error("a salt of 8 bytes is below ours, so the password should be hashed anew")
	}
}

func TestRehashWhenCostsChange(t *testing.T) {
	old, err := secret.NewHasher(cheap).Hash(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	for name, params := range map[string]secret.Params{
		"memory":  {MemoryKiB: 128, Passes: 1, Threads: 1},
		"passes":  {MemoryKiB: 64, Passes: 2, Threads: 1},
		"threads": {MemoryKiB: 64, Passes: 1, Threads: 2},
	} {
		if ok, rehash, err := secret.NewHasher(params).Verify(t.Context(), old, "p"); !ok || !rehash || err != nil {
			t.Errorf("%s: ok=%v rehash=%v err=%v", name, ok, rehash, err)
		}
		if ok, rehash, _ := secret.NewHasher(params).Verify(t.Context(), old, "q"); ok || rehash {
			t.Errorf("%s: a wrong password is ok=%v rehash=%v", name, ok, rehash)
		}
	}
}

func TestVerifyBcrypt(t *testing.T) {
	h := secret.NewHasher(cheap)
	made, err := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"$2a$", "$2b$", "$2y$"} {
		phc := prefix + string(made[4:])
		if err := secret.ParsePHC(phc); err != nil {
			t.Errorf("%s refused: %v", prefix, err)
		}
		if ok, rehash, err := h.Verify(t.Context(), phc, "correct horse"); !ok || !rehash || err != nil {
			t.Errorf("%s: ok=%v rehash=%v err=%v", prefix, ok, rehash, err)
		}
		if ok, rehash, err := h.Verify(t.Context(), phc, "wrong"); ok || rehash || err != nil {
			t.Errorf("%s, wrong password: ok=%v rehash=%v err=%v", prefix, ok, rehash, err)
		}
	}
}

func TestBcryptKeepsLongPasswords(t *testing.T) {
	long := strings.Repeat("a", 72)
	made, err := bcrypt.GenerateFromPassword([]byte(long), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	h := secret.NewHasher(cheap)
	if ok, rehash, _ := h.Verify(t.Context(), string(made), long); !ok || !rehash {
		t.Errorf("72 bytes: ok=%v rehash=%v", ok, rehash)
	}
	if ok, rehash, _ := h.Verify(t.Context(), string(made), long+"slip"); !ok || rehash {
		t.Errorf("76 bytes: ok=%v rehash=%v; bcrypt never saw the end, so it must not be hashed anew", ok, rehash)
	}
}

func TestPasswordLength(t *testing.T) {
	h := secret.NewHasher(cheap)
	longest := strings.Repeat("a", secret.MaxPasswordBytes)
	phc, err := h.Hash(t.Context(), longest)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := h.Verify(t.Context(), phc, longest); !ok || err != nil {
		t.Errorf("the longest password: ok=%v err=%v", ok, err)
	}
	for _, password := range []string{"", longest + "a"} {
		if _, err := h.Hash(t.Context(), password); !errors.Is(err, secret.ErrPasswordLength) {
			t.Errorf("%d bytes: %v", len(password), err)
		}
		if ok, _, err := h.Verify(t.Context(), phc, password); ok || err != nil {
			t.Errorf("%d bytes: ok=%v err=%v", len(password), ok, err)
		}
	}
}

func TestParsePHCRefuses(t *testing.T) {
	const salt, hash = "c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	argon := func(parameters string) string { return "$argon2id$v=19$" + parameters + "$" + salt + "$" + hash }
	if err := secret.ParsePHC(argon("m=65536,t=3,p=4")); err != nil {
		t.Fatalf("the control is refused: %v", err)
	}
	for _, test := range []struct{ name, phc, want string }{
		{"empty", "", "neither"},
		{"plain text", "hunter2", "neither"},
		{"argon2i", strings.Replace(argon("m=65536,t=3,p=4"), "argon2id", "argon2i", 1), "neither"},
		{"md5 crypt", "$1$salt$abc", "neither"},
		{"version 16", strings.Replace(argon("m=65536,t=3,p=4"), "v=19", "v=16", 1), "version"},
		{"no version", "$argon2id$m=65536,t=3,p=4$" + salt + "$" + hash, "five parts"},
		{"memory", argon("m=262145,t=1,p=1"), "m=262145"},
		{"memory overflow", argon("m=4294967296,t=1,p=1"), "m=NUMBER"},
		{"memory below lanes", argon("m=16,t=1,p=4"), "lanes"},
		{"no memory", argon("m=0,t=1,p=1"), "m=0"},
		{"no passes", argon("m=65536,t=0,p=1"), "t=0"},
		{"passes", argon("m=64,t=17,p=1"), "t=17"},
		{"product", argon("m=262144,t=5,p=1"), "m × t"},
		{"no threads", argon("m=65536,t=3,p=0"), "p=0"},
		{"threads", argon("m=65536,t=3,p=17"), "p=17"},
		{"order", argon("t=3,m=65536,p=4"), "m=NUMBER"},
		{"extra parameter", argon("m=65536,t=3,p=4,keyid=1"), "in this order"},
		{"sign", argon("m=+65536,t=3,p=4"), "m=NUMBER"},
		{"leading zero", argon("m=065536,t=3,p=4"), "m=NUMBER"},
		{"short salt", "$argon2id$v=19$m=64,t=1,p=1$c29tZQ$" + hash, "salt has 4 bytes"},
		{"short hash", "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$c29tZQ", "hash has 4 bytes"},
		{"padding", "$argon2id$v=19$m=64,t=1,p=1$" + salt + "=$" + hash, "salt is not base64"},
		{"line end", "$argon2id$v=19$m=64,t=1,p=1$" + salt + "\n$" + hash, "salt is not base64"},
		{"too long", argon("m=64,t=1,p=1") + strings.Repeat("A", 500), "longer than"},
		{"bcrypt cost", "$2b$15$" + strings.Repeat("a", 53), "bcrypt cost 15"},
		{"bcrypt cost 31", "$2b$31$" + strings.Repeat("a", 53), "bcrypt cost 31"},
		{"bcrypt cost text", "$2b$xx$" + strings.Repeat("a", 53), "bcrypt cost"},
		{"bcrypt short", "$2b$10$" + strings.Repeat("a", 52), "60 characters"},
		{"bcrypt characters", "$2b$10$" + strings.Repeat("a", 52) + "!", "character"},
	} {
		err := secret.ParsePHC(test.phc)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
			continue
		}
		if strings.Contains(err.Error(), hash) || strings.Contains(err.Error(), salt) {
			t.Errorf("%s: the error shows the hash: %v", test.name, err)
		}
		if ok, _, err := secret.NewHasher(cheap).Verify(t.Context(), test.phc, "password"); ok || err == nil {
			t.Errorf("%s: Verify says ok=%v err=%v", test.name, ok, err)
		}
	}
}

func TestVerifyDummy(t *testing.T) {
	h := secret.NewHasher(cheap)
	for _, password := range []string{"anything", "", strings.Repeat("a", 2000)} {
		if err := h.VerifyDummy(t.Context(), password); err != nil {
			t.Errorf("%d bytes: %v", len(password), err)
		}
	}
}

func TestLoginStormIsRefusedNotQueued(t *testing.T) {
	h := secret.NewHasher(secret.Params{MemoryKiB: 16 * 1024, Passes: 1, Threads: 1, Slots: 1})
	phc, err := h.Hash(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	var passed, busy atomic.Int32
	var callers sync.WaitGroup
	start := make(chan struct{})
	for range 200 {
		callers.Go(func() {
			<-start
			switch ok, _, err := h.Verify(t.Context(), phc, "p"); {
			case ok && err == nil:
				passed.Add(1)
			case errors.Is(err, secret.ErrBusy):
				busy.Add(1)
			default:
				t.Errorf("ok=%v err=%v", ok, err)
			}
		})
	}
	close(start)
	callers.Wait()
	if passed.Load() == 0 || busy.Load() == 0 {
		t.Errorf("%d passed, %d were busy; want some of both", passed.Load(), busy.Load())
	}
	if ok, _, err := h.Verify(t.Context(), phc, "p"); !ok || err != nil {
		t.Errorf("after the storm: ok=%v err=%v", ok, err)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := secret.NewHasher(cheap)
		phc, err := h.Hash(t.Context(), "p")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err = h.Verify(ctx, phc, "p")
		if !errors.Is(err, secret.ErrBusy) || !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if err := h.VerifyDummy(ctx, "p"); !errors.Is(err, secret.ErrBusy) {
			t.Errorf("the dummy behaves differently: %v", err)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	h := secret.NewHasher(secret.Params{})
	for b.Loop() {
		if _, err := h.Hash(b.Context(), "correct horse battery staple"); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$2b$04$" + strings.Repeat("a", 53))
	f.Add("$argon2id$v=19$m=,t=,p=$$")
	f.Fuzz(func(t *testing.T, phc string) {
		if secret.ParsePHC(phc) != nil {
			return
		}
		if len(phc) > 512 {
			t.Errorf("accepted %d characters", len(phc))
		}
	})
}
