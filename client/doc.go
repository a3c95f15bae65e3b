// Package client is what applications use to sign people in and to call APIs: a
// relying party of OpenID Connect and a client of OAuth 2.1, for any conforming
// issuer.
package client
