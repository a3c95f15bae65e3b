package gatehouse_test

import (
	"bufio"
	"context"
	"html"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// startPages is where the guides are.
const startPages = "docs/start/"

// guidePatience bounds how long a program of a guide may take.
const guidePatience = 30 * time.Second

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

func readPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestGuidesShowWhatRuns holds the programs in the guides to those of examples, which
// are compiled.
func TestGuidesShowWhatRuns(t *testing.T) {
	for page, program := range map[string]string{"web": "web", "native": "native", "service": "job", "api": "api", "gateway": "gateway"} {
		blocks := goBlock.FindAllStringSubmatch(readPage(t, startPages+page+".md"), -1)
		file := "examples/start/" + program + "/main.go"
		if len(blocks) != 1 || blocks[0][1] != readPage(t, file) {
			t.Errorf("%s.md does not show %s as it is", page, file)
		}
	}
}

// guide is who follows the guides, beside a running `gatehouse dev`.
type guide struct {
	*testing.T
	directory string
	stage     devStage
	pairs     []string // what stands in the pages, and what is in its place here
}

func (g *guide) build(name string) string {
	g.Helper()
	binary := filepath.Join(g.directory, name)
	if output, err := exec.Command("go", "build", "-o", binary, "./examples/start/"+name).CombinedOutput(); err != nil {
		g.Fatalf("build: %v\n%s", err, output)
	}
	return binary
}

// runs starts a program that serves at an address of its own, which it returns.
func (g *guide) runs(name, secret string, arguments ...string) string {
	g.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	command := exec.Command(g.build(name), append(arguments, "-issuer", g.stage.Issuer, "-listen", address)...)
	command.Env = append(os.Environ(), "CLIENT_SECRET="+secret)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // it was killed
	})
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			_ = connection.Close()
			return address
		}
		if time.Since(began) > guidePatience {
			g.Fatalf("%s does not serve: %v", name, err)
		}
	}
}

// types has a shell run what a page tells to type, and looks for what comes of it, in
// that order.
func (g *guide) types(page string, promises ...string) {
	g.Helper()
	script := "set -eu\n"
	for _, block := range shellBlock.FindAllStringSubmatch(readPage(g.T, startPages+page+".md"), -1) {
		script += block[1] + "\necho\n"
	}
	shell := exec.Command("bash", "-c", strings.NewReplacer(g.pairs...).Replace(script))
	shell.Env = append(os.Environ(), "PATH="+g.directory+string(os.PathListSeparator)+os.Getenv("PATH"))
	output, err := shell.CombinedOutput()
	if err != nil {
		g.Errorf("what %s.md tells to type fails: %v\n%s", page, err, output)
	}
	rest := string(output)
	for _, promise := range promises {
		_, after, found := strings.Cut(rest, promise)
		if !found {
			g.Errorf("%s.md: there is no %q where it is promised\n%s", page, promise, output)
			return
		}
		rest = after
	}
}

// TestGuidesAreTyped follows each guide, with its programs as processes.
func TestGuidesAreTyped(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "sed", "grep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the guides need %s", tool)
		}
	}
	directory := t.TempDir()
	g := &guide{T: t, directory: directory, stage: startDev(t, directory, "--apply", "examples/start/api/tenant.yaml")}
	g.build("job")
	web := g.runs("web", g.stage.secretOf("web"), "-api", g.stage.API)
	api := g.runs("api", "only-on-this-machine-notes-api-0123456789")
	gateway := g.runs("gateway", "", "-api", g.stage.API)
	secret := g.stage.secretOf("machine")
	g.pairs = []string{
		"go run ./examples/start/job", "job -issuer " + g.stage.Issuer + " -api " + g.stage.API,
		"examples/bff/bff.yaml", g.sampleBFF(), "examples/gateway/gateway.yaml", g.sampleGateway(),
		"http://127.0.0.1:8080", g.stage.Issuer, "http://127.0.0.1:8082", g.stage.API, "http://127.0.0.1:8084", g.stage.Gateway,
		"127.0.0.1:3000", web, "127.0.0.1:3001", api, "127.0.0.1:3002", gateway,
		// The page waits for a second, which may be short where others work, too.
		"sleep 1", `for i in $(seq 100); do [ "$(curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" http://` + api + `/notes)" = 401 ] && break; sleep 0.1; done`,
		"machine:SECRET", "machine:" + secret, "CLIENT_SECRET=SECRET", "CLIENT_SECRET=" + secret,
	}
	g.types("web", "login_required", g.stage.Issuer+"/authorize?")
	g.types("spa", "is understood", "takes connections", "answers; register the redirect URI", "/bff/logged-out", "/bff/backchannel-logout")
	g.types("service", `"title"`, `"title"`)
	g.types("api", "401 Unauthorized", `Bearer`, "the notes of the client notes-job", "401 Unauthorized", "invalid_token")
	g.types("gateway", `"title"`, "401 Unauthorized", "403 Forbidden", "insufficient_scope", "There is nothing at this address.", `"act":{"sub":"photos-gateway"}`, `"title"`, "401 Unauthorized",
		"2 routes, none in the way", "takes connections", "everybody is let in to / by GET", "about", "read", "passed   token", "let through by the route read")
	g.types("../troubleshooting", "A code is good for one redemption")
	g.signsIn(web)
	g.native()
}

// sampleBFF is the configuration of examples/bff for the issuer and the API of this
// test.
func (g *guide) sampleBFF() string {
	g.Helper()
	here, err := filepath.Abs("examples/bff")
	if err != nil {
		g.Fatal(err)
	}
	text := strings.NewReplacer("http://127.0.0.1:8080", g.stage.Issuer, "http://127.0.0.1:8082", g.stage.API, "./client.secret", here+"/client.secret", "./app", here+"/app").
		Replace(readPage(g.T, "examples/bff/bff.yaml"))
	file := filepath.Join(g.directory, "bff.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		g.Fatal(err)
	}
	return file
}

// sampleGateway is the configuration of examples/gateway, the same way.
func (g *guide) sampleGateway() string {
	g.Helper()
	text := strings.NewReplacer("http://127.0.0.1:8080", g.stage.Issuer, "http://127.0.0.1:8082", g.stage.API).Replace(readPage(g.T, "examples/gateway/gateway.yaml"))
	file := filepath.Join(g.directory, "gateway.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		g.Fatal(err)
	}
	return file
}

var hiddenField = regexp.MustCompile(`name="(i|csrf)" value="([^"]*)"`)

// walks goes to an address as a browser does, signs in and allows what is asked, and
// returns what it comes to.
func (g *guide) walks(address, username, password string) string {
	g.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		g.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	browser := &http.Client{Jar: jar, Transport: transport, Timeout: guidePatience}
	send := func(method, address string, form url.Values) string {
		r, err := http.NewRequestWithContext(g.Context(), method, address, strings.NewReader(form.Encode()))
		if err != nil {
			g.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		if method == http.MethodPost {
			r.Header.Set("Origin", g.stage.Issuer)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		response, err := browser.Do(r)
		if err != nil {
			g.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			g.Fatal(err)
		}
		return string(text)
	}
	fields := func(page string, more ...string) url.Values {
		form := url.Values{}
		for _, found := range hiddenField.FindAllStringSubmatch(page, -1) {
			form.Set(found[1], html.UnescapeString(found[2]))
		}
		for i := 0; i < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return form
	}
	page := send("GET", address, nil)
	if strings.Contains(page, `id="login-form"`) {
		page = send("POST", g.stage.Issuer+"/login", fields(page, "username", username, "password", password))
	}
	if strings.Contains(page, `id="consent-allow"`) {
		page = send("POST", g.stage.Issuer+"/consent", fields(page, "decision", "allow"))
	}
	return page
}

// signsIn opens the web application and sees the photos.
func (g *guide) signsIn(web string) {
	g.Helper()
	if page := g.walks("http://"+web+"/", "alice", "white-rabbit"); !strings.Contains(page, "Hello Alice Liddell.") || !strings.Contains(page, `"title"`) {
		g.Errorf("web.md: the application shows %.300s", page)
	}
}

// native runs the native application, and opens the address that it prints.
func (g *guide) native() {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), guidePatience)
	defer cancel()
	command := exec.CommandContext(ctx, g.build("native"), "-issuer", g.stage.Issuer, "-api", g.stage.API)
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		g.Fatal(err)
	}
	if err := command.Start(); err != nil {
		g.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	if err != nil {
		g.Fatal(err)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(line), ": ")
	g.walks(address, "bob", "yellow-brick")
	rest, err := io.ReadAll(lines)
	if err != nil {
		g.Fatal(err)
	}
	if err := command.Wait(); err != nil || !strings.HasPrefix(string(rest), "You are demo-bob\n") || !strings.Contains(string(rest), `"title"`) {
		g.Errorf("native.md: %v: %s", err, rest)
	}
}

var (
	pageLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	fenced   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	notSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchorsOf are the anchors that readers of Markdown make of a page's headings.
func anchorsOf(text string) map[string]bool {
	anchors := map[string]bool{}
	for _, found := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		slug := strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-")
		anchors[slug] = true
	}
	return anchors
}

// TestLinksLeadSomewhere: every link between our pages names a file, and a heading,
// that is there.
func TestLinksLeadSomewhere(t *testing.T) {
	pages := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, root := range []string{"docs", "examples"} {
		err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasSuffix(name, ".md") {
				pages = append(pages, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	links := 0
	for _, page := range pages {
		for _, found := range pageLink.FindAllStringSubmatch(fenced.ReplaceAllString(readPage(t, page), ""), -1) {
			if strings.Contains(found[1], "://") || strings.HasPrefix(found[1], "mailto:") {
				continue
			}
			links++
			name, anchor, _ := strings.Cut(found[1], "#")
			target := page
			if name != "" {
				target = filepath.Join(filepath.Dir(page), name)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, found[1])
				continue
			}
			if anchor != "" && strings.HasSuffix(target, ".md") && !anchorsOf(readPage(t, target))[anchor] {
				t.Errorf("%s: %s has no heading %s", page, target, anchor)
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links were found", links)
	}
}

var (
	tableRow = regexp.MustCompile("(?m)^\\| (.+?) \\| `([a-z]+(?:-[a-z]+)+)` \\| .+ \\|$")
	blanks   = regexp.MustCompile(`\s+`)
)

// TestTroubleshootingSaysWhatIsSaid: each message in the tables is one of the program's
// own, by the rule that stands beside it, and the rule has a text for gatehouse explain.
func TestTroubleshootingSaysWhatIsSaid(t *testing.T) {
	page := readPage(t, "docs/troubleshooting.md")
	source, rules := "", map[string]bool{}
	for _, directory := range []string{"authserver", "internal/login", "internal/endpoint", "resource", "gateway", "oauth"} {
		files, err := filepath.Glob(directory + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				source += readPage(t, file)
			}
		}
	}
	files, err := filepath.Glob("oauth/rules/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for line := range strings.Lines(readPage(t, file)) {
			rules[strings.TrimSpace(line)] = true
		}
	}
	source = blanks.ReplaceAllString(source, " ")
	rows := tableRow.FindAllStringSubmatch(page, -1)
	if len(rows) < 25 {
		t.Fatalf("only %d rows were found", len(rows))
	}
	commands := ""
	for _, pattern := range []string{"cmd/gatehouse/*.go", "internal/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			commands += readPage(t, file)
		}
	}
	_, before, _ := strings.Cut(page, "## Before it serves")
	starts := regexp.MustCompile(`(?m)^\| ([a-z].+?) \| .+ \|$`).FindAllStringSubmatch(before, -1)
	for _, row := range starts[1:] { // behind the heading
		if !strings.Contains(commands, row[1]) {
			t.Errorf("nobody says %q at the start", row[1])
		}
	}
	for _, row := range rows {
		message, rule := row[1], row[2]
		if !rules[rule] {
			t.Errorf("gatehouse explain knows no %s", rule)
		}
		said := regexp.MustCompile(`"` + regexp.QuoteMeta(rule) + `", (?:oauth\.)?[A-Za-z]+, "` + regexp.QuoteMeta(message) + `"`)
		if !said.MatchString(source) {
			t.Errorf("nobody says %q by the rule %s", message, rule)
		}
	}
}
