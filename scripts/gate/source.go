package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const (
	module   = "gatehouse"
	maxLines = 500 // of a Go file, tests included
)

// goFiles returns the paths of the module's Go files below root, slash-separated and
// relative to it. Nested modules belong to others and are left out.
func goFiles(root string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == root {
				return nil
			}
			if base := entry.Name(); base[0] == '.' || base == "node_modules" || base == "testdata" {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, ".go") {
			relative, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			paths = append(paths, filepath.ToSlash(relative))
		}
		return nil
	})
	return paths, err
}

func length(root string) ([]string, error) {
	paths, err := goFiles(root)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for _, name := range paths {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		if lines := bytes.Count(text, []byte("\n")); lines > maxLines {
			wrong = append(wrong, fmt.Sprintf("%s: %d lines, at most %d; split it by what its parts are for", name, lines, maxLines))
		}
	}
	return wrong, nil
}

// fuzzTargets prints the import path and the name of every fuzz target.
func fuzzTargets(root string) error {
	paths, err := goFiles(root)
	if err != nil {
		return err
	}
	for _, name := range paths {
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if ok && function.Recv == nil && strings.HasPrefix(function.Name.Name, "Fuzz") {
				fmt.Println("./"+path.Dir(name), function.Name.Name)
			}
		}
	}
	return nil
}
