package secrecy

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"strconv"
	"strings"
)

// encodings returns the forms in which a secret may appear, by name.
func encodings(secret string) map[string]string {
	forms := map[string]string{"in clear": secret}
	add := func(name, text string) {
		for _, known := range forms {
			if known == text {
				return
			}
		}
		forms[name] = text
	}
	add("in a query", url.QueryEscape(secret))
	add("in a path", url.PathEscape(secret))
	add("in HTML", html.EscapeString(secret))
	add("in JSON", quoted(secret, true))
	add("in plain JSON", quoted(secret, false)) // as logs are written
	add("in quotes", inside(strconv.Quote(secret)))
	add("in lower-case hex", hex.EncodeToString([]byte(secret)))
	add("in upper-case hex", strings.ToUpper(hex.EncodeToString([]byte(secret))))
	for _, alphabet := range []struct {
		name string
		*base64.Encoding
	}{{"base64", base64.RawStdEncoding}, {"base64url", base64.RawURLEncoding}} {
		for _, within := range []string{"", ", within more", ", within more still"} {
			add("in "+alphabet.name+within, inner(alphabet.Encoding, secret, strings.Count(within, "more")+strings.Count(within, "still")))
		}
	}
	return forms
}

// quoted is the inside of a JSON string, whose tags are escaped or not.
func quoted(secret string, tags bool) string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(tags)
	if err := encoder.Encode(secret); err != nil {
		return secret
	}
	return inside(strings.TrimSuffix(text.String(), "\n"))
}

// inside takes the quotation marks off.
func inside(quoted string) string { return quoted[1 : len(quoted)-1] }

// inner is the part of an encoded text that a secret fills alone, if it stands
// after a number of other bytes that leaves the remainder behind when divided by
// three.
func inner(encoding *base64.Encoding, secret string, behind int) string {
	text := encoding.EncodeToString([]byte(strings.Repeat("\x00", behind) + secret))
	first := (8*behind + 5) / 6
	last := len(text)
	if (behind+len(secret))%3 != 0 {
		last-- // has bits of what follows
	}
	return text[min(first, last):last]
}
