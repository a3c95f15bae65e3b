package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/gateway"
	"gatehouse/internal/gate"
	"gatehouse/internal/proxy"
	"gatehouse/internal/server"
	"gatehouse/oauth"
)

const (
	// exitRefused is the exit code of gateway check for a request that is refused.
	exitRefused = 3
	// maxTokenInput bounds what is read for a token.
	maxTokenInput = 64 << 10
	// feedWait bounds the wait for what revocation feeds tell.
	feedWait = 5 * time.Second
)

// question is the request that gateway check is asked about.
type question struct {
	request, token, address string
	headers                 []string
	json                    bool
}

func gatewayCheckCommand(term terminal) *cobra.Command {
	file := ""
	var q question
	command := &cobra.Command{
		Use:   "check",
		Short: "Explain what a gateway decides about a request, rule by rule",
		Long: `Without --request: look at all that a gateway's configuration names, as
"gatehouse gateway --check" does.

With --request: decide about a request as the gateway would, and say of each
rule whether it let the request through. The issuer is asked for its keys, and
about the token if it is opaque; what its revocation feed tells is waited for.
Nothing is passed on, no token is exchanged, no count is used up, and nothing is
logged; limits are looked at as if nobody else had asked.

The request is a method, a space, and a path or a URL: "GET /photos/1" is asked
at https://localhost. The token is read from a file, or with - from standard
input, and never printed; what is on a command line others can read.

Exit codes: 0 the request is let through, 1 the command failed, 2 it was typed
wrongly, 3 the request is refused.`,
		Example: `  gatehouse gateway check --config gateway.yaml
  gatehouse gateway check --config gateway.yaml --request "GET /photos/1" --token token.txt
  pass token | gatehouse gateway check --config gateway.yaml --request "GET https://api.example.com/photos/1" --token -
  gatehouse gateway check --config gateway.yaml --request "POST /photos" --header "Origin: https://app.example.com" --address 192.0.2.7 --json`,
		Args: takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := loadGateway(file)
			if err != nil {
				return err
			}
			if q.request != "" {
				return q.answer(command.Context(), term, config)
			}
			if q.token != "" || q.address != "" || len(q.headers) > 0 || q.json {
				return misused(`--request "GET /photos"`, "which request? --request was not given")
			}
			return checkGateway(command.Context(), term, file, config)
		},
	}
	command.Flags().StringVar(&file, "config", "", "the configuration `FILE`")
	command.Flags().StringVar(&q.request, "request", "", "the `REQUEST` to decide about: a method and a path or URL")
	command.Flags().StringVar(&q.token, "token", "", "the `FILE` with the access token; - is standard input")
	command.Flags().StringArrayVar(&q.headers, "header", nil, "a `HEADER` of the request, as Name: value; may be repeated")
	command.Flags().StringVar(&q.address, "address", "", "the client's `ADDRESS` (127.0.0.1 unless given)")
	jsonFlag(command, &q.json, "print the decision as one JSON document")
	return command
}

func (q question) answer(ctx context.Context, term terminal, config gate.Config) error {
	request, err := q.read()
	if err != nil {
		return err
	}
	token, err := q.readToken(term)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	config.Redis = server.Redis{} // whose counts are not touched
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	g, err := gate.Open(ctx, config, slog.New(slog.DiscardHandler))
	if err != nil {
		return refusedList("the gateway cannot start", "gatehouse gateway check --config FILE, without --request", err)
	}
	waiting, stopWaiting := context.WithTimeout(ctx, feedWait)
	_ = g.WaitReady(waiting) // else the decision says what is not known
	stopWaiting()
	said := newExplanation(request, g.Gateway().Decide(ctx, request), config.Identity.JWTHeader, token)
	if err := g.Close(); err != nil {
		return err
	}
	if q.json {
		err = printJSON(term.out, said)
	} else {
		err = said.print(term.out)
	}
	if err != nil || said.Allowed {
		return err
	}
	return &failure{fmt.Sprintf("the request is refused: %s", said.Reason), "gatehouse explain " + said.Reason, exitRefused}
}

// read makes the request.
func (q question) read() (gateway.Request, error) {
	const example = `--request "GET /photos/1", or --request "GET https://api.example.com/photos/1"`
	r := gateway.Request{Scheme: "https", Host: "localhost", Header: http.Header{}, Explain: true}
	var separated bool
	if r.Method, r.Target, separated = strings.Cut(q.request, " "); !separated || r.Method == "" || r.Target == "" {
		return r, misused(example, "the request %q is not a method and a path", q.request)
	}
	if scheme, rest, absolute := strings.Cut(r.Target, "://"); absolute && !strings.HasPrefix(r.Target, "/") {
		r.Scheme, r.Host, r.Target = strings.ToLower(scheme), rest, "/"
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			r.Host, r.Target = rest[:i], rest[i:]
		}
		if r.Scheme != "http" && r.Scheme != "https" {
			return r, misused(example, "the URL's scheme is neither http nor https")
		}
	}
	for _, header := range q.headers {
		name, value, found := strings.Cut(header, ":")
		name, value = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !found || name == "":
			return r, misused(`--header "Origin: https://app.example.com"`, "a header is not Name: value")
		case name == "Authorization":
			return r, misused("--token FILE, or --token - for standard input", "the token is not given by --header: what is on a command line others can read")
		case name == "Host":
			r.Host = value
		default:
			r.Header.Add(name, value)
		}
	}
	address := q.address
	if address == "" {
		address = "127.0.0.1"
	}
	var err error
	if r.Peer, err = netip.ParseAddr(address); err != nil {
		return r, misused("--address 192.0.2.7", "%q is no address", q.address)
	}
	return r, nil
}

func (q question) readToken(term terminal) (string, error) {
	if q.token == "" {
		return "", nil
	}
	from := term.in
	if q.token != "-" {
		file, err := os.Open(q.token)
		if err != nil {
			return "", failed("the path of a file that holds the token, or - for standard input", "the token cannot be read: %s", errors.Unwrap(err))
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, maxTokenInput+1))
	if err != nil {
		return "", failed("the same command again", "the token cannot be read: %s", err)
	}
	token := strings.TrimSpace(string(text))
	if scheme, rest, found := strings.Cut(token, " "); found && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(rest)
	}
	if token == "" || len(text) > maxTokenInput || strings.ContainsAny(token, " \t\r\n") {
		return "", failed("a file with the access token and nothing else", "what was read is not one token")
	}
	return token, nil
}

// explanation is a decision as it is printed.
type explanation struct {
	Request     string      `json:"request"`
	Allowed     bool        `json:"allowed"`
	Status      int         `json:"status"`
	Reason      string      `json:"reason"`
	Description string      `json:"description,omitempty"`
	Route       string      `json:"route,omitempty"`
	Address     string      `json:"address,omitempty"`
	Steps       []step      `json:"steps"`
	Answer      http.Header `json:"answer_headers,omitempty"`
	Set         http.Header `json:"upstream_headers,omitempty"`
	Removed     []string    `json:"removed_headers,omitempty"`
}

type step struct {
	Rule        string          `json:"rule"`
	Outcome     gateway.Outcome `json:"outcome"`
	Explanation string          `json:"explanation"`
}

// newExplanation leaves out what is a token or could be one.
func newExplanation(r gateway.Request, d gateway.Decision, jwtHeader, token string) explanation {
	if jwtHeader == "" {
		jwtHeader = gateway.DefaultJWTHeader
	}
	without := func(name, value string) string {
		if name == "Authorization" || proxy.Alias(name) == proxy.Alias(jwtHeader) {
			return "[a token]"
		}
		if token == "" {
			return value
		}
		return strings.ReplaceAll(value, token, "[the token]")
	}
	headers := func(h http.Header) http.Header {
		shown := http.Header{}
		for name, values := range h {
			for _, value := range values {
				shown[name] = append(shown[name], without(name, value))
			}
		}
		return shown
	}
	e := explanation{
		Request: without("", r.Method+" "+r.Scheme+"://"+r.Host+r.Target), Allowed: d.Allowed, Status: d.Status, Reason: d.Reason, Route: d.Route,
		Steps: []step{}, Answer: headers(d.Header), Set: headers(d.Set), Removed: d.Removed,
	}
	if d.Refusal != nil {
		e.Description = without("", d.Refusal.Description)
	}
	if d.Address.IsValid() {
		e.Address = d.Address.String()
	}
	for _, s := range d.Steps {
		e.Steps = append(e.Steps, step{s.Name, s.Outcome, without("", s.Explanation)})
	}
	return e
}

func (e explanation) print(w io.Writer) error {
	fmt.Fprintln(w, oneLine(e.Request))
	var rows [][]string
	for _, s := range e.Steps {
		rows = append(rows, []string{"  " + string(s.Outcome), s.Rule, s.Explanation})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	named := func(title string, h http.Header) {
		for _, name := range slices.Sorted(maps.Keys(h)) {
			for _, value := range h[name] {
				fmt.Fprintf(w, "%s %s\n", title, oneLine(name+": "+value))
			}
		}
	}
	if e.Allowed {
		fmt.Fprintf(w, "let through by the route %s\n", e.Route)
		named("the upstream gets", e.Set)
		if len(e.Removed) > 0 {
			fmt.Fprintf(w, "the upstream does not get %s\n", oneLine(strings.Join(e.Removed, ", ")))
		}
		return nil
	}
	fmt.Fprintf(w, "refused with %d by the rule %s\n", e.Status, e.Reason)
	named("the client gets", e.Answer)
	if rule, known := oauth.LookupRule(e.Reason); known {
		fmt.Fprintf(w, "mend: %s\n", oneLine(rule.Mend))
	}
	return nil
}
