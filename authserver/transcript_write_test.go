package authserver_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gatehouse/gatehousetest"
)

// record writes a request and its response.
func (s *story) record(r *http.Request, body string, answer gatehousetest.Answer) {
	s.Helper()
	s.names.learn(r, body, answer)
	s.keepsTokensToItself(answer)
	var b strings.Builder
	writeRequest(&b, r, body)
	b.WriteString("\n")
	fmt.Fprintf(&b, "< %d %s\n", answer.StatusCode, http.StatusText(answer.StatusCode))
	writeHeaders(&b, "< ", answer.Header, len(answer.Text))
	writeBody(&b, answer)
	s.text.WriteString("\n")
	for line := range strings.Lines(s.names.hide(b.String())) {
		s.text.WriteString(abridged(line))
	}
	s.text.WriteString(s.names.newTokens())
}

// keepsTokensToItself holds every response to RFC 9700 §4.3.2: tokens stand in
// bodies, never in URLs or cookies.
func (s *story) keepsTokensToItself(answer gatehousetest.Answer) {
	s.Helper()
	for _, name := range []string{"Location", "Set-Cookie", "Content-Location", "Refresh", "Link"} {
		for _, value := range answer.Header.Values(name) {
			for token, placeholder := range s.names.of {
				if strings.Contains(placeholder, "token") && !strings.HasPrefix(placeholder, "{ID token") && strings.Contains(value, token) {
					s.Errorf("%s has the %s", name, placeholder)
				}
			}
		}
	}
}

func writeRequest(b *strings.Builder, r *http.Request, body string) {
	b.WriteString("> " + r.Method + " " + r.URL.EscapedPath() + "\n")
	writeForm(b, ">     ", r.URL.RawQuery, "?")
	writeHeaders(b, "> ", r.Header, len(body))
	switch {
	case body == "":
	case r.Header.Get("Content-Type") == formType:
		b.WriteString(">\n")
		writeForm(b, "> ", body, "")
	default:
		b.WriteString(">\n> " + body + "\n")
	}
}

// writeForm writes a query or a form with one parameter per line, decoded;
// one that cannot be decoded is written as it is.
func writeForm(b *strings.Builder, indent, form, mark string) {
	for parameter := range strings.SplitSeq(form, "&") {
		if parameter == "" {
			continue
		}
		text := parameter
		if name, value, found := strings.Cut(parameter, "="); found {
			name, nameErr := url.QueryUnescape(name)
			value, valueErr := url.QueryUnescape(value)
			if nameErr == nil && valueErr == nil && !strings.ContainsFunc(name+value, func(c rune) bool { return c < ' ' }) {
				text = name + "=" + value
			}
		}
		b.WriteString(indent + mark + text + "\n")
		mark = "&"
		if indent == "> " && strings.HasPrefix(text, "&") {
			mark = ""
		}
	}
}

// longest line that is written out in full, in characters.
const longest = 400

func abridged(line string) string {
	if len(line) <= longest {
		return line
	}
	return fmt.Sprintf("%s… (%d characters in all)\n", line[:80], len(line)-1)
}

func writeHeaders(b *strings.Builder, mark string, header http.Header, bodyLength int) {
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range header[name] {
			writeHeader(b, mark, name, value, bodyLength)
		}
	}
}

func writeHeader(b *strings.Builder, mark, name, value string, bodyLength int) {
	switch name {
	case "Content-Length":
		if value == strconv.Itoa(bodyLength) && bodyLength > 0 {
			value = "{that of the body}"
		}
	case "X-Request-Id":
		value = "{request id}"
	case "Authorization":
		scheme, encoded, _ := strings.Cut(value, " ")
		if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil && strings.EqualFold(scheme, "Basic") {
			value = scheme + " {base64 of " + string(decoded) + "}"
		}
	case "Location":
		target, query, found := strings.Cut(value, "?")
		b.WriteString(mark + name + ": " + target + "\n")
		if found {
			writeForm(b, mark+"    ", query, "?")
		}
		return
	}
	b.WriteString(mark + name + ": " + value + "\n")
}

func writeBody(b *strings.Builder, answer gatehousetest.Answer) {
	mediaType, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	switch {
	case answer.Text == "":
	case mediaType == "application/json":
		b.WriteString("<\n" + indentedJSON("< ", answer.Text))
	case mediaType == "text/html":
		b.WriteString("<\n" + pageOutline("< ", answer.Text))
	default:
		b.WriteString("<\n")
		for line := range strings.Lines(answer.Text) {
			b.WriteString("< " + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
}

func indentedJSON(mark, text string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), mark, "  "); err != nil {
		return mark + "not JSON: " + text + "\n"
	}
	return mark + b.String() + "\n"
}

// decoration is what only eyes are meant to see.
var decoration = regexp.MustCompile(`<span[^>]*aria-hidden="true"[^>]*>[^<]*</span>`)

// pageOutline reduces a page to what a person or a test sees of it: title,
// ids, texts, and forms with their fields.
func pageOutline(mark, page string) string {
	o := outline{mark: mark}
	if _, rest, found := strings.Cut(page, "<title>"); found {
		title, _, _ := strings.Cut(rest, "</title>")
		o.line("title: " + title)
	}
	if at := strings.Index(page, "<main"); at >= 0 {
		page, _, _ = strings.Cut(page[at:], "</main>")
		page = decoration.ReplaceAllString(page, "") + "</main>"
	}
	decoder := xml.NewDecoder(strings.NewReader(page))
	decoder.Strict, decoder.AutoClose, decoder.Entity = false, append(slices.Clone(xml.HTMLAutoClose), "input"), xml.HTMLEntity
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			o.line("the page ends with: " + err.Error())
			break
		}
		switch token := token.(type) {
		case xml.StartElement:
			o.open(token)
		case xml.EndElement:
			o.end(token.Name.Local)
		case xml.CharData:
			if o.silent == 0 {
				o.words = append(o.words, strings.Fields(string(token))...)
			}
		}
	}
	o.flush()
	return o.String()
}

type outline struct {
	strings.Builder
	mark   string
	words  []string
	silent int // inside script, style or noscript
}

func (o *outline) line(text string) { o.WriteString(o.mark + text + "\n") }

// inlineElements do not begin a line.
var inlineElements = []string{"bdi", "strong", "em", "span", "b", "a", "code"}

func (o *outline) flush() {
	if len(o.words) > 0 {
		o.line("    " + strings.Join(o.words, " "))
	}
	o.words = nil
}

func (o *outline) open(element xml.StartElement) {
	attributes := map[string]string{}
	for _, attribute := range element.Attr {
		attributes[attribute.Name.Local] = attribute.Value
	}
	tag, id := element.Name.Local, ""
	if attributes["id"] != "" {
		id = " #" + attributes["id"]
	}
	if id != "" || !slices.Contains(inlineElements, tag) {
		o.flush()
	}
	switch {
	case tag == "script" || tag == "style":
		o.silent++
		o.line("<" + tag + ">")
	case tag == "form":
		o.line(fmt.Sprintf("<form%s> %s %s", id, strings.ToUpper(attributes["method"]), attributes["action"]))
	case tag == "input" && attributes["type"] == "hidden":
		o.line("    <input> " + attributes["name"] + "=" + attributes["value"])
	case tag == "input":
		o.line(fmt.Sprintf("    <input%s> %s: %s=%s", id, attributes["type"], attributes["name"], attributes["value"]))
	case tag == "button" && attributes["name"] != "":
		o.line(fmt.Sprintf("<button%s> %s=%s", id, attributes["name"], attributes["value"]))
	case id != "" || tag == "button" || tag == "noscript":
		o.line("<" + tag + id + ">")
	}
}

func (o *outline) end(tag string) {
	if tag == "script" || tag == "style" {
		o.silent--
	}
	if !slices.Contains(inlineElements, tag) {
		o.flush()
	}
}
