package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// difference is one key whose value changes, as people read it.
type difference struct {
	key  string
	text string
}

// compare lists what differs between two values of one struct type, by the
// names of their JSON members, in alphabetical order. Lists show what comes
// and what goes; long values only that they changed.
func compare(before, after any) []difference {
	was, is := flatten(before), flatten(after)
	keys := slices.Collect(maps.Keys(is))
	for key := range was {
		if _, stays := is[key]; !stays {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var list []difference
	for _, key := range keys {
		if text := change(was[key], is[key]); text != "" {
			list = append(list, difference{key, text})
		}
	}
	return list
}

// flatten gives every leaf of the value's JSON a dotted path. A list of
// objects with a name has a path for each name; other lists are leaves.
func flatten(v any) map[string]any {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("admin: %T has no JSON: %v", v, err))
	}
	var tree any
	if err := json.Unmarshal(encoded, &tree); err != nil {
		panic(fmt.Sprintf("admin: %T has unreadable JSON: %v", v, err))
	}
	leaves := map[string]any{}
	flattenInto(leaves, "", tree)
	return leaves
}

func flattenInto(leaves map[string]any, path string, tree any) {
	join := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
	switch node := tree.(type) {
	case map[string]any:
		if path == "jwks" { // a key set is compared as one
			leaves[path] = node
			return
		}
		for name, value := range node {
			flattenInto(leaves, join(name), value)
		}
	case []any:
		for _, element := range node {
			object, isObject := element.(map[string]any)
			name, named := object["name"].(string)
			if !isObject || !named {
				leaves[path] = node
				return
			}
			leaves[join(name)] = object["description"]
		}
	default:
		leaves[path] = node
	}
}

const longestShown = 120

func change(before, after any) string {
	was, is := show(before), show(after)
	if was == is {
		return ""
	}
	if text, lists := changeOfList(before, after); lists {
		return text
	}
	switch {
	case len(was) > longestShown || len(is) > longestShown:
		return "changed"
	case before == nil:
		return is
	case after == nil:
		return "removed, was " + was
	}
	return was + " -> " + is
}

func changeOfList(before, after any) (string, bool) {
	was, wasList := before.([]any)
	is, isList := after.([]any)
	if !wasList && !isList || !wasList && before != nil || !isList && after != nil {
		return "", false
	}
	var signs []string
	for _, element := range is {
		if !slices.ContainsFunc(was, func(other any) bool { return show(other) == show(element) }) {
			signs = append(signs, "+ "+show(element))
		}
	}
	for _, element := range was {
		if !slices.ContainsFunc(is, func(other any) bool { return show(other) == show(element) }) {
			signs = append(signs, "- "+show(element))
		}
	}
	if len(signs) == 0 {
		return "in another order", true
	}
	return strings.Join(signs, "  "), true
}

func show(v any) string {
	if text, ok := v.(string); ok && text != "" && !strings.ContainsAny(text, "\r\n") {
		return text
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("admin: a value without JSON: %v", err))
	}
	return string(encoded)
}

func keysOf(differences []difference) string {
	keys := make([]string, len(differences))
	for i, d := range differences {
		keys[i] = d.key
	}
	return strings.Join(keys, ",")
}
