// Package store keeps clients, resources, users, sessions, grants, consents, endings, events and
// sealed keys in SQLite or PostgreSQL.
//
// It owns the SQL text, the migrations, the store's clock and the snapshot of what every request
// reads. Each method is one domain act, atomic by itself and durable when it returns; outcomes are
// values, and an error means that the store broke, never that a request was wrong.
//
// It never sees a secret in clear: codes, refresh tokens, cookies and random client secrets arrive
// as SHA-256, passwords as PHC strings, keys sealed. It knows no HTTP and mints no token.
package store
