// Package interaction owns the sealed state of an authorization in progress,
// the browser it belongs to, and the two cookies: the binding cookie, which
// ties all tabs of a browser to their interactions, and the session cookie.
//
// An interaction travels as parameter "i" of URLs and as a hidden field of
// forms. It stores nothing and never proves a login: who signed in, and when,
// is read from the session's row.
package interaction
