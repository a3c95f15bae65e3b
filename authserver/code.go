package authserver

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"gatehouse"
	"gatehouse/internal/seal"
)

// Codes and refresh tokens are not rows: they name a state of their grant.
//
//	code    = "ghc_" b64(version, key id, grant id, secret, tag)
//	refresh = "ghr_" b64(version, key id, grant id, generation n, sₙ, tag)
//
// The tag proves that we issued them, the hash in the grant's row that they
// are current.
const (
	codePrefix    = "ghc_"
	refreshPrefix = "ghr_"
	nameVersion   = 1
	secretLength  = sha256.Size
	tagLength     = 16
	idLength      = 16

	codeBody    = 1 + 4 + idLength + secretLength
	refreshBody = 1 + 4 + idLength + 8 + secretLength
)

// grantKeys are a tenant's keys for the names of grants.
type grantKeys struct {
	ring   *seal.Ring
	tenant gatehouse.TenantID
}

func (s *Server) grantKeys(tenant gatehouse.TenantID) grantKeys {
	return grantKeys{s.Keys.MACRing(tenant, "grant"), tenant}
}

// handle returns the gid claim of a grant's tokens. Grants of the same second
// have handles that begin alike, so that new ones lie close together in the
// database's index; which second it was, the handle does not tell.
func (k grantKeys) handle(id gatehouse.GrantID) string {
	var second [8]byte
	binary.BigEndian.PutUint64(second[:], uint64(id.BornAt().Unix()))
	key := k.ring.Current()
	near := key.MAC([]byte("handle second"), []byte(k.tenant), second[:])
	own := key.MAC([]byte("handle"), []byte(k.tenant), id[:])
	return base64.RawURLEncoding.EncodeToString(append(near[:nearLength:nearLength], own[:idLength-nearLength]...))
}

// nearLength is how many of a handle's bytes stand for the second, of idLength.
const nearLength = 4

// tag authenticates everything that stands before it in a name.
func tag(key seal.Key, kind string, tenant gatehouse.TenantID, body []byte) []byte {
	return key.MAC([]byte(kind), []byte(tenant), body)[:tagLength]
}

// codeSecret derives the secret of the one code of an interaction, so that a
// form sent twice is answered with the same redirect. It needs the key and
// the interaction's id, which no row keeps.
func (k grantKeys) codeSecret(keyID uint32, id gatehouse.GrantID, interaction [16]byte) ([]byte, bool) {
	key, found := k.ring.Key(keyID)
	if !found {
		return nil, false
	}
	return key.MAC([]byte("code secret"), []byte(k.tenant), id[:], interaction[:]), true
}

// code writes the code that names a grant's birth.
func (k grantKeys) code(keyID uint32, id gatehouse.GrantID, secret []byte) (string, bool) {
	key, found := k.ring.Key(keyID)
	if !found {
		return "", false
	}
	body := append(nameHead(codeBody, keyID, id), secret...)
	body = append(body, tag(key, "code", k.tenant, body)...)
	return codePrefix + base64.RawURLEncoding.EncodeToString(body), true
}

// parsedCode is a code whose tag is right.
type parsedCode struct {
	grant gatehouse.GrantID
	hash  []byte // SHA-256 of its secret
}

// parseCode reads a code; found is false for everything that we did not
// issue in this tenant.
func (k grantKeys) parseCode(text string) (parsedCode, bool) {
	body, _, genuine := k.open(text, codePrefix, "code", codeBody)
	if !genuine {
		return parsedCode{}, false
	}
	hash := sha256.Sum256(body[5+idLength:])
	return parsedCode{gatehouse.GrantID(body[5 : 5+idLength]), hash[:]}, true
}

// refreshToken is one link of a grant's chain.
type refreshToken struct {
	keyID      uint32
	grant      gatehouse.GrantID
	generation uint64
	secret     []byte
}

func (t refreshToken) hash() []byte {
	hash := sha256.Sum256(t.secret)
	return hash[:]
}

// firstRefresh makes the first link: a random secret.
func (k grantKeys) firstRefresh(id gatehouse.GrantID) (refreshToken, gatehouse.RefreshState) {
	first := refreshToken{keyID: k.ring.Current().ID, grant: id, secret: make([]byte, secretLength)}
	_, _ = rand.Read(first.secret)
	return first, gatehouse.RefreshState{KeyID: first.keyID, Hash: first.hash()}
}

// saltLength is that of the fresh salt of each rotation, in bytes.
const saltLength = 16

// nextRefresh makes the successor of a link under the current key and a
// fresh salt.
func (k grantKeys) nextRefresh(from refreshToken) (refreshToken, gatehouse.RefreshState) {
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt)
	state := gatehouse.RefreshState{Generation: from.generation + 1, KeyID: k.ring.Current().ID, Salt: salt}
	next, _ := k.successor(from, state)
	state.Hash = next.hash()
	return next, state
}

// successor derives the link that follows from by a state's key and salt:
// sₙ₊₁ = HMAC(K, "next", tenant, grant, n+1, sₙ, salt). It says whether that
// is the state's own current link.
func (k grantKeys) successor(from refreshToken, state gatehouse.RefreshState) (refreshToken, bool) {
	key, found := k.ring.Key(state.KeyID)
	if !found || state.Generation != from.generation+1 {
		return refreshToken{}, false
	}
	var generation [8]byte
	binary.BigEndian.PutUint64(generation[:], state.Generation)
	next := refreshToken{keyID: state.KeyID, grant: from.grant, generation: state.Generation}
	next.secret = key.MAC([]byte("next"), []byte(k.tenant), from.grant[:], generation[:], from.secret, state.Salt)
	return next, subtle.ConstantTimeCompare(next.hash(), state.Hash) == 1
}

// writeRefresh writes a link as a refresh token.
func (k grantKeys) writeRefresh(t refreshToken) (string, bool) {
	key, found := k.ring.Key(t.keyID)
	if !found {
		return "", false
	}
	body := binary.BigEndian.AppendUint64(nameHead(refreshBody, t.keyID, t.grant), t.generation)
	body = append(body, t.secret...)
	body = append(body, tag(key, "refresh", k.tenant, body)...)
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(body), true
}

// parseRefresh reads a refresh token; found is false for everything that we
// did not issue in this tenant.
func (k grantKeys) parseRefresh(text string) (refreshToken, bool) {
	body, keyID, genuine := k.open(text, refreshPrefix, "refresh", refreshBody)
	if !genuine {
		return refreshToken{}, false
	}
	rest := body[5+idLength:]
	return refreshToken{
		keyID: keyID, grant: gatehouse.GrantID(body[5 : 5+idLength]),
		generation: binary.BigEndian.Uint64(rest), secret: rest[8:],
	}, true
}

func nameHead(length int, keyID uint32, id gatehouse.GrantID) []byte {
	body := make([]byte, 0, length+tagLength)
	body = append(body, nameVersion)
	body = binary.BigEndian.AppendUint32(body, keyID)
	return append(body, id[:]...)
}

func (k grantKeys) open(text, prefix, kind string, length int) (body []byte, keyID uint32, genuine bool) {
	encoded, found := strings.CutPrefix(text, prefix)
	if !found || len(encoded) != base64.RawURLEncoding.EncodedLen(length+tagLength) {
		return nil, 0, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) != length+tagLength || raw[0] != nameVersion { // encoding/base64 skips line breaks
		return nil, 0, false
	}
	keyID = binary.BigEndian.Uint32(raw[1:])
	key, found := k.ring.Key(keyID)
	if !found {
		return nil, 0, false
	}
	body = raw[:length]
	return body, keyID, subtle.ConstantTimeCompare(raw[length:], tag(key, kind, k.tenant, body)) == 1
}
