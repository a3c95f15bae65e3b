package gatehousetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/gatehousetest"
	"gatehouse/resource"
)

// stopsWithin bounds how long a test waits for what ought to take a second.
const stopsWithin = 30 * time.Second

// refuses waits until the API refuses the token, and tells how long that took.
func refuses(t *testing.T, api *gatehousetest.API, token string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		status := api.Ask(t, token)
		if status == http.StatusUnauthorized {
			t.Logf("%s refuses after %v", api.Audience, time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > stopsWithin {
			t.Fatalf("%s still answers %d", api.Audience, status)
		}
	}
}

// TestTheWholePicture signs in at an application that holds a cookie, calls an API, has
// that call a second one, and signs out.
func TestTheWholePicture(t *testing.T) {
	p := gatehousetest.StartPicture(t, gatehousetest.PictureOptions{})
	b := p.NewBrowser(t)
	if answer := p.Call(b, "/photos"); answer.StatusCode != http.StatusUnauthorized || answer.Member("error") != "login_required" {
		t.Fatalf("without a session: %d %s", answer.StatusCode, answer.Text)
	}
	p.SignIn(t, b)
	answer := p.Call(b, "/photos")
	if answer.StatusCode != http.StatusOK || answer.Member("sub") != "user-alice" || answer.Member("act") != `{"act":{"sub":"gateway"},"sub":"photos"}` {
		t.Fatalf("%d %s\n%s", answer.StatusCode, answer.Text, p.Issuer.Log())
	}
	first, second := p.Photos.Seen(), p.Thumbnails.Seen()
	if len(first) != 1 || len(second) != 1 {
		t.Fatalf("the APIs were called %d and %d times", len(first), len(second))
	}
	if actor, err := first[0].Access.Claims.Actor(); err != nil || first[0].Access.ClientID != "gateway" || actor == nil || actor.Subject != "gateway" || actor.Act != nil {
		t.Errorf("the first API sees %s", first[0].Access.Claims.Raw)
	}
	if second[0].Access.ClientID != "photos" || second[0].Certificate != "photos" || second[0].Access.Claims.Audience[0] != p.Thumbnails.Audience {
		t.Errorf("the second API sees %s with the certificate of %q", second[0].Access.Claims.Raw, second[0].Certificate)
	}
	if p.Thumbnails.Ask(t, first[0].Token) != http.StatusUnauthorized || p.Photos.Ask(t, second[0].Token) != http.StatusUnauthorized {
		t.Error("a token is taken by the API that it is not for")
	}
	if p.Thumbnails.Ask(t, second[0].Token) != http.StatusOK {
		t.Error("the exchanged token is no longer good")
	}
	p.SignOut(t, b)
	refuses(t, p.Photos, first[0].Token)
	refuses(t, p.Thumbnails, second[0].Token)
	if answer := p.Call(b, "/photos"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the sign-out: %d", answer.StatusCode)
	}
	p.SignIn(t, b)
	if answer := p.Call(b, "/photos"); answer.StatusCode != http.StatusOK {
		t.Errorf("signed in again: %d %s", answer.StatusCode, answer.Text)
	}
}

// TestASignOutAtTheIssuerReachesTheApplication by the back channel.
func TestASignOutAtTheIssuerReachesTheApplication(t *testing.T) {
	p := gatehousetest.StartPicture(t, gatehousetest.PictureOptions{})
	b := p.NewBrowser(t)
	p.SignIn(t, b)
	if answer := p.Call(b, "/photos"); answer.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", answer.StatusCode, answer.Text)
	}
	page := b.Get("/logout")
	if done := b.Post(page.Action(), page.Hidden()); !strings.Contains(done.Text, `id="logout-done"`) {
		t.Fatalf("%d %s", done.StatusCode, done.Text)
	}
	for began := time.Now(); p.Call(b, "/photos").StatusCode != http.StatusUnauthorized; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > stopsWithin {
			t.Fatal("the session goes on")
		}
	}
	// Without offline_access the grant ends with the session at the issuer.
	refuses(t, p.Photos, p.Photos.Seen()[0].Token)
	refuses(t, p.Thumbnails, p.Thumbnails.Seen()[0].Token)
}

// TestSessionsAreTheirOwners: many people at once, none of whom ends with another.
func TestSessionsAreTheirOwners(t *testing.T) {
	p := gatehousetest.StartPicture(t, gatehousetest.PictureOptions{})
	var all sync.WaitGroup
	browsers := make([]*gatehousetest.Browser, 4)
	for i := range browsers {
		browsers[i] = p.NewBrowser(t)
		p.SignIn(t, browsers[i])
	}
	for _, b := range browsers {
		all.Go(func() {
			if answer := p.Call(b, "/photos"); answer.StatusCode != http.StatusOK {
				t.Errorf("%d %s", answer.StatusCode, answer.Text)
			}
		})
	}
	all.Wait()
	p.SignOut(t, browsers[0])
	if answer := p.Call(browsers[0], "/photos"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("signed out: %d", answer.StatusCode)
	}
	for _, b := range browsers[1:] {
		if answer := p.Call(b, "/photos"); answer.StatusCode != http.StatusOK {
			t.Errorf("another's sign-out is felt: %d %s", answer.StatusCode, answer.Text)
		}
	}
}

// A test of an API of one's own, called through everything that stands before it.
func ExampleStartPicture() {
	t, done := standIn() // in a test, t is the test
	defer done()

	p := gatehousetest.StartPicture(t, gatehousetest.PictureOptions{
		Photos: func(*gatehousetest.Picture) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				access, _ := resource.AccessFrom(r.Context())
				_ = json.NewEncoder(w).Encode(map[string]string{"photos of": access.Claims.Subject})
			})
		},
	})
	browser := p.NewBrowser(t)
	p.SignIn(t, browser)
	fmt.Print(p.Call(browser, "/photos").Text)
	p.SignOut(t, browser)
	fmt.Println(p.Call(browser, "/photos").Member("error"))
	// Output:
	// {"photos of":"user-alice"}
	// login_required
}
