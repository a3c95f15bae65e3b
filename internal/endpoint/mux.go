package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/oauth"
)

// Place is where a request arrives.
type Place struct {
	Tenant gatehouse.Tenant
	// Prefix begins the paths of the tenant's endpoints.
	Prefix string
	// Path is that of the endpoint, as its row has it.
	Path string
}

// Tenancy finds the tenant of a request by its host and path. With an error
// it may return the place as it was known last, found, for the rows that
// outlast an outage.
type Tenancy interface {
	Resolve(ctx context.Context, host, path string) (place Place, found bool, err error)
}

// Origins tells whether a page of that origin belongs to a registered client.
type Origins interface {
	KnownOrigin(ctx context.Context, tenant gatehouse.TenantID, origin string) (bool, error)
}

// Refusal is what is remembered of a refused request, for the operator.
type Refusal struct {
	ID       string
	Endpoint string
	Tenant   gatehouse.TenantID
	Error    *oauth.Error
	Request  string
	Address  string
	Notes    []slog.Attr
}

// Config is what a Mux needs.
type Config struct {
	Rows    []Row
	Tenancy Tenancy
	Origins Origins
	Log     *slog.Logger
	// Refused, when set, is told of every refusal after it was logged.
	Refused func(context.Context, Refusal)
	// Answered, when set, is told of every request after it was answered.
	Answered func(context.Context, Answer)
	// Secure adds Strict-Transport-Security to every answer.
	Secure bool
}

// Mux serves the rows. It is safe for concurrent use.
type Mux struct {
	config    Config
	constants constants
	exact     map[string][]*Row
	below     []*Row
}

// NewMux joins rows into one handler. Two rows for one method and path are a
// defect of the program and refused.
func NewMux(config Config) (*Mux, error) {
	m := &Mux{config: config, constants: newConstants(), exact: map[string][]*Row{}}
	for i := range config.Rows {
		row := &m.config.Rows[i]
		for _, other := range m.exact[row.Path] {
			if slices.ContainsFunc(row.Methods, func(method string) bool { return slices.Contains(other.Methods, method) }) {
				return nil, fmt.Errorf("endpoints %s and %s both serve %s", other.Name, row.Name, row.Path)
			}
		}
		m.exact[row.Path] = append(m.exact[row.Path], row)
		if strings.HasSuffix(row.Path, "/") {
			m.below = append(m.below, row)
		}
	}
	return m, nil
}

// Rows returns the table in the order in which it was given.
func (m *Mux) Rows() []Row { return m.config.Rows }

// hstsValue is one year and all subdomains' own decision.
const hstsValue = "max-age=31536000"

func (m *Mux) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	e := begin(hr)
	r := &e.request
	if m.config.Answered != nil {
		e.kept.ResponseWriter = w
		defer m.answered(&e.kept, r, time.Now())
		w = &e.kept
	}
	header := w.Header()
	if m.config.Secure {
		header["Strict-Transport-Security"] = m.constants.hsts
	}
	header["X-Content-Type-Options"], header["X-Request-Id"] = m.constants.noSniff, e.id[:]
	if len(hr.TransferEncoding) > 0 || !hr.ProtoAtLeast(1, 1) {
		// net/http does not tell whether there was a Content-Length, too, by which
		// somebody before us may have found another end: RFC 9112 §6.3, "MUST
		// close the connection after responding to such a request"; nor whether a
		// request of HTTP/1.0 had a Transfer-Encoding, which it ignores (§6.1).
		header.Set("Connection", "close")
	}
	defer m.recovered(w, r)

	// A path that is not written in its plain form names no endpoint: two
	// readers could take it for different ones.
	if hr.URL.RawPath != "" || hr.URL.EscapedPath() != hr.URL.Path {
		notFound(w)
		return
	}
	rows := m.exact[hr.URL.Path]
	if len(rows) > 0 && rows[0].Process {
		m.dispatch(w, r, rows)
		return
	}
	place, found, err := m.config.Tenancy.Resolve(hr.Context(), hr.Host, hr.URL.Path)
	if len(rows) == 0 || place.Path != hr.URL.Path {
		rows = m.rowsAt(place.Path)
	}
	if err != nil && !(found && len(rows) > 0 && rows[0].Outage) {
		m.refuse(w, r, m.lost(r, place, found, rows), err)
		return
	}
	if !found {
		notFound(w)
		return
	}
	r.Tenant, r.Prefix = place.Tenant, place.Prefix
	if len(rows) == 0 || rows[0].Process {
		notFound(w)
		return
	}
	m.dispatch(w, r, rows)
}

// lost is the row by which a request is refused whose tenant cannot be looked up.
// Of a tenant that was known before, the endpoint's own writer tells it: a person
// at a browser has a page.
func (m *Mux) lost(r *Request, place Place, found bool, rows []*Row) *Row {
	if !found || len(rows) == 0 || rows[0].Process {
		return &Row{Name: "tenant", Errors: JSONErrors}
	}
	r.Tenant, r.Prefix, r.endpoint = place.Tenant, place.Prefix, rows[0].Name
	for _, row := range rows {
		if row.serves(r.Method) {
			return row
		}
	}
	return rows[0]
}

func (m *Mux) rowsAt(path string) []*Row {
	if rows, found := m.exact[path]; found {
		return rows
	}
	for _, row := range m.below {
		if strings.HasPrefix(path, row.Path) {
			return []*Row{row}
		}
	}
	return nil
}

func (m *Mux) dispatch(w http.ResponseWriter, r *Request, rows []*Row) {
	method := r.Method
	var allowed []string
	for _, row := range rows {
		if row.serves(method) {
			if row.CORS != NoCORS && !m.allowOrigin(w, r, row) {
				return
			}
			m.serve(w, r, row)
			return
		}
		allowed = append(allowed, row.Methods...)
	}
	if method == http.MethodOptions && rows[0].CORS != NoCORS {
		m.preflight(w, r, rows[0], allowed)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	w.WriteHeader(http.StatusMethodNotAllowed)
}

func (m *Mux) serve(w http.ResponseWriter, r *Request, row *Row) {
	r.endpoint = row.Name
	limit := row.BodyLimit
	if limit == 0 {
		limit = DefaultBodyLimit
	}
	if r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(unkept(w), r.Body, limit)
	}
	if err := row.Serve(w, r); err != nil {
		m.refuse(w, r, row, err)
	}
}

func (m *Mux) refuse(w http.ResponseWriter, r *Request, row *Row, err error) {
	refusal := oauth.AsError(err)
	if refusal.Code == oauth.ServerError && errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		m.left(w, r, row)
		return
	}
	r.rule = refusal.Rule
	level := slog.LevelInfo
	if refusal.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("id", refusal.ID), slog.String("rule", refusal.Rule), slog.String("error", string(refusal.Code)),
		slog.Int("status", refusal.Status), slog.String("endpoint", row.Name), slog.String("tenant", string(r.Tenant.ID)),
		slog.String("request", r.ID), slog.String("address", Address(r.Request)),
	}
	attrs = append(attrs, r.notes...)
	if refusal.Cause != nil {
		attrs = append(attrs, slog.String("cause", refusal.Cause.Error()))
	}
	m.config.Log.LogAttrs(r.Context(), level, "refused", attrs...)
	if m.config.Refused != nil {
		m.config.Refused(r.Context(), Refusal{refusal.ID, row.Name, r.Tenant.ID, refusal, r.ID, Address(r.Request), r.notes})
	}
	if r.answer != nil {
		r.answer(w, refusal)
		return
	}
	row.Errors(w, r, refusal)
}

// StatusLeft is for the log and the metrics, where the caller went away before the
// answer: nobody receives it.
const StatusLeft = 499

// left is for a caller who went away before the answer. That is no fault of ours.
func (m *Mux) left(w http.ResponseWriter, r *Request, row *Row) {
	r.rule = "caller-left"
	m.config.Log.LogAttrs(r.Context(), slog.LevelInfo, "caller left",
		slog.String("endpoint", row.Name), slog.String("tenant", string(r.Tenant.ID)),
		slog.String("request", r.ID), slog.String("address", Address(r.Request)))
	w.WriteHeader(StatusLeft)
}

// recovered turns a panic into one log line and a 500 without a word about
// our insides.
func (m *Mux) recovered(w http.ResponseWriter, r *Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	fault := oauth.Fault(fmt.Errorf("panic: %v", cause))
	m.config.Log.LogAttrs(r.Context(), slog.LevelError, "panic",
		slog.String("id", fault.ID), slog.String("request", r.ID), slog.Any("cause", cause), slog.String("stack", string(debug.Stack())))
	if m.config.Refused != nil {
		m.config.Refused(r.Context(), Refusal{fault.ID, "panic", r.Tenant.ID, fault, r.ID, Address(r.Request), r.notes})
	}
	oauth.WriteError(w, r.Request, fault)
}

func notFound(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte("404: there is nothing at this address\n"))
}
