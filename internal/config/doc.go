// Package config reads settings strictly: YAML files and environment variables into plain structs,
// where an unknown key, a repeated key or a wrong type is an error with its line and, where one is
// near, the key that was probably meant.
//
// A key's name is its field's yaml tag, or the field's name in lower case; a tag of "-" hides the
// field, and ",inline" (or an embedded struct without a name) lifts its fields one level up. Fields may be strings, booleans,
// numbers, slices, maps with string keys, structs, pointers to these, any, and types that implement
// encoding.TextUnmarshaler (for scalars) or json.Unmarshaler (for anything).
//
// The package owns the syntax of settings, never their meaning: it does not know which settings exist,
// reads no file and looks at no environment by itself.
package config
