package gateway_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"testing"

	"gatehouse/gateway"
	"gatehouse/internal/proxy"
	"gatehouse/internal/proxy/proxytest"
)

// BenchmarkGateway is a request with a repeated token through the gateway, and through
// nothing but a ReverseProxy; the client and the upstream are in the same process, and
// the same for both. The row gateway_jwt of bench measures the proxies alone.
func BenchmarkGateway(b *testing.B) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer upstream.Close()
	issuer := newIssuer(b)
	raw := issuer.token(b, nil)
	run := func(b *testing.B, handler http.Handler) {
		front := httptest.NewServer(handler)
		defer front.Close()
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
		defer client.CloseIdleConnections()
		b.ReportAllocs()
		for b.Loop() {
			r, err := http.NewRequest("GET", front.URL+"/photos/1", nil)
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+raw)
			response, err := client.Do(r)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			if _ = response.Body.Close(); response.StatusCode != http.StatusOK {
				b.Fatal(response.Status)
			}
		}
	}
	b.Run("bare", func(b *testing.B) {
		at, err := url.Parse(upstream.URL)
		if err != nil {
			b.Fatal(err)
		}
		run(b, &httputil.ReverseProxy{
			Transport: proxy.NewTransport(),
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(at)
				r.SetXForwarded()
			},
		})
	})
	b.Run("gateway", func(b *testing.B) {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer null.Close()
		s := &stage{TB: b, issuer: issuer, echo: &echo{Server: upstream}, log: &proxytest.Log{}}
		config := s.config()
		config.Logger = slog.New(slog.NewJSONHandler(null, nil))
		g, err := gateway.New(b.Context(), config)
		if err != nil {
			b.Fatal(err)
		}
		defer g.Close()
		run(b, g)
	})
}
