package openapi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// scheme is a security scheme that a token fulfils, or why no token does.
type scheme struct {
	refused string
	// declared are the scopes that there are, nil if the description does not say.
	declared []string
	// scoped says that entries name scopes.
	scoped bool
}

func (d *description) readSchemes() {
	d.schemes = map[string]scheme{}
	components, _ := d.root["components"].(map[string]any)
	all, _ := components["securitySchemes"].(map[string]any)
	for _, name := range sorted(all) {
		raw, err := d.resolve(all[name])
		if err != nil {
			d.complain("the security scheme "+name, "%w", err)
			continue
		}
		d.schemes[name] = readScheme(raw)
	}
	for name := range d.Schemes {
		if _, known := d.schemes[name]; !known {
			d.complain("", "there is no security scheme %q", name)
		}
	}
	for _, name := range d.IgnoredSchemes {
		if _, known := d.schemes[name]; !known {
			d.complain("", "there is no security scheme %q", name)
		}
	}
}

func readScheme(raw map[string]any) scheme {
	kind, _ := raw["type"].(string)
	switch kind {
	case "oauth2":
		s := scheme{scoped: true}
		flows, _ := raw["flows"].(map[string]any)
		for _, flow := range flows {
			one, _ := flow.(map[string]any)
			scopes, _ := one["scopes"].(map[string]any)
			s.declared = append(s.declared, slices.Collect(maps.Keys(scopes))...)
		}
		return s
	case "openIdConnect":
		return scheme{scoped: true}
	case "http":
		if name, _ := raw["scheme"].(string); strings.EqualFold(name, "bearer") {
			return scheme{}
		}
		return scheme{refused: "is HTTP authentication that is not bearer: the gateway takes access tokens"}
	case "apiKey":
		return scheme{refused: "is an API key: the gateway takes access tokens"}
	case "mutualTLS":
		return scheme{refused: "is a client certificate, which the gateway does not ask for"}
	}
	return scheme{refused: fmt.Sprintf("is of the type %q, which is not known", kind)}
}

// needed is what an operation's security asks for.
type needed struct {
	public         bool
	authentication string
	scopes         []string // sorted
}

// security is that of the operation, or of the whole description.
func (d *description) security(operation map[string]any) (needed, error) {
	raw, has := operation["security"]
	if !has {
		raw, has = d.root["security"]
	}
	entries, is := raw.([]any)
	switch {
	case has && !is && raw != nil:
		return needed{}, errors.New("its security is no list")
	case len(entries) > maxAlternatives:
		return needed{}, fmt.Errorf("it has more than %d security entries", maxAlternatives)
	}
	var alternatives []needed
	optional := len(entries) == 0
	for _, raw := range entries {
		entry, is := raw.(map[string]any)
		if !is {
			return needed{}, errors.New("a security entry is no set of keys")
		}
		if len(entry) == 0 {
			optional = true
			continue
		}
		if d.ignored(entry) {
			continue
		}
		one, err := d.entry(entry)
		if err != nil {
			return needed{}, err
		}
		alternatives = append(alternatives, one)
	}
	switch {
	case optional && len(alternatives) > 0:
		return needed{}, errors.New("its token may be left out, which a route cannot say: it lets everybody in and looks at no token, or nobody without one")
	case optional && !d.AllowPublic:
		return needed{}, errors.New("it has no security; say allow_public if everybody may come in where the description asks for nothing")
	case optional:
		return needed{public: true}, nil
	case len(alternatives) == 0:
		return needed{}, errors.New("all its security entries need a scheme that is ignored")
	}
	return least(alternatives)
}

func (d *description) ignored(entry map[string]any) bool {
	for name := range entry {
		if slices.Contains(d.IgnoredSchemes, name) {
			return true
		}
	}
	return false
}

// entry is what all schemes of a security entry together ask for.
func (d *description) entry(entry map[string]any) (needed, error) {
	var n needed
	for _, name := range sorted(entry) {
		s, known := d.schemes[name]
		switch {
		case !known:
			return n, fmt.Errorf("there is no security scheme %q", name)
		case s.refused != "":
			return n, fmt.Errorf("the security scheme %s %s", name, s.refused)
		}
		authentication := d.Schemes[name]
		if authentication == "" {
			authentication = d.Authentication
		}
		if authentication == "" {
			return n, fmt.Errorf("the security scheme %s has no authentication; name one in schemes, or one for all", name)
		}
		if n.authentication != "" && n.authentication != authentication {
			return n, errors.New("it needs tokens of two authentications at once")
		}
		n.authentication = authentication
		raw, is := entry[name].([]any)
		if !is && entry[name] != nil {
			return n, fmt.Errorf("the scopes of %s are no list", name)
		}
		for _, one := range raw {
			scope, is := one.(string)
			switch {
			case !is || scope == "":
				return n, fmt.Errorf("a scope of %s is no text", name)
			case !s.scoped:
				return n, fmt.Errorf("the security scheme %s is of the kind http bearer, whose entries name roles and not scopes; make it oauth2 or openIdConnect", name)
			case s.declared != nil && !slices.Contains(s.declared, scope):
				return n, fmt.Errorf("the scope %q is not one of those that the flows of %s have", scope, name)
			}
			n.scopes = append(n.scopes, scope)
		}
	}
	slices.Sort(n.scopes)
	n.scopes = slices.Compact(n.scopes)
	return n, nil
}

// least returns the alternative that is part of all others: whoever fulfils one of them
// fulfils it, too.
func least(alternatives []needed) (needed, error) {
	smallest := slices.MinFunc(alternatives, func(a, b needed) int { return len(a.scopes) - len(b.scopes) })
	for _, other := range alternatives {
		if other.authentication != smallest.authentication {
			return needed{}, errors.New("its security entries are of different authentications, of which a route has one")
		}
		for _, scope := range smallest.scopes {
			if !slices.Contains(other.scopes, scope) {
				return needed{}, fmt.Errorf("its security entries ask for different scopes (%s; %s), and a route needs all of its own; give the operation one entry",
					strings.Join(smallest.scopes, " "), strings.Join(other.scopes, " "))
			}
		}
	}
	return smallest, nil
}

// resolve follows references inside of the description (JSON pointers of names).
func (d *description) resolve(raw any) (map[string]any, error) {
	for range maxReferences {
		one, is := raw.(map[string]any)
		if !is {
			return nil, errors.New("it is no set of keys")
		}
		reference, refers := one["$ref"].(string)
		if !refers {
			return one, nil
		}
		path, local := strings.CutPrefix(reference, "#/")
		if !local {
			return nil, fmt.Errorf("the reference %q leads to another file; bundle the description into one", reference)
		}
		if raw = d.at(path); raw == nil {
			return nil, fmt.Errorf("the reference %q leads nowhere", reference)
		}
	}
	return nil, errors.New("its references lead in a circle")
}

// pointer undoes the escapes of RFC 6901 §4.
var pointer = strings.NewReplacer("~1", "/", "~0", "~")

func (d *description) at(path string) any {
	var here any = d.root
	for name := range strings.SplitSeq(path, "/") {
		inside, is := here.(map[string]any)
		if !is {
			return nil
		}
		here = inside[pointer.Replace(name)]
	}
	return here
}

func sorted(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
