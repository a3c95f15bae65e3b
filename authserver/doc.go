// Package authserver owns the authorization server's endpoints and grants:
// metadata, JWKS, authorization, token, userinfo, revocation, introspection
// and logout.
//
// An endpoint is one file and one row; a grant type is one file and one row.
// Every grant has the shape check, mint, commit, return: what comes before the
// single store call is pure or only reads, the store call is the commit point,
// and nothing fallible follows it.
//
// The package writes no HTML (see Pages) and no SQL.
package authserver
