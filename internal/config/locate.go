package config

import "github.com/goccy/go-yaml/ast"

// Locate returns a function that finds lines of a file which Decode reads: that of the key or entry
// at a path of keys (string) and list indexes (int), or of the deepest part of the path that is
// there. It is for problems that show only when values are judged together. The line is 0 when the
// file cannot be read or not even the first part is there.
func Locate(data []byte) func(path ...any) (line int) {
	body, err := parse(data, "")
	if err != nil {
		body = nil
	}
	return func(path ...any) int {
		line, n := 0, body
		for _, step := range path {
			at, next := child(n, step)
			if at == 0 {
				break
			}
			line, n = at, next
		}
		return line
	}
}

// child finds one step below a node; the line is 0 when there is none.
func child(n ast.Node, step any) (line int, value ast.Node) {
	switch node := n.(type) {
	case *ast.MappingNode:
		for _, entry := range node.Values {
			if line, value := child(entry, step); line != 0 {
				return line, value
			}
		}
	case *ast.MappingValueNode:
		name, scalar := scalarText(node.Key)
		if scalar && name == step {
			return at(node.Key, "", "", "").Line, node.Value
		}
	case *ast.SequenceNode:
		if index, ok := step.(int); ok && index >= 0 && index < len(node.Values) && node.Values[index] != nil {
			return at(node.Values[index], "", "", "").Line, node.Values[index]
		}
	}
	return 0, nil
}
