package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/oauth"
)

// oneTenant lives at the root; another has the prefix /t/blue. Both are known
// also when there is an error, unless they are forgotten.
type oneTenant struct {
	err       error
	forgotten bool
}

func (o *oneTenant) Resolve(_ context.Context, _, path string) (Place, bool, error) {
	if o.forgotten {
		return Place{}, false, o.err
	}
	if rest, blue := strings.CutPrefix(path, "/t/blue"); blue {
		return Place{gatehouse.Tenant{ID: "blue"}, "/t/blue", rest}, true, o.err
	}
	return Place{gatehouse.Tenant{ID: gatehouse.DefaultTenant}, "", path}, !strings.HasPrefix(path, "/t/"), o.err
}

type knownOrigins struct {
	known []string
	err   error
}

func (k *knownOrigins) KnownOrigin(_ context.Context, _ gatehouse.TenantID, origin string) (bool, error) {
	return slices.Contains(k.known, origin), k.err
}

// bench is a mux with what it reports.
type bench struct {
	*Mux
	tenancy oneTenant
	origins knownOrigins
	log     bytes.Buffer
	refused []Refusal
}

func newBench(t *testing.T, rows ...Row) *bench {
	t.Helper()
	b := &bench{origins: knownOrigins{known: []string{"https://app.example"}}}
	var err error
	b.Mux, err = NewMux(Config{
		Rows: rows, Tenancy: &b.tenancy, Origins: &b.origins, Log: slog.New(slog.NewJSONHandler(&b.log, nil)),
		Refused: func(_ context.Context, r Refusal) { b.refused = append(b.refused, r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ask sends a request with headers given as names and values in turn.
func (b *bench) ask(method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

func saying(text string) func(http.ResponseWriter, *Request) error {
	return func(w http.ResponseWriter, r *Request) error {
		_, err := io.WriteString(w, text+" of "+string(r.Tenant.ID))
		return err
	}
}

func row(name, path string, methods ...string) Row {
	return Row{Name: name, Path: path, Methods: methods, Caller: Anyone, Serve: saying(name), Errors: JSONErrors}
}

func TestOnlyThePathAsItIsWritten(t *testing.T) {
	assets := row("assets", "/assets/", http.MethodGet)
	b := newBench(t, row("token", "/token", http.MethodGet), assets)
	for target, want := range map[string]string{
		"/token": "token of default", "/token?x=1": "token of default", "/t/blue/token": "token of blue",
		"/assets/a.css": "assets of default",
	} {
		if w := b.ask(http.MethodGet, target); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s: %d %q, want %q", target, w.Code, w.Body, want)
		}
	}
	for _, target := range []string{
		"/token/", "//token", "/./token", "/x/../token", "/%74oken", "/token%2f", "/TOKEN", "/token;x", "/", "/t/red/token", "/t/blue/t/blue/token",
	} {
		w := b.ask(http.MethodGet, target)
		if w.Code != http.StatusNotFound || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d, sent to %q", target, w.Code, w.Header().Get("Location"))
		}
	}
}

func TestMethods(t *testing.T) {
	page := row("page", "/page", http.MethodGet, http.MethodPost)
	page.Caller = Browser
	b := newBench(t, row("read", "/doc", http.MethodGet), row("write", "/doc", http.MethodPost), page)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{http.MethodGet, "/doc", 200, ""}, {http.MethodPost, "/doc", 200, ""}, {http.MethodHead, "/doc", 200, ""},
		{http.MethodPut, "/doc", 405, "GET, POST"}, {http.MethodOptions, "/doc", 405, "GET, POST"},
		{http.MethodGet, "/page", 200, ""}, {http.MethodHead, "/page", 405, "GET, POST"}, {"BREW", "/page", 405, "GET, POST"},
	} {
		w := b.ask(c.method, c.path)
		if w.Code != c.status || w.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.path, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestTwoRowsForOneRequestAreADefect(t *testing.T) {
	rows := []Row{row("first", "/token", http.MethodPost), row("second", "/token", http.MethodGet, http.MethodPost)}
	if _, err := NewMux(Config{Rows: rows}); err == nil || !strings.Contains(err.Error(), "first and second both serve /token") {
		t.Errorf("%v", err)
	}
	if _, err := NewMux(Config{Rows: rows[:1]}); err != nil {
		t.Error(err)
	}
}

func TestPanicIsOneLineAndA500(t *testing.T) {
	bad := row("bad", "/bad", http.MethodGet)
	bad.Serve = func(http.ResponseWriter, *Request) error { panic("secret insides") }
	gone := row("gone", "/gone", http.MethodGet)
	gone.Serve = func(http.ResponseWriter, *Request) error { panic(http.ErrAbortHandler) }
	b := newBench(t, bad, gone, row("good", "/good", http.MethodGet))

	w := b.ask(http.MethodGet, "/bad")
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"server_error"`) || strings.Contains(w.Body.String(), "insides") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	text := b.log.String()
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, "secret insides") || !strings.Contains(text, "mux_test.go") {
		t.Errorf("log: %s", text)
	}
	if len(b.refused) != 1 || !strings.Contains(w.Body.String(), b.refused[0].ID) || !strings.Contains(text, b.refused[0].ID) {
		t.Errorf("the id that the caller was told leads nowhere: %s %+v", w.Body, b.refused)
	}
	if w := b.ask(http.MethodGet, "/good"); w.Code != http.StatusOK {
		t.Errorf("the next request: %d", w.Code)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("the server was not told to cut the connection")
		}
	}()
	b.ask(http.MethodGet, "/gone")
}

func TestRefusalsAreLoggedRememberedAndAnsweredByTheRow(t *testing.T) {
	refusing := row("refusing", "/refuse", http.MethodGet)
	refusing.Serve = func(_ http.ResponseWriter, r *Request) error {
		r.Note("client_id", "web")
		return oauth.Refuse("code-invalid", oauth.InvalidGrant, "No.").Because(errors.New("the cause"))
	}
	refusing.Errors = func(w http.ResponseWriter, _ *Request, e *oauth.Error) { w.WriteHeader(e.Status + 8) }
	redirecting := row("redirecting", "/redirect", http.MethodGet)
	redirecting.Serve = func(_ http.ResponseWriter, r *Request) error {
		r.AnswerRefusals(func(w http.ResponseWriter, e *oauth.Error) { w.WriteHeader(http.StatusSeeOther) })
		return errors.New("a fault")
	}
	b := newBench(t, refusing, redirecting)
	if w := b.ask(http.MethodGet, "/refuse"); w.Code != 408 || w.Header().Get("X-Request-Id") == "" {
		t.Errorf("answer %d", w.Code)
	}
	for _, part := range []string{`"level":"INFO"`, `"rule":"code-invalid"`, `"client_id":"web"`, `"cause":"the cause"`, `"endpoint":"refusing"`} {
		if !strings.Contains(b.log.String(), part) {
			t.Errorf("log lacks %s: %s", part, b.log.String())
		}
	}
	b.log.Reset()
	if w := b.ask(http.MethodGet, "/redirect"); w.Code != http.StatusSeeOther {
		t.Errorf("answer %d", w.Code)
	}
	if !strings.Contains(b.log.String(), `"level":"ERROR"`) || len(b.refused) != 2 || b.refused[1].Error.Code != oauth.ServerError {
		t.Errorf("%s %+v", b.log.String(), b.refused)
	}
}

// TestACallerWhoLeft is one line, and no fault: browsers leave when a person
// clicks again.
func TestACallerWhoLeft(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	b := newBench(t, Row{Name: "slow", Path: "/slow", Methods: []string{"GET"}, Caller: Anyone, Errors: JSONErrors,
		Serve: func(_ http.ResponseWriter, r *Request) error {
			leave()
			return fmt.Errorf("store: reading: %w", r.Context().Err())
		}})
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/slow", nil))
	log := b.log.String()
	if w.Code != StatusLeft || len(b.refused) != 0 || strings.Count(log, "caller left") != 1 || strings.Contains(log, "ERROR") {
		t.Errorf("%d, %d refusals, log %s", w.Code, len(b.refused), log)
	}

	// A cancelled context of our own is a fault as ever.
	b = newBench(t, Row{Name: "broken", Path: "/broken", Methods: []string{"GET"}, Caller: Anyone, Errors: JSONErrors,
		Serve: func(http.ResponseWriter, *Request) error { return context.Canceled }})
	if w := b.ask("GET", "/broken"); w.Code != http.StatusInternalServerError || !strings.Contains(b.log.String(), "ERROR") {
		t.Errorf("%d, log %s", w.Code, b.log.String())
	}
}

func TestOutageRowsServeTenantsThatWereKnown(t *testing.T) {
	keys := row("jwks", "/jwks", http.MethodGet)
	keys.Outage = true
	page := row("page", "/page", http.MethodGet)
	page.Errors = func(w http.ResponseWriter, r *Request, e *oauth.Error) {
		w.WriteHeader(e.Status)
		_, _ = fmt.Fprintf(w, "the page of %s at %s", r.Tenant.ID, r.Path("/page"))
	}
	b := newBench(t, keys, page, row("token", "/token", http.MethodGet))
	b.tenancy.err = errors.New("the database is away")
	for path, want := range map[string]string{"/page": "the page of default at /page", "/t/blue/page": "the page of blue at /t/blue/page"} {
		if w := b.ask(http.MethodGet, path); w.Code != http.StatusInternalServerError || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if last := b.refused[len(b.refused)-1]; last.Endpoint != "page" || last.Tenant == "" {
		t.Errorf("the refusal is told of %q at %q", last.Tenant, last.Endpoint)
	}
	for path, want := range map[string]int{
		"/jwks": http.StatusOK, "/t/blue/jwks": http.StatusOK,
		"/token": http.StatusInternalServerError, "/t/blue/token": http.StatusInternalServerError, "/jwks/": http.StatusInternalServerError,
	} {
		if w := b.ask(http.MethodGet, path); w.Code != want {
			t.Errorf("%s: %d, not %d", path, w.Code, want)
		}
	}
	b.tenancy.forgotten = true
	if w := b.ask(http.MethodGet, "/page"); !strings.Contains(w.Body.String(), "server_error") {
		t.Errorf("a page of a tenant that was never known: %d %s", w.Code, w.Body)
	}
	if w := b.ask(http.MethodGet, "/jwks"); w.Code != http.StatusInternalServerError {
		t.Errorf("of a tenant that was never known: %d", w.Code)
	}
}

func TestProcessRowsNeedNoTenant(t *testing.T) {
	live := row("liveness", "/livez", http.MethodGet)
	live.Process = true
	b := newBench(t, live, row("token", "/token", http.MethodGet))
	b.tenancy.err = errors.New("the database is away")
	if w := b.ask(http.MethodGet, "/livez"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.ask(http.MethodGet, "/token"); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "away") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	b.tenancy.err = nil
	if w := b.ask(http.MethodGet, "/t/blue/livez"); w.Code != http.StatusNotFound {
		t.Errorf("a tenant has a liveness of its own: %d", w.Code)
	}
	if w := b.ask(http.MethodGet, "/t/blue/token"); w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
}

func TestBodyLimit(t *testing.T) {
	reading := row("reading", "/read", http.MethodPost)
	reading.BodyLimit = 10
	reading.Serve = func(w http.ResponseWriter, r *Request) error {
		_, err := io.ReadAll(r.Body)
		if tooLarge, is := errors.AsType[*http.MaxBytesError](err); is {
			return oauth.Refuse("form-too-large", oauth.InvalidRequest, "Too large.").WithStatus(http.StatusRequestEntityTooLarge).Because(tooLarge)
		}
		return err
	}
	b := newBench(t, reading)
	for size, want := range map[int]int{10: http.StatusOK, 11: http.StatusRequestEntityTooLarge} {
		w := httptest.NewRecorder()
		b.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/read", strings.NewReader(strings.Repeat("x", size))))
		if w.Code != want {
			t.Errorf("%d bytes: %d, want %d", size, w.Code, want)
		}
	}
}
