package config

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
)

// maxTypeDepth ends the listing of keys of types that contain themselves.
const maxTypeDepth = 16

var (
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
)

// field is one key of a struct: its name and where its value is.
type field struct {
	name  string
	index []int // for reflect.Value.FieldByIndex, through inlined structs
	kind  reflect.Type
}

// fieldsOf lists the keys of a struct in the order of its fields.
func fieldsOf(structure reflect.Type) []field {
	var fields []field
	for f := range structure.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		inline := f.Type.Kind() == reflect.Struct && (options == "inline" || f.Anonymous && name == "")
		switch {
		case name == "-":
		case inline:
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{f.Index[0]}, inner.index...)
				fields = append(fields, inner)
			}
		case !f.IsExported():
		default:
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			fields = append(fields, field{name: name, index: f.Index, kind: f.Type})
		}
	}
	return fields
}

func names(fields []field) []string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	return list
}

// decodesItself says that values of the type read their own text or JSON, so that their fields are
// not keys.
func decodesItself(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return pointer.Implements(textUnmarshaler) || pointer.Implements(jsonUnmarshaler)
}

// Keys lists every key that Decode knows for v, a struct or a pointer to one, in the order of the
// fields: "tls", "tls.certificate". The elements of a slice add nothing to the path
// ("clients.redirect_uris"), the keys of a map are "*" ("issuers.*.url").
func Keys(v any) []string {
	var keys []string
	appendKeys(&keys, reflect.TypeOf(v), "", 0)
	return keys
}

func appendKeys(keys *[]string, t reflect.Type, path string, depth int) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if depth > maxTypeDepth || decodesItself(t) {
		return
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		appendKeys(keys, t.Elem(), path, depth+1)
	case reflect.Map:
		appendKeys(keys, t.Elem(), join(path, "*"), depth+1)
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			*keys = append(*keys, join(path, f.name))
			appendKeys(keys, f.kind, join(path, f.name), depth+1)
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
