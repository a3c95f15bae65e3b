package admin

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with what was to be registered.
type Problem struct {
	// Path is where it is, as in clients[0].redirect_uris[1].
	Path string
	What string
	// Hint says what to do instead; it may be empty.
	Hint string
	// At is the place in a file, as in tenant.yaml:12; empty when what was to
	// be registered did not come from a file.
	At string

	line int
}

// Error is "tenant.yaml:12: clients[0].redirect_uris[1]: what is wrong; what
// to do".
func (p *Problem) Error() string {
	text := p.What
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if p.At != "" {
		text = p.At + ": " + text
	}
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return text
}

// maxProblems is how many problems one error tells.
const maxProblems = 50

// problems gathers what is wrong, so that a person learns all of it at once.
type problems struct {
	list []*Problem
}

func (p *problems) add(path, hint, format string, args ...any) {
	p.list = append(p.list, &Problem{Path: path, What: fmt.Sprintf(format, args...), Hint: hint})
}

// err is the problems as one error of one line each, nil when there is none.
func (p *problems) err() error {
	var all []error
	for i, problem := range p.list {
		if i == maxProblems {
			all = append(all, fmt.Errorf("and %d more problems", len(p.list)-i))
			break
		}
		all = append(all, problem)
	}
	return errors.Join(all...)
}

// under puts a path before the problems' own.
func under(path string, list []*Problem) []*Problem {
	for _, problem := range list {
		problem.Path = strings.TrimSuffix(path+"."+problem.Path, ".")
	}
	return list
}

// step is one part of a problem's path: a key, perhaps an index, perhaps the
// name of the entry there, which is no part of the place.
var step = regexp.MustCompile(`^([a-z_]+)(?:\[([0-9]+)\])?(?: \(.*?\))?(?:\.|$)`)

// steps takes a problem's path apart, as far as it names a place in a file.
func steps(path string) []any {
	var all []any
	for {
		match := step.FindStringSubmatch(path)
		if match == nil {
			return all
		}
		all = append(all, match[1])
		if index, err := strconv.Atoi(match[2]); err == nil {
			all = append(all, index)
		}
		path = path[len(match[0]):]
	}
}
