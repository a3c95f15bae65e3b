package proxy

import "strings"

// Tree has values at patterns and finds those that a path matches, in time that depends
// on the path and not on how many there are, unless many share variables. The zero value
// is empty. It may be read by many at once while nobody adds to it.
type Tree[V any] struct {
	here, below []V // of patterns that end here, and of those that end here with a rest
	literal     map[string]*Tree[V]
	variable    *Tree[V]
}

// Add puts a value at a pattern, after those that are there.
func (t *Tree[V]) Add(p Pattern, value V) {
	for _, segment := range p.segments {
		next := t.variable
		if segment != anySegment {
			next = t.literal[segment]
		}
		if next == nil {
			next = &Tree[V]{}
			if segment == anySegment {
				t.variable = next
			} else {
				if t.literal == nil {
					t.literal = map[string]*Tree[V]{}
				}
				t.literal[segment] = next
			}
		}
		t = next
	}
	if p.rest {
		t.below = append(t.below, value)
	} else {
		t.here = append(t.here, value)
	}
}

// Find visits the values of the patterns that match the path until visit says that it is
// found. A pattern comes before all that cover it (see [Pattern.Covers]).
func (t *Tree[V]) Find(path string, visit func(V) (found bool)) bool {
	inside, absolute := strings.CutPrefix(path, "/")
	return absolute && t.find(inside, visit)
}

func (t *Tree[V]) find(inside string, visit func(V) bool) bool {
	segment, rest, more := strings.Cut(inside, "/")
	if next := t.literal[segment]; next != nil && next.step(rest, more, visit) {
		return true
	}
	if t.variable != nil && segment != "" && t.variable.step(rest, more, visit) {
		return true
	}
	return visited(t.below, visit)
}

// step is behind a segment.
func (t *Tree[V]) step(rest string, more bool, visit func(V) bool) bool {
	if more {
		return t.find(rest, visit)
	}
	return visited(t.here, visit)
}

func visited[V any](values []V, visit func(V) bool) bool {
	for _, one := range values {
		if visit(one) {
			return true
		}
	}
	return false
}
