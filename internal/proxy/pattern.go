package proxy

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Pattern is the paths that a route is for, written as net/http writes them:
// "/photos" is one path, "{id}" stands for one segment that is not empty, and
// "{rest...}" at the end for everything below, also nothing.
type Pattern struct {
	text     string
	segments []string
	names    []string // of the variables, "" where a segment is none
	rest     bool     // anything may follow
	restName string
}

// MaxPatternBytes bounds a pattern's text.
const MaxPatternBytes = 1 << 10

// ParsePattern reads a pattern, whose text is not encoded. The error says what is
// wrong with it.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: text}
	if len(text) > MaxPatternBytes {
		return p, fmt.Errorf("a path of more than %d bytes", MaxPatternBytes)
	}
	inside, found := strings.CutPrefix(text, "/")
	if !found {
		return p, fmt.Errorf("the path %q does not begin with a slash", text)
	}
	names := map[string]bool{}
	segments := strings.Split(inside, "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		name, variable := strings.CutPrefix(segment, "{")
		if !variable {
			if last && segment == "" && len(segments) > 1 {
				return p, fmt.Errorf("the path %q ends in a slash; write %s{rest...} for all that is below", text, text)
			}
			if strings.ContainsAny(segment, "{}*?#%") {
				return p, fmt.Errorf("the path %q has one of {}*?#%% inside a segment; {name} stands for a whole one, {name...} at the end for the rest", text)
			}
			if strings.HasPrefix(segment, ":") { // a variable elsewhere, and here a segment that nobody asks for
				return p, fmt.Errorf("the path %q has a segment that begins with a colon; {name} stands for any segment", text)
			}
			if err := CheckPath("/" + strings.ReplaceAll(url.PathEscape(segment), "%3B", ";")); segment != "" && err != nil {
				return p, fmt.Errorf("no request can have the path %q", text)
			}
			if segment == "" && !last {
				return p, fmt.Errorf("no request can have the path %q", text)
			}
			p.segments, p.names = append(p.segments, segment), append(p.names, "")
			continue
		}
		name, closed := strings.CutSuffix(name, "}")
		name, open := strings.CutSuffix(name, "...")
		if !closed || name == "" || strings.ContainsAny(name, "{}") || names[name] {
			return p, fmt.Errorf("the path %q has a variable that is not {name} or {name...}, or is there twice", text)
		}
		names[name] = true
		if open {
			if !last {
				return p, errors.New("only the last segment of a path may be {name...}")
			}
			p.rest, p.restName = true, name
			continue
		}
		p.segments, p.names = append(p.segments, anySegment), append(p.names, name)
	}
	return p, nil
}

// anySegment is no segment of a path.
const anySegment = "/"

// String is the text that was parsed.
func (p Pattern) String() string { return p.text }

// Values calls set with the name and value of each variable. The path must match.
func (p Pattern) Values(path string, set func(name, value string)) {
	inside := strings.TrimPrefix(path, "/")
	for _, name := range p.names {
		var segment string
		segment, inside, _ = strings.Cut(inside, "/")
		if name != "" {
			set(name, segment)
		}
	}
	if p.rest {
		set(p.restName, inside)
	}
}

// Covers says whether p has all paths that q has.
func (p Pattern) Covers(q Pattern) bool {
	for i, want := range p.segments {
		if i >= len(q.segments) || want != q.segments[i] && (want != anySegment || q.segments[i] == "") {
			return false
		}
	}
	if !p.rest {
		return len(p.segments) == len(q.segments) && !q.rest
	}
	return len(q.segments) > len(p.segments) || len(q.segments) == len(p.segments) && q.rest
}

// Overlaps says whether there is a path that both have.
func (p Pattern) Overlaps(q Pattern) bool {
	for i := range min(len(p.segments), len(q.segments)) {
		one, other := p.segments[i], q.segments[i]
		if one != other && (one != anySegment || other == "") && (other != anySegment || one == "") {
			return false
		}
	}
	switch {
	case len(p.segments) == len(q.segments):
		return p.rest == q.rest
	case len(p.segments) < len(q.segments):
		return p.rest
	}
	return q.rest
}

// Nearer says whether p is the more particular one where it first differs from q: it
// names a segment that q leaves open, or it ends where q goes on to what is below.
func (p Pattern) Nearer(q Pattern) bool {
	for i, segment := range p.segments {
		if i >= len(q.segments) {
			return q.rest
		}
		if (segment == anySegment) != (q.segments[i] == anySegment) {
			return segment != anySegment
		}
	}
	return len(p.segments) == len(q.segments) && !p.rest && q.rest
}

// Loose is the pattern without regard to letters' case: it matches what [Loose] makes of
// paths.
func (p Pattern) Loose() Pattern {
	loose := p
	loose.segments = slices.Clone(p.segments)
	for i, segment := range loose.segments {
		loose.segments[i] = Loose(segment)
	}
	return loose
}

// Loose is a path as servers read it that do not tell letters' case.
func Loose(path string) string { return strings.ToLower(path) }

// Below is an escaped path without its first segments, of which it has that many: what
// is left of /a/b/c without one is /b/c.
func Below(escaped string, segments int) string {
	for range segments {
		at := strings.IndexByte(escaped[1:], '/')
		if at < 0 {
			return "/"
		}
		escaped = escaped[1+at:]
	}
	return escaped
}

// Under says whether all paths of the pattern are the plain path above, or below it, and
// of how many segments that is.
func (p Pattern) Under(above string) (segments int, is bool) {
	want := strings.Split(strings.TrimPrefix(above, "/"), "/")
	if above == "" || above[0] != '/' || above == "/" || slices.Contains(want, "") || len(p.segments) < len(want) {
		return 0, false
	}
	return len(want), slices.Equal(p.segments[:len(want)], want)
}

// Match says whether a path, decoded after [CheckPath] accepted it, is one of the
// pattern's.
func (p Pattern) Match(path string) bool {
	inside, found := strings.CutPrefix(path, "/")
	if !found {
		return false
	}
	for i, want := range p.segments {
		segment, rest, more := strings.Cut(inside, "/")
		if want == anySegment && segment == "" || want != anySegment && want != segment {
			return false
		}
		if last := i == len(p.segments)-1; last && !p.rest {
			return !more
		}
		if !more {
			return false
		}
		inside = rest
	}
	return p.rest
}
