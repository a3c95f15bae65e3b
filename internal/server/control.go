package server

import (
	"context"
	"net"
	"net/http"
	"os"
	"time"
)

// aliveTimeout is how long a running server may take to accept a connection
// on its control socket.
const aliveTimeout = time.Second

// BusyError says that another server serves from the data directory.
type BusyError struct{ Data string }

func (e *BusyError) Error() string { return "another server already serves from " + e.Data }

// CheckIdle returns a *BusyError if a server answers on the control socket of
// the data directory.
func CheckIdle(ctx context.Context, data string) error {
	dialer := net.Dialer{Timeout: aliveTimeout}
	living, err := dialer.DialContext(ctx, "unix", ControlSocket(data))
	if err != nil {
		return nil
	}
	_ = living.Close()
	return &BusyError{data}
}

// controlSocket listens on the socket in the data directory that answers the
// commands of this machine and that only its owner can open. It fails if
// another server answers there, replaces a socket that was left behind by one
// that was killed, and returns nil where the system has no such sockets.
func (s *Server) controlSocket(ctx context.Context) (net.Listener, error) {
	if s.config.Data == "" {
		return nil, nil
	}
	if err := CheckIdle(ctx, s.config.Data); err != nil {
		return nil, err
	}
	path := ControlSocket(s.config.Data)
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(path)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		s.log.Warn("there is no control socket, so gatehouse explain finds refusals in the log alone", "error", err)
		return nil, nil
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = listener.Close()
		s.log.Warn("the control socket stays closed, so gatehouse explain finds refusals in the log alone", "error", err)
		return nil, nil
	}
	return listener, nil
}

// serveControl answers on the control socket until ctx ends.
func (s *Server) serveControl(ctx context.Context, listener net.Listener) {
	if listener == nil {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /refusals/{id}", s.refusals.serve)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: s.limits.readHeader, ReadTimeout: s.limits.read, WriteTimeout: s.limits.write, MaxHeaderBytes: maxHeaderBytes}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	_ = server.Serve(listener)
}
