package server

import (
	"bufio"
	"io"
	"net/http"
	"testing"

	"gatehouse/internal/spec"
)

// TestOneRequestIsNotReadAsTwo: what two readers could take for different
// numbers of requests is refused, or ends the connection after one answer.
func TestOneRequestIsNotReadAsTwo(t *testing.T) {
	spec.Covers(t, "PX-13")
	r := run(t)
	const hidden = "GET /jwks HTTP/1.1\r\nHost: x\r\n\r\n"
	const post = "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	for name, sent := range map[string]string{
		"length and chunks":        post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks and length":        post + "Transfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n" + hidden,
		"two encodings":            post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
		"an encoding nobody knows": post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
		"a list of encodings":      post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden,
		"space before the colon":   post + "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\na=b" + hidden,
		"two lengths":              post + "Content-Length: 3\r\nContent-Length: 33\r\n\r\na=b" + hidden,
		"a list of lengths":        post + "Content-Length: 3, 3\r\n\r\na=b" + hidden,
		"a signed length":          post + "Content-Length: +3\r\n\r\na=b" + hidden,
		"a bare line feed":         post + "Transfer-Encoding: chunked\r\n\r\n3\na=b\r\n0\r\n\r\n" + hidden,
		"a long chunk extension":   post + "Transfer-Encoding: chunked\r\n\r\n3;" + string(make([]byte, 1<<16)) + "\r\na=b\r\n0\r\n\r\n" + hidden,
		"a folded line":            post + "Content-Length: 3\r\n\tfolded: 1\r\n\r\na=b" + hidden,
		"chunks in HTTP/1.0":       "POST /token HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + hidden,
		"the server itself":        "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"a line feed in a name":    post + "X\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	} {
		conn := r.dial(t)
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		answers := 0
		for {
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				break
			}
			_, _ = io.Copy(io.Discard, response.Body)
			if answers++; answers == 1 && response.StatusCode < http.StatusBadRequest {
				t.Errorf("%s: %d", name, response.StatusCode)
			}
			if response.Close {
				break
			}
			if answers > 1 {
				t.Errorf("%s: a second answer with %d", name, response.StatusCode)
				break
			}
		}
		if answers == 0 {
			t.Errorf("%s: no answer", name)
		}
	}
}
