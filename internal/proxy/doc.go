// Package proxy is what every proxy of ours does to a request before somebody else's
// server sees it, and to the answer before the browser does: which paths have one
// meaning and no other, which headers come from us or not at all, where requests may
// go, and streams that end when somebody says so.
//
// It knows no session, no token and no policy: those who do call it with a path that
// they have decided about, and a RoundTripper that adds what they want added.
package proxy
