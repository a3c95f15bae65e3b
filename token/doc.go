// Package token owns the one checker of signed tokens: [Check] takes a JWT and
// the [Rules] of one kind of token and returns its [Claims], or says in a typed
// [Error] why not. Resource servers, clients, the gateway and the authorization
// server itself all check here.
//
// The package does not know where keys come from (see [Keys]), keeps no state,
// does no I/O, and never puts a token or a claim into an error.
package token
