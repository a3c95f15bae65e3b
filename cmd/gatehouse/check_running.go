package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// publicTimeout is how long the public URL may take to answer.
	publicTimeout = 5 * time.Second
	// maxPublicAnswer is how much of an answer is read, in bytes.
	maxPublicAnswer = 1 << 20
	// toleratedSkew is how far the public server's clock may be from this
	// machine's.
	toleratedSkew = time.Minute
	// ourCookies is in the name of every cookie of the server.
	ourCookies = "gh-"
)

// public asks the public URL, as a client of somebody else would.
type public struct {
	url    string
	client *http.Client
}

func (p public) get(ctx context.Context, path string) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxPublicAnswer))
	return response, text, err
}

// checkRunning looks at the server from outside, through whatever proxy there
// is.
func (e *examination) checkRunning(ctx context.Context, roots *x509.CertPool) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	p := public{e.process.PublicURL, &http.Client{
		Transport: transport, Timeout: publicTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	const path = "/.well-known/openid-configuration"
	response, text, err := p.get(ctx, path)
	if err != nil {
		e.warn("running", "start the server, or run this where the public URL can be reached", "nothing could be read from outside: %s", err)
		return
	}
	var metadata struct {
		Issuer string `json:"issuer"`
	}
	if response.StatusCode != http.StatusOK || json.Unmarshal(text, &metadata) != nil {
		e.fail("running", "the proxy's rules: every path belongs to gatehouse", "%s%s answers %s and no metadata", p.url, path, response.Status)
		return
	}
	if metadata.Issuer != e.process.PublicURL {
		e.fail("running", "public_url, which clients compare octet for octet, or where the public URL leads", "the issuer there is %s", metadata.Issuer)
		return
	}
	e.ok("running", "%s answers with its issuer", p.url)
	e.checkHeaders(response)
	if response.TLS != nil && len(response.TLS.PeerCertificates) > 0 {
		e.judgeCertificate("running", response.TLS.PeerCertificates[0])
	}
	e.checkCookies(ctx, p)
	if response, text, err := p.get(ctx, "/metrics"); err == nil && response.StatusCode == http.StatusOK && strings.Contains(string(text), "gatehouse_") {
		e.fail("running", "take /metrics out of the proxy's rules", "the public URL shows the metrics to everybody")
	}
}

func (e *examination) checkHeaders(response *http.Response) {
	if response.TLS != nil && response.Header.Get("Strict-Transport-Security") == "" {
		e.warn("running", "let the proxy pass on the header Strict-Transport-Security", "answers lack it, so a browser's first request may go in clear")
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		if skew := time.Until(date); skew.Abs() > toleratedSkew {
			e.warn("clock", "set the clocks of both machines, and keep them set (NTP)", "the public server's clock is %s off this machine's", skew.Round(time.Second))
		}
	}
}

// checkCookies looks at the cookies that the account page sets.
func (e *examination) checkCookies(ctx context.Context, p public) {
	response, _, err := p.get(ctx, "/account")
	if err != nil {
		e.warn("running", "the server's log", "the account page could not be read: %s", err)
		return
	}
	secure, found, sound := strings.HasPrefix(p.url, "https:"), 0, 0
	for _, cookie := range response.Cookies() {
		missing := ""
		switch {
		case !strings.Contains(cookie.Name, ourCookies):
			continue // the proxy's own
		case !cookie.HttpOnly:
			missing = "HttpOnly"
		case cookie.SameSite != http.SameSiteLaxMode && cookie.SameSite != http.SameSiteStrictMode:
			missing = "SameSite"
		case secure && (!cookie.Secure || !strings.HasPrefix(cookie.Name, "__Host-")):
			missing = "Secure and the prefix __Host-"
		}
		found++
		if missing != "" {
			e.fail("running", "let the proxy pass on Set-Cookie as it is", "the cookie %s lacks %s", cookie.Name, missing)
			continue
		}
		sound++
	}
	if sound > 0 {
		e.ok("running", "cookies keep their protection on the way")
	} else if found == 0 {
		e.warn("running", "let the proxy pass on Set-Cookie", "the account page sets no cookie, so nobody can sign in")
	}
}
