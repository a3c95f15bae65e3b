package seal

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	sealedVersion = 1
	headerBytes   = 1 + 4 // version, key id
	nonceBytes    = chacha20poly1305.NonceSizeX

	// Overhead is how much longer than its plaintext a sealed message is.
	Overhead = headerBytes + nonceBytes + chacha20poly1305.Overhead
)

// Ring is the key that seals now and those that only open. It is immutable and safe for concurrent
// use.
type Ring struct {
	current Key
	entries map[uint32]entry
}

type entry struct {
	key  Key
	aead cipher.AEAD // of a derived key, so that Key.MAC and Ring.Seal never share one
}

func aeadOf(encryption Key) cipher.AEAD {
	aead, err := chacha20poly1305.NewX(encryption.bytes())
	if err != nil {
		panic("seal: XChaCha20-Poly1305 refused a key of 32 bytes: " + err.Error())
	}
	return aead
}

// NewRing makes a Ring. Ids name keys: of two keys with one id the first counts, current before old.
func NewRing(current Key, old ...Key) *Ring {
	r := &Ring{current: current, entries: make(map[uint32]entry, 1+len(old))}
	r.add(current)
	for _, k := range old {
		r.add(k)
	}
	return r
}

func (r *Ring) add(k Key) {
	if _, present := r.entries[k.ID]; present {
		return
	}
	r.entries[k.ID] = entry{key: k, aead: aeadOf(k.Derive("XChaCha20-Poly1305"))}
}

// Derive makes the Ring of the keys that Key.Derive makes of these.
func (r *Ring) Derive(purpose string, context ...string) *Ring {
	old := make([]Key, 0, len(r.entries))
	for id, e := range r.entries {
		if id != r.current.ID {
			old = append(old, e.key.Derive(purpose, context...))
		}
	}
	return NewRing(r.current.Derive(purpose, context...), old...)
}

// Current is the key that seals.
func (r *Ring) Current() Key { return r.current }

// Key finds the key of this id, current or old.
func (r *Ring) Key(id uint32) (Key, bool) {
	e, found := r.entries[id]
	return e.key, found
}

// Seal encrypts plaintext with the current key and authenticates it together with additional, which
// is not contained in the result: version (1 byte), key id (4), nonce (24), ciphertext and tag.
func (r *Ring) Seal(plaintext, additional []byte) []byte {
	sealed := make([]byte, headerBytes+nonceBytes, Overhead+len(plaintext))
	sealed[0] = sealedVersion
	binary.BigEndian.PutUint32(sealed[1:], r.current.ID)
	nonce := sealed[headerBytes:]
	_, _ = rand.Read(nonce) // never fails: it ends the process instead
	return r.entries[r.current.ID].aead.Seal(sealed, nonce, plaintext, bind(sealed[:headerBytes], additional))
}

// Open returns the plaintext of what Seal made with the same additional, with any key of the ring.
// Whatever else it is given, it says false.
func (r *Ring) Open(sealed, additional []byte) ([]byte, bool) {
	if len(sealed) < Overhead || sealed[0] != sealedVersion {
		return nil, false
	}
	e, found := r.entries[binary.BigEndian.Uint32(sealed[1:])]
	if !found {
		return nil, false
	}
	nonce, ciphertext := sealed[headerBytes:headerBytes+nonceBytes], sealed[headerBytes+nonceBytes:]
	plaintext, err := e.aead.Open(nil, nonce, ciphertext, bind(sealed[:headerBytes], additional))
	return plaintext, err == nil
}

// bind puts the header, whose length is fixed, before the caller's data: the version and the key id
// are authenticated too.
func bind(header, additional []byte) []byte {
	bound := make([]byte, 0, len(header)+len(additional))
	return append(append(bound, header...), additional...)
}

// VerifyMAC says, in constant time for each key, whether the tag is Key.MAC of the parts under any
// key of the ring.
func (r *Ring) VerifyMAC(tag []byte, parts ...[]byte) bool {
	verified := false
	for _, e := range r.entries {
		if hmac.Equal(tag, e.key.MAC(parts...)) {
			verified = true
		}
	}
	return verified
}
