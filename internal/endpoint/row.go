package endpoint

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/oauth"
)

// DefaultBodyLimit bounds request bodies of rows that set no limit, in bytes.
const DefaultBodyLimit = 64 << 10

// Caller is who may call an endpoint.
type Caller string

// The callers.
const (
	Anyone            Caller = "anyone"
	ClientCredentials Caller = "client"
	BearerToken       Caller = "bearer"
	Browser           Caller = "browser"
)

// CORS is which pages of other origins may call an endpoint from a browser.
type CORS int

// The zero value admits none.
const (
	NoCORS      CORS = iota
	AnyOrigin        // public documents
	KnownOrigin      // origins of the tenant's registered clients
)

// Row is one endpoint: its policy and what serves it. Discovery and the
// printed list of routes are derived from the rows.
type Row struct {
	// Name is the endpoint's name in logs and documentation.
	Name string
	// Path without the tenant's prefix. A path that ends in a slash serves
	// everything below it, too.
	Path    string
	Methods []string
	Caller  Caller
	CORS    CORS
	// Process rows answer for the whole process, whatever tenant the request
	// would belong to and whether or not tenants can be looked up.
	Process bool
	// Outage rows are served from what is known in memory while tenants
	// cannot be looked up, to those that were known before.
	Outage bool
	// BodyLimit in bytes; DefaultBodyLimit when zero.
	BodyLimit int64
	// Metadata is the member of the server's metadata that publishes the
	// endpoint's URL; "" when none does.
	Metadata string
	// Serve answers, or returns why not: an *oauth.Error refuses, any other
	// error is a fault of ours. It has then written nothing.
	Serve func(http.ResponseWriter, *Request) error
	// Errors writes the refusal.
	Errors func(http.ResponseWriter, *Request, *oauth.Error)
}

// serves says whether the row answers the method. HEAD is GET without a body,
// but not where a GET may act for the person at the browser.
func (row *Row) serves(method string) bool {
	if method == http.MethodHead && row.Caller != Browser {
		method = http.MethodGet
	}
	return slices.Contains(row.Methods, method)
}

// JSONErrors is the error writer of RFC 6749 §5.2.
func JSONErrors(w http.ResponseWriter, r *Request, e *oauth.Error) {
	oauth.WriteError(w, r.Request, e)
}

// Request is one request to a tenant's endpoint.
type Request struct {
	*http.Request
	Tenant gatehouse.Tenant
	// Prefix is the tenant's part of the path, "" for the default tenant.
	Prefix string
	// ID names the request in logs and events.
	ID string
	// Restart is where the person at the browser begins anew what this request
	// was about, for pages that cannot go on; "" when nobody knows.
	Restart string
	// ClientID is the client that has authenticated, "" before that.
	ClientID string

	notes    []slog.Attr
	endpoint string
	rule     string // by which it was refused
	answer   func(http.ResponseWriter, *oauth.Error)
}

// AnswerRefusals has refusals of this request written by answer instead of
// the row's writer: an authorization request does so once its redirect URI is
// trusted.
func (r *Request) AnswerRefusals(answer func(http.ResponseWriter, *oauth.Error)) { r.answer = answer }

// Path returns the path of an endpoint of this tenant as browsers see it.
func (r *Request) Path(path string) string { return r.Prefix + path }

// Context is the request's context.
func (r *Request) Context() context.Context { return r.Request.Context() }

// Note adds an attribute to the log line of a refusal of this request, and to
// its Answer. The value must not be a secret; of a long one the beginning is kept.
func (r *Request) Note(name, value string) {
	r.notes = append(r.notes, slog.String(name, bounded(value)))
}

// Circumstance returns where the request came from, for events.
func (r *Request) Circumstance() gatehouse.Circumstance {
	return gatehouse.Circumstance{Address: Address(r.Request), UserAgent: bounded(r.UserAgent()), RequestID: r.ID}
}

// maxKept bounds what is kept of a value that the caller chose, in bytes.
const maxKept = 256

func bounded(text string) string {
	if len(text) > maxKept {
		text = text[:maxKept]
	}
	return strings.ToValidUTF8(text, "")
}

// Address returns the caller's network address without its port. No proxy is
// believed.
func Address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Network returns what stands for the caller where callers are counted.
func Network(r *http.Request) string { return gatehouse.Network(Address(r)) }
