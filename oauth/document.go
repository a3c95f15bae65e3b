package oauth

import (
	"net/http"
	"strconv"
	"time"
)

// Document is a public JSON document that is written again and again: metadata,
// a key set. It is kept as it is written.
type Document struct {
	text                                     []byte
	contentType, cacheControl, contentLength []string
}

// NewDocument makes a document of a JSON text, which clients may keep for the
// time, in whole seconds. The text must not be changed afterwards.
func NewDocument(text []byte, cacheTime time.Duration) *Document {
	return &Document{
		text:          text,
		contentType:   []string{"application/json"},
		cacheControl:  []string{"public, max-age=" + strconv.Itoa(int(cacheTime/time.Second))},
		contentLength: []string{strconv.Itoa(len(text))},
	}
}

// Write answers 200 with the document.
func (d *Document) Write(w http.ResponseWriter) {
	header := w.Header()
	header["Content-Type"], header["Cache-Control"], header["Content-Length"] = d.contentType, d.cacheControl, d.contentLength
	_, _ = w.Write(d.text)
}
