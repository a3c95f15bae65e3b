// Package oauth owns the words of the protocol: parameters and the strict
// form reader, scope sets, error codes and their writers (JSON, redirect,
// bearer challenge), redirect-URI rules, metadata documents and PKCE.
//
// Every refusal that Gatehouse makes is born here, in [Refuse], and names a
// rule whose text is compiled in (see [LookupRule]).
//
// The package never touches storage, keys, HTML or the clock.
package oauth
