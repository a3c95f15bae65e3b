package oauth

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Bounds of a request's parameters.
const (
	MaxParameters      = 100
	MaxParameterLength = 16 << 10
	MaxResources       = 8
)

// Form is the parameters of one request: each at most once, except
// "resource" (RFC 8707 §2). The zero Form has no parameter.
type Form struct {
	single    map[string]string
	resources []string
}

// Get returns the value of a parameter, "" when it is absent or empty:
// "Parameters sent without a value MUST be treated as if they were omitted
// from the request" (RFC 6749 §3.1).
func (f Form) Get(name string) string { return f.single[name] }

// Has says whether the parameter was sent with a value.
func (f Form) Has(name string) bool { return f.single[name] != "" }

// Sent says whether the parameter was sent at all, even without a value.
func (f Form) Sent(name string) bool {
	_, sent := f.single[name]
	return sent
}

// Resources returns the values of "resource" in order (RFC 8707 §2).
func (f Form) Resources() []string { return f.resources }

// ParseForm reads application/x-www-form-urlencoded text strictly. It refuses
// what is repeated ("Request and response parameters MUST NOT be included
// more than once", RFC 6749 §3.1), wrongly encoded, not UTF-8, or too much.
func ParseForm(raw string) (Form, error) {
	form := Form{single: map[string]string{}}
	count := 0
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		if count++; count > MaxParameters {
			return Form{}, Refuse("form-too-many-parameters", InvalidRequest, "The request has more parameters than the server reads.")
		}
		if err := form.add(pair); err != nil {
			return Form{}, err
		}
	}
	return form, nil
}

func (f *Form) add(pair string) error {
	rawName, rawValue, _ := strings.Cut(pair, "=")
	name, nameErr := url.QueryUnescape(rawName)
	value, valueErr := url.QueryUnescape(rawValue)
	if nameErr != nil || valueErr != nil || !utf8.ValidString(name) || !utf8.ValidString(value) || strings.ContainsRune(name+value, 0) {
		return Refuse("form-encoding", InvalidRequest, "A parameter is not valid application/x-www-form-urlencoded UTF-8 text.")
	}
	if len(value) > MaxParameterLength {
		return Refuse("form-parameter-too-long", InvalidRequest, "A parameter is longer than the server reads.")
	}
	if name == "resource" {
		if len(f.resources) == MaxResources {
			return Refuse("form-too-many-parameters", InvalidRequest, "The request names more resources than the server reads.")
		}
		if value != "" {
			f.resources = append(f.resources, value)
		}
		return nil
	}
	if f.Sent(name) {
		return Refuse("form-repeated-parameter", InvalidRequest, "A parameter is included more than once.")
	}
	f.single[name] = value
	return nil
}

// ReadForm reads the parameters of a POST request from its body, and from
// nowhere else: a request that also has a query is refused. The caller has
// bounded the body.
func ReadForm(r *http.Request) (Form, error) {
	if r.URL.RawQuery != "" {
		return Form{}, Refuse("form-query-not-allowed", InvalidRequest, "Send the parameters in the request body, not in the URL.") // RFC 6749 §2.3.1, §3.2
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return Form{}, Refuse("form-content-type", InvalidRequest, "Send the parameters as application/x-www-form-urlencoded.")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return Form{}, Refuse("form-too-large", InvalidRequest, "The request body is larger than the server reads.").WithStatus(http.StatusRequestEntityTooLarge)
		}
		return Form{}, Refuse("form-unreadable", InvalidRequest, "The request body could not be read.").Because(err)
	}
	return ParseForm(string(body))
}
