package authserver_test

import (
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/gatehousetest"
	"gatehouse/internal/spec"
	"gatehouse/oauth"
)

var update = flag.Bool("update", false, "write the transcripts of testdata anew")

// story performs requests, in a bubble whose clock stands still, and keeps a
// transcript of them: every request with its whole response. Values that
// differ from run to run are written as placeholders, the same value as the
// same placeholder from the first line to the last.
type story struct {
	*stage
	text  strings.Builder
	names names
}

// tell acts a story and compares its transcript with
// testdata/<specification>/<name>.txt. About says in a sentence or two what
// the story shows, and cites sections.
func tell(t *testing.T, name, about string, act func(*story)) {
	t.Helper()
	tellIn(t, name, about, gatehousetest.Options{}, act)
}

// tellIn tells a story on another stage than the usual one.
func tellIn(t *testing.T, name, about string, options gatehousetest.Options, act func(*story)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if options.Tenant == "" {
				options.Data = furnished(t)
			}
			issuer := gatehousetest.Start(t, options)
			s := &story{stage: &stage{t, issuer, issuer.NewBrowser(t)}, names: newNames()}
			for _, line := range wrapped(about) {
				s.text.WriteString("# " + line + "\n")
			}
			act(s)
			s.compare(filepath.Join("testdata", filepath.FromSlash(name)+".txt"))
		})
	})
}

func (s *story) compare(file string) {
	s.Helper()
	got := s.text.String()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			s.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			s.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.Fatalf("%v; go test ./authserver -update writes it", err)
	}
	if got != string(want) {
		s.Errorf("%s is not what happened, from line %d on; if that is right, run: go test ./authserver -update\n%s",
			file, firstDifference(got, string(want)), differences(string(want), got))
	}
}

func firstDifference(a, b string) int {
	ours, theirs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range ours {
		if i >= len(theirs) || ours[i] != theirs[i] {
			return i + 1
		}
	}
	return len(ours)
}

// differences shows the lines that only one of two transcripts has.
func differences(want, got string) string {
	var b strings.Builder
	for _, side := range []struct{ mark, of, other string }{{"- ", want, got}, {"+ ", got, want}} {
		others := strings.Split(side.other, "\n")
		for line := range strings.SplitSeq(side.of, "\n") {
			if !slices.Contains(others, line) {
				b.WriteString(side.mark + line + "\n")
			}
		}
	}
	return b.String()
}

const lineWidth = 96

// wrapped divides a text into lines and keeps "RFC 6749 §4.1" on one.
func wrapped(text string) []string {
	text = strings.Join(strings.Fields(text), " ")
	text = strings.NewReplacer("RFC ", "RFC~", " §", "~§").Replace(text)
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		word = strings.ReplaceAll(word, "~", " ")
		if line != "" && len(line)+1+len(word) > lineWidth {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// note begins a new scene with a line of explanation.
func (s *story) note(text string) {
	s.text.WriteString("\n")
	for _, line := range wrapped(text) {
		s.text.WriteString("# " + line + "\n")
	}
}

// later lets time pass.
func (s *story) later(wait time.Duration) {
	time.Sleep(wait)
	s.text.WriteString("\n... " + span(wait) + " later\n")
}

// span writes a duration as people do: 10m rather than 10m0s, 3d1s rather
// than 72h0m1s.
func span(d time.Duration) string {
	text, days := "", d/day
	if days > 0 {
		text = fmt.Sprintf("%dd", days)
	}
	if d -= days * day; d > 0 {
		text += emptyUnits.ReplaceAllString(d.String(), "$1")
	}
	return text
}

var emptyUnits = regexp.MustCompile(`([hm])0[ms](0s)?$`)

// send performs one request without cookies. Header lines are written as
// names and values in turn.
func (s *story) send(method, target, body string, headers ...string) gatehousetest.Answer {
	s.Helper()
	r, err := http.NewRequest(method, s.URL+target, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer := s.Issuer.Do(s.T, r)
	s.record(r, body, answer)
	return answer
}

const formType = "application/x-www-form-urlencoded"

// post sends a form as the client does: with Basic if the tenant gave it a
// secret, with client_id if it is public. Pairs are names and values in turn.
func (s *story) post(path, client string, pairs ...string) gatehousetest.Answer {
	s.Helper()
	headers := []string{"Content-Type", formType}
	if secret := secrets[client]; secret != "" {
		headers = append(headers, "Authorization", basic(client, secret))
	} else if client != "" {
		pairs = append(pairs, "client_id", client)
	}
	return s.send(http.MethodPost, path, encoded(pairs...), headers...)
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// encoded writes a form in the order of its pairs.
func encoded(pairs ...string) string {
	var form []string
	for i := 0; i+1 < len(pairs); i += 2 {
		form = append(form, url.QueryEscape(pairs[i])+"="+url.QueryEscape(pairs[i+1]))
	}
	return strings.Join(form, "&")
}

// exchange redeems a code as the client web does.
func (s *story) exchange(code string, pairs ...string) gatehousetest.Answer {
	s.Helper()
	return s.post("/token", "web", slices.Concat([]string{
		"grant_type", "authorization_code", "code", code, "redirect_uri", webCallback, "code_verifier", verifier,
	}, pairs)...)
}

// renew refreshes as the client web does.
func (s *story) renew(token string, pairs ...string) gatehousetest.Answer {
	s.Helper()
	return s.post("/token", "web", slices.Concat([]string{"grant_type", "refresh_token", "refresh_token", token}, pairs)...)
}

// bearer calls userinfo with a token.
func (s *story) bearer(token string) gatehousetest.Answer {
	s.Helper()
	return s.send(http.MethodGet, "/userinfo", "", "Authorization", "Bearer "+token)
}

// visit opens a page in the browser and follows redirects until one leaves
// the server, recording each step.
func (s *story) visit(target string) gatehousetest.Page {
	s.Helper()
	return s.browse(http.MethodGet, target, nil)
}

// submit posts the hidden fields of a page with further fields.
func (s *story) submit(page gatehousetest.Page, path string, pairs ...string) gatehousetest.Page {
	s.Helper()
	return s.browse(http.MethodPost, path, page.With(pairs...))
}

func (s *story) browse(method, target string, form url.Values) gatehousetest.Page {
	s.Helper()
	for range 10 {
		answer := s.Once(method, target, form)
		s.record(answer.Request, form.Encode(), answer)
		location, err := answer.Location()
		if err != nil {
			return gatehousetest.Page{Answer: answer, Path: answer.Request.URL.Path}
		}
		if !strings.HasPrefix(location.String(), s.URL+"/") {
			return gatehousetest.Page{Answer: answer, Location: location, Path: answer.Request.URL.Path}
		}
		method, target, form = http.MethodGet, strings.TrimPrefix(location.String(), s.URL), nil
	}
	s.Fatal("redirected in circles")
	return gatehousetest.Page{}
}

// signIn is a browser with a session, which no transcript shows.
func (s *story) signIn() {
	s.Helper()
	s.code()
}

// tokens are those of a finished code flow that no transcript shows.
func (s *story) tokens(pairs ...string) gatehousetest.Answer {
	s.Helper()
	return s.wants(s.redeem(s.code(pairs...)), http.StatusOK, "")
}

// wantsStatus is for answers that are pages.
func (s *story) wantsStatus(answer gatehousetest.Answer, status int) gatehousetest.Answer {
	s.Helper()
	if answer.StatusCode != status {
		s.Errorf("the answer is %d, want %d\n%s", answer.StatusCode, status, answer.Text)
	}
	return answer
}

// challenge belongs to the verifier of the stage.
var challenge = oauth.ChallengeS256(verifier)

// tenantWith is the tenant of the stage with further clients.
func tenantWith(clients string) string {
	return strings.Replace(tenant, "\nusers:", strings.TrimSuffix(clients, "\n")+"\nusers:", 1)
}

// TestEveryTranscriptHasItsStory finds files that nothing compares.
func TestEveryTranscriptHasItsStory(t *testing.T) {
	sources, err := filepath.Glob("story_*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`tell(?:In)?\(t, "([^"]+)"`).FindAllSubmatch(text, -1) {
			if told[string(found[1])] {
				t.Errorf("%s is told twice", found[1])
			}
			told[string(found[1])] = true
		}
	}
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(file), "testdata/"), ".txt")
		if !told[name] {
			t.Errorf("%s belongs to no story; remove it", file)
		}
		delete(told, name)
	}
	for name := range told {
		t.Errorf("testdata/%s.txt is missing; go test ./authserver -update writes it", name)
	}
}

// registeredErrors are the error codes that the IANA OAuth Extensions Error
// Registry and the specifications know for each endpoint.
var registeredErrors = map[string]string{
	"/authorize": `invalid_request unauthorized_client access_denied unsupported_response_type invalid_scope server_error temporarily_unavailable
		interaction_required login_required account_selection_required consent_required request_not_supported request_uri_not_supported
		registration_not_supported invalid_target unmet_authentication_requirements`,
	"/consent":     "access_denied",
	"/token":       "invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type invalid_scope invalid_target server_error temporarily_unavailable",
	"/revoke":      "invalid_request invalid_client unsupported_token_type server_error temporarily_unavailable",
	"/introspect":  "invalid_request invalid_client invalid_token server_error temporarily_unavailable",
	"/revocations": "invalid_request invalid_client unauthorized_client server_error temporarily_unavailable", // ours
	"/userinfo":    "invalid_request invalid_token insufficient_scope server_error temporarily_unavailable",
}

func TestErrorsAreRegisteredAndPrintable(t *testing.T) {
	spec.Covers(t, "RFC6749-7.2-1", "RFC6749-5.2-5", "OIDF-28")
	files := must(filepath.Glob("testdata/*/*.txt"))
	request := regexp.MustCompile(`(?m)^> [A-Z]+ (/[^\s]*)\n`)
	sent := regexp.MustCompile(`(?m)^<\s+(?:"error": "|[?&]error=|<input> error=)([a-z_]+)"?,?$`)
	described := regexp.MustCompile(`(?m)^<\s+(?:"error_description": "|&error_description=|<input> error_description=)(.*?)"?$`)
	seen := map[string]bool{}
	for _, file := range files {
		text := string(must(os.ReadFile(file)))
		starts := append(request.FindAllStringSubmatchIndex(text, -1), []int{len(text)})
		for i := range len(starts) - 1 {
			endpoint, exchange := text[starts[i][2]:starts[i][3]], text[starts[i][0]:starts[i+1][0]]
			for _, found := range sent.FindAllStringSubmatch(exchange, -1) {
				seen[found[1]] = true
				if !slices.Contains(strings.Fields(registeredErrors[endpoint]), found[1]) {
					t.Errorf("%s: %s answers %s, which is not registered for it", file, endpoint, found[1])
				}
			}
			for _, found := range described.FindAllStringSubmatch(exchange, -1) {
				if strings.ContainsFunc(found[1], func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
					t.Errorf("%s: the description is %q", file, found[1]) // RFC 6749 §5.2
				}
			}
		}
	}
	if len(seen) < 18 {
		t.Errorf("the transcripts show only %d error codes", len(seen))
	}
}

// TestLettersInASealedTextAreNoToken: random letters are a prefix of tokens now and then.
func TestLettersInASealedTextAreNoToken(t *testing.T) {
	n := newNames()
	const token = "ghc_abcdefghijklmnopqrstuvwxyz"
	r := httptest.NewRequest("GET", "/authorize?i=AQx-"+token, nil)
	n.learn(r, "code="+token, gatehousetest.Answer{Response: &http.Response{Header: http.Header{"Location": {"/authorize?i=AQx" + token}}}})
	if n.of[token] != "{code 1}" || n.counts["code"] != 1 || n.counts["interaction"] != 2 {
		t.Errorf("learnt %v", n.of)
	}
	n = newNames()
	n.learn(r, "", gatehousetest.Answer{Response: &http.Response{Header: http.Header{"Location": {"/authorize?i=AQx" + token}}}})
	if n.counts["code"] != 0 {
		t.Errorf("learnt %v", n.of)
	}
}
