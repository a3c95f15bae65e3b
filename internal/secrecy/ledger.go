package secrecy

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Kind is what a secret is for.
type Kind string

// The kinds that are told apart.
const (
	Password     Kind = "password"
	ClientSecret Kind = "client secret"
	Verifier     Kind = "code verifier"
	Code         Kind = "code"
	AccessToken  Kind = "access token"
	RefreshToken Kind = "refresh token"
	IDToken      Kind = "ID token"
	Cookie       Kind = "cookie"
	FormToken    Kind = "form token"
	Interaction  Kind = "interaction"
	Key          Kind = "key"
)

// minLength is how long a secret must be to be told from other text, in bytes.
// Of a shorter one no note is taken.
const minLength = 8

// sieveBits is the size of the table that keeps most of a text from being looked
// up at all.
const sieveBits = 18

// Ledger notes secrets and what was found of them. The zero Ledger is ready to
// use, by many goroutines at once.
type Ledger struct {
	mu     sync.Mutex
	known  map[string]Kind
	public map[string]bool
	// forms are the encodings of all secrets by their first eight bytes.
	forms map[uint64][]form
	sieve []uint64
	found []string
	once  map[string]bool // what is in found
}

// form is one encoding of a secret.
type form struct {
	text   string
	secret string
	kind   Kind
	name   string
}

// Add notes a secret. The first note of it counts.
func (l *Ledger) Add(kind Kind, secret string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(kind, secret)
}

func (l *Ledger) add(kind Kind, secret string) {
	if len(secret) < minLength || l.known[secret] != "" || l.public[secret] {
		return
	}
	if l.known == nil {
		l.known, l.forms, l.once = map[string]Kind{}, map[uint64][]form{}, map[string]bool{}
		l.sieve = make([]uint64, 1<<sieveBits/64)
	}
	l.known[secret] = kind
	for name, text := range encodings(secret) {
		if len(text) < minLength {
			continue
		}
		start := binary.LittleEndian.Uint64([]byte(text))
		l.forms[start] = append(l.forms[start], form{text, secret, kind, name})
		l.sieve[hash(start)/64] |= 1 << (hash(start) % 64)
	}
}

func hash(start uint64) uint64 { return start * 0x9e3779b97f4a7c15 >> (64 - sieveBits) }

// Public says of a text that it is no secret, although it stands where secrets
// do.
func (l *Ledger) Public(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.public == nil {
		l.public = map[string]bool{}
	}
	l.public[text] = true
}

// Count is how many secrets were noted.
func (l *Ledger) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.known)
}

// Search looks for the secrets in a text, but for those of some kinds, and notes
// what it finds under the place.
func (l *Ledger) Search(place string, text []byte, but ...Kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.search(place, text, but...)
}

func (l *Ledger) search(place string, text []byte, but ...Kind) {
	if len(l.known) == 0 {
		return
	}
	for i := next(l.sieve, text, 0); i >= 0; i = next(l.sieve, text, i+1) {
		start := binary.LittleEndian.Uint64(text[i:])
		for _, f := range l.forms[start] {
			if len(text)-i < len(f.text) || string(text[i:i+len(f.text)]) != f.text || slices.Contains(but, f.kind) || l.public[f.secret] {
				continue
			}
			finding := fmt.Sprintf("%s has a %s, %s: %s…", place, f.kind, f.name, f.secret[:minLength/2])
			if !l.once[finding] {
				l.once[finding] = true
				l.found = append(l.found, finding)
			}
		}
	}
}

// next is where, from a place on, the first text stands that the sieve does not hold
// back; -1 is nowhere. The race detector does not watch it: the ledger's lock is held, and
// watched was each octet of what a server wrote, which took longer than the test.
//
//go:norace
func next(sieve []uint64, text []byte, from int) int {
	for i := from; i+minLength <= len(text); i++ {
		if at := hash(binary.LittleEndian.Uint64(text[i:])); sieve[at/64]>>(at%64)&1 != 0 {
			return i
		}
	}
	return -1
}

// Found returns a sentence for each finding, in their order.
func (l *Ledger) Found() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.found)
}

// reporter is what tests tell of their failures.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// maxReported is how many findings are told one by one.
const maxReported = 20

// Report fails the test if anything was found.
func (l *Ledger) Report(t reporter) {
	t.Helper()
	found := l.Found()
	if len(found) == 0 {
		return
	}
	more := ""
	if len(found) > maxReported {
		more = fmt.Sprintf("\nand %d more", len(found)-maxReported)
		found = found[:maxReported]
	}
	t.Errorf("secrets were found where they may not be:\n%s%s", strings.Join(found, "\n"), more)
}
