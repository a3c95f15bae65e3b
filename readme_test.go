package gatehouse_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// TestReadmeTranscript types what the README tells a newcomer to type, with
// curl and a shell alone, and looks for what it promises.
func TestReadmeTranscript(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the transcript needs %s", tool)
		}
	}
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	stage := startDev(t, directory)

	script := "set -eu\n"
	for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
		script += block[1] + "\necho\n"
	}
	script = strings.NewReplacer("http://127.0.0.1:8080", stage.Issuer, "http://127.0.0.1:8082", stage.API,
		"secret=SECRET", "secret="+stage.secretOf("machine"), "go run ./cmd/gatehouse", "gatehouse").Replace(script)
	shell := exec.Command("bash", "-c", script)
	shell.Dir = directory
	shell.Env = append(os.Environ(), "PATH="+directory+string(os.PathListSeparator)+os.Getenv("PATH"))
	output, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("the README's commands fail: %v\n%s", err, output)
	}
	rest := string(output)
	for _, promise := range []string{
		`"title"`,                           // the photos, for the machine's token
		"401 Unauthorized",                  // without a token
		"403 Forbidden",                     // without the scope
		"code=ghc_",                         // back at the application
		`"sub":"demo-alice"`,                // userinfo
		`"title"`,                           // the photos, for alice's token
		"code was used before",              // the second redemption
		`"error":"invalid_token"`,           // and what came of it
		"A code is good for one redemption", // explain
	} {
		_, after, found := strings.Cut(rest, promise)
		if !found {
			t.Fatalf("the transcript lacks %q where it is promised\n%s", promise, output)
		}
		rest = after
	}
}

// devStage is the line that `gatehouse dev --json` prints.
type devStage struct {
	Issuer, Playground, API, BFF, Gateway string
	Clients                               []struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
}

func (s devStage) secretOf(client string) string {
	for _, c := range s.Clients {
		if c.ID == client {
			return c.Secret
		}
	}
	return ""
}

// startDev builds the binary into the directory and runs `gatehouse dev` on
// free ports, with further arguments, until the test ends.
func startDev(t *testing.T, directory string, arguments ...string) devStage {
	t.Helper()
	binary := filepath.Join(directory, "gatehouse")
	if output, err := exec.Command("go", "build", "-o", binary, "./cmd/gatehouse").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	dev := exec.Command(binary, append([]string{"dev", "--port", "0", "--json"}, arguments...)...)
	stdout, err := dev.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = dev.Process.Signal(os.Interrupt)
		if err := dev.Wait(); err != nil {
			t.Errorf("gatehouse dev ended with %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("gatehouse dev printed no line: %v", err)
	}
	var stage devStage
	if err := json.Unmarshal(line, &stage); err != nil {
		t.Fatalf("gatehouse dev printed %s: %v", line, err)
	}
	return stage
}
