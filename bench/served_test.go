package main

import (
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/internal/server"
)

// opened is a server like the one under measurement, in this process.
func opened(b *testing.B, host string) *server.Server {
	b.Helper()
	directory := b.TempDir()
	tenantPath := filepath.Join(directory, tenantFile)
	if err := os.WriteFile(tenantPath, []byte(tenant()), 0o600); err != nil {
		b.Fatal(err)
	}
	metrics, err := freeAddress()
	if err != nil {
		b.Fatal(err)
	}
	running, err := server.Open(b.Context(), server.Config{
		PublicURL: "http://" + host, Data: directory, Apply: tenantPath, Metrics: server.Metrics{Listen: metrics},
	}, slog.New(slog.NewJSONHandler(io.Discard, nil)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = running.Close() })
	return running
}

// BenchmarkServed measures each row with its visitors, network and load in
// this process, for profiles of what the store and the runtime do:
//
//	go test ./bench -run - -bench Served/refresh -cpu 1 -cpuprofile cpu.out
func BenchmarkServed(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := listener.Addr().String()
	served := make(chan error)
	go func() { served <- opened(b, address).Serve(b.Context(), listener) }()
	b.Cleanup(func() {
		if err := <-served; err != nil { // the context ends before this
			b.Error(err)
		}
	})
	stage := &stage{process: &process{address: address}}
	for _, row := range rows() {
		if row.visitors == nil || row.proxy != nil { // not the server's
			continue
		}
		b.Run(row.name, func(b *testing.B) {
			ours := &side{address: address, stage: stage, seen: newSampler()}
			visitors, err := row.visitors(ours, row.connections)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var visiting sync.WaitGroup
			for _, v := range visitors {
				w, err := dial(address)
				if err != nil {
					b.Fatal(err)
				}
				visiting.Go(func() {
					defer w.close()
					for left.Add(-1) >= 0 {
						if err := v.visit(w); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			visiting.Wait()
		})
	}
}
