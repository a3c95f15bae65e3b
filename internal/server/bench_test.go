package server

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"

	"gatehouse"
)

// BenchmarkTenants starts a server on a database with so many tenants, and asks one of them.
func BenchmarkTenants(b *testing.B) {
	for _, tenants := range []int{1, 1000} {
		config := Config{PublicURL: "https://id.example", Data: b.TempDir()}
		s, err := Open(b.Context(), config, quiet())
		if err != nil {
			b.Fatal(err)
		}
		var making errgroup.Group
		making.SetLimit(64)
		for i := range tenants {
			making.Go(func() error {
				id := gatehouse.TenantID("tenant-" + strconv.Itoa(i))
				var keys []gatehouse.StoredKey
				if i%100 == 0 { // making RSA keys takes long
					var err error
					if keys, err = s.keys.FirstKeys(id); err != nil {
						return err
					}
				}
				_, err := s.store.CreateTenant(b.Context(), gatehouse.TenantRecord{ID: id}, gatehouse.Settings{}, keys, gatehouse.Event{})
				return err
			})
		}
		if err := making.Wait(); err != nil {
			b.Fatal(err)
		}
		ask := func(s *Server) {
			if status, _, text := get(s, "id.example", "/t/tenant-0/jwks"); status != http.StatusOK {
				b.Fatal(status, text)
			}
		}
		b.Run(fmt.Sprint("answer of ", tenants), func(b *testing.B) {
			for b.Loop() {
				ask(s)
			}
		})
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint("start on ", tenants), func(b *testing.B) {
			for b.Loop() {
				again, err := Open(b.Context(), config, quiet())
				if err != nil {
					b.Fatal(err)
				}
				ask(again)
				if err := again.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
