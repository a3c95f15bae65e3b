package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree writes files, given by their path, below a new directory and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// expect checks that wrong holds exactly one complaint for each of says, in any order.
func expect(t *testing.T, wrong []string, says ...string) {
	t.Helper()
	if len(wrong) != len(says) {
		t.Errorf("%d complaints, want %d:\n%s", len(wrong), len(says), strings.Join(wrong, "\n"))
	}
	for _, part := range says {
		if !slices.ContainsFunc(wrong, func(complaint string) bool { return strings.Contains(complaint, part) }) {
			t.Errorf("no complaint says %q:\n%s", part, strings.Join(wrong, "\n"))
		}
	}
}

func TestLength(t *testing.T) {
	root := tree(t, map[string]string{
		"long.go":             "package p\n" + strings.Repeat("\n", maxLines),
		"full.go":             "package p\n" + strings.Repeat("\n", maxLines-1),
		"testdata/any.go":     strings.Repeat("\n", 2*maxLines),
		"other/go.mod":        "module other\n",
		"other/long.go":       strings.Repeat("\n", 2*maxLines),
		"node_modules/x/y.go": strings.Repeat("\n", 2*maxLines),
	})
	wrong, err := length(root)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, wrong, "long.go: 501 lines")
}

const serverFile = `package authserver

import "gatehouse/oauth"

const spelled = "by-constant"

func refuse(n int) error {
	switch n {
	case 1:
		return oauth.Refuse("by-literal", oauth.InvalidRequest, "No.")
	case 2:
		return oauth.Refuse(spelled, oauth.InvalidRequest, "No.")
	}
	return nil
}
`

const ruleFile = `# a comment

by-literal
  Says why.
  Mend: Do otherwise.
  See: RFC 1 section 2

by-constant
  Says why.
  Mend: Do otherwise.
`

// The profile's blocks are those the compiler makes of serverFile.
const serverProfile = `mode: atomic
gatehouse/authserver/a.go:7.26,8.11 1 1
gatehouse/authserver/a.go:9.9,10.65 1 1
gatehouse/authserver/a.go:11.9,12.60 1 0
gatehouse/authserver/a.go:14.2,14.12 1 1
`

func TestRefusals(t *testing.T) {
	files := map[string]string{
		"authserver/a.go":      serverFile,
		"authserver/a_test.go": strings.ReplaceAll(serverFile, "by-literal", "only-in-a-test"),
		"oauth/rules/all.txt":  ruleFile,
		"once.out":             serverProfile,
		"again.out":            strings.ReplaceAll(serverProfile, "12.60 1 0", "12.60 1 3"),
	}
	root := tree(t, files)
	once, again := filepath.Join(root, "once.out"), filepath.Join(root, "again.out")

	wrong, err := refusals(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, wrong)

	wrong, err = refusals(root, []string{once})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, wrong, `authserver/a.go:12: no test makes the server refuse by the rule "by-constant"`)

	wrong, err = refusals(root, []string{once, again})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, wrong)
}

func TestRefusalsComplains(t *testing.T) {
	for _, test := range []struct {
		name, server, rules string
		says                []string
	}{
		{"rule without text", serverFile, strings.ReplaceAll(ruleFile, "by-literal", "unused"),
			[]string{`a.go:10: the rule "by-literal" has no text`, `all.txt:3: no oauth.Refuse outside tests uses the rule "unused"`}},
		{"rule by variable", strings.ReplaceAll(serverFile, `"by-literal"`, "name()"), ruleFile,
			[]string{"a.go:10: the rule given to oauth.Refuse must be", `uses the rule "by-literal"`}},
		{"two texts", serverFile, ruleFile + "\nby-literal\n  Again.\n  Mend: So.\n", []string{"already has a text at oauth/rules/all.txt:3"}},
		{"no way to mend", serverFile, strings.ReplaceAll(ruleFile, "Mend:", "Perhaps:"),
			[]string{`"by-literal" needs a text and a line`, `"by-constant" needs a text and a line`}},
		{"another package of that name", strings.ReplaceAll(serverFile, "gatehouse/oauth", "elsewhere/oauth"), ruleFile,
			[]string{`uses the rule "by-literal"`, `uses the rule "by-constant"`}},
		{"imported by another name", strings.NewReplacer(`"gatehouse`, `words "gatehouse`, "oauth.", "words.").Replace(serverFile), ruleFile, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			wrong, err := refusals(tree(t, map[string]string{"authserver/a.go": test.server, "oauth/rules/all.txt": test.rules}), nil)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, wrong, test.says...)
		})
	}
}

func TestRefusalOutsideFunctions(t *testing.T) {
	root := tree(t, map[string]string{
		"oauth/error.go":      "package oauth\n\nvar fixed = Refuse(\"fixed\", \"code\", \"No.\")\n",
		"oauth/rules/all.txt": "fixed\n  Says why.\n  Mend: Do otherwise.\n",
		"profile":             "mode: set\ngatehouse/oauth/error.go:9.1,10.2 1 1\n",
	})
	wrong, err := refusals(root, []string{filepath.Join(root, "profile")})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, wrong, "call it inside a function")

	if err := os.WriteFile(filepath.Join(root, "profile"), []byte("mode: set\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong, err = refusals(root, []string{filepath.Join(root, "profile")})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, wrong, "no test was built with this file")
}

func TestProfileMustBeOne(t *testing.T) {
	root := tree(t, map[string]string{"profile": "mode: set\nfile.go:1.2,3 1 1\n"})
	if _, err := readProfiles([]string{filepath.Join(root, "profile")}); err == nil || !strings.Contains(err.Error(), "profile:2") {
		t.Errorf("error %v, want one that names line 2", err)
	}
}

const passing = `{"Action":"start","Package":"gatehouse/a"}
{"Action":"run","Package":"gatehouse/a","Test":"TestOne"}
{"Action":"output","Package":"gatehouse/a","Test":"TestOne","Output":"=== RUN   TestOne\n"}
{"Action":"pass","Package":"gatehouse/a","Test":"TestOne"}
{"Action":"run","Package":"gatehouse/a","Test":"TestMany"}
{"Action":"run","Package":"gatehouse/a","Test":"TestMany/x"}
{"Action":"run","Package":"gatehouse/a","Test":"TestMany/y"}
{"Action":"pass","Package":"gatehouse/a","Test":"TestMany/x"}
{"Action":"pass","Package":"gatehouse/a","Test":"TestMany/y"}
{"Action":"pass","Package":"gatehouse/a","Test":"TestMany"}
{"Action":"run","Package":"gatehouse/a","Test":"FuzzForm"}
{"Action":"run","Package":"gatehouse/a","Test":"FuzzForm/seed#0"}
{"Action":"run","Package":"gatehouse/a","Test":"FuzzForm/seed#1"}
{"Action":"pass","Package":"gatehouse/a","Test":"FuzzForm/seed#0"}
{"Action":"pass","Package":"gatehouse/a","Test":"FuzzForm/seed#1"}
{"Action":"pass","Package":"gatehouse/a","Test":"FuzzForm"}
{"Action":"output","Package":"gatehouse/a","Output":"PASS\n"}
{"Action":"output","Package":"gatehouse/a","Output":"ok  \tgatehouse/a\t0.10s\tcoverage: 7.2% of statements in ./...\n"}
{"Action":"pass","Package":"gatehouse/a"}
{"Action":"output","Package":"gatehouse/none","Output":"?   \tgatehouse/none\t[no test files]\n"}
{"Action":"skip","Package":"gatehouse/none"}
`

const skipping = `{"Action":"run","Package":"gatehouse/b","Test":"TestBrowser"}
{"Action":"output","Package":"gatehouse/b","Test":"TestBrowser","Output":"    b_test.go:9: no browser here\n"}
{"Action":"output","Package":"gatehouse/b","Test":"TestBrowser","Output":"--- SKIP: TestBrowser (0.00s)\n"}
{"Action":"skip","Package":"gatehouse/b","Test":"TestBrowser"}
{"Action":"output","Package":"gatehouse/b","Output":"ok  \tgatehouse/b\t0.10s\n"}
{"Action":"pass","Package":"gatehouse/b"}
`

const failing = `{"Action":"run","Package":"gatehouse/c","Test":"TestMany"}
{"Action":"run","Package":"gatehouse/c","Test":"TestMany/x"}
{"Action":"output","Package":"gatehouse/c","Test":"TestMany/x","Output":"    c_test.go:3: got 1, want 2\n"}
{"Action":"fail","Package":"gatehouse/c","Test":"TestMany/x"}
{"Action":"fail","Package":"gatehouse/c","Test":"TestMany"}
{"Action":"output","Package":"gatehouse/c","Output":"FAIL\n"}
{"Action":"output","Package":"gatehouse/c","Output":"FAIL\tgatehouse/c\t0.01s\n"}
{"Action":"fail","Package":"gatehouse/c"}
{"ImportPath":"gatehouse/d [gatehouse/d.test]","Action":"build-output","Output":"d.go:1:1: syntax error\n"}
{"Action":"output","Package":"gatehouse/d","Output":"FAIL\tgatehouse/d [build failed]\n"}
{"Action":"fail","Package":"gatehouse/d"}
{"Action":"run","Package":"gatehouse/e","Test":"TestDies"}
{"Action":"output","Package":"gatehouse/e","Test":"TestDies","Output":"fatal error: stack overflow\n"}
{"Action":"output","Package":"gatehouse/e","Output":"FAIL\tgatehouse/e\t0.01s\n"}
{"Action":"fail","Package":"gatehouse/e"}
`

// slashed is a subtest whose own name has a slash: what stands before it is no test.
const slashed = `{"Action":"run","Package":"gatehouse/f","Test":"TestStories"}
{"Action":"run","Package":"gatehouse/f","Test":"TestStories/rfc6749/code"}
{"Action":"pass","Package":"gatehouse/f","Test":"TestStories/rfc6749/code"}
{"Action":"pass","Package":"gatehouse/f","Test":"TestStories"}
{"Action":"output","Package":"gatehouse/f","Output":"ok  \tgatehouse/f\t0.10s\n"}
{"Action":"pass","Package":"gatehouse/f"}
`

func TestTally(t *testing.T) {
	for _, test := range []struct {
		name    string
		logs    []string
		noSkips bool
		last    string
		fails   bool
		says    string
	}{
		{"passing", []string{passing}, true, "4 passed, 0 failed", false, "ok  \tgatehouse/a\t0.10s\n"},
		{"skip allowed", []string{passing, skipping}, false, "4 passed, 0 failed", false, "skipped: gatehouse/b TestBrowser: b_test.go:9: no browser here"},
		{"skip not allowed", []string{passing, skipping}, true, "4 passed, 1 failed", true, "no test may be skipped"},
		{"failing", []string{passing, failing}, true, "4 passed, 3 failed", true, "FAIL\tgatehouse/d [build failed]"},
		{"a slash in a name", []string{slashed}, true, "1 passed, 0 failed", false, "ok  \tgatehouse/f\t0.10s\n"},
		{"nothing", []string{""}, true, "0 passed, 0 failed", true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var paths []string
			for _, log := range test.logs {
				root := tree(t, map[string]string{"log": log})
				paths = append(paths, filepath.Join(root, "log"))
			}
			var out strings.Builder
			err := tally(&out, test.noSkips, paths)
			if (err != nil) != test.fails {
				t.Errorf("error %v", err)
			}
			if !strings.HasSuffix(out.String(), test.last+"\n") {
				t.Errorf("the last line is not %q:\n%s", test.last, out.String())
			}
			if !strings.Contains(out.String(), test.says) || strings.Contains(out.String(), "coverage") {
				t.Errorf("want %q and no coverage in:\n%s", test.says, out.String())
			}
		})
	}
}

func TestReportShowsFailures(t *testing.T) {
	var shown strings.Builder
	live := newReport()
	err := read(strings.NewReader(passing+failing), func(_ []byte, e event, _ bool) error {
		shown.WriteString(live.add(e))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"--- FAIL: gatehouse/c TestMany/x\n    c_test.go:3: got 1, want 2\n", "d.go:1:1: syntax error\n",
		"--- UNFINISHED: gatehouse/e TestDies\nfatal error: stack overflow\n",
	} {
		if !strings.Contains(shown.String(), part) {
			t.Errorf("want %q in:\n%s", part, shown.String())
		}
	}
	if strings.Contains(shown.String(), "=== RUN") {
		t.Errorf("progress lines are shown:\n%s", shown.String())
	}
}

func TestWatchKeepsTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := watch(strings.NewReader("go: not JSON\n"+passing), path); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != passing {
		t.Errorf("kept %q, want the events alone", kept)
	}
}
