// Package interop proves that software which nobody here wrote works with a
// running gatehouse: npm's openid-client, coreos/go-oidc with
// golang.org/x/oauth2, and a real Chromium.
//
// It holds tests only. They build the binary, start `gatehouse dev` and speak
// to it from outside, over HTTP; they never reach into a package of the
// product. The programs for Node.js are in node/, the tenant that they need in
// testdata/.
//
// Every check has a name, and each test asserts the whole list of names, so
// that a check cannot vanish unseen. What is missing on the machine (Node.js,
// its packages, Chromium) makes a test say so and skip; with
// GATEHOUSE_TEST_SERVICES=1 it fails instead.
//
// GATEHOUSE_SCREENSHOTS=DIR writes a picture of each page, light and dark,
// narrow and wide.
package interop
