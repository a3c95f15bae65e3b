package proxytest

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
)

// Log is written by what is tested and read by the test, at the same time.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Lines are those of a message, in a log of JSON.
func (l *Log) Lines(t testing.TB, message string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(l.String()) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("a line of log is no JSON: %q", line)
		}
		if one["msg"] == message {
			found = append(found, one)
		}
	}
	return found
}
