package interop

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPicture walks through the whole picture of `gatehouse dev`, a process of its own, in
// Chromium: the application with a backend for frontend, both APIs, and the end of all.
func TestPicture(t *testing.T) {
	server := &stage{Callback: "http://" + freeAddress(t), Express: "http://" + freeAddress(t)}
	server.readLine(t, server.run(t, "dev", "--json", "--port", "0"))
	more := map[string]string{"chromium": chromiumPath(t)}
	if directory := os.Getenv("GATEHOUSE_SCREENSHOTS"); directory != "" {
		absolute, err := filepath.Abs(directory)
		if err != nil {
			t.Fatal(err)
		}
		more["screenshots"] = absolute
	}
	assertChecks(t, server.node(t, "picture.mjs", more), []string{
		"picture-sign-in-through-the-bff", "picture-who-acts", "picture-add-and-delete", "picture-sign-out-is-felt-everywhere",
		"picture-a-session-ended-elsewhere", "picture-chain-and-watch-in-the-playground", "picture-a-service", "picture-nothing-to-complain",
	})
	t.Run("log", func(t *testing.T) { assertQuietLog(t, server) })
}
