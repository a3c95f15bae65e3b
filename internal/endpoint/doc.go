// Package endpoint owns the row of an endpoint table and the mux that serves
// the rows: methods, body limits, rates, CORS, request ids, panics and the one place
// where refusals are logged.
//
// A path is served exactly as it is written in its row. Anything else is a
// 404, never a redirect to a cleaned path.
//
// The package knows nothing of what the endpoints do.
package endpoint
