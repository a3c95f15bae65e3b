// Package login owns the pages that people see: sign-in, consent, sign-out,
// the form_post page, and the page that tells of an error. It owns their
// texts, their style, their security headers, the delay after failed
// sign-ins and the cookie of a known device.
//
// [Pages] draws; [Endpoints] serves the rows of the endpoint table. What a
// decision on the consent page leads to is the authorization server's
// business, to which the rows hand it.
//
// The package never issues codes or tokens and holds no SQL.
package login
