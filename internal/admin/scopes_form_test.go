package admin

import (
	"strings"
	"testing"

	"gatehouse"
)

func TestScopesWithParametersAreDeclaredOnce(t *testing.T) {
	documents := func(scopes ...gatehouse.ResourceScope) gatehouse.Resource {
		return gatehouse.Resource{Identifier: "https://documents.example", TokenFormat: gatehouse.FormatJWT, Scopes: scopes}
	}
	read := gatehouse.ResourceScope{Name: "document:read:{id}", Description: "Read the document {id}"}
	for _, test := range []struct {
		scope gatehouse.ResourceScope
		says  string
	}{
		{read, ""},
		{gatehouse.ResourceScope{Name: "org:{org}:read:{id}", Description: "Read {id} of {org}"}, ""},
		{gatehouse.ResourceScope{Name: "document:read:{id}", Description: "Read a document"}, "does not show the parameter {id}"},
		{gatehouse.ResourceScope{Name: "{kind}:read", Description: "Read {kind}"}, "cannot be a parameter"},
		{gatehouse.ResourceScope{Name: "document:x{id}", Description: "Read {id}"}, "is no parameter"},
		{gatehouse.ResourceScope{Name: "document:{ID}", Description: "Read {ID}"}, "is no parameter"},
	} {
		if got := explain(checkResource(documents(test.scope))); test.says == "" && got != "" || !strings.Contains(got, test.says) {
			t.Errorf("%s: %q, want %q", test.scope.Name, got, test.says)
		}
	}

	for _, test := range []struct {
		all     []gatehouse.Resource
		overlap bool
	}{
		{[]gatehouse.Resource{documents(read)}, false},
		{[]gatehouse.Resource{documents(read, gatehouse.ResourceScope{Name: "document:write:{id}"})}, false},
		{[]gatehouse.Resource{documents(read, gatehouse.ResourceScope{Name: "document:read:all"})}, true},
		{[]gatehouse.Resource{documents(gatehouse.ResourceScope{Name: "document:read:all"}, read)}, true},
		{[]gatehouse.Resource{documents(read), {Identifier: "https://other.example", Scopes: []gatehouse.ResourceScope{{Name: "document:read:1"}}}}, true},
		{[]gatehouse.Resource{documents(read), {Identifier: "https://other.example", Scopes: []gatehouse.ResourceScope{{Name: "document:{op}:1"}}}}, true},
		{[]gatehouse.Resource{documents(read), {Identifier: "https://other.example", Scopes: []gatehouse.ResourceScope{read}}}, true},
	} {
		var wrong problems
		checkScopesApart(&wrong, test.all)
		if got := explain(wrong.list); (got != "") != test.overlap || strings.Count(got, "\n") > 0 {
			t.Errorf("%v: %q", test.all, got)
		}
	}

	for scope, good := range map[string]bool{
		"openid document:read:{id}": true, "openid document:read:7": true, "document:read:{no}": false, "document:read:": false, "document:read:*": false,
	} {
		client := web()
		client.Scope = scope
		_, wrong := Register(client, Surroundings{Resources: []gatehouse.Resource{documents(read)}})
		if (len(wrong) == 0) != good {
			t.Errorf("%s: %s", scope, explain(wrong))
		}
	}
}
