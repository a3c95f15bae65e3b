package front

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"gatehouse/oauth"
)

// defaultPolicy lets pages load what is of their own origin and run no script that is
// written into them.
const defaultPolicy = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"

// files serves an application's files. What is no file and is opened as a page is
// index.html: the application knows its own paths.
type files struct {
	root   fs.FS
	policy string
}

func newFiles(root fs.FS, policy string) files {
	if policy == "" {
		policy = defaultPolicy
	}
	return files{root, policy}
}

const index = "index.html"

func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", f.policy)
	header.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-cache") // kept, and asked about each time
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		oauth.WriteJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "method_not_allowed"})
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = index
	}
	if f.serve(w, r, name) || opensPage(r) && f.serve(w, r, index) {
		return
	}
	oauth.WriteJSON(w, http.StatusNotFound, map[string]string{"error": "not_found"})
}

// serve answers with a file, and says false if there is none to be shown: names that
// begin with a dot are nobody's business, but for .well-known.
func (f files) serve(w http.ResponseWriter, r *http.Request, name string) bool {
	for i, segment := range strings.Split(name, "/") {
		if strings.HasPrefix(segment, ".") && !(i == 0 && segment == ".well-known") {
			return false
		}
	}
	if !fs.ValidPath(name) {
		return false
	}
	file, err := f.root.Open(name)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	content, seeks := file.(io.ReadSeeker)
	if err != nil || !info.Mode().IsRegular() || !seeks {
		return false
	}
	http.ServeContent(w, r, name, info.ModTime(), content)
	return true
}

// opensPage says that a browser is about to show the answer as a page.
func opensPage(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// checkFiles says whether there is an application in the directory.
func checkFiles(root fs.FS) error {
	if _, err := fs.Stat(root, index); err != nil {
		return errors.New("files.directory has no index.html")
	}
	return nil
}
