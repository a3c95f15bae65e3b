package endpoint

import (
	"crypto/rand"
	"log/slog"
	"net/http"
)

// usualNotes is how many notes of a request need no memory of their own.
const usualNotes = 2

// exchange is what the mux needs for one request, in one piece of memory.
type exchange struct {
	request Request
	kept    statusKeeper
	notes   [usualNotes]slog.Attr
}

func begin(r *http.Request) *exchange {
	e := &exchange{}
	e.request.Request, e.request.ID, e.request.notes = r, newRequestID(), e.notes[:0]
	return e
}

// requestIDAlphabet is that of base32 (RFC 4648 §6), as in crypto/rand.Text.
const requestIDAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// newRequestID returns 80 random bits in 16 characters.
func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the process instead
	for i, b := range id {
		id[i] = requestIDAlphabet[int(b)%len(requestIDAlphabet)]
	}
	return string(id[:])
}

// setHeaders sets headers, given as names in canonical form and values in turn,
// in one piece of memory, where Header.Set takes one for each.
func setHeaders(header http.Header, pairs ...string) {
	values := make([]string, len(pairs)/2)
	for i := range values {
		values[i] = pairs[2*i+1]
		header[pairs[2*i]] = values[i : i+1 : i+1]
	}
}
