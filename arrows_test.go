package gatehouse_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers is the order of the house: a package imports only packages of lower layers.
// A package that is new gets its line here, in the lowest layer that lies above all it
// imports; the empty path is the root package. Packages below one of trees belong to it.
var layers = map[string]int{
	"oauth": 1, "jose": 1, "kv": 1, "egress": 1,
	"internal/secret": 1, "internal/seal": 1, "internal/config": 1, "internal/spec": 1, "internal/metrics": 1, "internal/tracing": 1, "internal/secrecy": 1, "internal/recent": 1, "internal/crowd": 1,
	"internal/authority": 1,

	"": 2, "token": 2, "dpop": 2, "jwks": 2, "revocation": 2,
	"internal/proxy/proxytest":    1,
	"kv/kvtest":                   2,
	"internal/store/postgrestest": 2,
	"internal/redistest":          2,

	"internal/endpoint": 3, // its rows take the Tenant, one of the root's nouns

	"resource": 4, "client": 4, "kv/kvredis": 4,
	"internal/keyring": 4, "internal/store": 4, "internal/interaction": 4, "internal/proxy": 4,

	"resource/resourcegrpc": 5, "resource/resourcemcp": 5,
	"client/xoauth2": 5,
	"authserver":     5, "internal/login": 5, "bff": 5, "gateway": 5, "internal/process": 5,
	"gateway/maxmind":          5,
	"internal/store/storetest": 5,

	"gateway/forwardauth": 6, "gateway/openapi": 6, "gateway/extauthz": 6,
	"internal/admin": 6,

	"internal/server": 7,

	"internal/dev": 8, "internal/front": 8, "internal/gate": 8, "gatehousetest": 8,

	"cmd/gatehouse": 9, "cmd/gatehouse-extauthz": 9, "bench": 9, "interop": 9, "faults": 9, "examples": 9, "scripts": 9,
}

// trees are the entries of layers whose sub-packages need no line of their own.
var trees = []string{"bench", "interop", "examples", "scripts"}

// forTests are packages that no program of the product is built with.
var forTests = []string{"internal/spec", "internal/proxy/proxytest"}

// outside says which packages alone may import which outside module or package. The
// longest path that matches decides; what is not here may not be imported at all.
var outside = map[string][]string{
	"modernc.org/sqlite":                      {"internal/store", "bench"},
	"github.com/jackc/pgx/v5":                 {"internal/store", "internal/store/postgrestest", "bench"},
	"github.com/redis/rueidis":                {"kv/kvredis"},
	"github.com/goccy/go-yaml":                {"internal/config"},
	"github.com/spf13/cobra":                  {"cmd/gatehouse"},
	"github.com/spf13/pflag":                  {"cmd/gatehouse"},
	"golang.org/x/crypto/argon2":              {"internal/secret"},
	"golang.org/x/crypto/bcrypt":              {"internal/secret"},
	"golang.org/x/crypto/chacha20poly1305":    {"internal/seal"},
	"golang.org/x/sync":                       {"jwks", "internal/keyring", "internal/store", "internal/server", "internal/dev", "cmd/gatehouse"},
	"golang.org/x/term":                       {"cmd/gatehouse"}, // a password typed without an echo
	"github.com/prometheus/client_golang":     {"internal/metrics"},
	"go.opentelemetry.io/otel":                {"internal/tracing"},
	"go.opentelemetry.io/proto/otlp":          {"internal/tracing"},
	"google.golang.org/protobuf":              {"internal/tracing"},
	"google.golang.org/grpc":                  {"resource/resourcegrpc", "gateway/extauthz", "cmd/gatehouse-extauthz"},
	"github.com/envoyproxy/go-control-plane":  {"gateway/extauthz", "cmd/gatehouse-extauthz"},
	"github.com/oschwald/maxminddb-golang/v2": {"gateway/maxmind"},
	"github.com/modelcontextprotocol/go-sdk":  {"resource/resourcemcp"},
	"github.com/sony/gobreaker/v2":            {"client", "gateway"},

	// Outside clients that the product is tried with, never part of it. The adapters
	// to one of them are a package of their own, which nothing of ours imports.
	"github.com/go-jose/go-jose/v4": {},
	"github.com/coreos/go-oidc/v3":  {"interop"},
	"golang.org/x/oauth2":           {"interop", "client/xoauth2"},
}

// standard says where packages of the standard library may be imported that have a
// single place or none. The reason is printed with the complaint.
var standard = map[string]struct {
	places []string
	reason string
}{
	"database/sql":        {[]string{"internal/store", "bench"}, "SQL has one home, and the bare write that it is measured by another"},
	"database/sql/driver": {[]string{"internal/store"}, "SQL has one home"},
	"html/template":       {[]string{"internal/login", "internal/dev"}, "pages have one home"},
	"text/template":       {nil, "it does not escape"},
	"math/rand":           {[]string{"bench"}, "what is guessable must come from crypto/rand"},
	"math/rand/v2":        {[]string{"bench", "internal/endpoint"}, "what must not be guessed comes from crypto/rand; the ids of requests in logs need not"},
	"net/http/pprof":      {nil, "it registers handlers when imported"},
	"expvar":              {nil, "it registers handlers when imported"},
}

// vagueNames say nothing about what a package owns.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "model", "models", "type", "types", "service", "services", "manager", "managers", "misc", "base", "shared"}

const modulePath = "gatehouse"

// A listed package is what go list tells about one.
type listed struct {
	ImportPath, Name, Dir string
	GoFiles, CgoFiles     []string
	IgnoredGoFiles        []string
	Imports               []string
	Module                *struct{ Path string }
}

// place is the package's path inside the module, empty for the root.
func (p listed) place() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, modulePath), "/")
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	readDirectories(t)
	command := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Dir,GoFiles,CgoFiles,IgnoredGoFiles,Imports,Module", "./...")
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.String())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var one listed
		if err := decoder.Decode(&one); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(one.GoFiles)+len(one.CgoFiles) > 0 { // not one of tests only
			packages = append(packages, one)
		}
	}
	if len(packages) == 0 {
		t.Fatal("go list names no package")
	}
	return packages
}

// readDirectories looks into every directory, so that go test knows that its remembered
// result is void when a file comes or goes: it does not see what go list reads.
func readDirectories(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && name != "." && (entry.Name()[0] == '.' || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// layerOf returns the layer of a place and the entry that gave it.
func layerOf(place string) (layer int, entry string, known bool) {
	if layer, known = layers[place]; known {
		return layer, place, true
	}
	for _, tree := range trees {
		if strings.HasPrefix(place, tree+"/") {
			return layers[tree], tree, true
		}
	}
	return 0, "", false
}

func within(place string, places []string) bool {
	return slices.ContainsFunc(places, func(one string) bool {
		return place == one || slices.Contains(trees, one) && strings.HasPrefix(place, one+"/")
	})
}

func TestArrowsPointDown(t *testing.T) {
	for _, importer := range listPackages(t) {
		layer, entry, known := layerOf(importer.place())
		if !known {
			t.Errorf("%s is in no layer: add it to layers in arrows_test.go, in the lowest layer above all that it imports, and to docs/architecture.md", importer.ImportPath)
			continue
		}
		for _, imported := range importer.Imports {
			place, ours := strings.CutPrefix(imported, modulePath+"/")
			if imported == modulePath {
				place, ours = "", true
			}
			if !ours {
				continue
			}
			below, other, known := layerOf(place)
			switch {
			case !known: // complained about when it is the importer
			case slices.Contains(forTests, place) && importer.place() != "scripts/gate":
				t.Errorf("%s imports %s, which is for tests", importer.ImportPath, place)
			case below < layer, entry == other && slices.Contains(trees, entry):
			case below == layer:
				t.Errorf("%s imports %s, but both are in layer %d: move what they share down, or declare an interface where it is read", importer.ImportPath, imported, layer)
			default:
				t.Errorf("%s (layer %d) imports %s (layer %d), but arrows point down: declare an interface where it is read, and join the two in internal/server", importer.ImportPath, layer, imported, below)
			}
		}
	}
}

func TestOutsideModulesHaveOneHome(t *testing.T) {
	for _, importer := range listPackages(t) {
		for _, imported := range importer.Imports {
			if rule, limited := standard[imported]; limited && !within(importer.place(), rule.places) {
				t.Errorf("%s imports %s: %s (allowed: %q)", importer.ImportPath, imported, rule.reason, rule.places)
			}
			first, _, _ := strings.Cut(imported, "/")
			if !strings.Contains(first, ".") { // the standard library, or ours
				continue
			}
			places, known := outsideRule(imported)
			switch {
			case !known:
				t.Errorf("%s imports %s, which has no line in the table outside of arrows_test.go: name the one package that may import it, and say why in docs/dependencies.md", importer.ImportPath, imported)
			case !within(importer.place(), places):
				t.Errorf("%s imports %s, which only %q may", importer.ImportPath, imported, places)
			}
		}
	}
}

func outsideRule(imported string) (places []string, known bool) {
	for name := imported; name != "." && name != "/"; name = path.Dir(name) {
		if places, known = outside[name]; known {
			return places, true
		}
	}
	return nil, false
}

func TestPackagesSayWhatTheyOwn(t *testing.T) {
	for _, one := range listPackages(t) {
		for _, element := range append(strings.Split(one.place(), "/"), one.Name) {
			if slices.Contains(vagueNames, element) {
				t.Errorf("%s: %q says nothing about what the package owns", one.ImportPath, element)
			}
		}
		documented := false
		for _, name := range one.GoFiles {
			if one.Name != "main" && name != "doc.go" {
				continue
			}
			file := parse(t, filepath.Join(one.Dir, name), parser.PackageClauseOnly|parser.ParseComments)
			documented = documented || file.Doc != nil && len(strings.Fields(file.Doc.Text())) >= 10
		}
		if !documented {
			t.Errorf("%s has no doc.go with a comment that says what the package owns and what it never touches", one.ImportPath)
		}
	}
}

func parse(t *testing.T, name string, mode parser.Mode) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(positions, name, nil, mode|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

var positions = token.NewFileSet()

func TestNoInitAndNoPlainErrors(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range listPackages(t) {
		refusing := one.place() == "authserver" || one.place() == "internal/login"
		for _, name := range slices.Concat(one.GoFiles, one.CgoFiles, one.IgnoredGoFiles) {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file := parse(t, filepath.Join(one.Dir, name), 0)
			at := func(node ast.Node) string {
				position := positions.Position(node.Pos())
				if relative, err := filepath.Rel(here, position.Filename); err == nil {
					position.Filename = filepath.ToSlash(relative)
				}
				return position.Filename + ":" + strconv.Itoa(position.Line)
			}
			for _, declaration := range file.Decls {
				if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil && function.Name.Name == "init" {
					t.Errorf("%s: no init functions: do it where it is used, or in main", at(function))
				}
			}
			if !refusing {
				continue
			}
			ast.Inspect(file, func(node ast.Node) bool {
				if selector, ok := node.(*ast.SelectorExpr); ok && selector.Sel.Name == "Error" {
					if base, ok := selector.X.(*ast.Ident); ok && base.Name == "http" {
						t.Errorf("%s: http.Error: return oauth.Refuse(rule, code, description) and let the endpoint's row write it", at(selector))
					}
				}
				return true
			})
		}
	}
}

// TestArrowTablesAreSound holds the tables themselves to the rules that they express.
func TestArrowTablesAreSound(t *testing.T) {
	for module, places := range outside {
		for _, place := range places {
			if _, _, known := layerOf(place); !known {
				t.Errorf("outside[%q] names %q, which is in no layer", module, place)
			}
		}
	}
	for _, test := range []struct {
		imported string
		known    bool
	}{
		{"modernc.org/sqlite/lib", true},
		{"github.com/goccy/go-yaml/ast", true},
		{"golang.org/x/crypto/ssh", false},
		{"example.com/anything", false},
	} {
		if _, known := outsideRule(test.imported); known != test.known {
			t.Errorf("outsideRule(%q) known is %v, want %v", test.imported, known, test.known)
		}
	}
	if layer, _, known := layerOf("examples/webapp"); !known || layer != layers["examples"] {
		t.Error("packages below examples are not in its layer")
	}
	if _, _, known := layerOf("internal/store/postgres"); known {
		t.Error("a new package below internal/store is in a layer without having been put there")
	}
}
