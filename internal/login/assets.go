package login

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"path"
	"strconv"
	"strings"

	"gatehouse/internal/endpoint"
)

//go:embed assets
var assetFiles embed.FS

//go:embed pages/*.html
var pageFiles embed.FS

// submitScript is the one script: it sends the form_post page's form.
const submitScript = `document.forms[0].submit();`

// submitScriptSource allows exactly submitScript (CSP Level 3 §2.3.1).
func submitScriptSource() string {
	digest := sha256.Sum256([]byte(submitScript))
	return "'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"
}

// asset is a file that pages load from us. Its path names its content, so
// that it can be cached for ever.
type asset struct {
	path, contentType string
	content           []byte
}

// assetHashLength is how many hexadecimal digits of its SHA-256 name a file.
const assetHashLength = 16

func loadAsset(name, contentType string) asset {
	content, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		panic("login: an embedded file is missing: " + err.Error())
	}
	digest := sha256.Sum256(content)
	extension := path.Ext(name)
	return asset{
		path:        "/assets/" + strings.TrimSuffix(name, extension) + "." + hex.EncodeToString(digest[:])[:assetHashLength] + extension,
		contentType: contentType,
		content:     content,
	}
}

func (a asset) row() endpoint.Row {
	return endpoint.Row{
		Name: "asset", Path: a.path, Methods: []string{http.MethodGet}, Caller: endpoint.Anyone,
		Serve: a.serve, Errors: endpoint.JSONErrors,
	}
}

func (a asset) serve(w http.ResponseWriter, r *endpoint.Request) error {
	assetHeaders(w.Header(), a.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.content)))
	_, _ = w.Write(a.content)
	return nil
}

// assetHeaders sets what every file that pages load carries.
func assetHeaders(h http.Header, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
}
