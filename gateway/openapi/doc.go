// Package openapi makes routes of an OpenAPI description (3.0 or 3.1): one for each
// operation, whose security entries say which scopes a token must have.
//
//	routes, err := openapi.Routes(text, "photos.openapi.yaml", openapi.Config{Name: "photos", Authentication: "photos", Upstream: "photos"})
//	config.Routes = append(config.Routes, routes...)
//
// # What becomes of an operation
//
// Its path, below that of its servers, and its method are the route's. Schemes that a
// token fulfils (oauth2, openIdConnect, http bearer) name the scopes; of alternatives the
// one that asks for least is taken if it is part of all others. An operation without
// security is public, if the operator said that there may be such.
//
// # What it never does
//
// It weakens nothing: what a route cannot say (API keys, passwords, client certificates,
// alternatives that exclude each other, a token that may be left out) is an error that
// names the operation. It fetches nothing; a reference to elsewhere is an error. It takes
// no host from a description: those of routes are the operator's.
package openapi
