// Package postgrestest finds the PostgreSQL server of the tests and makes databases and schemas on
// it. It starts no server (scripts/test does) and knows nothing of the store.
package postgrestest
