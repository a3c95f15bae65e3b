package seal_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gatehouse/internal/seal"
)

func TestKeyFileRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	made, err := seal.CreateKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read, err := seal.ReadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if made.ID != read.ID || !bytes.Equal(made.MAC(), read.MAC()) {
		t.Errorf("made %v, read %v", made, read)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(text, []byte("# Gatehouse key-encryption key.")) || !strings.Contains(string(text), fmt.Sprintf("id: %08x\n", made.ID)) {
		t.Errorf("the file does not say what it is:\n%s", text)
	}
	other, err := seal.CreateKeyFile(path + "2")
	if err != nil || other.ID == made.ID {
		t.Errorf("a second key: %v, %v", other, err)
	}
}

func TestNothingButTheKeyFileIsLeft(t *testing.T) {
	directory := t.TempDir()
	for range 3 { // one that is refused cleans up, too
		_, _ = seal.CreateKeyFile(filepath.Join(directory, "kek"))
	}
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != 1 || entries[0].Name() != "kek" {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestCreateKeyFileNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	made, err := seal.CreateKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.CreateKeyFile(path); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if read, err := seal.ReadKeyFile(path); err != nil || read.ID != made.ID {
		t.Errorf("the first key is gone: %v, %v", read, err)
	}
	if _, err := seal.CreateKeyFile(filepath.Join(path, "below", "a", "file")); err == nil {
		t.Error("made a file below a file")
	}
}

func TestReadKeyFileRefusesOthersAccess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	path := filepath.Join(t.TempDir(), "it's a kek")
	if _, err := seal.CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := seal.ReadKeyFile(path)
		if err == nil || !strings.Contains(err.Error(), "type: chmod 600 '"+strings.ReplaceAll(path, "'", `'\''`)+"'") {
			t.Errorf("%v: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.ReadKeyFile(path); err != nil {
			t.Errorf("%v: %v", mode, err)
		}
	}
}

func TestReadKeyFileRefuses(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "kek")
	if _, err := seal.CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, encoded, _ := strings.Cut(strings.TrimSpace(string(good)), "key: ")
	id := string(good[bytes.Index(good, []byte("id: ")):])[4:12]
	swapped := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{5}, 32))

	for _, test := range []struct{ name, text, want string }{
		{"empty", "", "cut off"},
		{"cut off", string(good[:len(good)/2]), "cut off"},
		{"no id", "key: " + encoded, "id: is missing"},
		{"no key", "id: " + id, "key: is missing"},
		{"another key", "id: " + id + "\nkey: " + swapped, "does not belong"},
		{"another id", "id: 00000001\nkey: " + encoded, "does not belong"},
		{"bad id", "id: zz\nkey: " + encoded, "hexadecimal"},
		{"short key", "id: " + id + "\nkey: AAAA", "32 bytes"},
		{"not base64", "id: " + id + "\nkey: !!!!", "32 bytes"},
		{"repeated", string(good) + "id: " + id + "\n", "gives the id again"},
		{"stray line", string(good) + "colour: red\n", "neither"},
		{"a PEM file", "-----BEGIN PRIVATE KEY-----\n", "line 1 is neither"},
		{"huge", strings.Repeat("# comment\n", 1000), "longer than"},
	} {
		bad := filepath.Join(directory, "bad")
		if err := os.WriteFile(bad, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := seal.ReadKeyFile(bad)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
			continue
		}
		if strings.Contains(err.Error(), encoded) || strings.Contains(err.Error(), swapped) {
			t.Errorf("%s: the error shows the key: %v", test.name, err)
		}
	}
	if _, err := seal.ReadKeyFile(filepath.Join(directory, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := seal.ReadKeyFile(directory); err == nil {
		t.Error("read a directory")
	}
	windows := filepath.Join(directory, "crlf")
	if err := os.WriteFile(windows, bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.ReadKeyFile(windows); err != nil {
		t.Errorf("line ends of Windows: %v", err)
	}
}
