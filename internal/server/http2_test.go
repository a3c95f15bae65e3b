package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/spec"
)

// Types and flags of HTTP/2 frames (RFC 9113 §6).
const (
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	frameGoAway       = 7
	frameContinuation = 9

	flagAck        = 1
	flagEndStream  = 1
	flagEndHeaders = 4
)

// wire is an HTTP/2 connection on which a test writes what it likes.
type wire struct{ *tls.Conn }

func (r *running) wire(t *testing.T, trust *x509.CertPool) wire {
	t.Helper()
	conn, err := tls.Dial("tcp", r.address, &tls.Config{RootCAs: trust, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// Nothing here is timed: this only ends a test that would hang.
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	w := wire{conn}
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.send(frameSettings, 0, 0, ""), w.send(frameSettings, flagAck, 0, "")); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w wire) send(kind, flags byte, stream uint32, payload string) error {
	head := [9]byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	binary.BigEndian.PutUint32(head[5:], stream)
	_, err := w.Write(append(head[:], payload...))
	return err
}

// frames counts the frames that come, by type, until the connection ends or
// until says that there were enough.
func (w wire) frames(until func(counts map[byte]int) bool) map[byte]int {
	counts := map[byte]int{}
	var head [9]byte
	for !until(counts) {
		if _, err := io.ReadFull(w, head[:]); err != nil {
			return counts
		}
		if _, err := io.CopyN(io.Discard, w, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
			return counts
		}
		counts[head[3]]++
	}
	return counts
}

// request are the header fields of a request in HPACK (RFC 7541 §6): an indexed
// method and scheme, and literal path and authority.
func request(method byte, path string) string {
	return string([]byte{method, 0x87, 0x04, byte(len(path))}) + path + "\x01\x01x"
}

const hpackGET, hpackPOST = 0x82, 0x83

// TestHTTP2FloodsAreCutOff: whatever one connection does, it has an end, leaves
// nothing running, and holds up no other.
func TestHTTP2FloodsAreCutOff(t *testing.T) {
	spec.Covers(t, "DS-06", "FT-35")
	r, p, _ := runTLS(t)
	others := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.trust}, ForceAttemptHTTP2: true}}
	defer others.CloseIdleConnections()
	served := func(t *testing.T) {
		t.Helper()
		response, err := others.Get("https://" + r.address + "/livez")
		if err != nil {
			t.Fatal(err)
		}
		if text := body(t, response); response.StatusCode != http.StatusOK {
			t.Errorf("another caller: %d %s", response.StatusCode, text)
		}
	}
	served(t)

	t.Run("endless headers", func(t *testing.T) { // CVE-2023-45288
		w := r.wire(t, p.trust)
		err := w.send(frameHeaders, 0, 1, request(hpackGET, "/livez"))
		field := "\x00\x01x\x7f\x00" + strings.Repeat("v", 127) // a literal one, of the largest length in one octet
		sent := 0
		for ; err == nil && sent < 4096; sent++ {
			err = w.send(frameContinuation, 0, 1, strings.Repeat(field, 120))
		}
		if err == nil {
			t.Errorf("%d frames of headers were taken", sent)
		}
		served(t)
	})
	t.Run("requests that are taken back", func(t *testing.T) { // CVE-2023-39325
		w := r.wire(t, p.trust)
		var err error
		for stream := uint32(1); err == nil && stream < 20_000; stream += 2 {
			err = errors.Join(
				w.send(frameHeaders, flagEndHeaders|flagEndStream, stream, request(hpackGET, "/livez")),
				w.send(frameReset, 0, stream, "\x00\x00\x00\x08"))
		}
		served(t)
	})
	t.Run("more requests than agreed", func(t *testing.T) {
		w := r.wire(t, p.trust)
		const asked = 3 * maxStreams
		for n := range uint32(asked) { // whose bodies never come
			if err := w.send(frameHeaders, flagEndHeaders, 2*n+1, request(hpackPOST, "/token")); err != nil {
				break
			}
		}
		counts := w.frames(func(counts map[byte]int) bool {
			return counts[frameReset] == asked-maxStreams || counts[frameGoAway] > 0
		})
		if counts[frameReset] != asked-maxStreams && counts[frameGoAway] == 0 {
			t.Errorf("%d of %d requests were refused: %v", counts[frameReset], asked, counts)
		}
		served(t)
	})
	t.Run("pings and settings", func(t *testing.T) { // CVE-2019-9512, CVE-2019-9515
		w := r.wire(t, p.trust)
		var err error
		pings := strings.Repeat("\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678\x00\x00\x00\x04\x00\x00\x00\x00\x00", 500)
		for sent := 0; err == nil && sent < 20_000; sent++ { // whose answers nobody reads
			_, err = io.WriteString(w, pings)
		}
		if err == nil {
			t.Error("a flood of pings goes on")
		}
		served(t)
	})
}
