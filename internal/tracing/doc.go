// Package tracing owns what OpenTelemetry is told of requests: a span for each,
// with a span for each act of the database below it, and the trace's id in the
// log lines of the request.
//
// It puts names, methods, states and ids into spans, and never a query, a body,
// a header, a cookie, a token or the text of an error. A collector that is slow
// or away delays no request.
package tracing
