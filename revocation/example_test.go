package revocation_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"gatehouse/revocation"
)

// A program that checks tokens by means of its own follows the feed itself.
// Package resource does this for APIs.
func ExampleFollow() {
	// What an issuer's server does.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", revocation.MediaType)
		feed := revocation.NewWriter(w)
		_ = feed.Begin(revocation.Beginning{Issuer: "https://id.example.com", Snapshot: true})
		_ = feed.Entry(revocation.Entry{Claim: revocation.TokenID, Value: "jti-of-a-stolen-token", Expiry: time.Now().Add(time.Hour)})
		for r.Context().Err() == nil {
			_ = feed.Mark(revocation.Mark{At: time.Now(), Cursor: "1"})
			_ = feed.Flush()
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
			}
		}
	}))
	defer server.Close()

	ctx := context.Background()
	follower, err := revocation.Follow(ctx, revocation.Config{
		Issuer: "https://id.example.com", URL: server.URL, // revocation_feed_endpoint of the issuer's metadata
		ClientID: "photos-api", ClientSecret: "kept somewhere safe", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer follower.Close()
	select {
	case <-follower.Ready(): // the first snapshot is there
	case <-time.After(time.Minute):
		log.Fatal(follower.Status().Err)
	}
	for _, jti := range []string{"jti-of-a-stolen-token", "jti-of-another"} {
		switch follower.View(revocation.Token{ID: jti, IssuedAt: time.Now()}) { // with all that the token says
		case revocation.Live:
			fmt.Println(jti, "is let in")
		case revocation.Revoked:
			fmt.Println(jti, "is refused")
		case revocation.Unknown:
			fmt.Println("ask the issuer about", jti, "and if it does not answer, refuse")
		}
	}
	// Output:
	// jti-of-a-stolen-token is refused
	// jti-of-another is let in
}
