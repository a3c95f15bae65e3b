package resource_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"gatehouse/jose"
	"gatehouse/resource"
)

func Example() {
	issuer, accessToken := exampleIssuer()
	defer issuer.Close()

	// This is all that an API needs.
	rs, err := resource.New(context.Background(), resource.Config{
		Issuer:   issuer.URL,
		Audience: "https://photos.example",
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /photos", rs.Require("photos:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, _ := resource.AccessFrom(r.Context())
		user, _ := access.User()
		fmt.Fprintf(w, "the photos of %s, through %s", user.Subject, access.ClientID)
	})))
	mux.Handle("POST /photos", rs.Require("photos:read", "photos:write")(http.NotFoundHandler()))

	for _, call := range []struct{ method, authorization string }{
		{"GET", "Bearer " + accessToken},
		{"GET", ""},
		{"POST", "Bearer " + accessToken},
	} {
		r := httptest.NewRequest(call.method, "/photos", nil)
		if call.authorization != "" {
			r.Header.Set("Authorization", call.authorization)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			fmt.Println(w.Code, w.Body)
			continue
		}
		var refusal struct{ Error string }
		_ = json.Unmarshal(w.Body.Bytes(), &refusal)
		fmt.Printf("%d %q\n", w.Code, refusal.Error)
	}

	// Output:
	// 200 the photos of alice, through web
	// 401 ""
	// 403 "insufficient_scope"
}

// exampleIssuer stands for an authorization server, and makes one token.
func exampleIssuer() (issuer *httptest.Server, accessToken string) {
	key, err := jose.GenerateKey(jose.ES256, "key-1")
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	issuer = httptest.NewServer(mux)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"issuer":"`+issuer.URL+`","jwks_uri":"`+issuer.URL+`/jwks"}`)
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.KeySet{Keys: []jose.PublicKey{key.Public()}})
	})
	now := time.Now().Unix()
	accessToken, err = key.Sign(jose.TypeAccessToken, fmt.Appendf(nil,
		`{"iss":%q,"sub":"alice","aud":"https://photos.example","client_id":"web","jti":"1","scope":"photos:read","iat":%d,"exp":%d}`,
		issuer.URL, now, now+600))
	if err != nil {
		panic(err)
	}
	return issuer, accessToken
}

// An API that follows what is revoked, takes opaque tokens, too, and publishes its
// metadata.
func ExampleServer_Guard() {
	issuer, accessToken := exampleIssuer()
	defer issuer.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop() // ends the feed

	rs, err := resource.New(ctx, resource.Config{
		Issuer: issuer.URL, Audience: "https://photos.example",
		ClientID: "photos-api", ClientSecret: "kept somewhere safe", Feed: true, Opaque: true,
		InsecureFeedOptional: true, // since the issuer of this example has no feed
		Metadata:             &resource.Metadata{Name: "Photos", Scopes: []string{"photos:read"}},
		Logger:               slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rs.Close()
	mux := http.NewServeMux()
	mux.Handle(rs.MetadataPath(), rs.MetadataHandler())
	mux.Handle("DELETE /photos", rs.Guard(resource.Needs{
		Scopes: []string{"photos:read"}, MaxAuthAge: 5 * time.Minute,
	})(http.NotFoundHandler()))

	r := httptest.NewRequest(http.MethodDelete, "/photos", nil)
	r.Header.Set("Authorization", "Bearer "+accessToken)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	_, challenge, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), `)", `)
	fmt.Println(w.Code, challenge)

	// Output:
	// 401 scope="photos:read", max_age="300", resource_metadata="https://photos.example/.well-known/oauth-protected-resource"
}
