package bff

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
)

// module is the JavaScript that pages use; it has no dependencies.
//
//go:embed browser/bff.js
var module string

// moduleTag changes with the module.
var moduleTag = func() string {
	sum := sha256.Sum256([]byte(module))
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}()
