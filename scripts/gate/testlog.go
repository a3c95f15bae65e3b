package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maxLogLine bounds one line of "go test -json"; longer ones are an error.
const maxLogLine = 16 << 20

// An event is one line of "go test -json" (see go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// A result is what a log says about one test.
type result struct {
	action string // pass, fail or skip; empty while it runs
	output []string
}

// A report gathers a log's events.
type report struct {
	tests    map[[2]string]*result // by package and test
	parents  map[[2]string]bool    // what stands before a slash of a test's name: a test, or a part of a name
	order    [][2]string
	packages map[string][]string // output that belongs to no test
	lines    []string            // each package's closing line: ok, FAIL, ?
	broken   []string            // packages that failed as a whole
	builds   map[string][]string
}

func newReport() *report {
	return &report{tests: make(map[[2]string]*result), parents: make(map[[2]string]bool), packages: make(map[string][]string), builds: make(map[string][]string)}
}

func (r *report) test(e event) *result {
	key := [2]string{e.Package, e.Test}
	if r.tests[key] == nil {
		r.tests[key] = new(result)
		r.order = append(r.order, key)
		for name := e.Test; ; {
			slash := strings.LastIndexByte(name, '/')
			if slash < 0 {
				break
			}
			name = name[:slash]
			r.parents[[2]string{e.Package, name}] = true
		}
	}
	return r.tests[key]
}

// add takes one event and returns the text to show at once: a package's closing line,
// and what a failed test printed.
func (r *report) add(e event) string {
	switch {
	case e.Action == "build-output":
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
		return e.Output
	case e.Package == "":
		return ""
	case e.Test != "":
		test := r.test(e)
		switch e.Action {
		case "output":
			if !isProgress(e.Output) {
				test.output = append(test.output, e.Output)
			}
		case "pass", "skip":
			test.action = e.Action
			if e.Action == "pass" {
				test.output = nil
			}
		case "fail":
			test.action = "fail"
			return fmt.Sprintf("--- FAIL: %s %s\n%s", e.Package, e.Test, strings.Join(test.output, ""))
		}
		return ""
	case e.Action == "output":
		line := e.Output
		switch {
		case strings.HasPrefix(line, "ok  \t"), strings.HasPrefix(line, "FAIL\t"), strings.HasPrefix(line, "?   \t"):
			// Coverage over all packages says little about one, so its column goes.
			if tab := strings.Index(line, "\tcoverage:"); tab >= 0 {
				line = line[:tab] + "\n"
			}
			r.lines = append(r.lines, line)
			return line
		case line == "PASS\n", line == "FAIL\n", strings.Contains(line, "coverage:"):
			return ""
		}
		r.packages[e.Package] = append(r.packages[e.Package], line)
	case e.Action == "fail":
		text := strings.Join(r.packages[e.Package], "")
		if !r.failedIn(e.Package) {
			r.broken = append(r.broken, e.Package)
		}
		text += r.unfinished(e.Package)
		return text
	}
	return ""
}

func isProgress(line string) bool {
	line = strings.TrimLeft(line, " ")
	for _, prefix := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// failedIn tells whether a test of the package failed or never ended.
func (r *report) failedIn(name string) bool {
	for key, test := range r.tests {
		if key[0] == name && (test.action == "fail" || test.action == "") {
			return true
		}
	}
	return false
}

// unfinished returns what tests printed that were running when their package died.
func (r *report) unfinished(name string) string {
	var text strings.Builder
	for _, key := range r.order {
		if test := r.tests[key]; key[0] == name && test.action == "" && len(test.output) > 0 {
			fmt.Fprintf(&text, "--- UNFINISHED: %s %s\n%s", key[0], key[1], strings.Join(test.output, ""))
		}
	}
	return text.String()
}

// A count is what the closing line says. Tests that only hold subtests do not count
// unless they failed by themselves, and a fuzz target's seeds count as one test.
type count struct {
	passed, failed int
	skips          []string
}

func (r *report) count() count {
	var total count
	failedBelow := make(map[[2]string]bool)
	for _, key := range r.order {
		if r.tests[key].action != "fail" {
			continue
		}
		for name := key[1]; ; {
			slash := strings.LastIndexByte(name, '/')
			if slash < 0 {
				break
			}
			name = name[:slash]
			failedBelow[[2]string{key[0], name}] = true
		}
	}
	for _, key := range r.order {
		test := r.tests[key]
		fuzz := strings.HasPrefix(key[1], "Fuzz")
		seed := fuzz && strings.Contains(key[1], "/")
		switch {
		case test.action == "skip":
			total.skips = append(total.skips, key[0]+" "+key[1]+": "+reason(test.output))
		case test.action == "pass" && !seed && (!r.parents[key] || fuzz):
			total.passed++
		case test.action == "fail" && !failedBelow[key], test.action == "":
			total.failed++
		}
	}
	total.failed += len(r.broken)
	return total
}

// reason picks the sentence that a skipped test printed.
func reason(output []string) string {
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--- SKIP") {
			return line
		}
	}
	return "no reason given"
}

// read feeds a log's lines to each; lines that are not JSON are given as raw text.
func read(log io.Reader, each func(line []byte, e event, raw bool) error) error {
	lines := bufio.NewScanner(log)
	lines.Buffer(make([]byte, 0, 64<<10), maxLogLine)
	for lines.Scan() {
		var e event
		raw := json.Unmarshal(lines.Bytes(), &e) != nil
		if err := each(lines.Bytes(), e, raw); err != nil {
			return err
		}
	}
	return lines.Err()
}

// watch keeps the log that comes on standard input and shows what matters of it.
func watch(log io.Reader, path string) (err error) {
	kept, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := kept.Close(); err == nil {
			err = closeErr
		}
	}()
	live := newReport()
	return read(log, func(line []byte, e event, raw bool) error {
		if raw {
			fmt.Printf("%s\n", line)
			return nil
		}
		fmt.Print(live.add(e))
		_, err := fmt.Fprintf(kept, "%s\n", line)
		return err
	})
}

// tally prints every package's closing line and, last, the number of tests. It fails
// with errFailed when a test failed or none ran; with noSkips a skipped test has failed.
func tally(to io.Writer, noSkips bool, paths []string) error {
	var total count
	var lines []string
	for _, path := range paths {
		log, err := os.Open(path)
		if err != nil {
			return err
		}
		whole := newReport()
		err = read(log, func(_ []byte, e event, raw bool) error {
			if !raw {
				whole.add(e)
			}
			return nil
		})
		log.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		part := whole.count()
		total.passed += part.passed
		total.failed += part.failed
		total.skips = append(total.skips, part.skips...)
		lines = append(lines, whole.lines...)
	}
	slices.Sort(total.skips)
	for _, skip := range total.skips {
		fmt.Fprintln(to, "skipped:", skip)
	}
	if noSkips && len(total.skips) > 0 {
		fmt.Fprintln(to, "GATEHOUSE_TEST_SERVICES=1 says that no test may be skipped: these count as failed.")
		total.failed += len(total.skips)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "?") {
			fmt.Fprint(to, line)
		}
	}
	fmt.Fprintf(to, "%d passed, %d failed\n", total.passed, total.failed)
	if total.failed > 0 || total.passed == 0 {
		return errFailed
	}
	return nil
}
