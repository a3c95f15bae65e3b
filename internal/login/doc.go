// Package login owns the pages that people see: sign-in, consent, sign-out,
// the account page, the form_post page, and the page that tells of an error.
// It owns their texts in each language, their style with a tenant's colour,
// their security headers, the delay after failed sign-ins, the rules for new
// passwords and the cookie of a known device.
//
// [Pages] draws; [Endpoints] serves the rows of the endpoint table. What a
// decision on the consent page leads to is the authorization server's
// business, to which the rows hand it.
//
// A language is a catalogue: a texts value with every sentence and the words
// for times. It is chosen anew for each page and never kept.
//
// The package never issues codes or tokens and holds no SQL.
package login
