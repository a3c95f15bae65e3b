package resourcegrpc_test

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"gatehouse/resource"
	"gatehouse/resource/resourcegrpc"
)

func Example() {
	rs, err := resource.New(context.Background(), resource.Config{Issuer: "https://id.example.com", Audience: "https://photos.example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := resourcegrpc.New(resourcegrpc.Config{
		Server: rs,
		Methods: map[string]resource.Needs{
			"/photos.v1.Photos/":       {Scopes: []string{"photos:read"}},
			"/photos.v1.Photos/Delete": {Scopes: []string{"photos:write"}, ACRValues: []string{"urn:example:strong"}},
		},
		Public: []string{"/grpc.health.v1.Health/"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))
	defer server.Stop()
}
