package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"gatehouse/oauth"
)

// Bounds of the server that waits for a native application's callback.
const (
	loopbackHeaderTime = 5 * time.Second
	loopbackFarewell   = 2 * time.Second // for the browser to fetch the last page
)

// LoopbackConfig says how a native application signs somebody in (RFC 8252).
type LoopbackConfig struct {
	// Open opens a URL in the person's browser, never in a view of the
	// application's own (RFC 8252 §8.12). Required.
	Open func(url string) error
	// Path of the callback; "" is /callback. The client is registered with
	// http://127.0.0.1/callback, without a port (§7.3).
	Path string
	// IPv6 listens at [::1] instead.
	IPv6 bool
	// Request is what the login asks for, its RedirectURI aside.
	Request AuthorizationRequest
	// Page is the text that the browser shows at the end; "" is a sentence in English.
	Page string
}

// LoginByLoopback signs somebody in at a native application: it listens at a free
// port of this machine, opens the browser, and returns when the issuer sent it
// back, at the latest after [LoginLife]. Other programs of this machine can reach
// the port; what is not the answer to this login is refused and changes nothing.
func (c *Client) LoginByLoopback(ctx context.Context, config LoopbackConfig) (*Login, error) {
	if config.Open == nil {
		return nil, errors.New("client: login: Open is missing; give a function that opens a browser")
	}
	address, path := "127.0.0.1:0", config.Path
	if config.IPv6 {
		address = "[::1]:0"
	}
	if path == "" {
		path = "/callback"
	}
	listener, err := net.Listen("tcp", address) // RFC 8252 §8.3: the loopback interface only
	if err != nil {
		return nil, fmt.Errorf("client: login: no port to listen at: %w", err)
	}
	defer listener.Close()
	host := listener.Addr().String()
	config.Request.RedirectURI = "http://" + host + path
	target, transaction, err := c.Begin(ctx, config.Request)
	if err != nil {
		return nil, err
	}
	answers := make(chan oauth.Form)
	ctx, cancel := context.WithTimeout(ctx, LoginLife)
	defer cancel()
	server := &http.Server{
		ReadHeaderTimeout: loopbackHeaderTime, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Handler:  c.loopbackHandler(ctx, host, path, config.Page, transaction, answers),
	}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	defer func() {
		farewell, done := context.WithTimeout(context.WithoutCancel(ctx), loopbackFarewell)
		defer done()
		if server.Shutdown(farewell) != nil {
			_ = server.Close()
		}
	}()
	if err := config.Open(target); err != nil {
		return nil, fmt.Errorf("client: login: the browser cannot be opened: %w", err)
	}
	select {
	case form := <-answers:
		return c.Finish(ctx, transaction, form)
	case err := <-serving:
		return nil, fmt.Errorf("client: login: listening ended: %w", err)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, &LoginError{Reason: Expired, Detail: "nobody signed in in time; begin a new login", Cause: ctx.Err()}
		}
		return nil, ctx.Err()
	}
}

// loopbackHandler hands the first answer to the transaction on, and refuses
// everything else.
func (c *Client) loopbackHandler(ctx context.Context, host, path, text string, t Transaction, answers chan<- oauth.Form) http.Handler {
	if text == "" {
		text = "You are signed in, or the application says why not. You can close this window.\n"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int) {
			writePage(w, status, "text/plain; charset=utf-8", "This is not the answer to a sign-in.\n")
		}
		// A name that leads here is somebody's attempt to have a page of theirs read it.
		if r.Host != host || r.URL.Path != path {
			refuse(http.StatusNotFound)
			return
		}
		method := http.MethodGet
		if c.config.ResponseMode == "form_post" {
			method = http.MethodPost
		}
		form, err := requestForm(w, r)
		if r.Method != method || err != nil || !sameText(form.Get("state"), t.State) {
			refuse(http.StatusBadRequest)
			return
		}
		k, err := c.known(r.Context())
		if err == nil {
			_, err = c.readResponse(k, t, form)
		}
		if err != nil && !answered(err) {
			refuse(http.StatusBadRequest)
			return
		}
		select {
		case answers <- form:
			writePage(w, http.StatusOK, "text/plain; charset=utf-8", text)
		case <-ctx.Done():
			refuse(http.StatusBadRequest)
		case <-r.Context().Done():
		}
	})
}
