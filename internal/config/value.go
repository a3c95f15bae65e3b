package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// leadingZero is an integer that YAML 1.1 reads as octal and YAML 1.2 as decimal.
var leadingZero = regexp.MustCompile(`^[-+]?0[0-9_]+$`)

type decoder struct {
	name     string
	problems []error
}

func (d *decoder) complain(n ast.Node, what, hint string) {
	d.problems = append(d.problems, at(n, d.name, what, hint))
}

// decode puts the node's value into target and complains about what does not fit. path is the dotted
// key, empty for the whole file.
func (d *decoder) decode(n ast.Node, path string, target reflect.Value) {
	if _, null := n.(*ast.NullNode); null {
		return
	}
	if target.Kind() == reflect.Pointer {
		if target.IsNil() {
			target.Set(reflect.New(target.Type().Elem()))
		}
		d.decode(n, path, target.Elem())
		return
	}
	if text, scalar := scalarText(n); scalar {
		if reader, ok := target.Addr().Interface().(encoding.TextUnmarshaler); ok {
			d.refused(n, path, reader.UnmarshalText([]byte(text)))
			return
		}
	}
	if reader, ok := target.Addr().Interface().(json.Unmarshaler); ok {
		d.decodeJSON(n, path, reader)
		return
	}
	if _, ok := target.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.mismatch(n, path, "a single value")
		return
	}
	switch target.Kind() {
	case reflect.Struct:
		d.decodeStruct(n, path, target)
	case reflect.Map:
		d.decodeMap(n, path, target)
	case reflect.Slice:
		d.decodeSlice(n, path, target)
	case reflect.Interface:
		if value, ok := d.plain(n, path); ok && value != nil {
			target.Set(reflect.ValueOf(value))
		}
	default:
		d.decodeScalar(n, path, target)
	}
}

// refused complains about a value that a type of its own did not take.
func (d *decoder) refused(n ast.Node, path string, err error) {
	switch {
	case err == nil:
	case namesSecret(path):
		d.complain(n, fmt.Sprintf("key %s has a value that is not accepted", last(path)), "")
	default:
		d.complain(n, fmt.Sprintf("key %s is not accepted", last(path)), err.Error())
	}
}

func (d *decoder) mismatch(n ast.Node, path, want string) {
	what, hint := fmt.Sprintf("key %s must be %s, not %s,", last(path), want, describe(n)), ""
	if path == "" {
		what = fmt.Sprintf("the file must be %s, not %s,", want, describe(n))
	}
	if _, scalar := scalarText(n); scalar && want == "text" {
		hint = "put it in quotes"
	}
	d.complain(n, what, hint)
}

func (d *decoder) decodeStruct(n ast.Node, path string, target reflect.Value) {
	fields := fieldsOf(target.Type())
	d.eachEntry(n, path, func(key ast.Node, name string, value ast.Node) {
		for _, f := range fields {
			if f.name == name {
				d.decode(value, join(path, name), target.FieldByIndex(f.index))
				return
			}
		}
		d.complain(key, "unknown key "+printable(name), didYouMean(name, names(fields)))
	})
}

func (d *decoder) decodeMap(n ast.Node, path string, target reflect.Value) {
	t := target.Type()
	if t.Key().Kind() != reflect.String {
		panic(fmt.Sprintf("config: a map must have string keys, not %s", t.Key()))
	}
	if target.IsNil() {
		target.Set(reflect.MakeMap(t))
	}
	d.eachEntry(n, path, func(_ ast.Node, name string, value ast.Node) {
		element := reflect.New(t.Elem()).Elem()
		d.decode(value, join(path, name), element)
		target.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), element)
	})
}

func (d *decoder) decodeSlice(n ast.Node, path string, target reflect.Value) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		d.mismatch(n, path, "a list")
		return
	}
	list := reflect.MakeSlice(target.Type(), len(sequence.Values), len(sequence.Values))
	for i, value := range sequence.Values {
		if _, null := value.(*ast.NullNode); null || value == nil {
			d.complain(n, fmt.Sprintf("key %s has an empty entry", last(path)), "remove the entry or fill it in")
			continue
		}
		d.decode(value, path, list.Index(i))
	}
	target.Set(list)
}

// eachEntry visits a mapping's entries and complains about repeated keys.
func (d *decoder) eachEntry(n ast.Node, path string, visit func(key ast.Node, name string, value ast.Node)) {
	var entries []*ast.MappingValueNode
	switch mapping := n.(type) {
	case *ast.MappingNode:
		entries = mapping.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{mapping}
	default:
		d.mismatch(n, path, "a set of keys")
		return
	}
	first := map[string]int{}
	for _, entry := range entries {
		name, scalar := scalarText(entry.Key)
		if !scalar {
			d.complain(entry.Key, "a key that is not text", "")
			continue
		}
		if line, repeated := first[name]; repeated {
			d.complain(entry.Key, "repeated key "+printable(name), fmt.Sprintf("it is on line %d already", line))
			continue
		}
		first[name] = at(entry.Key, "", "", "").Line
		if entry.Value != nil {
			visit(entry.Key, name, entry.Value)
		}
	}
}

func (d *decoder) decodeScalar(n ast.Node, path string, target reflect.Value) {
	switch target.Kind() {
	case reflect.String:
		if text, ok := stringText(n); ok {
			target.SetString(text)
			return
		}
		d.mismatch(n, path, "text")
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			target.SetBool(b.Value)
			return
		}
		d.mismatch(n, path, "true or false")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		value, ok := d.integer(n, path)
		if !ok {
			return
		}
		if signed, fits := toSigned(value); fits && !target.OverflowInt(signed) {
			target.SetInt(signed)
			return
		}
		d.complain(n, fmt.Sprintf("key %s has a number that is too large or too small", last(path)), "")
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		value, ok := d.integer(n, path)
		if !ok {
			return
		}
		if unsigned, fits := value.(uint64); fits && !target.OverflowUint(unsigned) {
			target.SetUint(unsigned)
			return
		}
		d.complain(n, fmt.Sprintf("key %s has a number that is too large or negative", last(path)), "")
	case reflect.Float32, reflect.Float64:
		switch number := n.(type) {
		case *ast.FloatNode:
			target.SetFloat(number.Value)
		case *ast.IntegerNode:
			target.SetFloat(toFloat(number.Value))
		default:
			d.mismatch(n, path, "a number")
		}
	default:
		panic(fmt.Sprintf("config: a field of type %s cannot be read from a file", target.Type()))
	}
}

// integer is an int64 below zero or a uint64 from zero.
func (d *decoder) integer(n ast.Node, path string) (any, bool) {
	number, ok := n.(*ast.IntegerNode)
	if !ok {
		d.mismatch(n, path, "a whole number")
		return nil, false
	}
	if leadingZero.MatchString(number.Token.Value) {
		d.complain(n, fmt.Sprintf("key %s has a number that begins with 0", last(path)), "leave the 0 out, or write 0o for an octal number")
		return nil, false
	}
	if signed, ok := number.Value.(int64); ok && signed >= 0 {
		return uint64(signed), true
	}
	return number.Value, true
}

func toSigned(value any) (int64, bool) {
	if unsigned, ok := value.(uint64); ok {
		return int64(unsigned), unsigned <= math.MaxInt64 //nolint:gosec // the second result says whether it fits
	}
	signed, ok := value.(int64)
	return signed, ok
}

func toFloat(value any) float64 {
	if unsigned, ok := value.(uint64); ok {
		return float64(unsigned)
	}
	signed, _ := value.(int64)
	return float64(signed)
}

// plain is the value in the types of encoding/json, with int64 or uint64 for whole numbers.
func (d *decoder) plain(n ast.Node, path string) (any, bool) {
	switch node := n.(type) {
	case *ast.NullNode:
		return nil, true
	case *ast.BoolNode:
		return node.Value, true
	case *ast.FloatNode:
		return node.Value, true
	case *ast.IntegerNode:
		value, ok := d.integer(n, path)
		if signed, fits := toSigned(value); ok && fits {
			return signed, true
		}
		return value, ok
	case *ast.SequenceNode:
		var list []any
		target := reflect.ValueOf(&list).Elem()
		d.decodeSlice(n, path, target)
		return list, true
	case *ast.MappingNode, *ast.MappingValueNode:
		entries := map[string]any{}
		d.decodeMap(n, path, reflect.ValueOf(entries))
		return entries, true
	}
	if text, ok := stringText(n); ok {
		return text, true
	}
	d.mismatch(n, path, "text, a number, a list or a set of keys")
	return nil, false
}

func (d *decoder) decodeJSON(n ast.Node, path string, reader json.Unmarshaler) {
	before := len(d.problems)
	value, ok := d.plain(n, path)
	if !ok || len(d.problems) > before {
		return
	}
	encoded, err := json.Marshal(value)
	if err == nil {
		err = reader.UnmarshalJSON(encoded)
	}
	d.refused(n, path, err)
}

// stringText is the text of a node that YAML takes for text.
func stringText(n ast.Node) (string, bool) {
	switch node := n.(type) {
	case *ast.StringNode:
		return node.Value, true
	case *ast.LiteralNode:
		return node.Value.Value, true
	}
	return "", false
}

// scalarText is the text of any single value, as it was written.
func scalarText(n ast.Node) (string, bool) {
	if text, ok := stringText(n); ok {
		return text, true
	}
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode, *ast.NullNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a set of keys"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	}
	return "something else"
}

// last is the last part of a dotted path: what the file shows on the line in question.
func last(path string) string { return printable(path[strings.LastIndexByte(path, '.')+1:]) }

// printable shortens a key that is none.
func printable(name string) string {
	const longest = 64
	if len(name) > longest {
		name = name[:longest] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(name, ""))
}
