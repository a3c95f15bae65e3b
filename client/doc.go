// Package client is what applications use to sign people in and to call APIs: a
// relying party of OpenID Connect and a client of OAuth 2.1, for any conforming
// issuer. It imports neither the server nor its storage.
//
// # Sign people in
//
//	c, err := client.New(ctx, "https://id.example.com", client.Config{
//		ClientID: "web", ClientSecret: client.NewSecret(os.Getenv("CLIENT_SECRET")),
//		RedirectURI: "https://app.example.com/callback",
//	})
//	mux.Handle("GET /login", c.LoginHandler())
//	mux.Handle("GET /callback", c.CallbackHandler(nil))
//	mux.Handle("POST /logout", c.LogoutHandler())
//	mux.Handle("/", c.RequireLogin(app)) // client.SessionFrom(r.Context()) says who it is
//
// Everything that protects a login is on and cannot be turned off: PKCE, state
// bound to the browser and good once, nonce, the issuer's name in its answer
// (RFC 9207), every check of the ID token, a new session id, addresses to return
// to that stay within the application.
//
// # Tokens that stay fresh
//
// [Session.Token] returns an access token that can be used now. It is renewed
// ahead of its end; of any number of requests, in any number of processes that
// share a store, one asks the issuer. [Source] does the same for programs without
// browser sessions, and [Credentials] for the client itself. Each is a
// [TokenSource], which a [Transport] attaches to requests to the API that the
// tokens are for, and to no other.
//
// What ends a session, and what does not:
//
//	the issuer refuses the refresh token            it ends: ErrSessionEnded, 401
//	the issuer is away, slow, or asks for patience  it lives: the token at hand until its end, then UnavailableError, 503
//	the client's registration or secret is wrong    it lives: RefusedError, and an error in the log
//	the store is away                               it lives: UnavailableError, 503, the cookie stays
//	an answer was lost                              it is asked for once more at once; most servers give it again
//
// A logout revokes the refresh token. While the issuer is away it is owed: in the
// Store, if there is one, until any process that shares it has done it or the session
// would have been over; without a Store in this process, for about a minute.
//
// # Other ways to a token
//
// [Client.LoginByLoopback] is for native applications, [Client.Device] for devices
// and command lines, [Client.Exchange] for APIs that call other APIs,
// [Client.Begin] and [Client.Finish] for whoever keeps transactions and sessions
// of their own, [Register] for clients that register themselves.
//
// # Errors
//
// Errors are typed, hold no secret, and say what to do. [UnavailableError]: try
// again, nothing is lost. [RefusedError]: the issuer said no, with its code.
// [InvalidError]: the issuer's answer breaks the protocol and was not used.
// [LoginError]: a login did not take place, and why. [ErrNoSession],
// [ErrSessionEnded], [ErrTokenExpired]: somebody has to sign in. [StatusOf] turns
// each into an HTTP status.
//
// # What it never does
//
// It follows no redirect of an issuer, trusts no key out of a token, takes no
// token out of a browser's address, stores nothing unsealed in a store that others
// share, and keeps no state outside what [New] returned.
package client
