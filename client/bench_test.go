package client_test

import (
	"net/http"
	"testing"

	"gatehouse/client"
)

// What each request costs an application while no token has to be renewed.
func BenchmarkSession(b *testing.B) {
	p := newProvider(b)
	a := p.application(b, client.Config{})
	person := newBrowser(b)
	person.signIn(a)
	r, err := http.NewRequest("GET", a.URL, nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, cookie := range person.jar {
		r.AddCookie(cookie)
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := a.party.Session(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Token(r.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCredentials(b *testing.B) {
	p := newProvider(b)
	credentials, err := p.client(b, client.Config{}).Credentials(client.CredentialsConfig{Scope: "read"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := credentials.Token(b.Context()); err != nil {
				b.Error(err)
			}
		}
	})
}
