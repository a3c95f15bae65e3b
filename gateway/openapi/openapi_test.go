package openapi_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gatehouse/gateway"
	"gatehouse/gateway/openapi"
	"gatehouse/resource"
)

var photos = openapi.Config{Name: "photos", Authentication: "id", Upstream: "photos"}

const schemes = `
components:
  securitySchemes:
    oauth: {type: oauth2, flows: {authorizationCode: {authorizationUrl: 'https://id.example/authorize', tokenUrl: 'https://id.example/token', scopes: {'photos:read': Read, 'photos:write': Write, admin: All}}}}
    openid: {type: openIdConnect, openIdConnectUrl: 'https://id.example/.well-known/openid-configuration'}
    bearer: {type: http, scheme: Bearer, bearerFormat: JWT}
    basic: {type: http, scheme: basic}
    key: {type: apiKey, in: header, name: X-Api-Key}
    certificate: {type: mutualTLS}
    other: {$ref: '#/components/securitySchemes/oauth'}
`

func TestRoutes(t *testing.T) {
	text := `
openapi: 3.1.0
info: {title: Photos, version: '1'}
servers: [{url: 'https://{region}.photos.example/v1/', variables: {region: {default: eu}}}, {url: /v1}]
security: [{oauth: ['photos:read']}]
paths:
  /photos:
    summary: All photos
    parameters: []
    get:
      operationId: listPhotos
      responses: {200: {description: A list}, default: {description: An error}}
    head: {}
    post: {operationId: addPhoto, security: [{oauth: ['photos:write', 'photos:read', 'photos:read']}]}
  /photos/{photo-id}:
    get: {}
    delete:
      security:
        - oauth: ['photos:write', admin]
        - openid: [admin]
  /health:
    servers: []
    get: {operationId: health, security: [], servers: [{url: '/'}]}
  /me:
    $ref: '#/components/pathItems/me'
  x-internal: anything
` + schemes + `
  pathItems:
    me: {get: {operationId: 'me: who?', security: [{bearer: []}, {openid: [openid]}]}}
`
	c := photos
	c.AllowPublic, c.Hosts, c.StripPrefix = true, []string{"api.example"}, "/v1"
	c.Forward = gateway.Forward{Headers: true}
	c.Limits = []gateway.Limit{{Per: gateway.PerAddress, Rate: 5}, {Per: gateway.PerClient, Rate: 50}}
	got, err := openapi.Routes([]byte(text), "photos.yaml", c)
	if err != nil {
		t.Fatal(err)
	}
	route := func(name, method, path string, scopes ...string) gateway.Route {
		return gateway.Route{
			Name: name, Match: gateway.Match{Hosts: c.Hosts, Path: path, Methods: []string{method}}, Authentication: "id", Upstream: "photos",
			Needs: resource.Needs{Scopes: scopes}, Forward: c.Forward, Limits: c.Limits, StripPrefix: "/v1",
		}
	}
	health := route("photos.health", "GET", "/health")
	health.Authentication, health.Public, health.Forward, health.Limits = "", true, gateway.Forward{}, c.Limits[:1]
	want := []gateway.Route{
		health,
		route("photos.me--who", "GET", "/v1/me"),
		route("photos.listPhotos", "GET", "/v1/photos", "photos:read"),
		route("photos.addPhoto", "POST", "/v1/photos", "photos:read", "photos:write"),
		route("photos.get-photos--photo-id", "GET", "/v1/photos/{photo_id}", "photos:read"),
		route("photos.delete-photos--photo-id", "DELETE", "/v1/photos/{photo_id}", "admin"),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", lines(got), lines(want))
	}
}

func lines(routes []gateway.Route) string {
	var b strings.Builder
	for _, r := range routes {
		fmt.Fprintf(&b, "%+v\n", r)
	}
	return b.String()
}

// The routes of a description are routes of a gateway.
func TestRoutesAreAGateways(t *testing.T) {
	routes, err := openapi.Routes([]byte(of("get: {security: [{oauth: [admin]}]}")), "f", photos)
	if err != nil {
		t.Fatal(err)
	}
	config := gateway.Config{
		Authentications: []gateway.Authentication{{Name: "id", Resource: resource.Config{Issuer: "https://id.example", Audience: "https://photos.example"}}},
		Upstreams:       []gateway.Upstream{{Name: "photos", URL: "https://photos.internal"}}, Routes: routes,
	}
	if err := config.Check(); err != nil {
		t.Error(err)
	}
}

func TestJSON(t *testing.T) {
	routes, err := openapi.Routes([]byte(` {"openapi":"3.0.3","paths":{"\/a":{"get":{"responses":{"200":{"content":{"id":1,"ID":2}}},"security":[{"b":[]}]}}},"components":{"securitySchemes":{"b":{"type":"http","scheme":"bearer"}}}}`), "f.json", photos)
	if err != nil || len(routes) != 1 || routes[0].Match.Path != "/a" || routes[0].Public {
		t.Errorf("%+v, %v", routes, err)
	}
	routes, err = openapi.Routes([]byte(`{"openapi":"3.0.3","paths":{"/a":{"get":{"x-deep":`+strings.Repeat(`{"a":`, 100)+"1"+strings.Repeat("}", 100)+`,"security":[{"b":[]}]}}},"components":{"securitySchemes":{"b":{"type":"http","scheme":"bearer"}}}}`), "f.json", photos)
	if err != nil || len(routes) != 1 {
		t.Errorf("a deep one: %+v, %v", routes, err)
	}
}

// of is a description with one path.
func of(item string) string {
	return "openapi: 3.0.3\npaths:\n  /photos:\n    " + item + "\n" + schemes
}

func TestWhatARouteCannotSayIsAnError(t *testing.T) {
	for about, test := range map[string]struct{ text, says string }{
		"no security":          {of("get: {}"), "GET /photos: it has no security; say allow_public"},
		"an empty security":    {of("get: {security: []}"), "it has no security"},
		"an empty entry":       {of("get: {security: [{}]}"), "it has no security"},
		"an optional token":    {of("get: {security: [{}, {bearer: []}]}"), "may be left out"},
		"an API key":           {of("get: {security: [{key: []}]}"), "GET /photos: the security scheme key is an API key"},
		"a key beside a token": {of("get: {security: [{bearer: [], key: []}]}"), "is an API key"},
		"a key or a token":     {of("post: {security: [{bearer: []}, {key: []}]}"), "POST /photos: the security scheme key is an API key"},
		"a password":           {of("get: {security: [{basic: []}]}"), "is HTTP authentication that is not bearer"},
		"a certificate":        {of("get: {security: [{certificate: []}]}"), "is a client certificate"},
		"one or the other":     {of("get: {security: [{oauth: ['photos:read']}, {oauth: ['photos:write']}]}"), "different scopes (photos:read; photos:write)"},
		"an unknown scheme":    {of("get: {security: [{oath: []}]}"), `there is no security scheme "oath"`},
		"an unknown scope":     {of("get: {security: [{oauth: ['photo:read']}]}"), `the scope "photo:read" is not one`},
		"roles":                {of("get: {security: [{bearer: [admin]}]}"), "name roles and not scopes"},
		"TRACE":                {of("trace: {security: [{bearer: []}]}"), "TRACE /photos: TRACE is never passed on"},
		"half a segment":       {strings.Replace(of("get: {security: [{bearer: []}]}"), "/photos:", "'/photos/{name}.jpg':", 1), "not wholly one parameter"},
		"two in a segment":     {strings.Replace(of("get: {security: [{bearer: []}]}"), "/photos:", "'/photos/{a}{b}':", 1), "not wholly one parameter"},
		"twice a parameter":    {strings.Replace(of("get: {security: [{bearer: []}]}"), "/photos:", "'/{a}/{a}':", 1), "is there twice"},
		"a slash at the end":   {strings.Replace(of("get: {security: [{bearer: []}]}"), "/photos:", "/photos/:", 1), "ends in a slash"},
		"dots":                 {strings.Replace(of("get: {security: [{bearer: []}]}"), "/photos:", "/a/../b:", 1), "no request can have the path"},
		"two servers":          {of("get: {security: [{bearer: []}], servers: [{url: 'https://a.example/v1'}, {url: 'https://b.example/v2'}]}"), "different paths"},
		"a server's dots":      {of("get: {security: [{bearer: []}], servers: [{url: '../v1'}]}"), "say base_path"},
		"no server's address":  {of("get: {security: [{bearer: []}], servers: [{}]}"), "a server has no url"},
		"another file":         {of("$ref: 'other.yaml#/paths/photos'"), "leads to another file"},
		"a circle":             {of("$ref: '#/paths/~1photos'"), "in a circle"},
		"nowhere":              {of("$ref: '#/paths/nowhere'"), "leads nowhere"},
		"HEAD apart from GET":  {of("get: {security: [{bearer: []}]}\n    head: {security: [{oauth: [admin]}]}"), "HEAD /photos: it has another security than GET"},
		"the same id twice":    {of("get: {operationId: a, security: [{bearer: []}]}\n    put: {operationId: a, security: [{bearer: []}]}"), "would be called photos.a, as that of GET /photos"},
		"Swagger":              {"swagger: '2.0'\npaths: {}\n", "convert it to OpenAPI 3"},
		"another version":      {"openapi: 4.0.0\npaths: {}\n", "3.0.x or 3.1.x"},
		"no paths":             {"openapi: 3.1.0\nwebhooks: {}\n", "has no paths"},
		"no operation":         {"openapi: 3.1.0\npaths: {/a: {}}\n", "no operation"},
		"an operation of text": {of("get: all"), "it is no operation"},
		"security of text":     {of("get: {security: bearer}"), "its security is no list"},
		"an entry of text":     {of("get: {security: [bearer]}"), "is no set of keys"},
		"scopes of text":       {of("get: {security: [{oauth: admin}]}"), "are no list"},
		"a scope of a number":  {of("get: {security: [{oauth: [1]}]}"), "is no text"},
		"many alternatives":    {of("get: {security: [" + strings.Repeat("{bearer: []},", 33) + "]}"), "more than 32 security entries"},
		"a bomb":               {"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", "an anchor or alias at f:1:4"},
		"too much":             {"#" + strings.Repeat("x", openapi.MaxBytes), "more than 4 MiB"},
		"no YAML":              {"openapi: [", "f:"},
	} {
		routes, err := openapi.Routes([]byte(test.text), "f", photos)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, %v", about, routes, err)
		}
		if routes != nil {
			t.Errorf("%s: an error, and routes: %v", about, routes)
		}
	}
	// The legitimate variants.
	for _, item := range []string{"get: {security: [{bearer: []}]}", "get: {security: [{oauth: [admin]}]}", "get: {security: [{other: [admin]}]}", "get: {security: [{bearer: [], oauth: [admin]}, {oauth: [admin]}]}"} {
		if routes, err := openapi.Routes([]byte(of(item)), "f", photos); err != nil || len(routes) != 1 || routes[0].Public {
			t.Errorf("%s: %v, %v", item, routes, err)
		}
	}
}

func TestEveryProblemIsTold(t *testing.T) {
	_, err := openapi.Routes([]byte(of("get: {}\n    put: {security: [{key: []}]}")), "f", photos)
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%v", err)
	}
	var many strings.Builder
	many.WriteString("openapi: 3.1.0\npaths:\n")
	for i := range 100 {
		fmt.Fprintf(&many, "  /p%d: {get: {}}\n", i)
	}
	if _, err = openapi.Routes([]byte(many.String()), "f", photos); err == nil || !strings.HasSuffix(err.Error(), "f: and more") || strings.Count(err.Error(), "\n") != 20 {
		t.Errorf("%v", err)
	}
}

func TestSchemesHaveAuthenticationsOfTheirOwn(t *testing.T) {
	c := openapi.Config{Name: "photos", Schemes: map[string]string{"oauth": "people", "bearer": "machines"}, IgnoredSchemes: []string{"key"}}
	for item, want := range map[string]string{
		"get: {security: [{oauth: [admin]}, {key: []}]}":         "people",
		"get: {security: [{bearer: []}, {key: [], bearer: []}]}": "machines",
		"get: {security: [{bearer: []}, {oauth: [admin]}]}":      "different authentications",
		"get: {security: [{bearer: [], oauth: [admin]}]}":        "two authentications at once",
		"get: {security: [{openid: []}]}":                        "has no authentication",
		"get: {security: [{key: []}]}":                           "need a scheme that is ignored",
	} {
		routes, err := openapi.Routes([]byte(of(item)), "f", c)
		if err != nil && !strings.Contains(err.Error(), want) || err == nil && routes[0].Authentication != want {
			t.Errorf("%s: %v, %v", item, routes, err)
		}
	}
	for _, wrong := range []openapi.Config{{Name: "x"}, {Authentication: "x"}, {Name: "x", Schemes: map[string]string{"nothing": "x"}}, {Name: "x", Authentication: "x", IgnoredSchemes: []string{"nothing"}}} {
		if _, err := openapi.Routes([]byte(of("get: {security: [{bearer: []}]}")), "f", wrong); err == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
	c = photos
	for base, want := range map[string]string{"/": "/photos", "/api/": "/api/photos", "/api": "/api/photos"} {
		c.BasePath = base
		routes, err := openapi.Routes([]byte(of("get: {security: [{bearer: []}], servers: [{url: /v1}]}")), "f", c)
		if err != nil || routes[0].Match.Path != want {
			t.Errorf("%s: %v, %v", base, routes, err)
		}
	}
}

// No description makes a public route that does not say so, nor an endless work.
func FuzzRoutes(f *testing.F) {
	f.Add(of("get: {security: [{}, {oauth: [admin]}]}"))
	f.Add(`{"openapi":"3.0.3","paths":{"/a":{"get":{}}}}`)
	f.Add("openapi: 3.1.0\npaths: {/a: {$ref: '#/paths/~1a'}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		routes, err := openapi.Routes([]byte(text), "f", photos)
		if err != nil && routes != nil {
			t.Fatal("an error, and routes")
		}
		for _, r := range routes {
			if r.Public || r.Authentication != "id" {
				t.Errorf("%+v", r)
			}
		}
	})
}
