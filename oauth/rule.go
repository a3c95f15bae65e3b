package oauth

import (
	"embed"
	"slices"
	"strings"
	"sync"
)

// Rule is the compiled-in text of one reason to refuse a request.
type Rule struct {
	Name string
	// Text says what the rule demands and why.
	Text string
	// Mend says how the caller or the operator puts it right.
	Mend string
	// See cites the sections it comes from.
	See string
}

//go:embed rules/*.txt
var ruleFiles embed.FS

var rules = sync.OnceValue(func() map[string]Rule {
	names, err := ruleFiles.ReadDir("rules")
	if err != nil {
		panic(err)
	}
	all := map[string]Rule{}
	for _, name := range names {
		text, err := ruleFiles.ReadFile("rules/" + name.Name())
		if err != nil {
			panic(err)
		}
		for _, rule := range parseRules(string(text)) {
			all[rule.Name] = rule
		}
	}
	return all
})

// LookupRule returns the rule of that name. It also takes a refusal's whole
// id, whose random part it ignores.
func LookupRule(id string) (Rule, bool) {
	name, _, _ := strings.Cut(id, ".")
	rule, found := rules()[name]
	return rule, found
}

// RuleNames returns the names of all rules in alphabetical order.
func RuleNames() []string {
	names := make([]string, 0, len(rules()))
	for name := range rules() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// parseRules reads the format of rules/*.txt: a name alone on an unindented
// line, then indented lines of text; "Mend:" and "See:" begin the parts of
// that name; "#" begins a comment.
func parseRules(text string) []Rule {
	var all []Rule
	var part *string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case line[0] != ' ' && line[0] != '\t':
			all = append(all, Rule{Name: line})
			part = &all[len(all)-1].Text
		case len(all) > 0:
			rule := &all[len(all)-1]
			sentence := strings.TrimSpace(line)
			if rest, found := strings.CutPrefix(sentence, "Mend:"); found {
				part, sentence = &rule.Mend, strings.TrimSpace(rest)
			} else if rest, found := strings.CutPrefix(sentence, "See:"); found {
				part, sentence = &rule.See, strings.TrimSpace(rest)
			}
			if *part != "" {
				*part += " "
			}
			*part += sentence
		}
	}
	return all
}
