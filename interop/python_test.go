package interop

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// Debian's own Python, which sees Debian's packages; another may stand first on the PATH.
	systemPython = "/usr/bin/python3"
	pythonWithin = time.Minute // of a busy machine; five seconds of a quiet one
)

// python runs a program of python/ and returns the lines it printed.
func (s *stage) python(t *testing.T, program string) []string {
	t.Helper()
	if exec.Command(systemPython, "-c", "import authlib, requests").Run() != nil {
		missing(t, "Authlib is not installed for "+systemPython+": apt-get install python3-authlib python3-requests")
	}
	ctx, cancel := context.WithTimeout(t.Context(), pythonWithin)
	defer cancel()
	command := exec.CommandContext(ctx, systemPython, "-B", filepath.Join("python", program))
	command.Env = append(os.Environ(), s.told(t, nil), "AUTHLIB_INSECURE_TRANSPORT=1") // an http loopback issuer
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Errorf("%s: %v\n%s", program, err, stderr.String())
	}
	return strings.Split(strings.TrimSpace(stdout.String()), "\n")
}
