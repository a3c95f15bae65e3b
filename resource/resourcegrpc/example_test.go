package resourcegrpc_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	health1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"gatehouse/resource"
	"gatehouse/resource/resourcegrpc"
)

func Example() {
	rs, err := resource.New(context.Background(), resource.Config{
		Issuer: "https://id.example.com", Audience: "https://photos.example", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	guard, err := resourcegrpc.New(resourcegrpc.Config{
		Server: rs,
		Methods: map[string]resource.Needs{
			"/photos.v1.Photos/":          {Scopes: []string{"photos:read"}},
			"/photos.v1.Photos/Delete":    {Scopes: []string{"photos:write"}, ACRValues: []string{"urn:example:strong"}},
			"/grpc.health.v1.Health/List": {Scopes: []string{"health:list"}},
		},
		Public: []string{"/grpc.health.v1.Health/Check"},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))
	defer server.Stop()
	health1.RegisterHealthServer(server, health.NewServer())

	// A caller of it, in the same process.
	wire := bufconn.Listen(1 << 10)
	go func() { _ = server.Serve(wire) }()
	connection, err := grpc.NewClient("passthrough:photos", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return wire.Dial() }))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	caller := health1.NewHealthClient(connection)
	_, err = caller.Check(context.Background(), &health1.HealthCheckRequest{})
	fmt.Println("Check:", status.Code(err))
	var header metadata.MD
	_, err = caller.List(context.Background(), &health1.HealthListRequest{}, grpc.Header(&header))
	fmt.Println("List:", status.Code(err), header.Get("www-authenticate"))
	// Output:
	// Check: OK
	// List: Unauthenticated [Bearer realm="gatehouse", scope="health:list"]
}
