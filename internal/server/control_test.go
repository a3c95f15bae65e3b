package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"gatehouse/internal/endpoint"
	"gatehouse/oauth"
)

// control returns a client of the control socket.
func control(t *testing.T, data string) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", ControlSocket(data))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestControlSocketTellsRefusals(t *testing.T) {
	r := run(t)
	r.ask(t, "/livez")
	info, err := os.Stat(ControlSocket(r.config.Data))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	refused, err := r.client.PostForm(r.url("/token"), url.Values{"grant_type": {"client_credentials"}, "client_id": {"web"}, "client_secret": {"wrong"}})
	if err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`\(([a-z.0-9-]+)\)`).FindStringSubmatch(body(t, refused))
	if id == nil {
		t.Fatal("the refusal has no id")
	}
	client := control(t, r.config.Data)
	response, err := client.Get("http://gatehouse/refusals/" + id[1])
	if err != nil {
		t.Fatal(err)
	}
	var told keptRefusal
	text := body(t, response)
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		t.Fatal(err)
	}
	if told.ID != id[1] || told.Endpoint != "token" || told.Code != oauth.InvalidClient || told.Status != 401 || told.Notes["client_id"] != "web" || told.Request != refused.Header.Get("X-Request-Id") {
		t.Errorf("%s", text)
	}
	if strings.Contains(text, "wrong") {
		t.Errorf("the secret is told: %s", text)
	}
	for _, path := range []string{"/refusals/unknown.12345678", "/refusals/", "/"} {
		response, err := client.Get("http://gatehouse" + path)
		if err != nil {
			t.Fatal(err)
		}
		if _ = body(t, response); response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
	if response, text := r.ask(t, "/refusals/"+id[1]); response.StatusCode != http.StatusNotFound {
		t.Errorf("the network may ask, too: %d %s", response.StatusCode, text)
	}
}

func TestSocketLeftBehindIsReplaced(t *testing.T) {
	data := dataDirectory(t)
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: ControlSocket(data), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false) // as when a process is killed
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	r := run(t, func(s *Server) { s.config.Data = data })
	r.ask(t, "/livez")
	response, err := control(t, data).Get("http://gatehouse/refusals/unknown.12345678")
	if err != nil {
		t.Fatal(err)
	}
	if _ = body(t, response); response.StatusCode != http.StatusNotFound {
		t.Errorf("%d", response.StatusCode)
	}
}

func TestSecondServerOnOneDirectoryIsRefused(t *testing.T) {
	first := run(t)
	first.ask(t, "/livez")
	log := &record{}
	second := open(t, first.config, log.logger())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	err = second.Serve(t.Context(), listener)
	busy, known := errors.AsType[*BusyError](err)
	if !known || busy.Data != first.config.Data || !strings.Contains(err.Error(), "another server already serves from "+first.config.Data) {
		t.Errorf("%v", err)
	}
	if err := CheckIdle(t.Context(), first.config.Data); err == nil {
		t.Error("the directory passes for idle")
	}
	if err := CheckIdle(t.Context(), t.TempDir()); err != nil {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("its listener is still open")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	response, err := control(t, first.config.Data).Get("http://gatehouse/refusals/unknown.12345678")
	if err != nil {
		t.Fatalf("the first lost its socket: %v", err)
	}
	_ = body(t, response)
	if response, text := first.ask(t, "/jwks"); response.StatusCode != http.StatusOK {
		t.Errorf("the first: %d %s", response.StatusCode, text)
	}
	if err := first.stop(); err != nil {
		t.Error(err)
	}
	again := run(t, func(s *Server) { s.config.Data = first.config.Data })
	again.ask(t, "/livez")
}

func TestWithoutASocketTheServerServes(t *testing.T) {
	data := dataDirectory(t)
	write(t, ControlSocket(data), "somebody's notes")
	r := run(t, func(s *Server) { s.config.Data = data })
	if response, _ := r.ask(t, "/livez"); response.StatusCode != http.StatusOK {
		t.Errorf("%d", response.StatusCode)
	}
	if !strings.Contains(r.log.String(), "there is no control socket") {
		t.Errorf("nobody was told: %s", r.log)
	}
	if text, err := os.ReadFile(ControlSocket(data)); err != nil || string(text) != "somebody's notes" {
		t.Errorf("the file was taken away: %v", err)
	}
}

func TestRefusalsAreARing(t *testing.T) {
	var r refusals
	add := func(n int) {
		r.add(endpoint.Refusal{ID: fmt.Sprint("rule.", n), Error: oauth.Refuse("rule", oauth.InvalidGrant, "No.").Because(errors.New(strings.Repeat("é", 10000)))})
	}
	for n := range 3*keptRefusals + 5 {
		add(n)
	}
	for n, want := range map[int]bool{0: false, 2*keptRefusals + 4: false, 2*keptRefusals + 5: true, 3*keptRefusals + 4: true} {
		if _, found := r.find(fmt.Sprint("rule.", n)); found != want {
			t.Errorf("refusal %d: found is %v", n, found)
		}
	}
	if kept, _ := r.find(fmt.Sprint("rule.", 3*keptRefusals)); len(kept.Cause) > maxCause {
		t.Errorf("a cause of %d bytes is kept", len(kept.Cause))
	}
	if _, found := r.find(""); found {
		t.Error("nothing was found")
	}
	var empty refusals
	if _, found := empty.find(""); found {
		t.Error("an empty place was found")
	}
}
