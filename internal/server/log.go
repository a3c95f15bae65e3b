package server

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"gatehouse/internal/endpoint"
)

// Check says what is wrong with the settings, or nil.
func (l Log) Check() error {
	var problems []error
	if !oneOf(l.Level, "", "debug", "info", "warn", "error") {
		problems = append(problems, errors.New("log.level must be debug, info, warn or error"))
	}
	if !oneOf(l.Format, "", "json", "text") {
		problems = append(problems, errors.New("log.format must be json or text"))
	}
	return errors.Join(problems...)
}

// Logger returns the logger that the configuration asks for.
func (l Log) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.Level)) // Check has seen it; "" is info
	options := &slog.HandlerOptions{Level: level}
	if l.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// AccessLog writes a line for every request. The query is left out: it may
// carry what must not be kept.
func AccessLog(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(recorder, r)
		log.LogAttrs(r.Context(), slog.LevelInfo, "request",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", recorder.status),
			slog.String("address", endpoint.Address(r)), slog.Duration("took", time.Since(start)),
			slog.String("request", w.Header().Get("X-Request-Id")))
	})
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
