// Package interop proves that software which nobody here wrote works with a
// running gatehouse: npm's openid-client, oauth4webapi and
// passport-openidconnect, coreos/go-oidc with golang.org/x/oauth2, Debian's
// python3-authlib, Apache with mod_auth_openidc, nginx and Caddy that ask a gateway,
// and a real Chromium.
//
// The other way round, package client is tried with a provider that nobody here
// wrote: npm's oidc-provider.
//
// It holds tests only. They build the binary, start `gatehouse dev`, or
// `gatehouse serve` over https, and speak to it from outside; they never reach
// into a package of the server. The programs for Node.js are in node/, that
// for Python in python/, the tenants and Apache's configuration in testdata/.
//
// Every check has a name, and each test asserts the whole list of names, so
// that a check cannot vanish unseen. What is missing on the machine (Node.js,
// its packages, Chromium, Apache, nginx, Caddy, Authlib) makes a test say so and skip; with
// GATEHOUSE_TEST_SERVICES=1 it fails instead.
//
// The routers chi, echo and gin are tried in frameworks/, a module of its own.
//
// GATEHOUSE_SCREENSHOTS=DIR writes a picture of each page, light and dark,
// narrow and wide.
package interop
