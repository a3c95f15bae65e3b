package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"gatehouse/internal/seal"
	"gatehouse/jose"
)

// limitOrder tells the process of a bare limit what it is to be.
type limitOrder struct {
	Row string
	// Secret is the client's, for Basic authentication.
	Secret string
	// Answers are what the server answered to one visit, request by request:
	// the limit answers with the same bytes and headers.
	Answers []sample
	// Keys is the server's key set: what the limit verifies is what the server
	// signed.
	Keys json.RawMessage
	// Directory is where a limit that writes has its file; Postgres is the
	// database instead.
	Directory, Postgres string
	// Password is of the user who signs in.
	Password string
	// Upstream is the address behind a proxy, and Issuer the server, for rows of proxies;
	// Ours asks for the row's proxy in place of its limit.
	Upstream, Issuer string
	Ours             bool
}

// sample is an answer of the server.
type sample struct {
	Status int
	Header [][2]string
	Body   string
}

// limitHello is what the process of a bare limit says of itself.
type limitHello struct {
	Address string
	Keys    json.RawMessage
	// Tokens are of the limit's own making, for requests that present one.
	Tokens []string
}

// bareLimit makes the handler of one row's limit: it parses the same form,
// checks the same credential, signs as the server does and writes the same
// bytes, and nothing else.
type bareLimit struct {
	order  limitOrder
	secret [sha256.Size]byte
	es256  *jose.PrivateKey
	eddsa  *jose.PrivateKey
	ring   *seal.Ring
	tokens []string
}

// serveLimit is the program of a bare limit: it reads its order and answers
// until it is stopped.
func serveLimit(in io.Reader, out io.Writer) error {
	l := &bareLimit{}
	if err := json.NewDecoder(in).Decode(&l.order); err != nil {
		return err
	}
	l.secret = sha256.Sum256([]byte(l.order.Secret))
	var err error
	if l.es256, err = jose.GenerateKey(jose.ES256, "es256-limit"); err != nil {
		return err
	}
	if l.eddsa, err = jose.GenerateKey(jose.EdDSA, "eddsa-limit"); err != nil {
		return err
	}
	secret := make([]byte, seal.KeyBytes)
	_, _ = rand.Read(secret)
	key, err := seal.NewKey(1, secret)
	if err != nil {
		return err
	}
	l.ring = seal.NewRing(key)
	row, found := rowOf(l.order.Row)
	if !found {
		return fmt.Errorf("no row %q", l.order.Row)
	}
	made := row.limit
	if l.order.Ours {
		made = row.proxy
	}
	handler, err := made(l)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	keys, err := json.Marshal(jose.KeySet{Keys: []jose.PublicKey{l.es256.Public(), l.eddsa.Public()}})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(limitHello{listener.Addr().String(), keys, l.tokens}); err != nil {
		return err
	}
	return http.Serve(listener, handler)
}

// runLimit is main for a bare limit.
func runLimit() int {
	if err := serveLimit(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bare limit:", err)
		return 1
	}
	return 0
}

// writer returns a function that writes the sample's headers, in front of a
// body of the given length.
func (s sample) writer() func(w http.ResponseWriter, body []byte) {
	values := map[string][]string{}
	for _, header := range s.Header {
		if header[0] != "Content-Length" && header[0] != "Date" {
			values[header[0]] = append(values[header[0]], header[1])
		}
	}
	return func(w http.ResponseWriter, body []byte) {
		header := w.Header()
		for name, value := range values {
			header[name] = value
		}
		header["Content-Length"] = []string{strconv.Itoa(len(body))}
		w.WriteHeader(s.Status)
		_, _ = w.Write(body)
	}
}

func (l *bareLimit) refuse(w http.ResponseWriter, why string) {
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, why)
}

// authentic parses the form and compares the client's secret.
func (l *bareLimit) authentic(r *http.Request) bool {
	if r.ParseForm() != nil {
		return false
	}
	_, secret, ok := r.BasicAuth()
	sum := sha256.Sum256([]byte(secret))
	return ok && subtle.ConstantTimeCompare(sum[:], l.secret[:]) == 1
}

// template is a text in which one value is replaced each time.
type template struct{ before, after []byte }

// newTemplate divides text at the value, which must be in it.
func newTemplate(text, value string) (template, error) {
	before, after, found := strings.Cut(text, value)
	if !found || value == "" {
		return template{}, errors.New("the answer lacks what is to be replaced in it")
	}
	return template{[]byte(before), []byte(after)}, nil
}

func (t template) fill(value []byte) []byte {
	filled := make([]byte, 0, len(t.before)+len(value)+len(t.after))
	return append(append(append(filled, t.before...), value...), t.after...)
}

// tokenAnswer are the members of a token response.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
}

// claimsOf makes the template of a JWT's claims, to be filled with a new jti
// (or, in an ID token, a new at_hash).
func claimsOf(jwt string) (template, error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return template{}, errors.New("the sample is no JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return template{}, err
	}
	var claims struct {
		ID   string `json:"jti"`
		Hash string `json:"at_hash"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return template{}, err
	}
	return newTemplate(string(payload), claims.ID+claims.Hash)
}

// jtiBytes make a jti of the server's length, 26 characters.
const jtiBytes = 13

func newJTI() []byte {
	var random [jtiBytes]byte
	_, _ = rand.Read(random[:])
	return hex.AppendEncode(nil, random[:])
}

// signedToken answers a token request with one JWT that the key signs.
func (l *bareLimit) signedToken(key *jose.PrivateKey) (http.Handler, error) {
	var answered tokenAnswer
	if err := json.Unmarshal([]byte(l.order.Answers[0].Body), &answered); err != nil {
		return nil, err
	}
	claims, err := claimsOf(answered.AccessToken)
	if err != nil {
		return nil, err
	}
	body, err := newTemplate(l.order.Answers[0].Body, answered.AccessToken)
	if err != nil {
		return nil, err
	}
	write := l.order.Answers[0].writer()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !l.authentic(r) {
			l.refuse(w, "credentials")
			return
		}
		token, err := key.AppendSign(nil, "at+jwt", claims.fill(newJTI()))
		if err != nil {
			l.refuse(w, err.Error())
			return
		}
		write(w, body.fill(token))
	}), nil
}

// opaqueClaims stand for the sealed claims of the server's opaque token,
// octet for octet as long.
func opaqueClaims(token string) template {
	sealed := base64.RawURLEncoding.DecodedLen(len(strings.TrimPrefix(token, "gha_"))) - seal.Overhead
	return template{[]byte(`{"jti":"`), append(bytes.Repeat([]byte{'x'}, max(sealed-len(`{"jti":""}`)-2*jtiBytes, 0)), `"}`...)}
}

func (l *bareLimit) opaque(claims template) []byte {
	sealed := l.ring.Seal(claims.fill(newJTI()), nil)
	return base64.RawURLEncoding.AppendEncode([]byte("gha_"), sealed)
}

// sealedToken answers a token request with one sealed token.
func (l *bareLimit) sealedToken() (http.Handler, error) {
	var answered tokenAnswer
	if err := json.Unmarshal([]byte(l.order.Answers[0].Body), &answered); err != nil {
		return nil, err
	}
	claims := opaqueClaims(answered.AccessToken)
	body, err := newTemplate(l.order.Answers[0].Body, answered.AccessToken)
	if err != nil {
		return nil, err
	}
	write := l.order.Answers[0].writer()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !l.authentic(r) {
			l.refuse(w, "credentials")
			return
		}
		write(w, body.fill(l.opaque(claims)))
	}), nil
}

// static answers every request with the sample's bytes.
func (l *bareLimit) static() (http.Handler, error) {
	write, body := l.order.Answers[0].writer(), []byte(l.order.Answers[0].Body)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { write(w, body) }), nil
}

// es256Check verifies JWTs that the server signed, knowing their key and
// reading nothing of them.
type es256Check struct{ key *ecdsa.PublicKey }

func newES256Check(keys json.RawMessage) (es256Check, error) {
	var set struct {
		Keys []struct{ Alg, X, Y string }
	}
	if err := json.Unmarshal(keys, &set); err != nil {
		return es256Check{}, err
	}
	for _, key := range set.Keys {
		if key.Alg != "ES256" {
			continue
		}
		point := []byte{4}
		for _, coordinate := range []string{key.X, key.Y} {
			part, err := base64.RawURLEncoding.DecodeString(coordinate)
			if err != nil {
				return es256Check{}, err
			}
			point = append(point, part...)
		}
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		return es256Check{public}, err
	}
	return es256Check{}, errors.New("the server has no key for ES256")
}

func (c es256Check) right(token string) bool {
	end := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
	if end < 0 || err != nil || len(signature) != 64 {
		return false
	}
	digest := sha256.Sum256([]byte(token[:end]))
	return ecdsa.Verify(c.key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}

// introspection answers when the client and the token are right.
func (l *bareLimit) introspection(right func(token string) bool) (http.Handler, error) {
	write, body := l.order.Answers[0].writer(), []byte(l.order.Answers[0].Body)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !l.authentic(r) || !right(r.PostForm.Get("token")) {
			l.refuse(w, "credentials or token")
			return
		}
		write(w, body)
	}), nil
}

func (l *bareLimit) introspectJWT() (http.Handler, error) {
	check, err := newES256Check(l.order.Keys)
	if err != nil {
		return nil, err
	}
	return l.introspection(check.right)
}

// opaqueLength is how long the claims of a sealed token of the limit are,
// in octets: about the server's.
const opaqueLength = 230

func (l *bareLimit) introspectOpaque() (http.Handler, error) {
	claims := template{bytes.Repeat([]byte{'x'}, opaqueLength-2*jtiBytes), nil}
	for range presentedTokens {
		l.tokens = append(l.tokens, string(l.opaque(claims)))
	}
	return l.introspection(func(token string) bool {
		sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "gha_"))
		if err != nil {
			return false
		}
		_, opened := l.ring.Open(sealed, nil)
		return opened
	})
}

func (l *bareLimit) userinfo() (http.Handler, error) {
	check, err := newES256Check(l.order.Keys)
	if err != nil {
		return nil, err
	}
	write, body := l.order.Answers[0].writer(), []byte(l.order.Answers[0].Body)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !check.right(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
			l.refuse(w, "token")
			return
		}
		write(w, body)
	}), nil
}
