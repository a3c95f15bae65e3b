package gateway_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"gatehouse/gateway"
	"gatehouse/resource"
)

func Example() {
	photos := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the API was asked for ", r.URL.Path)
	}))
	defer photos.Close()

	g, err := gateway.New(context.Background(), gateway.Config{
		Authentications: []gateway.Authentication{{Name: "photos", Resource: resource.Config{
			Issuer: "https://id.example.com", Audience: "https://photos.example.com",
		}}},
		Upstreams: []gateway.Upstream{{Name: "photos", URL: photos.URL}},
		Routes: []gateway.Route{
			{Name: "health", Match: gateway.Match{Path: "/healthz", Methods: []string{"GET"}}, Public: true, Upstream: "photos"},
			{Name: "read", Match: gateway.Match{Path: "/photos/{id}", Methods: []string{"GET"}},
				Authentication: "photos", Needs: resource.Needs{Scopes: []string{"photos:read"}},
				Upstream: "photos", Forward: gateway.Forward{Headers: true}},
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer g.Close()

	for _, path := range []string{"/healthz", "/photos/1", "/photos/%2e%2e/healthz", "/elsewhere"} {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code == http.StatusOK {
			fmt.Println(path, w.Code, w.Body)
			continue
		}
		fmt.Println(strings.TrimSpace(fmt.Sprint(path, " ", w.Code, " ", w.Header().Get("WWW-Authenticate"))))
	}

	// Output:
	// /healthz 200 the API was asked for /healthz
	// /photos/1 401 Bearer realm="gatehouse", scope="photos:read"
	// /photos/%2e%2e/healthz 400
	// /elsewhere 404
}
