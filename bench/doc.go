// Command bench is the published measurement of speed. It starts `gatehouse serve` as
// a process of its own, with durable commits, log, metrics and rate limits,
// keeps it on one processor core and itself on another, drives it over
// keep-alive connections on the loopback interface, checks every answer, and
// in the same run measures the bare limit of each row: a net/http handler that
// parses the same form, checks the same credential, signs as the server does,
// writes the same bytes, and does nothing else.
//
//	go run ./bench [--json] [--peer] [--store postgres] [--only ROW] [--rounds N] [--seconds N]
//
// It owns no rule of the product and is no part of it. What the rows mean, and
// what the last figures were, is in docs/performance.md.
package main
