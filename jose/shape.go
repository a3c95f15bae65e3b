package jose

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

var errCaseVariant = errors.New("a member differs from a known one only in case")

// shape is what a Go type expects of the members of an object.
type shape struct {
	fields map[string]reflect.Type // of a struct, by JSON name
	any    reflect.Type            // of a map's members
}

// member returns the Go type of a member's value, nil when nothing is known
// of it, and refuses a name that encoding/json would take for another.
func (s shape) member(name []byte) (reflect.Type, error) {
	if s.fields == nil {
		return s.any, nil
	}
	if field, known := s.fields[string(name)]; known {
		return field, nil
	}
	for field := range s.fields {
		if strings.EqualFold(field, string(name)) {
			return nil, errCaseVariant
		}
	}
	return nil, nil
}

func shapeOf(target reflect.Type) shape {
	target = pointedTo(target)
	if target == nil {
		return shape{}
	}
	switch target.Kind() {
	case reflect.Map:
		return shape{any: target.Elem()}
	case reflect.Struct:
		fields := map[string]reflect.Type{}
		for _, field := range reflect.VisibleFields(target) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous && name == "" || !field.IsExported() || name == "-" {
				continue
			}
			if name == "" {
				name = field.Name
			}
			fields[name] = field.Type
		}
		return shape{fields: fields}
	}
	return shape{}
}

func elementOf(target reflect.Type) reflect.Type {
	target = pointedTo(target)
	if target != nil && (target.Kind() == reflect.Slice || target.Kind() == reflect.Array) {
		return target.Elem()
	}
	return nil
}

// pointedTo follows pointers to the type that JSON is decoded into, nil when
// the type decodes itself.
func pointedTo(target reflect.Type) reflect.Type {
	for target != nil {
		if target.Implements(unmarshaler) || reflect.PointerTo(target).Implements(unmarshaler) {
			return nil
		}
		if target.Kind() != reflect.Pointer {
			return target
		}
		target = target.Elem()
	}
	return nil
}
