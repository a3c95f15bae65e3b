package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/client"
	"gatehouse/internal/spec"
)

func TestLoginByLoopback(t *testing.T) {
	spec.Covers(t, "RFC8252-7.3-C1")
	p := newProvider(t)
	c := p.client(t, client.Config{ClientID: clientID, AuthMethod: client.AuthNone})
	for name, config := range map[string]client.LoopbackConfig{"at 127.0.0.1": {}, "at another path": {Path: "/cb"}} {
		t.Run(name, func(t *testing.T) {
			opened := make(chan string, 1)
			config.Open = func(address string) error { opened <- address; return nil }
			config.Page = "Done.\n"
			type outcome struct {
				login *client.Login
				err   error
			}
			done := make(chan outcome, 1)
			go func() {
				login, err := c.LoginByLoopback(t.Context(), config)
				done <- outcome{login, err}
			}()
			b := newBrowser(t)
			back := b.get(<-opened).to(t)
			at, err := url.Parse(back)
			if err != nil || at.Hostname() != "127.0.0.1" || at.Port() == "" || at.Scheme != "http" {
				t.Fatalf("the callback is %s", back)
			}
			// What others of this machine try comes to nothing, and ends nothing.
			for what, target := range map[string]string{
				"no state": changed(back, url.Values{"state": nil}), "another state": changed(back, url.Values{"state": {"x"}}), "another issuer": changed(back, url.Values{"iss": {"https://evil.example"}}),
				"no code": changed(back, url.Values{"code": nil}), "another path": strings.Replace(back, at.Path, "/other", 1), "a denial without state": at.Scheme + "://" + at.Host + at.Path + "?error=access_denied",
			} {
				if answer := b.get(target); answer.StatusCode != http.StatusBadRequest && answer.StatusCode != http.StatusNotFound {
					t.Errorf("%s: %d", what, answer.StatusCode)
				}
			}
			rebound, err := http.NewRequest("GET", back, nil)
			if err != nil {
				t.Fatal(err)
			}
			rebound.Host = "evil.example:" + at.Port()
			if response, err := http.DefaultTransport.RoundTrip(rebound); err != nil || response.StatusCode != http.StatusNotFound {
				t.Errorf("under another name: %v, %v", response, err)
			}
			if answer := b.get(back); answer.StatusCode != http.StatusOK || answer.text != "Done.\n" {
				t.Errorf("%d %s", answer.StatusCode, answer.text)
			}
			got := <-done
			if got.err != nil || got.login.Subject != "alice" {
				t.Fatalf("%+v, %v", got.login, got.err)
			}
			if _, err := http.DefaultTransport.RoundTrip(rebound); err == nil {
				t.Error("it still listens")
			}
		})
	}
}

func TestLoopbackEnds(t *testing.T) {
	p := newProvider(t)
	c := p.client(t, client.Config{ClientID: clientID, AuthMethod: client.AuthNone})
	if _, err := c.LoginByLoopback(t.Context(), client.LoopbackConfig{}); err == nil {
		t.Error("without a browser")
	}
	broken := errors.New("no browser here")
	if _, err := c.LoginByLoopback(t.Context(), client.LoopbackConfig{Open: func(string) error { return broken }}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.LoginByLoopback(ctx, client.LoopbackConfig{Open: func(string) error { return nil }}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	denied := make(chan string, 1)
	p.change(func(p *provider) {
		p.callback = func(v url.Values) { v.Del("code"); v.Set("error", "access_denied") }
	})
	done := make(chan error, 1)
	go func() {
		_, err := c.LoginByLoopback(t.Context(), client.LoopbackConfig{Open: func(address string) error { denied <- address; return nil }})
		done <- err
	}()
	b := newBrowser(t)
	b.get(b.get(<-denied).to(t))
	if refused, ok := errors.AsType[*client.LoginError](<-done); !ok || refused.Code != "access_denied" {
		t.Errorf("%v", refused)
	}
}
