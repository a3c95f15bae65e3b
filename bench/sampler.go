package main

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/jose"
)

const (
	// sampleEvery is how many tokens go by for one whose signature is checked.
	sampleEvery = 509
	// maxSamples bounds how many are kept of a round.
	maxSamples = 256
)

// sampler keeps some of the tokens that were answered, to be checked when
// nothing is being measured.
type sampler struct {
	seen   atomic.Int64
	tokens chan string
}

func newSampler() sampler { return sampler{tokens: make(chan string, maxSamples)} }

func (s *sampler) keep(token []byte) {
	if s.seen.Add(1)%sampleEvery != 1 {
		return
	}
	select {
	case s.tokens <- string(token):
	default:
	}
}

// verify checks what was kept and forgets it: a JWT by its signature, an
// opaque token by introspection.
func (s *side) verify() error {
	for {
		select {
		case token := <-s.seen.tokens:
			if err := s.genuine(token); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (s *side) genuine(token string) error {
	if strings.HasPrefix(token, "gha_") {
		return s.active(token)
	}
	parsed, err := jose.Parse(token, jose.Limits{})
	if err != nil {
		return err
	}
	for _, key := range s.keys.Keys {
		if key.ID == parsed.Header.KeyID {
			_, err := parsed.Verify(key)
			return err
		}
	}
	return errors.New("a token is signed by a key that is not published")
}

func (s *side) active(token string) error {
	if s.limit != nil { // nobody else can open it
		return nil
	}
	w, err := dial(s.address)
	if err != nil {
		return err
	}
	defer w.close()
	_ = w.conn.SetDeadline(time.Now().Add(answerPatience))
	a, err := w.do(request("POST", "/introspect", s.address, "token="+token, "Authorization", basic(apiID, apiSecret)))
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(a.body), `{"active":true,`) {
		return fmt.Errorf("a token that was just issued is not active: %d %s", a.status, a.body)
	}
	return nil
}
