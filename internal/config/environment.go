package config

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// foreignVariable is what Kubernetes sets in every container for a service that happens to be called
// like the prefix, and what tells the project's own tests what they may use. Nobody meant these as
// settings, so they are no mistakes.
var foreignVariable = regexp.MustCompile(`^(TEST_[A-Z0-9_]+|SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT|PORT_[0-9]+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)$`)

// setting is one field that a variable can set.
type setting struct {
	variable string
	path     string
	index    [][]int // one index per level of nesting
}

// Environment sets fields of the struct that v points to from variables that begin with prefix
// (which includes its underscore): the field tls.certificate from PREFIX_TLS_CERTIFICATE. Variables
// hold single values; a slice takes several, divided by commas; maps and slices of structs have no
// variable. An empty variable counts as absent. A variable that begins with the prefix and names no
// field is an error with a suggestion. environ has the form of os.Environ.
func Environment(prefix string, environ []string, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("config.Environment needs a pointer to a struct, not %T", v))
	}
	settings := settingsOf(prefix, target.Elem().Type())
	var problems []error
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		i := slices.IndexFunc(settings, func(s setting) bool { return s.variable == name })
		switch {
		case i >= 0 && value == "":
		case i >= 0:
			if err := assign(settings[i], value, target.Elem()); err != nil {
				problems = append(problems, err)
			}
		case !foreignVariable.MatchString(name[len(prefix):]):
			problems = append(problems, unknownVariable(prefix, name, settings))
		}
	}
	return joined(problems)
}

func unknownVariable(prefix, name string, settings []setting) error {
	endings := make([]string, len(settings))
	for i, s := range settings {
		endings[i] = strings.TrimPrefix(s.variable, prefix)
	}
	hint := strings.Replace(didYouMean(name[len(prefix):], endings), "mean ", "mean "+prefix, 1)
	if hint == "" {
		hint = "remove it, or set the value in the configuration file"
	}
	return fmt.Errorf("unknown environment variable %s; %s", printable(name), hint)
}

func settingsOf(prefix string, t reflect.Type) []setting {
	var settings []setting
	collectSettings(&settings, prefix, t, "", nil)
	seen := map[string]string{}
	for _, s := range settings {
		if other, taken := seen[s.variable]; taken {
			panic(fmt.Sprintf("config: %s and %s would both be %s", other, s.path, s.variable))
		}
		seen[s.variable] = s.path
	}
	return settings
}

func collectSettings(settings *[]setting, prefix string, t reflect.Type, path string, index [][]int) {
	for _, f := range fieldsOf(t) {
		here := setting{path: join(path, f.name), index: append(slices.Clone(index), f.index)}
		here.variable = prefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(here.path))
		kind := f.kind
		for kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		switch {
		case isSingle(kind), kind.Kind() == reflect.Slice && isSingle(kind.Elem()):
			*settings = append(*settings, here)
		case kind.Kind() == reflect.Struct && !decodesItself(kind) && len(here.index) < maxTypeDepth:
			collectSettings(settings, prefix, kind, here.path, here.index)
		}
	}
}

// isSingle says that one text holds a value of the type.
func isSingle(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return true
	}
	if decodesItself(t) {
		return false
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

func assign(s setting, text string, target reflect.Value) error {
	for _, index := range s.index {
		target = allocated(target).FieldByIndex(index)
	}
	target = allocated(target)
	err := parseInto(text, target)
	if err == nil {
		return nil
	}
	if namesSecret(s.path) {
		return fmt.Errorf("environment variable %s has a value that is not accepted", s.variable)
	}
	return fmt.Errorf("environment variable %s is not accepted: %w", s.variable, err)
}

// allocated follows pointers and makes what they should point to.
func allocated(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	return v
}

func parseInto(text string, target reflect.Value) error {
	if reader, ok := target.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return reader.UnmarshalText([]byte(text))
	}
	bits := 0
	if kind := target.Kind(); kind != reflect.Slice && kind != reflect.String && kind != reflect.Bool {
		bits = target.Type().Bits()
	}
	switch target.Kind() {
	case reflect.Slice:
		parts := strings.Split(text, ",")
		list := reflect.MakeSlice(target.Type(), len(parts), len(parts))
		for i, part := range parts {
			if err := parseInto(strings.TrimSpace(part), list.Index(i)); err != nil {
				return err
			}
		}
		target.Set(list)
	case reflect.String:
		target.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("it must be true or false")
		}
		target.SetBool(text == "true")
	case reflect.Float32, reflect.Float64:
		value, err := strconv.ParseFloat(text, bits)
		if err != nil {
			return fmt.Errorf("it must be a number")
		}
		target.SetFloat(value)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		value, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			return fmt.Errorf("it must be a whole number of at most %d bits", bits)
		}
		target.SetInt(value)
	default:
		value, err := strconv.ParseUint(text, 10, bits)
		if err != nil {
			return fmt.Errorf("it must be a whole number from 0 of at most %d bits", bits)
		}
		target.SetUint(value)
	}
	return nil
}
