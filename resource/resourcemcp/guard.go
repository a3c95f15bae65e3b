package resourcemcp

import (
	"context"
	"fmt"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"gatehouse/resource"
	"gatehouse/token"
)

// accessKey is where a TokenInfo has the access.
const accessKey = "gatehouse/resource.Access"

// Guard returns middleware for the SDK's HTTP handlers: it is [resource.Server.Guard],
// and hands the SDK a TokenInfo, so that a session belongs to whoever began it and
// tools can ask by [AccessOf].
//
// The server's Config.Metadata must be set, and its MetadataHandler be served: MCP
// clients find the authorization server by it.
func Guard(rs *resource.Server, needs resource.Needs) func(http.Handler) http.Handler {
	guard := rs.Guard(needs)
	// The token has been checked, so that the SDK has only to be told.
	told := auth.RequireBearerToken(tokenInfo, &auth.RequireBearerTokenOptions{AllowMissingExpiration: true, ClockSkew: token.MaxSkew})
	return func(next http.Handler) http.Handler { return guard(told(next)) }
}

func tokenInfo(ctx context.Context, _ string, _ *http.Request) (*auth.TokenInfo, error) {
	access, checked := resource.AccessFrom(ctx)
	if !checked {
		return nil, fmt.Errorf("the token was not checked: %w", auth.ErrInvalidToken)
	}
	return &auth.TokenInfo{
		Scopes: access.Scope, Expiration: access.Expiry, UserID: principal(access), Extra: map[string]any{accessKey: access},
	}, nil
}

// principal tells users and clients of all issuers apart.
func principal(access resource.Access) string {
	if user, is := access.User(); is {
		return user.String()
	}
	return "client " + access.ClientID + " of " + access.Issuer
}

// AccessOf returns the access of a request's token, such as of
// request.Extra.TokenInfo in a tool.
func AccessOf(info *auth.TokenInfo) (resource.Access, bool) {
	if info == nil {
		return resource.Access{}, false
	}
	access, known := info.Extra[accessKey].(resource.Access)
	return access, known
}
