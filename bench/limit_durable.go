package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"gatehouse/internal/secret"
)

// The limits of the rows that wait for something else than the processor.

// flowAnswer is a token response in which tokens are replaced.
type flowAnswer struct {
	access, id       template // the claims
	toAccess, onward []byte   // the body to the access token, and from it to the next token
	end              []byte
}

// newFlowAnswer divides a token response at the access token and at a second
// one behind it.
func newFlowAnswer(body, access, second string) (flowAnswer, error) {
	claims, err := claimsOf(access)
	if err != nil {
		return flowAnswer{}, err
	}
	first, err := newTemplate(body, access)
	if err != nil {
		return flowAnswer{}, err
	}
	rest, err := newTemplate(string(first.after), second)
	return flowAnswer{access: claims, toAccess: first.before, onward: rest.before, end: rest.after}, err
}

func (f flowAnswer) fill(access, second []byte) []byte {
	body := make([]byte, 0, len(f.toAccess)+len(access)+len(f.onward)+len(second)+len(f.end))
	return append(append(append(append(append(body, f.toAccess...), access...), f.onward...), second...), f.end...)
}

// refreshBytes are what the limit's refresh token carries in front of its
// MAC: about what the server's does.
const refreshBytes = 64

// macKey is the limit's. It protects nothing.
var macKey = []byte("the bare limit's key, of 32 bytes")

func mac(text []byte) []byte {
	h := hmac.New(sha256.New, macKey)
	h.Write(text)
	return h.Sum(nil)
}

// refresh checks one MAC, joins a group commit of a one-row UPDATE and signs
// once.
func (l *bareLimit) refresh() (http.Handler, error) {
	var answered tokenAnswer
	if err := json.Unmarshal([]byte(l.order.Answers[0].Body), &answered); err != nil {
		return nil, err
	}
	flow, err := newFlowAnswer(l.order.Answers[0].Body, answered.AccessToken, answered.RefreshToken)
	if err != nil {
		return nil, err
	}
	rows, err := l.openDurable()
	if err != nil {
		return nil, err
	}
	for id := range durableRows {
		text := append([]byte{byte(id)}, bytes.Repeat([]byte{'x'}, refreshBytes-1)...)
		l.tokens = append(l.tokens, base64.RawURLEncoding.EncodeToString(append(text, mac(text)...)))
	}
	write := l.order.Answers[0].writer()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !l.authentic(r) {
			l.refuse(w, "credentials")
			return
		}
		presented := r.PostForm.Get("refresh_token")
		token, err := base64.RawURLEncoding.DecodeString(presented)
		if err != nil || len(token) != refreshBytes+sha256.Size || !hmac.Equal(token[refreshBytes:], mac(token[:refreshBytes])) {
			l.refuse(w, "refresh token")
			return
		}
		access, err := l.es256.AppendSign(nil, "at+jwt", flow.access.fill(newJTI()))
		if err == nil {
			err = rows.update(r.Context(), int(token[0])+1, token[refreshBytes:])
		}
		if err != nil {
			l.refuse(w, err.Error())
			return
		}
		write(w, flow.fill(access, []byte(presented)))
	}), nil
}

// codeFlow makes two durable one-row writes, one in each request, and signs
// twice.
func (l *bareLimit) codeFlow() (http.Handler, error) {
	if len(l.order.Answers) != 2 {
		return nil, fmt.Errorf("a flow has 2 answers, not %d", len(l.order.Answers))
	}
	var answered tokenAnswer
	if err := json.Unmarshal([]byte(l.order.Answers[1].Body), &answered); err != nil {
		return nil, err
	}
	flow, err := newFlowAnswer(l.order.Answers[1].Body, answered.AccessToken, answered.IDToken)
	if err != nil {
		return nil, err
	}
	if flow.id, err = claimsOf(answered.IDToken); err != nil {
		return nil, err
	}
	rows, err := l.openDurable()
	if err != nil {
		return nil, err
	}
	redirect, write := l.order.Answers[0].writer(), l.order.Answers[1].writer()
	row := bytes.Repeat([]byte{'x'}, 200) // about a grant's
	authorize := func(w http.ResponseWriter, r *http.Request) error {
		if r.ParseForm() != nil || r.Form.Get("client_id") != webID {
			return errors.New("request")
		}
		if err := rows.insert(r.Context(), row); err != nil {
			return err
		}
		redirect(w, []byte(l.order.Answers[0].Body))
		return nil
	}
	token := func(w http.ResponseWriter, r *http.Request) error {
		if !l.authentic(r) {
			return errors.New("credentials")
		}
		jti := newJTI()
		access, err := l.es256.AppendSign(nil, "at+jwt", flow.access.fill(jti))
		if err != nil {
			return err
		}
		id, err := l.es256.AppendSign(nil, "JWT", flow.id.fill(jti[:22]))
		if err != nil {
			return err
		}
		if err := rows.update(r.Context(), int(jti[0])%durableRows+1, row[:64]); err != nil {
			return err
		}
		write(w, flow.fill(access, id))
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve := token
		if r.Method == http.MethodGet {
			serve = authorize
		}
		if err := serve(w, r); err != nil {
			l.refuse(w, err.Error())
		}
	}), nil
}

// argon2id checks the user's password for every request.
func (l *bareLimit) argon2id() (http.Handler, error) {
	hasher := secret.NewHasher(secret.Params{})
	hash, err := hasher.Hash(context.Background(), l.order.Password)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		right, _, err := hasher.Verify(r.Context(), hash, r.PostFormValue("password"))
		if err != nil || !right {
			l.refuse(w, "password")
			return
		}
		w.WriteHeader(http.StatusSeeOther)
	}), nil
}
