package main

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/metrics"
	"gatehouse/oauth"
)

const (
	deployDirectory = "../../deploy/"
	metricsGuide    = "../../docs/operations/metrics.md"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// metricsPage is the page of a server that can count everything, and of a gateway.
func metricsPage(t *testing.T) string {
	t.Helper()
	m := metrics.New(metrics.Config{
		Version: "v1", Rules: oauth.RuleNames(), PasswordsWaiting: func() int { return 0 }, CountersShared: func() bool { return true }, Store: func() metrics.StoreLoad { return metrics.StoreLoad{} },
		FeedReaders: func() int { return 0 },
	})
	m.Endpoint("token")
	m.Issued("default", "web", "refresh_token")
	m.Outcome("default", "web", metrics.ClientServed)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	gateway := httptest.NewRecorder()
	counts := map[string]map[string]uint64{"read": {"allowed": 1}}
	metrics.Page("v1", func() metrics.GatewayLoad {
		return metrics.GatewayLoad{
			Decisions: counts, Failures: counts, Answers: counts, Waited: map[string]time.Duration{"read": 1}, Upstreams: map[string]bool{"photos": true}, FeedAges: map[string]map[string]float64{"photos": {"id": 1}},
		}
	}).ServeHTTP(gateway, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String() + gateway.Body.String()
}

var (
	metricName = regexp.MustCompile(`\b(gatehouse|process|go)_[a-z0-9_]+\b`)
	matcher    = regexp.MustCompile(`\b(endpoint|method|status|outcome|rule)=~?"([^"$]*)"`)
)

// shownBy returns what is wrong with an expression: a metric or the value of a
// label that the page does not have, or brackets that do not close.
func shownBy(page, expression string) (wrong []string) {
	for _, name := range metricName.FindAllString(expression, -1) {
		if !strings.Contains(page, "\n"+name+"{") && !strings.Contains(page, "\n"+name+" ") {
			wrong = append(wrong, "there is no metric "+name)
		}
	}
	for _, match := range matcher.FindAllStringSubmatch(expression, -1) {
		for value := range strings.SplitSeq(match[2], "|") {
			if !strings.Contains(page, match[1]+`="`+value+`"`) {
				wrong = append(wrong, "no series has "+match[1]+" "+value)
			}
		}
	}
	var open []rune
	closes := map[rune]rune{')': '(', ']': '[', '}': '{'}
	for _, r := range expression {
		switch {
		case strings.ContainsRune("([{", r):
			open = append(open, r)
		case closes[r] != 0 && (len(open) == 0 || open[len(open)-1] != closes[r]):
			return append(wrong, "brackets do not match")
		case closes[r] != 0:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 || !metricName.MatchString(expression) && !strings.HasPrefix(expression, "up{") {
		wrong = append(wrong, "it is no whole expression")
	}
	return wrong
}

func TestAlertsNameMetricsThatExist(t *testing.T) {
	page, guide := metricsPage(t), readFile(t, metricsGuide)
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := config.Decode([]byte(readFile(t, deployDirectory+"prometheus/alerts.yaml")), "alerts.yaml", &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) < 5 {
		t.Fatalf("%+v", file)
	}
	for _, rule := range file.Groups[0].Rules {
		for _, wrong := range shownBy(page, rule.Expr) {
			t.Errorf("%s: %s", rule.Alert, wrong)
		}
		if !slices.Contains([]string{"page", "ticket"}, rule.Labels["severity"]) || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s lacks a severity, a summary or a description", rule.Alert)
		}
		if !strings.Contains(guide, "`"+rule.Alert+"`") {
			t.Errorf("docs/operations/metrics.md does not say what to do about %s", rule.Alert)
		}
	}
	for _, expression := range []string{`rate(gatehouse_nothing_total[5m])`, `gatehouse_logins_total{outcome="won"}`, `rate(gatehouse_logins_total[5m]`, `1`} {
		if len(shownBy(page, expression)) == 0 {
			t.Errorf("%s passes", expression)
		}
	}
}

func TestDashboardNamesMetricsThatExist(t *testing.T) {
	page := metricsPage(t)
	var dashboard struct {
		Title  string `json:"title"`
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal([]byte(readFile(t, deployDirectory+"grafana/gatehouse.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	if len(dashboard.Panels) < 5 || dashboard.Title == "" {
		t.Fatalf("%+v", dashboard)
	}
	seen := map[int]bool{}
	for _, panel := range dashboard.Panels {
		if seen[panel.ID] || panel.Title == "" || len(panel.Targets) == 0 {
			t.Errorf("panel %d %q is not one of its own", panel.ID, panel.Title)
		}
		seen[panel.ID] = true
		for _, target := range panel.Targets {
			for _, wrong := range shownBy(page, target.Expr) {
				t.Errorf("%s: %s", panel.Title, wrong)
			}
		}
	}
}

// TestMetricsGuideNamesEveryMetric holds the guide's table to the page.
func TestMetricsGuideNamesEveryMetric(t *testing.T) {
	page, guide := metricsPage(t), readFile(t, metricsGuide)
	declared := regexp.MustCompile(`(?m)^# TYPE (gatehouse_[a-z_]+) `).FindAllStringSubmatch(page, -1)
	if len(declared) < 10 {
		t.Fatalf("%d metrics", len(declared))
	}
	for _, one := range declared {
		if !strings.Contains(guide, "| `"+one[1]+"` |") {
			t.Errorf("the guide lacks %s", one[1])
		}
	}
	for _, name := range regexp.MustCompile(`gatehouse_[a-z_]+`).FindAllString(guide, -1) {
		if !strings.Contains(page, "# TYPE "+name+" ") {
			t.Errorf("the guide names %s, which there is not", name)
		}
	}
}

func TestSystemdUnits(t *testing.T) {
	for name, own := range map[string]map[string]string{
		"gatehouse.service": {
			"StateDirectory": "gatehouse", "StateDirectoryMode": "0700", "Environment": "GATEHOUSE_DATA=/var/lib/gatehouse",
			"ExecStart": "/usr/local/bin/gatehouse serve --config /etc/gatehouse/gatehouse.yaml",
		},
		"gatehouse-gateway.service": {
			"ExecStart": "/usr/local/bin/gatehouse gateway --config /etc/gatehouse/gateway.yaml", "LoadCredential": "secrets:/etc/gatehouse/secrets",
		},
	} {
		t.Run(name, func(t *testing.T) { checkUnit(t, name, own) })
	}
}

func checkUnit(t *testing.T, unitName string, own map[string]string) {
	t.Helper()
	unit := readFile(t, deployDirectory+"systemd/"+unitName)
	settings, section := map[string][]string{}, ""
	for line := range strings.SplitSeq(unit, "\n") {
		name, value, assigned := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = line
		case !assigned || section == "" || strings.TrimSpace(line) != line:
			t.Errorf("%q is no setting", line)
		default:
			settings[section+name] = append(settings[section+name], value)
		}
	}
	wanted := map[string]string{
		"DynamicUser": "yes", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
		"PrivateDevices": "yes", "MemoryDenyWriteExecute": "yes", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "UMask": "0077", "LimitCORE": "0",
		"Restart": "on-failure",
	}
	maps.Copy(wanted, own)
	for name, want := range wanted {
		if got, set := settings["[Service]"+name]; !set || got[0] != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	parses(t, strings.Fields(settings["[Service]ExecStart"][0])[1:])
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not here; the unit was read by this test alone")
		return
	}
	file := filepath.Join(t.TempDir(), unitName)
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(unit, "/usr/local/bin/gatehouse", "/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), tool, "verify", "--man=no", file).CombinedOutput()
	if err != nil || strings.Contains(string(output), unitName+":") {
		t.Errorf("systemd-analyze: %v\n%s", err, output)
	}
}

// parses fails unless the words are a command with flags that it has.
func parses(t *testing.T, words []string) {
	t.Helper()
	command, rest, err := rootCommand(terminal{}).Find(words)
	if err != nil || !command.HasParent() {
		t.Fatalf("%q is no command: %v", words, err)
	}
	if err := command.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", words, err)
	}
}

func TestContainerfile(t *testing.T) {
	text := strings.ReplaceAll(readFile(t, deployDirectory+"container/Containerfile"), "\\\n", " ")
	known := []string{"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "VOLUME", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
	type instruction struct{ name, arguments string }
	var stages [][]instruction
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		name, arguments, _ := strings.Cut(line, " ")
		if !slices.Contains(known, name) || arguments == "" {
			t.Fatalf("%q is no instruction", line)
		}
		if name == "FROM" {
			stages = append(stages, nil)
		}
		if len(stages) == 0 {
			t.Fatalf("%q stands before the first FROM", line)
		}
		stages[len(stages)-1] = append(stages[len(stages)-1], instruction{name, arguments})
	}
	if len(stages) != 2 {
		t.Fatalf("%d stages, want one that builds and one that runs", len(stages))
	}
	version := regexp.MustCompile(`(?m)^go ([0-9]+\.[0-9]+)`).FindStringSubmatch(readFile(t, "../../go.mod"))
	if from := stages[0][0].arguments; !strings.Contains(from, "golang:"+version[1]) || !strings.HasSuffix(from, " AS build") {
		t.Errorf("it builds with %q, and go.mod says %s", from, version[1])
	}
	final, values := stages[1], map[string]string{}
	for _, one := range final {
		values[one.name] = one.arguments
		switch one.name {
		case "RUN":
			t.Error("there is nothing in the last stage that could run")
		case "COPY":
			if !strings.HasPrefix(one.arguments, "--from=build ") {
				t.Errorf("%q takes files past the build", one.arguments)
			}
		case "ENV":
			name, value, _ := strings.Cut(one.arguments, "=")
			if key := strings.ToLower(strings.TrimPrefix(name, "GATEHOUSE_")); value == "" || !strings.HasPrefix(name, "GATEHOUSE_") || !slices.Contains([]string{"data", "listen"}, key) {
				t.Errorf("%s is no setting that belongs into an image", one.arguments)
			}
		}
	}
	if values["FROM"] != "scratch" {
		t.Errorf("the last stage stands on %q", values["FROM"])
	}
	if user := values["USER"]; !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(user) {
		t.Errorf("it runs as %q: a number, so that Kubernetes sees that it is not root", user)
	}
	var entry, words []string
	if err := json.Unmarshal([]byte(values["ENTRYPOINT"]), &entry); err != nil || len(entry) != 1 {
		t.Errorf("ENTRYPOINT %s: %v", values["ENTRYPOINT"], err)
	}
	if err := json.Unmarshal([]byte(values["CMD"]), &words); err != nil {
		t.Errorf("CMD %s: %v", values["CMD"], err)
	}
	parses(t, words)
	if !strings.Contains(text, "CGO_ENABLED=0") {
		t.Error("a binary with cgo does not start on scratch")
	}
}
