package openapi

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"gatehouse/gateway"
	"gatehouse/internal/config"
	"gatehouse/internal/proxy"
	"gatehouse/jose"
	"gatehouse/resource"
)

// Bounds of a description.
const (
	MaxBytes      = config.MaxBytes
	MaxOperations = gateway.MaxRoutes
	// maxDepth and maxMembers bound one in JSON; package config bounds YAML.
	maxDepth   = 128
	maxMembers = 200_000
	// maxAlternatives bounds the security entries of one operation.
	maxAlternatives = 32
	// maxReferences bounds how many references lead to one thing.
	maxReferences = 8
)

// Config says what the description does not.
type Config struct {
	// Name begins the names of the routes: NAME.OPERATION. Required.
	Name string
	// Authentication is whose tokens are taken. Required, unless Schemes names one for each
	// scheme that the description uses.
	Authentication string
	// Schemes are authentications of single security schemes, by the scheme's name.
	Schemes map[string]string
	// IgnoredSchemes are those of which nobody makes use at the gateway: alternatives that
	// need one are left out.
	IgnoredSchemes []string
	// AllowPublic makes operations without security public; else they are an error.
	AllowPublic bool
	// BasePath is in front of all paths, in the place of the servers' own. "/" is none.
	BasePath string

	// Hosts, Upstream, Forward, Limits and StripPrefix are those of all routes; public ones
	// have no Forward, and only the limits per address.
	Hosts       []string
	Upstream    string
	Forward     gateway.Forward
	Limits      []gateway.Limit
	StripPrefix string
}

// Routes reads a description in YAML or JSON. The error lists all that is wrong, with the
// file's name and the operations.
func Routes(text []byte, name string, c Config) ([]gateway.Route, error) {
	if c.Name == "" || c.Authentication == "" && len(c.Schemes) == 0 {
		return nil, errors.New("openapi: Name, or both Authentication and Schemes, are missing")
	}
	root, err := decode(text, name)
	if err != nil {
		return nil, err
	}
	d := &description{Config: c, file: name, root: root, names: map[string]string{}}
	d.read()
	if len(d.problems) > 0 {
		return nil, errors.Join(d.problems...)
	}
	return d.routes, nil
}

func decode(text []byte, name string) (root map[string]any, err error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("%s: more than %d MiB", name, MaxBytes>>20)
	}
	if bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		limits := jose.Limits{Bytes: MaxBytes, Depth: maxDepth, Members: maxMembers}
		if limits.Decode(text, &root) == nil { // else it may be YAML in brackets
			return root, nil
		}
	}
	err = config.Decode(text, name, &root)
	return root, err
}

// description is what is being read.
type description struct {
	Config
	file     string
	root     map[string]any
	schemes  map[string]scheme
	names    map[string]string // of routes, and the operations that have them
	routes   []gateway.Route
	problems []error
}

func (d *description) complain(about, format string, args ...any) {
	if len(d.problems) > maxProblems {
		return
	}
	what := fmt.Errorf(format, args...)
	switch {
	case len(d.problems) == maxProblems:
		what = errors.New("and more")
	case about != "":
		what = fmt.Errorf("%s: %w", about, what)
	}
	d.problems = append(d.problems, fmt.Errorf("%s: %w", d.file, what))
}

// maxProblems bounds how many are told.
const maxProblems = 20

// methods are what a path's item may have, in the order of routes.
var methods = []string{"get", "head", "post", "put", "patch", "delete", "options", "trace"}

func (d *description) read() {
	version, _ := d.root["openapi"].(string)
	if !strings.HasPrefix(version, "3.0.") && !strings.HasPrefix(version, "3.1.") {
		if d.root["swagger"] != nil {
			d.complain("", "it is of Swagger 2; convert it to OpenAPI 3")
			return
		}
		d.complain("", "it does not begin with openapi: 3.0.x or 3.1.x")
		return
	}
	d.readSchemes()
	paths, is := d.root["paths"].(map[string]any)
	if !is || len(paths) == 0 {
		d.complain("", "it has no paths")
		return
	}
	for _, path := range sorted(paths) {
		if strings.HasPrefix(path, "x-") {
			continue
		}
		item, err := d.resolve(paths[path])
		if err != nil {
			d.complain(path, "%w", err)
			continue
		}
		d.readItem(path, item)
	}
	if len(d.routes) == 0 && len(d.problems) == 0 {
		d.complain("", "it has no operation")
	}
}

func (d *description) readItem(path string, item map[string]any) {
	for _, method := range methods {
		raw, has := item[method]
		if !has {
			continue
		}
		about := strings.ToUpper(method) + " " + path
		operation, is := raw.(map[string]any)
		switch {
		case !is:
			d.complain(about, "it is no operation")
		case method == "trace":
			d.complain(about, "TRACE is never passed on")
		case len(d.routes) == MaxOperations:
			d.complain("", "it has more than %d operations", MaxOperations)
			return
		default:
			d.readOperation(about, path, method, item, operation)
		}
	}
}

func (d *description) readOperation(about, path, method string, item, operation map[string]any) {
	route := gateway.Route{Name: d.routeName(about, path, method, operation), Upstream: d.Upstream, StripPrefix: d.StripPrefix}
	base, err := d.basePath(operation, item, d.root)
	if err != nil {
		d.complain(about, "%w", err)
		return
	}
	if route.Match, err = match(base, path, method, d.Hosts); err != nil {
		d.complain(about, "%w", err)
		return
	}
	needed, err := d.security(operation)
	if err != nil {
		d.complain(about, "%w", err)
		return
	}
	if needed.public {
		route.Public = true
	} else {
		route.Authentication, route.Forward = needed.authentication, d.Forward
		route.Needs = resource.Needs{Scopes: needed.scopes}
	}
	for _, limit := range d.Limits {
		if !route.Public || limit.Per == gateway.PerAddress {
			route.Limits = append(route.Limits, limit)
		}
	}
	if method == "head" { // GET stands for it, too
		if get := d.get(route.Match); get != nil {
			if get.Public != route.Public || get.Authentication != route.Authentication || !slices.Equal(get.Needs.Scopes, route.Needs.Scopes) {
				d.complain(about, "it has another security than GET, which stands for HEAD, too")
			}
			return
		}
	}
	d.routes = append(d.routes, route)
}

// get is the route of GET for the same path.
func (d *description) get(m gateway.Match) *gateway.Route {
	for i := range d.routes {
		if r := &d.routes[i]; r.Match.Path == m.Path && r.Match.Methods[0] == http.MethodGet {
			return r
		}
	}
	return nil
}

// routeName is the operation's id, or made of its method and path.
func (d *description) routeName(about, path, method string, operation map[string]any) string {
	name, has := operation["operationId"].(string)
	if !has || name == "" {
		name = method + path
	}
	name = strings.Trim(strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, name), "-")
	if room := maxRouteName - len(d.Name) - 1; len(name) > room {
		name = name[:max(room, 0)]
	}
	name = d.Name + "." + name
	if other, taken := d.names[name]; taken {
		d.complain(about, "its route would be called %s, as that of %s; give each operation an operationId of its own that differs in its beginning", name, other)
	}
	d.names[name] = about
	return name
}

// maxRouteName bounds the name of a route, as package gateway does.
const maxRouteName = 64

// match makes the match of an operation. A parameter is one whole segment, and its name
// is one that scopes can have.
func match(base, path, method string, hosts []string) (gateway.Match, error) {
	m := gateway.Match{Hosts: hosts, Methods: []string{strings.ToUpper(method)}}
	if !strings.HasPrefix(path, "/") {
		return m, errors.New("the path does not begin with a slash")
	}
	segments := strings.Split(base+path, "/")[1:]
	for i, segment := range segments {
		if inside, is := strings.CutPrefix(segment, "{"); is && strings.HasSuffix(inside, "}") && strings.Count(segment, "{") == 1 && strings.Count(segment, "}") == 1 {
			segments[i] = "{" + strings.Map(variable, strings.TrimSuffix(inside, "}")) + "}"
			continue
		}
		if strings.ContainsAny(segment, "{}") {
			return m, fmt.Errorf("the segment %q is not wholly one parameter; a route cannot take it apart", segment)
		}
	}
	m.Path = "/" + strings.Join(segments, "/")
	if _, err := proxy.ParsePattern(m.Path); err != nil {
		return m, err
	}
	return m, nil
}

func variable(r rune) rune {
	if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' {
		return r
	}
	return '_'
}

// basePath is that of the nearest servers.
func (d *description) basePath(from ...map[string]any) (string, error) {
	if d.BasePath != "" {
		return strings.TrimSuffix(d.BasePath, "/"), nil
	}
	for _, one := range from {
		raw, has := one["servers"]
		if !has {
			continue
		}
		servers, is := raw.([]any)
		if !is {
			return "", errors.New("servers is no list")
		}
		base, found := "", false
		for _, server := range servers {
			path, err := serverPath(server)
			if err != nil {
				return "", err
			}
			if found && path != base {
				return "", fmt.Errorf("its servers have different paths, %q and %q; say base_path", base, path)
			}
			base, found = path, true
		}
		if found { // an empty list is as none
			return base, nil
		}
	}
	return "", nil
}

func serverPath(raw any) (string, error) {
	server, _ := raw.(map[string]any)
	address, is := server["url"].(string)
	if !is {
		return "", errors.New("a server has no url")
	}
	variables, _ := server["variables"].(map[string]any)
	for name, value := range variables {
		known, _ := value.(map[string]any)
		text, _ := known["default"].(string)
		address = strings.ReplaceAll(address, "{"+name+"}", text)
	}
	if _, rest, absolute := strings.Cut(address, "://"); absolute {
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			return "", nil
		}
		address = rest[slash:]
	}
	path := strings.TrimSuffix(address, "/")
	if path != "" && proxy.CheckPath(path) != nil || strings.Contains(path, "%") {
		return "", fmt.Errorf("the url of a server has the path %q, which cannot be a route's; say base_path", path)
	}
	return path, nil
}
