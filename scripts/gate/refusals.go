package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	oauthDir = "oauth"
	rulesDir = "oauth/rules"
)

// A refusal is one call of oauth.Refuse outside tests.
type refusal struct {
	file      string // relative to the root
	line, col int
	rule      string // empty when the first argument is no constant
}

func (r refusal) at() string { return fmt.Sprintf("%s:%d", r.file, r.line) }

// refusals compares the calls of oauth.Refuse with the texts of their rules, and with
// what the coverage profiles say was run.
func refusals(root string, profiles []string) ([]string, error) {
	calls, err := refuseCalls(root)
	if err != nil {
		return nil, err
	}
	texts, wrong, err := ruleTexts(root)
	if err != nil {
		return nil, err
	}
	used := make(map[string]bool)
	for _, call := range calls {
		if call.rule == "" {
			wrong = append(wrong, fmt.Sprintf("%s: the rule given to oauth.Refuse must be a string literal or a constant of the same package", call.at()))
			continue
		}
		used[call.rule] = true
		if texts[call.rule] == "" {
			wrong = append(wrong, fmt.Sprintf("%s: the rule %q has no text; add it to a file in %s", call.at(), call.rule, rulesDir))
		}
	}
	for rule, at := range texts {
		if !used[rule] {
			wrong = append(wrong, fmt.Sprintf("%s: no oauth.Refuse outside tests uses the rule %q; remove the text", at, rule))
		}
	}
	slices.Sort(wrong)
	if len(profiles) == 0 {
		return wrong, nil
	}
	covered, err := readProfiles(profiles)
	if err != nil {
		return nil, err
	}
	for _, call := range calls {
		switch covered.at(module+"/"+call.file, call.line, call.col) {
		case notRun:
			wrong = append(wrong, fmt.Sprintf("%s: no test makes the server refuse by the rule %q", call.at(), call.rule))
		case notBuilt:
			wrong = append(wrong, fmt.Sprintf("%s: no test was built with this file, so none makes the server refuse by the rule %q", call.at(), call.rule))
		case notInstrumented:
			wrong = append(wrong, fmt.Sprintf("%s: coverage does not see this oauth.Refuse; call it inside a function", call.at()))
		}
	}
	return wrong, nil
}

func refuseCalls(root string) ([]refusal, error) {
	paths, err := goFiles(root)
	if err != nil {
		return nil, err
	}
	var calls []refusal
	byDir := make(map[string][]string)
	var dirs []string
	for _, name := range paths {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			dirs = append(dirs, dir)
		}
		byDir[dir] = append(byDir[dir], name)
	}
	for _, dir := range dirs {
		found, err := refuseCallsOf(root, dir, byDir[dir])
		if err != nil {
			return nil, err
		}
		calls = append(calls, found...)
	}
	return calls, nil
}

func refuseCallsOf(root, dir string, paths []string) ([]refusal, error) {
	positions := token.NewFileSet()
	files := make(map[string]*ast.File, len(paths))
	constants := make(map[string]string)
	for _, name := range paths {
		file, err := parser.ParseFile(positions, filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files[name] = file
		stringConstants(file, constants)
	}
	var calls []refusal
	for _, name := range paths {
		qualifier, calledHere := qualifierOf(files[name], dir)
		if !calledHere {
			continue
		}
		ast.Inspect(files[name], func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || !isRefuse(call.Fun, qualifier) || len(call.Args) == 0 {
				return true
			}
			position := positions.Position(call.Pos())
			calls = append(calls, refusal{name, position.Line, position.Column, constant(call.Args[0], constants)})
			return true
		})
	}
	return calls, nil
}

// qualifierOf tells under which name a file in dir calls package oauth: empty inside the
// package itself; calledHere is false where the file does not import it.
func qualifierOf(file *ast.File, dir string) (qualifier string, calledHere bool) {
	if dir == oauthDir {
		return "", true
	}
	for _, imported := range file.Imports {
		if name, err := strconv.Unquote(imported.Path.Value); err != nil || name != module+"/"+oauthDir {
			continue
		}
		if imported.Name != nil {
			return imported.Name.Name, true
		}
		return "oauth", true
	}
	return "", false
}

func isRefuse(function ast.Expr, qualifier string) bool {
	if name, ok := function.(*ast.Ident); ok {
		return qualifier == "" && name.Name == "Refuse"
	}
	selector, ok := function.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "Refuse" {
		return false
	}
	base, ok := selector.X.(*ast.Ident)
	return ok && qualifier != "" && base.Name == qualifier
}

// stringConstants adds the package-level string constants of file to constants.
func stringConstants(file *ast.File, constants map[string]string) {
	for _, declaration := range file.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			values, ok := spec.(*ast.ValueSpec)
			if !ok {
				continue
			}
			for i, name := range values.Names {
				if i < len(values.Values) {
					if text := constant(values.Values[i], nil); text != "" {
						constants[name.Name] = text
					}
				}
			}
		}
	}
}

func constant(expression ast.Expr, constants map[string]string) string {
	switch value := expression.(type) {
	case *ast.BasicLit:
		if value.Kind == token.STRING {
			if text, err := strconv.Unquote(value.Value); err == nil {
				return text
			}
		}
	case *ast.Ident:
		return constants[value.Name]
	}
	return ""
}

// ruleTexts reads the names of the rules that have a text, each with its place, and
// complains about those that stand twice or say nothing.
func ruleTexts(root string) (texts map[string]string, wrong []string, err error) {
	texts = make(map[string]string)
	names, err := filepath.Glob(filepath.Join(root, rulesDir, "*.txt"))
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, err
		}
		rule, said, mend := "", false, false
		at := ""
		finish := func() {
			if rule != "" && (!said || !mend) {
				wrong = append(wrong, fmt.Sprintf("%s: the rule %q needs a text and a line that begins with Mend:", at, rule))
			}
		}
		for i, line := range strings.Split(string(content), "\n") {
			switch {
			case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
			case line[0] != ' ' && line[0] != '\t':
				finish()
				rule, said, mend = strings.TrimSpace(line), false, false
				at = fmt.Sprintf("%s/%s:%d", rulesDir, filepath.Base(name), i+1)
				if texts[rule] != "" {
					wrong = append(wrong, fmt.Sprintf("%s: the rule %q already has a text at %s", at, rule, texts[rule]))
				}
				texts[rule] = at
			case strings.HasPrefix(strings.TrimSpace(line), "Mend:"):
				mend = true
			case !strings.HasPrefix(strings.TrimSpace(line), "See:"):
				said = true
			}
		}
		finish()
	}
	return texts, wrong, nil
}
