package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/proxy"
	"gatehouse/resource"
)

// route is one that is ready to be used.
type route struct {
	Route
	pattern proxy.Pattern
	loosely proxy.Pattern
	methods []string // nil means every one
	// class is the same for routes with the same rules.
	class int
	// stripped is of how many segments StripPrefix is.
	stripped int

	server    *resource.Server    // nil when it is public, as is the next
	admission *resource.Admission // by which requests are let in
	upstream  *upstream
	audience  string
}

func (r *route) takes(method string) bool {
	return r.methods == nil || slices.Contains(r.methods, method)
}

// narrower says whether every request that r matches is one of other's.
func (r *route) narrower(other *route) bool {
	if !other.pattern.Covers(r.pattern) {
		return false
	}
	return other.methods == nil || r.methods != nil && !slices.ContainsFunc(r.methods, func(m string) bool { return !slices.Contains(other.methods, m) })
}

func (r *route) overlaps(other *route) bool {
	return r.pattern.Overlaps(other.pattern) && (r.methods == nil || other.methods == nil || slices.ContainsFunc(r.methods, other.takes))
}

// table has the routes of one host.
type table struct {
	routes []*route
	exact  proxy.Tree[*route]
	// loose has the same by their loose patterns.
	loose proxy.Tree[*route]
	// mixed says that not all have the same rules.
	mixed bool
}

// tables are the routes' by hosts; "" are those of hosts that have none.
type tables map[string]*table

// newTables puts the routes in order. The error says which overlap, so that nobody
// could tell which of them is meant.
func newTables(routes []Route) (tables, error) {
	t := tables{}
	var problems []error
	classes := map[string]int{}
	for _, one := range routes {
		pattern, err := proxy.ParsePattern(one.Match.Path)
		if err != nil {
			return nil, err
		}
		ready := &route{Route: one, pattern: pattern, loosely: pattern.Loose(), methods: methodsOf(one.Match.Methods)}
		ready.stripped, _ = pattern.Under(one.StripPrefix)
		rules := rulesOf(one)
		class, known := classes[rules]
		if !known {
			class = len(classes)
			classes[rules] = class
		}
		ready.class = class
		hosts := one.Match.Hosts
		if len(hosts) == 0 {
			hosts = []string{""}
		}
		for _, host := range hosts {
			if t[host] == nil {
				t[host] = &table{}
			}
			problems = append(problems, t[host].add(ready, host)...)
		}
	}
	for _, one := range t {
		one.index()
	}
	return t, errors.Join(problems...)
}

// rulesOf is the same text for routes that differ in name and match alone.
func rulesOf(r Route) string {
	exchange := Exchange{}
	if r.Forward.Exchange != nil {
		exchange = *r.Forward.Exchange
	}
	r.Name, r.Match, r.Forward.Exchange = "", Match{}, nil
	return fmt.Sprintf("%#v %#v", r, exchange)
}

// methodsOf are the methods that are taken; nil means every one.
func methodsOf(methods []string) []string {
	if len(methods) == 0 {
		return nil
	}
	methods = slices.Clone(methods)
	if slices.Contains(methods, http.MethodGet) && !slices.Contains(methods, http.MethodHead) {
		methods = append(methods, http.MethodHead)
	}
	return methods
}

// add adds a route and says with which it cannot be.
func (t *table) add(added *route, host string) (problems []error) {
	where := ""
	if host != "" {
		where = " at " + host
	}
	for _, other := range t.routes {
		switch {
		case other == added:
			problems = append(problems, fmt.Errorf("the route %q names the host %s twice", added.Name, host))
		case !added.overlaps(other):
		case added.narrower(other) && other.narrower(added):
			problems = append(problems, fmt.Errorf("the routes %q and %q match the same requests%s", other.Name, added.Name, where))
		case !added.narrower(other) && !other.narrower(added):
			problems = append(problems, fmt.Errorf("the routes %q (%s) and %q (%s) overlap%s, and neither is narrower in both path and methods; write a third for what they share, or take it from one",
				other.Name, other.pattern, added.Name, added.pattern, where))
		}
		t.mixed = t.mixed || other.class != added.class
	}
	t.routes = append(t.routes, added)
	return problems
}

// index makes the trees, of routes with the same path the fewest methods first: of two
// that overlap, those are among the other's.
func (t *table) index() {
	count := func(r *route) int {
		if r.methods == nil {
			return math.MaxInt
		}
		return len(r.methods)
	}
	for _, one := range slices.SortedStableFunc(slices.Values(t.routes), func(one, other *route) int { return cmp.Compare(count(one), count(other)) }) {
		t.exact.Add(one.pattern, one)
		t.loose.Add(one.loosely, one)
	}
}

// find returns the route for the path and the method; without one, allowed are the
// methods that there are at the path.
func (t *table) find(path, method string) (found *route, allowed []string) {
	if t.exact.Find(path, func(one *route) bool {
		found = one
		return one.takes(method)
	}) {
		return found, nil
	}
	if found == nil {
		return nil, nil
	}
	t.exact.Find(path, func(one *route) bool {
		allowed = append(allowed, one.methods...)
		return false
	})
	slices.Sort(allowed)
	return nil, slices.Compact(allowed)
}

// ambiguous says whether a server that does not tell letters' case, or a slash at the
// end, would take the path for one of another route with other rules.
func (t *table) ambiguous(path, method string, found *route) bool {
	if !t.mixed || found.upstream != nil && found.upstream.ExactPaths {
		return false
	}
	other := func(path string) bool {
		return t.loose.Find(path, func(one *route) bool {
			return one.class != found.class && one.takes(method) && !same(one.pattern, found.pattern) &&
				(one.loosely.Nearer(found.loosely) || same(one.loosely, found.loosely))
		})
	}
	loose := proxy.Loose(path)
	if other(loose) {
		return true
	}
	if without, slash := strings.CutSuffix(loose, "/"); slash {
		return without != "" && other(without)
	}
	return other(loose + "/")
}

func same(one, other proxy.Pattern) bool { return one.Covers(other) && other.Covers(one) }

// at returns the routes of a host, nil if there are none.
func (t tables) at(host string) *table {
	if one := t[host]; one != nil {
		return one
	}
	if _, parent, found := strings.Cut(host, "."); found {
		if one := t["*."+parent]; one != nil {
			return one
		}
	}
	return t[""]
}

// hostName is the name of a Host header's value in small letters, without the port.
func hostName(host string) string {
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			return host[:end+1]
		}
		return host
	}
	name, _, _ := strings.Cut(host, ":")
	return strings.ToLower(name)
}

// validHost says whether a Host header's value is a name or an address, with a port or
// without (RFC 9110 §7.2), that every server reads in the same way.
func validHost(host string) bool {
	if strings.ContainsFunc(host, func(r rune) bool { return r > '~' }) { // in small letters it may be of another length
		return false
	}
	name := hostName(host)
	if port, has := strings.CutPrefix(host[len(name):], ":"); has && !validPort(port) || !has && len(host) > len(name) {
		return false
	}
	if inside, is := strings.CutPrefix(name, "["); is {
		text, closed := strings.CutSuffix(inside, "]")
		address, err := netip.ParseAddr(text)
		return closed && err == nil && address.Is6() && address.Zone() == ""
	}
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool { return r != '-' && r != '_' && !letterOrDigit(r) }) {
			return false
		}
	}
	return true
}

func validPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}
