package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

const (
	keyFileMode     = 0o600
	maxKeyFileBytes = 4096

	// unnamedPrefix begins the name of a key file that is being written. One that was left behind
	// by a process that was killed can be removed.
	unnamedPrefix = ".gatehouse-key-"

	keyFileComment = "# Gatehouse key-encryption key. Whoever holds it and the database can sign tokens;\n" +
		"# whoever loses it must make new keys. Keep a copy, apart from the database's.\n"
)

// CreateKeyFile makes a new key-encryption key and writes it to path, readable by its owner only and
// on the disk when it returns. It never overwrites: an existing file is an error that is
// fs.ErrExist. The file gets its name when it is whole, so that a process that is killed meanwhile
// leaves no part of one under that name. The key's id is derived from the key.
func CreateKeyFile(path string) (Key, error) {
	secret := make([]byte, KeyBytes)
	_, _ = rand.Read(secret) // never fails: it ends the process instead
	key, err := keyFileKey(secret)
	if err != nil {
		return Key{}, err
	}
	text := fmt.Sprintf("%sid: %08x\nkey: %s\n", keyFileComment, key.ID, base64.StdEncoding.EncodeToString(secret))
	unnamed := filepath.Join(filepath.Dir(path), unnamedPrefix+rand.Text())
	if err := writeNew(unnamed, text); err != nil {
		return Key{}, fmt.Errorf("cannot create the key file: %w", err)
	}
	err = os.Link(unnamed, path) // unlike a rename it overwrites nothing
	_ = os.Remove(unnamed)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = writeNew(path, text) // the file system has no links
	}
	if errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("key file %s is there already and is never overwritten: %w", path, fs.ErrExist)
	}
	if err == nil {
		if err = syncDirectory(filepath.Dir(path)); err != nil {
			_ = os.Remove(path) // nobody has used the key yet
		}
	}
	if err != nil {
		return Key{}, fmt.Errorf("cannot write the key file: %w", err)
	}
	return key, nil
}

// writeNew writes a file that is not there yet, to the disk, or leaves none.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyFileMode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err == nil {
		err = file.Sync()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// ReadKeyFile reads what CreateKeyFile wrote. On Unix it refuses a file that anyone but its owner
// may read or write. An absent file is an error that is fs.ErrNotExist.
func ReadKeyFile(path string) (Key, error) {
	file, err := os.Open(path)
	if err != nil {
		return Key{}, fmt.Errorf("cannot open the key file: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return Key{}, fmt.Errorf("cannot read the key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Key{}, fmt.Errorf("key file %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return Key{}, fmt.Errorf("key file %s has mode %04o, so that others than its owner can use it; type: chmod 600 %s", path, mode, shellQuote(path))
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFileBytes+1))
	if err != nil {
		return Key{}, fmt.Errorf("cannot read the key file: %w", err)
	}
	key, err := parseKeyFile(text)
	if err != nil {
		return Key{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

func parseKeyFile(text []byte) (Key, error) {
	if len(text) > maxKeyFileBytes {
		return Key{}, fmt.Errorf("longer than %d bytes, so it is not a key file", maxKeyFileBytes)
	}
	fields := map[string]string{}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		content := strings.TrimSpace(string(line))
		if content == "" || strings.HasPrefix(content, "#") {
			continue
		}
		name, value, found := strings.Cut(content, ":")
		if !found || name != "id" && name != "key" {
			return Key{}, fmt.Errorf("line %d is neither a comment nor an id or key", number)
		}
		if _, repeated := fields[name]; repeated {
			return Key{}, fmt.Errorf("line %d gives the %s again", number, name)
		}
		fields[name] = strings.TrimSpace(value)
	}
	for _, name := range []string{"id", "key"} {
		if fields[name] == "" {
			return Key{}, fmt.Errorf("the line %s: is missing; the file was cut off or is not a key file", name)
		}
	}
	id, err := strconv.ParseUint(fields["id"], 16, 32)
	if err != nil {
		return Key{}, errors.New("id: must be 8 hexadecimal digits")
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(fields["key"])
	if err != nil || len(secret) != KeyBytes {
		return Key{}, fmt.Errorf("key: must be %d bytes in base64", KeyBytes)
	}
	key, err := keyFileKey(secret)
	if err != nil {
		return Key{}, err
	}
	if key.ID != uint32(id) {
		return Key{}, fmt.Errorf("id %08x does not belong to the key, whose id is %08x; the file was altered, restore it from a copy", id, key.ID)
	}
	return key, nil
}

// keyFileKey gives the secret an id that depends on it, so that a mangled file is noticed before
// anything is sealed with it.
func keyFileKey(secret []byte) (Key, error) {
	key, err := NewKey(1, secret)
	if err != nil {
		return Key{}, err
	}
	id := binary.BigEndian.Uint32(key.Derive("key file id").bytes())
	return NewKey(max(id, 1), secret)
}

func syncDirectory(path string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be flushed there
	}
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	err = directory.Sync()
	if closing := directory.Close(); err == nil {
		err = closing
	}
	return err
}

func shellQuote(path string) string {
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
