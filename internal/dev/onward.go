package dev

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"

	"gatehouse/client"
	"gatehouse/internal/recent"
)

// Bounds of what PhotoAPI asks of the thumbnails API.
const (
	maxExchanged  = 1000    // tokens that are kept
	maxThumbnail  = 4 << 10 // bytes
	maxCaller     = 64 << 10
	onwardTimeout = 5 * time.Second
	// exchangeMargin is what an exchanged token has left at least when it is used.
	exchangeMargin = 10 * time.Second
)

// onward is PhotoAPI's way to the thumbnails API: with a token that it got for its
// caller's (RFC 8693), and over TLS with its own certificate.
type onward struct {
	at       string
	client   *http.Client
	exchange func(ctx context.Context, asked client.Exchange) (client.Tokens, error)
	log      *slog.Logger

	// tokens are exchanged ones by the SHA-256 of their subject token. What is
	// revoked is refused at the other end; nothing has to be forgotten here.
	tokens *recent.Map[[sha256.Size]byte, client.Tokens]
	once   singleflight.Group
}

func newOnward(at string, c *http.Client, exchange func(context.Context, client.Exchange) (client.Tokens, error), log *slog.Logger) *onward {
	return &onward{at: at, client: c, exchange: exchange, log: log, tokens: recent.New[[sha256.Size]byte, client.Tokens](maxExchanged)}
}

// token is the one to call with for the caller whose token is given. Many requests
// of one caller at once share an exchange.
func (o *onward) token(ctx context.Context, subject string) (client.Tokens, error) {
	key := sha256.Sum256([]byte(subject))
	if kept, found := o.tokens.Get(key); found && kept.Valid(exchangeMargin) {
		return kept, nil
	}
	made, err, _ := o.once.Do(string(key[:]), func() (any, error) {
		if kept, found := o.tokens.Get(key); found && kept.Valid(exchangeMargin) { // of who was here just before
			return kept, nil
		}
		// Who asked first may leave; the others wait for the same answer.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), onwardTimeout)
		defer cancel()
		got, err := o.exchange(ctx, client.Exchange{
			SubjectToken: client.NewSecret(subject), Resources: []string{thumbnailsIdentifier}, Scope: scopeRead,
		})
		if err == nil {
			o.tokens.Put(key, got)
		}
		return got, err
	})
	got, _ := made.(client.Tokens)
	return got, err
}

// get asks the thumbnails API with a token, and returns its answer with a body of at
// most the bound.
func (o *onward) get(ctx context.Context, token client.Tokens, path string, bound int64) (status int, kind string, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, onwardTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.at+path, nil)
	if err != nil {
		return 0, "", nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken.Reveal())
	response, err := o.client.Do(request)
	if err != nil {
		return 0, "", nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if body, err = io.ReadAll(io.LimitReader(response.Body, bound+1)); err == nil && int64(len(body)) > bound {
		err = errors.New("the thumbnails API says too much")
	}
	return response.StatusCode, response.Header.Get("Content-Type"), body, err
}

// ask does both, for the handlers of PhotoAPI. A false says that it has answered w,
// because there is nothing to go on with.
func (o *onward) ask(w http.ResponseWriter, r *http.Request, subject, path string, bound int64) (kind string, body []byte, ok bool) {
	token, err := o.token(r.Context(), subject)
	status := 0
	if err == nil {
		status, kind, body, err = o.get(r.Context(), token, path, bound)
	}
	if err != nil || status != http.StatusOK {
		o.refuse(w, r, status, err)
		return "", nil, false
	}
	return kind, body, true
}

// refuse answers when the thumbnails API does not help, and tells the log why.
func (o *onward) refuse(w http.ResponseWriter, r *http.Request, status int, err error) {
	o.log.WarnContext(r.Context(), "the thumbnails API gave nothing", "status", status, "error", err)
	var refused *client.RefusedError
	switch {
	case errors.As(err, &refused), err == nil && status == http.StatusUnauthorized:
		// The caller's token was good a moment ago: it has just ended.
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusServiceUnavailable, map[string]string{"error": "there is no token for the thumbnails API to be had for this one"})
	case err == nil:
		answer(w, http.StatusBadGateway, map[string]string{"error": "the thumbnails API does not answer this"})
	default:
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusServiceUnavailable, map[string]string{"error": "the thumbnails API cannot be asked now"})
	}
}
