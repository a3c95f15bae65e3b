package endpoint

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
)

// usualNotes is how many notes of a request need no memory of their own.
const usualNotes = 2

// exchange is what the mux needs for one request, in one piece of memory.
type exchange struct {
	request Request
	kept    statusKeeper
	notes   [usualNotes]slog.Attr
	id      [1]string // as the value of a header
}

func begin(r *http.Request) *exchange {
	e := &exchange{}
	e.id[0] = newRequestID()
	e.request.Request, e.request.ID, e.request.notes = r, e.id[0], e.notes[:0]
	return e
}

// requestIDAlphabet is that of base32 (RFC 4648 §6), as in crypto/rand.Text.
const requestIDAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// newRequestID returns 16 characters of 5 random bits each. It names a request in
// logs and is no secret.
func newRequestID() string {
	var id [16]byte
	bits := rand.Uint64()
	for i := range id {
		if i == len(id)/2 {
			bits = rand.Uint64()
		}
		id[i] = requestIDAlphabet[bits%uint64(len(requestIDAlphabet))]
		bits /= uint64(len(requestIDAlphabet))
	}
	return string(id[:])
}

// constants are the values of headers that are the same in every answer. Nobody
// changes them: a header that gets another value beside one gets memory of its own.
type constants struct{ noSniff, hsts, anyOrigin, exposed []string }

func newConstants() constants {
	return constants{[]string{"nosniff"}, []string{hstsValue}, []string{"*"}, []string{corsExposeHeaders}}
}
