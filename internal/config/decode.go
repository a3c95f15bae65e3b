package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
)

const (
	// MaxBytes is the largest file that Decode reads.
	MaxBytes = 4 << 20

	// maxFlowDepth bounds nested [ and {, maxBlockColumn nested lines, maxKeys the keys of one
	// mapping: the parser's time grows with the square of each.
	maxFlowDepth   = 32
	maxBlockColumn = 512
	maxKeys        = 10_000
)

// Decode reads one YAML document into the struct that v points to. Keys that are absent or null leave
// their fields as they are. The error lists what is wrong, a *Problem each, with name as the file's
// name; it shows no value of a key that is called something with secret, password or hash. When
// there is an error, what v holds is of no use.
func Decode(data []byte, name string, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		panic(fmt.Sprintf("config.Decode needs a pointer, not %T", v))
	}
	body, err := parse(data, name)
	if err != nil || body == nil {
		return err
	}
	d := decoder{name: name}
	d.decode(body, "", target.Elem())
	return joined(d.problems)
}

// parse returns the single document's root, nil for an empty file.
func parse(data []byte, name string) (body ast.Node, err error) {
	if len(data) > MaxBytes {
		return nil, &Problem{What: fmt.Sprintf("more than %d MiB", MaxBytes>>20), Name: name, Hint: "split the file"}
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if line, column, found := badCharacter(data); found {
		return nil, &Problem{What: "a character that is not UTF-8 or not printable", Name: name, Line: line, Column: column, Hint: "save the file as UTF-8 text"}
	}
	defer func() {
		if recover() != nil { // the parser is not ours, and a file must not be able to stop the program
			body, err = nil, &Problem{What: "YAML that cannot be read", Name: name}
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if err := checkTokens(tokens, name); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxProblem(err, name)
	}
	for _, document := range file.Docs {
		if document.Body == nil {
			continue
		}
		if body != nil {
			return nil, at(document.Body, name, "a second document", "keep one document in each file")
		}
		body = document.Body
	}
	return body, nil
}

// badCharacter finds what YAML 1.2 §5.1 has no place for.
func badCharacter(data []byte) (line, column int, found bool) {
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7F {
			return line, column, true
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		data = data[size:]
	}
	return 0, 0, false
}

// syntaxProblem keeps the parser's message and place, but not its excerpt of the file, which may
// hold secrets.
func syntaxProblem(err error, name string) error {
	problem := &Problem{What: "YAML that cannot be read", Name: name}
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) && syntax.Token != nil && syntax.Token.Position != nil {
		problem.What = "YAML syntax error"
		problem.Line, problem.Column = syntax.Token.Position.Line, syntax.Token.Position.Column
		problem.Hint = syntax.Message
	}
	return problem
}

func at(n ast.Node, name, what, hint string) *Problem {
	problem := &Problem{What: what, Name: name, Hint: hint}
	if mapping, ok := n.(*ast.MappingNode); ok && !mapping.IsFlowStyle && len(mapping.Values) > 0 {
		n = mapping.Values[0].Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		problem.Line, problem.Column = t.Position.Line, t.Position.Column
	}
	return problem
}
