package spec

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

const importPath = "gatehouse/internal/spec"

// A Claim is one id in one call of Covers.
type Claim struct {
	ID string
	At string // file:line, the file relative to the root that was read
}

// Claims reads every _test.go file below root and returns the ids that calls of Covers
// name, in the order of the files. An argument that is not a string literal is an error,
// since nothing but running the test could tell what it names.
func Claims(root string) ([]Claim, error) {
	var claims []Claim
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); path != root && (name[0] == '.' || name == "node_modules" || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		found, err := claimsOf(root, path)
		claims = append(claims, found...)
		return err
	})
	return claims, err
}

func claimsOf(root, path string) ([]Claim, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	name := importedAs(file)
	if name == "" {
		return nil, nil
	}
	var claims []Claim
	var wrong error
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || !isCovers(call.Fun, name) || len(call.Args) == 0 {
			return true
		}
		for _, argument := range call.Args[1:] {
			position := files.Position(argument.Pos())
			if relative, err := filepath.Rel(root, path); err == nil {
				position.Filename = filepath.ToSlash(relative)
			}
			at := fmt.Sprintf("%s:%d", position.Filename, position.Line)
			literal, ok := argument.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				wrong = fmt.Errorf("%s: the ids given to spec.Covers must be string literals", at)
				return false
			}
			id, err := strconv.Unquote(literal.Value)
			if err != nil {
				wrong = fmt.Errorf("%s: %w", at, err)
				return false
			}
			claims = append(claims, Claim{ID: id, At: at})
		}
		return true
	})
	return claims, wrong
}

// importedAs returns the name under which file imports this package, empty if it does not.
func importedAs(file *ast.File) string {
	for _, imported := range file.Imports {
		if path, err := strconv.Unquote(imported.Path.Value); err != nil || path != importPath {
			continue
		}
		if imported.Name != nil {
			return imported.Name.Name
		}
		return "spec"
	}
	return ""
}

func isCovers(function ast.Expr, name string) bool {
	selector, ok := function.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "Covers" {
		return false
	}
	base, ok := selector.X.(*ast.Ident)
	return ok && base.Name == name
}

// Judge compares the table with the claims and returns what is wrong, one sentence each.
func Judge(rows []Row, claims []Claim) []string {
	byID := make(map[string]Row, len(rows))
	for _, row := range rows {
		byID[row.ID] = row
	}
	claimed := make(map[string]bool)
	var wrong, settle []string
	for _, claim := range claims {
		row, known := byID[claim.ID]
		switch {
		case !known:
			wrong = append(wrong, fmt.Sprintf("%s: spec.Covers names %s, which is not a row of %s", claim.At, claim.ID, Table))
		case row.Status == Later && row.Reason == BeingBuilt:
			if !claimed[row.ID] {
				settle = append(settle, row.ID)
			}
		case row.Status != Covered:
			wrong = append(wrong, fmt.Sprintf("%s: a test covers %s, but %s:%d says %s: %s", claim.At, row.ID, Table, row.Line, row.Status, row.Reason))
		}
		claimed[claim.ID] = true
	}
	if len(settle) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s still says %q of rows that tests cover; run: go run ./scripts/gate requirements -settle (%s)",
			Table, "later: "+BeingBuilt, strings.Join(settle, " ")))
	}
	for _, row := range rows {
		if row.Status == Covered && !claimed[row.ID] {
			wrong = append(wrong, fmt.Sprintf("%s:%d: %s says covered, but no test calls spec.Covers(t, %q)", Table, row.Line, row.ID, row.ID))
		}
	}
	return wrong
}

// Settle returns the table's text with every row that is being built and has a claim
// turned into covered, and the ids of the rows it turned.
func Settle(text string, claims []Claim) (settled string, turned []string) {
	claimed := make(map[string]bool)
	for _, claim := range claims {
		claimed[claim.ID] = true
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		cells := strings.Split(line, "\t")
		if len(cells) == columns && cells[1] == string(Later)+": "+BeingBuilt && claimed[cells[0]] {
			cells[1] = string(Covered)
			lines[i] = strings.Join(cells, "\t")
			turned = append(turned, cells[0])
		}
	}
	return strings.Join(lines, "\n"), turned
}
