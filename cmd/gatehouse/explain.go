package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/server"
	"gatehouse/oauth"
)

const (
	controlTimeout = 2 * time.Second
	maxRefusal     = 64 << 10
	maxLogLine     = 1 << 20
	explainWidth   = 76
	// shortestPart is how much of a rule's name must be typed to be found in it.
	shortestPart = 4
)

func explainCommand(term terminal) *cobra.Command {
	var where place
	log := ""
	command := &cobra.Command{
		Use:   "explain ID",
		Short: "Explain a refusal: the rule, how to mend it, and what happened",
		Long: `Explain why a request was refused. ID is what stands in brackets at the end of
an error description and on the error page, such as
form-repeated-parameter.k3v9xq2m; the rule's name alone will do.

The rule's text is part of this program. What happened is looked up in the log
with --log FILE ("-" is standard input), and in the running server with --config
or --data, which remembers its latest refusals.`,
		Example: `  gatehouse explain form-repeated-parameter.k3v9xq2m
  gatehouse explain form-repeated-parameter.k3v9xq2m --log gatehouse.log
  journalctl -u gatehouse -o cat | gatehouse explain form-repeated-parameter.k3v9xq2m --log -
  gatehouse explain form-repeated-parameter.k3v9xq2m --data ./data`,
		Args: takes("ID"),
		RunE: func(command *cobra.Command, args []string) error {
			id := strings.Trim(args[0], "() ")
			if err := printRule(term.out, id); err != nil {
				return err
			}
			asked := false
			if where.named() {
				at, err := where.find(command)
				if err != nil {
					return err
				}
				if asked, err = askServer(command.Context(), term.out, at.data, id); err != nil {
					return err
				}
			}
			if log == "" {
				return nil
			}
			return explainFromLog(term, log, id, asked)
		},
	}
	where.addFlags(command)
	command.Flags().StringVar(&log, "log", "", "look in this log `FILE` of JSON lines; - is standard input")
	return command
}

func printRule(w io.Writer, id string) error {
	rule, found := oauth.LookupRule(id)
	if !found {
		name, _, _ := strings.Cut(id, ".")
		near := nearest(name, oauth.RuleNames(), 3)
		try := "the id as it stands in the error, such as form-repeated-parameter.k3v9xq2m"
		if len(near) > 0 {
			try = "gatehouse explain " + strings.Join(near, ", or gatehouse explain ")
		}
		return failed(try, "there is no rule %q", name)
	}
	fmt.Fprintf(w, "%s\n\n%s\n", rule.Name, paragraph(rule.Text, "  "))
	if rule.Mend != "" {
		fmt.Fprintf(w, "\nHow to mend it\n\n%s\n", paragraph(rule.Mend, "  "))
	}
	if rule.See != "" {
		fmt.Fprintf(w, "\nSee %s\n", rule.See)
	}
	return nil
}

// nearest returns up to most candidates that resemble the word, by spelling or
// because it is a part of them.
func nearest(word string, candidates []string, most int) []string {
	var near []string
	left := slices.Clone(candidates)
	for len(near) < most {
		hint := config.DidYouMean(word, left)
		if hint == "" {
			break
		}
		name := meant(hint)
		near = append(near, name)
		left = slices.DeleteFunc(left, func(other string) bool { return other == name })
	}
	for _, name := range left {
		if len(near) < most && len(word) >= shortestPart && strings.Contains(name, word) {
			near = append(near, name)
		}
	}
	return near
}

// paragraph breaks a text into indented lines.
func paragraph(text, indent string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+len(word) > explainWidth:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// askServer asks the running server about a refusal through its control
// socket. Without a socket, or with one that nobody listens at, it says
// nothing: the rule's text stands by itself.
func askServer(ctx context.Context, w io.Writer, data, id string) (found bool, err error) {
	if data == "" {
		return false, nil
	}
	socket := server.ControlSocket(data)
	if info, err := os.Stat(socket); err != nil || info.Mode().Type() != fs.ModeSocket {
		return false, nil
	}
	client := &http.Client{
		Timeout: controlTimeout,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}},
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gatehouse/refusals/"+url.PathEscape(id), nil)
	if err != nil {
		return false, err
	}
	response, err := client.Do(request)
	if errors.Is(err, fs.ErrPermission) {
		fmt.Fprintf(w, "\nThe running server was not asked: its socket %s belongs to another user.\n", socket)
		return false, nil
	}
	if err != nil {
		return false, nil // a socket that a stopped server left behind
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	err = errors.Join(err, response.Body.Close())
	if err != nil || response.StatusCode != http.StatusOK {
		fmt.Fprintln(w, "\nThe running server does not remember this refusal.")
		return false, nil
	}
	fields := map[string]any{}
	if err := json.Unmarshal(body, &fields); err != nil {
		return false, failed("", "the running server's answer cannot be read: %s", err)
	}
	fmt.Fprintln(w, "\nThe running server remembers")
	fmt.Fprintln(w)
	return true, printFields(w, fields)
}

func explainFromLog(term terminal, name, id string, found bool) error {
	in := term.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return failed("--log with the file that the server's log goes to", "%s", err)
		}
		defer file.Close()
		in = file
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), maxLogLine)
	for lines.Scan() {
		fields := map[string]any{}
		if !strings.Contains(lines.Text(), id) || json.Unmarshal(lines.Bytes(), &fields) != nil || !mentions(fields, id) {
			continue
		}
		fmt.Fprintln(term.out, "\nThe log says")
		fmt.Fprintln(term.out)
		if err := printFields(term.out, fields); err != nil {
			return err
		}
		found = true
	}
	switch err := lines.Err(); {
	case err != nil:
		return failed("", "%s: %s", name, err)
	case !found:
		return failed("an older log; ids are found in logs of the format json", "the log does not mention %s", id)
	}
	return nil
}

// mentions says whether a value of the log line is the id.
func mentions(value any, id string) bool {
	switch node := value.(type) {
	case string:
		return node == id || strings.HasSuffix(node, "("+id+")")
	case []any:
		return slices.ContainsFunc(node, func(element any) bool { return mentions(element, id) })
	case map[string]any:
		for _, element := range node {
			if mentions(element, id) {
				return true
			}
		}
	}
	return false
}

// printFields writes a log line's members: time, level and message first.
func printFields(w io.Writer, fields map[string]any) error {
	first := []string{"time", "level", "msg"}
	var names []string
	for name := range fields {
		if !slices.Contains(first, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var pairs [][2]string
	for _, name := range append(first, names...) {
		value, found := fields[name]
		if !found {
			continue
		}
		text, isText := value.(string)
		if !isText {
			encoded, err := json.Marshal(value)
			if err != nil {
				return err
			}
			text = string(encoded)
		}
		pairs = append(pairs, [2]string{"  " + name, text})
	}
	return facts(w, pairs)
}
