package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkHandlers calls the server's handler without a network, for profiles
// of what is ours in a request:
//
//	go test ./bench -run - -bench Handlers -cpuprofile cpu.out
func BenchmarkHandlers(b *testing.B) {
	const host = "127.0.0.1:8080"
	handler := opened(b, host).Handler()
	ask := func(method, target, form string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://"+host+target, strings.NewReader(form))
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	machine, api := basic(machineID, machineSecret), basic(apiID, apiSecret)
	presented := func(scope string) string {
		token, err := member(ask("POST", "/token", "grant_type=client_credentials&scope="+scope, "Authorization", machine).Body.Bytes(), "access_token")
		if err != nil {
			b.Fatal(err)
		}
		return "token=" + string(token)
	}
	for _, one := range []struct{ name, method, target, form, authorization string }{
		{"client_credentials_es256", "POST", "/token", "grant_type=client_credentials&scope=es:read", machine},
		{"client_credentials_opaque", "POST", "/token", "grant_type=client_credentials&scope=op:read", machine},
		{"introspect_jwt", "POST", "/introspect", presented("es:read"), api},
		{"introspect_opaque", "POST", "/introspect", presented("op:read"), api},
		{"discovery", "GET", "/.well-known/openid-configuration", "", ""},
		{"jwks", "GET", "/jwks", "", ""},
		{"nothing", "GET", "/nothing", "", ""},
	} {
		b.Run(one.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if w := ask(one.method, one.target, one.form, "Authorization", one.authorization); w.Code != http.StatusOK && one.name != "nothing" {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
