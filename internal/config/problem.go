package config

import (
	"errors"
	"fmt"
	"strings"
)

// maxProblems is how many problems one error tells; a wrong file need not print itself.
const maxProblems = 20

// Problem is one thing that is wrong with a file.
type Problem struct {
	What   string // what is wrong: "unknown key redirect_uri"
	Name   string // the file's name as it was given to Decode
	Line   int    // from 1; 0 when the problem is the whole file's
	Column int    // from 1
	Hint   string // what to do, or empty
}

// Error is "unknown key redirect_uri at tenant.yaml:12:5; did you mean redirect_uris?".
func (p *Problem) Error() string {
	text := p.What + " at " + p.Name
	if p.Line > 0 {
		text += fmt.Sprintf(":%d:%d", p.Line, p.Column)
	}
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return text
}

// joined is the problems as one error of one line each, nil when there are none.
func joined(problems []error) error {
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems:maxProblems], fmt.Errorf("and %d more problems", more))
	}
	return errors.Join(problems...)
}

// namesSecret says that the value under a key must not be printed.
func namesSecret(path string) bool {
	path = strings.ToLower(path)
	for _, word := range []string{"secret", "password", "hash"} {
		if strings.Contains(path, word) {
			return true
		}
	}
	return false
}
