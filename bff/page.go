package bff

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"strconv"

	"gatehouse/client"
)

// pageStyle is that of the one page of ours that people get to read.
const pageStyle = `:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}body{max-width:32rem;margin:20vh auto 0;padding:0 1.5rem}h1{font-size:1.375rem;line-height:1.3}`

// pagePolicy lets the page have its style, and nothing else.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}()

// notSignedIn is the page of a sign-in that came to nothing, or was called off: it says so
// in a sentence, and leads back to the application.
func notSignedIn(w http.ResponseWriter, _ *http.Request, err error) {
	text := fmt.Sprintf(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Not signed in</title><style>%s</style></head>
<body><main id="bff-error"><h1>Not signed in</h1><p>%s</p><p><a id="bff-home" href="/">Back to the application</a></p></main></body></html>
`, pageStyle, html.EscapeString(client.SentenceOf(err)))
	header := w.Header()
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(client.StatusOf(err))
	_, _ = w.Write([]byte(text))
}
