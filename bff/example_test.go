package bff_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"gatehouse/bff"
	"gatehouse/client"
)

func Example() {
	// An issuer, as far as it is asked before anybody signs in.
	var issuer *httptest.Server
	issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer": %[1]q, "authorization_endpoint": "%[1]s/authorize", "token_endpoint": "%[1]s/token", "jwks_uri": "%[1]s/jwks",
			"response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"]}`, issuer.URL)
	}))
	defer issuer.Close()

	b, err := bff.New(context.Background(), bff.Config{
		URL: "https://photos.example.com",
		Issuers: []bff.Issuer{{
			Issuer: issuer.URL,
			Client: client.Config{ClientID: "photos", ClientSecret: client.NewSecret("a-secret-of-the-application-0123456789"), Scope: "openid photos:read"},
		}},
		Upstreams: []bff.Upstream{{
			Path: "/api", URL: "https://api.photos.internal",
			Routes: []bff.Route{{Path: "/photos/{id}", Methods: []string{"GET"}}},
		}},
		Files:  http.NotFoundHandler(), // the single-page application
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	// What the browser's script asks for before anybody signed in.
	r := httptest.NewRequest("GET", "https://photos.example.com/api/photos/1", nil)
	r.Header.Set("X-CSRF", "1")
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Body)
	fmt.Println(w.Code, string(body))

	// Output:
	// 401 {"error":"login_required","error_description":"Nobody is signed in; open the login_url.","login_url":"/bff/login"}
}
