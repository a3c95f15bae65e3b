package resourcemcp_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"gatehouse/resource"
	"gatehouse/resource/resourcemcp"
)

func Example() {
	rs, err := resource.New(context.Background(), resource.Config{
		Issuer: "https://id.example.com", Audience: "https://tools.example/mcp",
		Metadata: &resource.Metadata{Name: "Tools", Scopes: []string{"tools:use"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "tools", Version: "1.0"}, nil)
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
	guard := resourcemcp.Guard(rs, resource.Needs{Scopes: []string{"tools:use"}})

	mux := http.NewServeMux()
	mux.Handle(rs.MetadataPath(), rs.MetadataHandler())
	mux.Handle("/mcp", guard(handler))
	mux.Handle("/mcp/", guard(handler))
	fmt.Println(rs.MetadataPath())
	// Output: /.well-known/oauth-protected-resource/mcp
}
