package gatehousetest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Streaming is the issuer for clients that read an answer while it is being
// written, as a follower of the revocation feed does. Requests end with their
// context, or when the body of their answer is closed.
type Streaming struct{ *Issuer }

// RoundTrip hands a request straight to the server and returns when the answer's
// header is there.
func (s Streaming) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	reader, writer := net.Pipe()
	body := &streamBody{Conn: reader, cancel: cancel, ended: make(chan struct{})}
	w := &streamWriter{conn: writer, header: http.Header{}, begun: make(chan struct{})}
	gone := context.AfterFunc(ctx, func() { _ = reader.Close() })
	go func() {
		defer close(body.ended)
		defer gone()
		defer writer.Close()
		s.server.Handler().ServeHTTP(w, s.incoming(r.WithContext(ctx)))
		w.begin(http.StatusOK)
	}()
	select {
	case <-ctx.Done():
		_ = body.Close()
		return nil, ctx.Err()
	case <-w.begun:
	}
	return &http.Response{
		StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent, Body: body, ContentLength: -1, Request: r,
	}, nil
}

// streamBody is an answer that is being read. Close returns when the server has
// done with the request.
type streamBody struct {
	net.Conn
	cancel context.CancelFunc
	ended  chan struct{}
}

func (b *streamBody) Close() error {
	b.cancel()
	err := b.Conn.Close()
	<-b.ended
	return err
}

// streamWriter is a response whose body goes through a pipe.
type streamWriter struct {
	conn   net.Conn
	header http.Header
	once   sync.Once
	begun  chan struct{}
	status int
	sent   http.Header
}

func (w *streamWriter) Header() http.Header { return w.header }

func (w *streamWriter) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.begin(status)
	}
}

func (w *streamWriter) begin(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	})
}

func (w *streamWriter) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.conn.Write(p)
}

// FlushError has nothing to do: what was written has been read.
func (w *streamWriter) FlushError() error { return nil }

func (w *streamWriter) SetWriteDeadline(deadline time.Time) error {
	return w.conn.SetWriteDeadline(deadline)
}
