package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
)

// row is one line of the published table.
type row struct {
	name string
	// target is the least ratio to the bare limit.
	target float64
	// byRequests compares requests/s, where the disk or a wait decides; else
	// the processor time per request is compared.
	byRequests bool
	// connections that ask at the same time.
	connections int
	// visitors returns one for each connection.
	visitors func(*side, int) ([]visitor, error)
	// limit makes the handler of the bare limit, in the limit's process.
	limit func(*bareLimit) (http.Handler, error)
	// proxy makes a proxy of ours, for rows that measure one in place of the server.
	proxy func(*bareLimit) (http.Handler, error)
	// secret is of the client that authenticates.
	secret string
	// checks is for rows in this process, in place of visitors and limit.
	checks func(*stage) (checks, error)
}

// connections of most rows.
const connections = 32

// rows is the table of what is measured, in the order in which it is printed.
func rows() []row {
	return []row{
		{name: "client_credentials_es256", target: 0.85, connections: connections, secret: machineSecret,
			visitors: clientCredentials("es:read"), limit: func(l *bareLimit) (http.Handler, error) { return l.signedToken(l.es256) }},
		{name: "client_credentials_eddsa", target: 0.85, connections: connections, secret: machineSecret,
			visitors: clientCredentials("ed:read"), limit: func(l *bareLimit) (http.Handler, error) { return l.signedToken(l.eddsa) }},
		{name: "client_credentials_opaque", target: 0.65, connections: connections, secret: machineSecret,
			visitors: clientCredentials("op:read"), limit: (*bareLimit).sealedToken},
		{name: "introspect_jwt", target: 0.75, connections: connections, secret: apiSecret,
			visitors: introspections("es:read"), limit: (*bareLimit).introspectJWT},
		{name: "introspect_opaque", target: 0.60, connections: connections, secret: apiSecret,
			visitors: introspections("op:read"), limit: (*bareLimit).introspectOpaque},
		{name: "userinfo", target: 0.65, connections: connections, visitors: userinfos, limit: (*bareLimit).userinfo},
		{name: "refresh", target: 0.70, byRequests: true, connections: durableRows, secret: webSecret,
			visitors: refreshes, limit: (*bareLimit).refresh},
		{name: "code_flow", target: 0.60, byRequests: true, connections: connections, secret: webSecret,
			visitors: flows, limit: (*bareLimit).codeFlow},
		{name: "login", target: 0.90, byRequests: true, connections: 1, visitors: signIns, limit: (*bareLimit).argon2id},
		{name: "discovery", target: 0.85, connections: connections,
			visitors: documents("/.well-known/openid-configuration", `{"issuer":`), limit: (*bareLimit).static},
		{name: "jwks", target: 0.85, connections: connections,
			visitors: documents("/jwks", `{"keys":[`), limit: (*bareLimit).static},
		{name: "gateway_jwt", target: 0.8, connections: connections, visitors: proxied, limit: (*bareLimit).bareProxy, proxy: (*bareLimit).gateway},
		{name: "verify_jwt", target: 0.77, checks: verifications(1, 0)}, // 1.3 times the signature
		{name: "verify_jwt_cached", target: 1, checks: verifications(0, cachedBudget)},
	}
}

func rowOf(name string) (row, bool) {
	for _, r := range rows() {
		if r.name == name {
			return r, true
		}
	}
	return row{}, false
}

// asking sends the same requests in turn and holds every answer to the check.
type asking struct {
	requests [][]byte
	next     int
	check    func(answer) error
}

func (a *asking) visit(w *wire) error {
	request := a.requests[a.next]
	a.next = (a.next + 1) % len(a.requests)
	answered, err := w.do(request)
	if err != nil {
		return err
	}
	if answered.status != http.StatusOK {
		return fmt.Errorf("status %d: %.300s", answered.status, answered.body)
	}
	return a.check(answered)
}

// askers returns n visitors that send the same requests, each beginning with
// another one.
func askers(n int, requests [][]byte, check func(answer) error) []visitor {
	var visitors []visitor
	for i := range n {
		visitors = append(visitors, &asking{requests, i % len(requests), check})
	}
	return visitors
}

// clientCredentials asks for tokens by client_credentials.
func clientCredentials(scope string) func(*side, int) ([]visitor, error) {
	return func(s *side, n int) ([]visitor, error) {
		asks := request("POST", "/token", s.address, "grant_type=client_credentials&scope="+scope, "Authorization", basic(machineID, machineSecret))
		return askers(n, [][]byte{asks}, func(a answer) error {
			token, err := member(a.body, "access_token")
			if err != nil {
				return err
			}
			if !bytes.HasPrefix(a.body, []byte(`{"access_token":"`)) || !bytes.HasSuffix(a.body, []byte(`,"scope":"`+scope+`"}`)) {
				return fmt.Errorf("unexpected token response %.300s", a.body)
			}
			s.seen.keep(token)
			return nil
		}), nil
	}
}

// presentedTokens is how many different tokens are presented in turn.
const presentedTokens = 64

// introspections asks about tokens of the resource with that scope.
func introspections(scope string) func(*side, int) ([]visitor, error) {
	return func(s *side, n int) ([]visitor, error) {
		var tokens []string
		if s.limit != nil {
			tokens = s.limit.Tokens // none when it checks the server's
		}
		for len(tokens) < presentedTokens {
			answered, err := s.stage.token(machineID, machineSecret, "grant_type=client_credentials&scope="+scope)
			if err != nil {
				return nil, err
			}
			tokens = append(tokens, answered.AccessToken)
		}
		var requests [][]byte
		for _, token := range tokens {
			requests = append(requests, request("POST", "/introspect", s.address, "token="+token, "Authorization", basic(apiID, apiSecret)))
		}
		return askers(n, requests, func(a answer) error {
			if !bytes.HasPrefix(a.body, []byte(`{"active":true,`)) || !bytes.Contains(a.body, []byte(`"client_id":"`+machineID+`"`)) {
				return fmt.Errorf("unexpected introspection %.300s", a.body)
			}
			return nil
		}), nil
	}
}

// documents asks for a document that begins with the text and never changes.
func documents(path, beginning string) func(*side, int) ([]visitor, error) {
	return func(s *side, n int) ([]visitor, error) {
		return askers(n, [][]byte{request("GET", path, s.address, "")}, func(a answer) error {
			if !bytes.HasPrefix(a.body, []byte(beginning)) || a.body[len(a.body)-1] != '}' {
				return fmt.Errorf("unexpected document %.300s", a.body)
			}
			return nil
		}), nil
	}
}

var errMember = errors.New("the answer lacks a member")

// member returns the text of a member of a JSON object that needs no
// unescaping.
func member(body []byte, name string) ([]byte, error) {
	start := bytes.Index(body, []byte(`"`+name+`":"`))
	if start < 0 {
		return nil, fmt.Errorf("%w %s: %.300s", errMember, name, body)
	}
	value := body[start+len(name)+4:]
	end := bytes.IndexByte(value, '"')
	if end <= 0 {
		return nil, fmt.Errorf("%w %s: %.300s", errMember, name, body)
	}
	return value[:end], nil
}
