package resourcemcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"gatehouse/jose"
	"gatehouse/resource"
	"gatehouse/resource/resourcemcp"
)

// stage is an MCP server behind the guard, and the issuer of its tokens.
type stage struct {
	*testing.T
	issuer, server *httptest.Server
	key            *jose.PrivateKey
}

func newStage(t *testing.T) *stage {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256, "es-1")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{T: t, key: key}
	s.issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/jwks" {
			_ = json.NewEncoder(w).Encode(jose.KeySet{Keys: []jose.PublicKey{key.Public()}})
			return
		}
		_, _ = io.WriteString(w, `{"issuer":"`+s.issuer.URL+`","jwks_uri":"`+s.issuer.URL+`/jwks"}`)
	}))
	t.Cleanup(s.issuer.Close)
	mux := http.NewServeMux()
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	rs, err := resource.New(t.Context(), resource.Config{
		Issuer: s.issuer.URL, Audience: s.server.URL + "/mcp", Metadata: &resource.Metadata{Scopes: []string{"tools:use"}}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	tools := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	type none struct{}
	mcp.AddTool(tools, &mcp.Tool{Name: "whoami", Description: "Says who calls."}, func(_ context.Context, request *mcp.CallToolRequest, _ none) (*mcp.CallToolResult, any, error) {
		access, known := resourcemcp.AccessOf(request.Extra.TokenInfo)
		text := fmt.Sprint(known, " ", access.ClientID, " ", request.Extra.TokenInfo.UserID)
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
	})
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return tools }, nil)
	mux.Handle(rs.MetadataPath(), rs.MetadataHandler())
	mux.Handle("/mcp", resourcemcp.Guard(rs, resource.Needs{Scopes: []string{"tools:use"}})(handler))
	return s
}

func (s *stage) token(subject, scope string) string {
	s.Helper()
	now := time.Now().Unix()
	raw, err := s.key.Sign(jose.TypeAccessToken, fmt.Appendf(nil,
		`{"iss":%q,"sub":%q,"aud":%q,"client_id":"cli","jti":"1","scope":%q,"iat":%d,"exp":%d}`,
		s.issuer.URL, subject, s.server.URL+"/mcp", scope, now, now+600))
	if err != nil {
		s.Fatal(err)
	}
	return raw
}

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b != "" {
		r.Header.Set("Authorization", "Bearer "+string(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestToolsKnowWhoCalls(t *testing.T) {
	s := newStage(t)
	for subject, want := range map[string]string{"alice": s.issuer.URL + "#alice", "cli": "client cli of " + s.issuer.URL} {
		client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
		session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
			Endpoint: s.server.URL + "/mcp", HTTPClient: &http.Client{Transport: bearer(s.token(subject, "tools:use"))},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "whoami"})
		if err != nil {
			t.Fatal(err)
		}
		text, is := result.Content[0].(*mcp.TextContent)
		if !is || text.Text != "true cli "+want {
			t.Errorf("%+v, want %s", result.Content[0], want)
		}
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestChallenges(t *testing.T) {
	s := newStage(t)
	where := `resource_metadata="` + s.server.URL + `/.well-known/oauth-protected-resource/mcp"`
	for raw, test := range map[string]struct {
		status int
		error  string
	}{"": {401, ""}, "x": {401, `error="invalid_token"`}, s.token("alice", "other"): {403, `error="insufficient_scope"`}} {
		response, err := (&http.Client{Transport: bearer(raw)}).Post(s.server.URL+"/mcp", "application/json", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		challenge := response.Header.Values("WWW-Authenticate")
		if response.StatusCode != test.status || len(challenge) != 1 || !strings.Contains(challenge[0], test.error) ||
			!strings.Contains(challenge[0], `scope="tools:use", `+where) || test.error == "" && strings.Contains(challenge[0], "error") {
			t.Errorf("%d %v", response.StatusCode, challenge)
		}
	}
	// The SDK's own client finds the issuer by what the challenge names.
	response, err := http.Get(s.server.URL + "/.well-known/oauth-protected-resource/mcp")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var document struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	if err := json.NewDecoder(response.Body).Decode(&document); err != nil || document.Resource != s.server.URL+"/mcp" || document.Servers[0] != s.issuer.URL {
		t.Errorf("%+v %v", document, err)
	}
}

func TestAccessOfNothing(t *testing.T) {
	for _, info := range []*auth.TokenInfo{nil, {}, {Extra: map[string]any{"gatehouse/resource.Access": "x"}}} {
		if _, known := resourcemcp.AccessOf(info); known {
			t.Errorf("%+v has an access", info)
		}
	}
}
