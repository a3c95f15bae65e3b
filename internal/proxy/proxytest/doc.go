// Package proxytest is what the tests of our proxies have in common: a log that is read while it is
// written, requests of octets that no client would send, and programs that run beside a test. It knows
// nothing of what is tested, and no program is built with it.
package proxytest
