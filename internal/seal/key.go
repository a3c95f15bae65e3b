package seal

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"sync"
)

const (
	// KeyBytes is the size of every key's secret.
	KeyBytes = 32

	// MACBytes is the size of what Key.MAC returns.
	MACBytes = sha256.Size
)

// Key is a secret of 256 bits and the id that names it where it was used. A Key prints as its id.
// The zero Key panics when it is used.
type Key struct {
	ID uint32

	// The 32 bytes, as a string behind a pointer: fmt does not ask the methods of unexported fields, and of a Key
	// inside such a field this is the form whose contents it prints with no verb; of a struct behind one it
	// prints them with those that do not fit, such as %s.
	secret *string
	macs   *sync.Pool // of hash.Hash, keyed and empty; fmt does not see what is in it
}

// NewKey makes a Key of 32 random bytes. The id must not be 0, the id of no key.
func NewKey(id uint32, secret []byte) (Key, error) {
	if id == 0 {
		return Key{}, errors.New("seal: a key's id must not be 0")
	}
	if len(secret) != KeyBytes {
		return Key{}, fmt.Errorf("seal: a key has %d bytes, not %d", KeyBytes, len(secret))
	}
	return newKey(id, secret), nil
}

func newKey(id uint32, secret []byte) Key {
	text := string(secret)
	keyed := func() any { return hmac.New(sha256.New, []byte(text)) }
	return Key{ID: id, secret: &text, macs: &sync.Pool{New: keyed}}
}

func (k Key) bytes() []byte { return []byte(*k.secret) }

// IsZero says that there is no key.
func (k Key) IsZero() bool { return k.secret == nil }

// Derive makes the key for one purpose, and within it for one context (a tenant, say), with the same
// id. Different arguments give independent keys; ("a", "bc") and ("ab", "c") are different.
func (k Key) Derive(purpose string, context ...string) Key {
	info := appendPart(nil, []byte("gatehouse seal 1"))
	info = appendPart(info, []byte(purpose))
	for _, c := range context {
		info = appendPart(info, []byte(c))
	}
	derived, err := hkdf.Key(sha256.New, k.bytes(), nil, string(info), KeyBytes)
	if err != nil {
		panic("seal: HKDF refused 32 bytes: " + err.Error()) // RFC 5869 §2.3 allows 8160
	}
	return newKey(k.ID, derived)
}

// MAC authenticates the sequence of parts: 32 bytes, different for different sequences even when
// their concatenations agree. Compare with a function that takes constant time.
func (k Key) MAC(parts ...[]byte) []byte {
	mac := k.macs.Get().(hash.Hash)
	var length [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write(part)
	}
	sum := mac.Sum(nil)
	mac.Reset()
	k.macs.Put(mac)
	return sum
}

func appendPart(to, part []byte) []byte {
	to = binary.BigEndian.AppendUint64(to, uint64(len(part)))
	return append(to, part...)
}

func (k Key) String() string { return fmt.Sprintf("key %08x", k.ID) }

func (k Key) GoString() string { return k.String() }

// Format prints the key's id for every verb and flag.
func (k Key) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, k.String()) }

func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
