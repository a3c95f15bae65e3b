// Package storetest is the suite that every engine of the store passes: what a method promises,
// whoever keeps the rows. It owns no engine; each brings its own way to open a fresh store.
package storetest
