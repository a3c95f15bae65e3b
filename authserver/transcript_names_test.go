package authserver_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gatehouse/gatehousetest"
	"gatehouse/oauth"
)

// names are the placeholders of a story: what differs from run to run by the
// name under which the transcript shows it.
type names struct {
	start  time.Time
	of     map[string]string
	order  []string // in which they were learnt; longer ones are replaced first
	counts map[string]int
	jwts   []string // learnt and not yet decoded in the transcript
	access []string // access tokens, to recognise their hashes
}

func newNames() names {
	return names{start: time.Now(), of: map[string]string{}, counts: map[string]int{}}
}

// name gives a value the next placeholder of its kind.
func (n *names) name(value, kind string) {
	if value == "" || n.of[value] != "" {
		return
	}
	n.counts[kind]++
	n.fix(value, fmt.Sprintf("{%s %d}", kind, n.counts[kind]))
}

func (n *names) fix(value, placeholder string) {
	if value != "" && n.of[value] == "" {
		n.of[value] = placeholder
		n.order = append(n.order, value)
	}
}

var (
	// What precedes tells a token from letters in the midst of a sealed text.
	productToken = regexp.MustCompile(`(?:^|[^A-Za-z0-9_-])(gh([cra])_[A-Za-z0-9_-]{20,})`)
	signedToken  = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)
	jsonMember   = regexp.MustCompile(`"(jti|gid|sid|at_hash|kid|n|x|y)": ?"([^"]+)"`)
	pairwiseSub  = regexp.MustCompile(`"sub": ?"([A-Za-z0-9_-]{43})"`)
	refusalID    = regexp.MustCompile(`([a-z][a-z0-9-]+)\.[a-z2-7]{8}\b`)
	hiddenInput  = regexp.MustCompile(`name="(i|csrf|session)" value="([^"]*)"`)
	jsonTime     = regexp.MustCompile(`"(exp|iat|auth_time|updated_at)": ?(\d+)`)
	scriptHash   = regexp.MustCompile(`'sha256-[^']+'`)
)

var productTokens = map[string]string{"c": "code", "r": "refresh token", "a": "opaque access token"}

// learn finds the values of a request and its response that need a name.
func (n *names) learn(r *http.Request, body string, answer gatehousetest.Answer) {
	location := answer.Header.Get("Location")
	for _, text := range []string{r.URL.RawQuery, body, r.Header.Get("Authorization"), location, answer.Text} {
		for _, found := range productToken.FindAllStringSubmatch(text, -1) {
			n.name(found[1], productTokens[found[2]])
		}
		for _, found := range signedToken.FindAllString(text, -1) {
			n.learnJWT(found)
		}
	}
	n.learnQuery(r.URL.RawQuery)
	n.learnQuery(body)
	if target, err := url.Parse(location); err == nil {
		n.learnQuery(target.RawQuery)
	}
	for _, found := range hiddenInput.FindAllStringSubmatch(answer.Text, -1) {
		n.name(found[2], map[string]string{"i": "interaction", "csrf": "form token", "session": "session"}[found[1]])
	}
	for _, cookie := range append(r.Cookies(), answer.Cookies()...) {
		kind := "cookie"
		for _, known := range []string{"browser", "session", "device"} {
			if strings.Contains(cookie.Name, known) {
				kind = known + " cookie"
			}
		}
		n.name(cookie.Value, kind)
	}
	n.learnKeys(answer.Text)
	n.learnMembers(answer.Text)
}

func (n *names) learnQuery(query string) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return
	}
	n.name(values.Get("i"), "interaction")
	n.name(values.Get("posted"), "interaction")
	n.name(values.Get("csrf"), "form token")
}

// learnKeys names the keys of a key set by their algorithm.
func (n *names) learnKeys(text string) {
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if json.Unmarshal([]byte(text), &set) != nil {
		return
	}
	for _, key := range set.Keys {
		n.fix(key["kid"], "{kid of the "+key["alg"]+" key}")
		n.fix(key["n"], "{modulus of the "+key["alg"]+" key}")
		n.fix(key["x"], "{x of the "+key["alg"]+" key}")
		n.fix(key["y"], "{y of the "+key["alg"]+" key}")
	}
}

func (n *names) learnMembers(text string) {
	for _, found := range pairwiseSub.FindAllStringSubmatch(text, -1) {
		n.name(found[1], "pairwise sub")
	}
	for _, found := range jsonMember.FindAllStringSubmatch(text, -1) {
		switch member, value := found[1], found[2]; member {
		case "jti", "sid":
			n.name(value, member)
		case "gid":
			n.name(value, "grant handle")
		case "at_hash":
			n.fix(value, n.hashed(value))
		}
	}
}

// hashed names the access token that an at_hash belongs to.
func (n *names) hashed(hash string) string {
	for _, token := range n.access {
		short, long := sha256.Sum256([]byte(token)), sha512.Sum512([]byte(token))
		for _, half := range [][]byte{short[:16], long[:32]} {
			if base64.RawURLEncoding.EncodeToString(half) == hash {
				return fmt.Sprintf("{left half of the SHA-%d of %s}", len(half)*16, strings.Trim(n.of[token], "{}"))
			}
		}
	}
	return "{hash of an access token that is not shown}"
}

func (n *names) learnJWT(raw string) {
	if n.of[raw] != "" {
		return
	}
	header, claims := decoded(raw)
	var typed struct{ Typ, Kid, Alg string }
	if json.Unmarshal(header, &typed) != nil || claims == nil {
		return
	}
	n.fix(typed.Kid, "{kid of the "+typed.Alg+" key}")
	kind, ours := map[string]string{"at+jwt": "access token", "JWT": "ID token"}[typed.Typ]
	if !ours {
		kind = "foreign token"
	}
	n.name(raw, kind)
	n.jwts = append(n.jwts, raw)
}

func decoded(raw string) (header, claims []byte) {
	parts := strings.Split(raw, ".")
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return nil, nil
	}
	if claims, err = base64.RawURLEncoding.DecodeString(parts[1]); err != nil {
		return nil, nil
	}
	return header, claims
}

// newTokens decodes the tokens that the transcript shows for the first time.
func (n *names) newTokens() string {
	var b strings.Builder
	for _, raw := range n.jwts {
		if strings.HasPrefix(n.of[raw], "{access") {
			n.access = append(n.access, raw)
		}
	}
	for _, value := range n.order {
		if strings.HasPrefix(value, "gha_") {
			n.access = append(n.access, value)
		}
	}
	for _, raw := range n.jwts {
		header, claims := decoded(raw)
		var pretty bytes.Buffer
		if json.Indent(&pretty, claims, "    ", "  ") != nil {
			continue
		}
		n.learnMembers(pretty.String())
		fmt.Fprintf(&b, "\n%s is\n    %s\n    %s\n", n.of[raw], n.hide(string(header)), n.hide(pretty.String()))
	}
	n.jwts = nil
	return b.String()
}

// hide puts the placeholders in place of the values.
func (n *names) hide(text string) string {
	var pairs []string
	for i := len(n.order) - 1; i >= 0; i-- {
		pairs = append(pairs, n.order[i], n.of[n.order[i]])
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	text = refusalID.ReplaceAllStringFunc(text, func(id string) string {
		rule, _, _ := strings.Cut(id, ".")
		if _, known := oauth.LookupRule(rule); !known {
			return id
		}
		return rule + ".{random}"
	})
	text = scriptHash.ReplaceAllString(text, "'{hash of the page's script}'")
	return jsonTime.ReplaceAllStringFunc(text, func(found string) string {
		member, digits, _ := strings.Cut(found, ":")
		seconds, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil {
			return found
		}
		return member + ": " + n.at(time.Unix(seconds, 0))
	})
}

// at writes a time by its distance from the story's beginning.
func (n *names) at(t time.Time) string {
	switch distance := t.Sub(n.start); {
	case distance == 0:
		return "{start}"
	case distance < 0:
		return "{start - " + span(-distance) + "}"
	default:
		return "{start + " + span(distance) + "}"
	}
}
