package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"

	"gatehouse/jose"
)

// peerFiles are the program that serves the peer, and what it needs from npm.
//
//go:embed peer/package.json peer/package-lock.json peer/server.mjs
var peerFiles embed.FS

// peerRow is what the peer is asked, under the name of our row.
type peerRow struct {
	name        string
	connections int
	visitors    func(p *peer, n int) ([]visitor, error)
}

// peer is npm's oidc-provider under measurement.
type peer struct {
	*process
	keys jose.KeySet
}

// runPeer measures the peer with the requests of our rows that it has, and
// prints what it found.
func runPeer(o options, core int, directory string) error {
	p, err := startPeer(core, filepath.Join(directory, "peer"))
	if err != nil {
		return fmt.Errorf("the peer: %w", err)
	}
	defer p.stop()
	var measured []compared
	for _, asked := range peerRows() {
		visitors, err := asked.visitors(p, asked.connections)
		if err != nil {
			return fmt.Errorf("the peer: %s: %w", asked.name, err)
		}
		var rounds []round
		for range o.rounds {
			one, err := measure(p.process, visitors, o.warmUp, o.length)
			if err != nil {
				return fmt.Errorf("the peer: %s: %w", asked.name, err)
			}
			rounds = append(rounds, one)
		}
		measured = append(measured, compared{row: row{name: asked.name}, server: median(rounds)})
	}
	if o.json {
		return report{rows: measured}.writeJSON(os.Stdout)
	}
	return writePeer(os.Stdout, measured)
}

func writePeer(w io.Writer, rows []compared) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "oidc-provider\trequests/s\tp50 ms\tp99 ms\tCPU µs\tRSS MiB\t")
	for _, c := range rows {
		fmt.Fprintf(table, "%s\t%.0f\t%.2f\t%.2f\t%.1f\t%.0f\t\n", c.name, c.server.rps,
			microseconds(c.server.p50)/1000, microseconds(c.server.p99)/1000, microseconds(c.server.cpu), float64(c.server.rss)/(1<<20))
	}
	return table.Flush()
}

func startPeer(core int, directory string) (*peer, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	for _, name := range []string{"package.json", "package-lock.json", "server.mjs"} {
		text, err := peerFiles.ReadFile("peer/" + name)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(directory, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = directory
	if output, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm ci: %w\n%s", err, output)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	clients, err := json.Marshal(map[string]string{machineID: machineSecret, apiID: apiSecret, webID: webSecret})
	if err != nil {
		return nil, err
	}
	p := &peer{process: &process{command: exec.Command("node", "server.mjs", port, string(clients), redirectURI), address: address}}
	p.command.Dir = directory
	began := time.Now()
	if err := start(core, p.command); err != nil {
		return nil, err
	}
	err = p.answers(began, "/jwks")
	if err == nil {
		var text []byte
		if text, err = get("http://" + address + "/jwks"); err == nil {
			p.keys, err = jose.ParseKeySet(text)
		}
	}
	if err != nil {
		p.stop()
	}
	return p, err
}

func (p *peer) tokenRequest(resource, scope string) []byte {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}, "resource": {resource}}.Encode()
	return request("POST", "/token", p.address, form, "Authorization", basic(machineID, machineSecret))
}

// issued asks for one token, and holds a JWT to the peer's keys.
func (p *peer) issued(resource, scope string) (string, error) {
	w, err := dial(p.address)
	if err != nil {
		return "", err
	}
	defer w.close()
	_ = w.conn.SetDeadline(time.Now().Add(answerPatience))
	a, err := w.do(p.tokenRequest(resource, scope))
	if err != nil {
		return "", err
	}
	token, err := member(a.body, "access_token")
	if err == nil && resource == resourceES256 {
		err = (&side{keys: p.keys}).genuine(string(token))
	}
	return string(token), err
}

// side is the peer as people and applications visit it. Flows that end in an
// access token for an API name it, because the peer has no default.
func (p *peer) side(resource string) *side {
	stage := &stage{process: p.process, keys: p.keys, resource: resource}
	return &side{address: p.address, stage: stage, keys: p.keys, seen: newSampler()}
}

// asks are visitors who send requests to which every answer contains a text.
func asks(requests func(*peer) ([][]byte, error), text string) func(*peer, int) ([]visitor, error) {
	return func(p *peer, n int) ([]visitor, error) {
		all, err := requests(p)
		return askers(n, all, func(a answer) error {
			if !bytes.Contains(a.body, []byte(text)) {
				return fmt.Errorf("unexpected answer %.300s", a.body)
			}
			return nil
		}), err
	}
}

// peerRows are the rows that the peer has. It does not introspect its JWTs, and
// has no pages to sign in at but its development's.
func peerRows() []peerRow {
	tokens := func(resource, scope, text string) func(*peer, int) ([]visitor, error) {
		return asks(func(p *peer) ([][]byte, error) {
			_, err := p.issued(resource, scope)
			return [][]byte{p.tokenRequest(resource, scope)}, err
		}, text)
	}
	document := func(path, text string) func(*peer, int) ([]visitor, error) {
		return asks(func(p *peer) ([][]byte, error) { return [][]byte{request("GET", path, p.address, "")}, nil }, text)
	}
	introspections := asks(func(p *peer) ([][]byte, error) {
		var requests [][]byte
		for range presentedTokens {
			token, err := p.issued(resourceOpaque, "op:read")
			if err != nil {
				return nil, err
			}
			requests = append(requests, request("POST", "/introspect", p.address, "token="+token, "Authorization", basic(apiID, apiSecret)))
		}
		return requests, nil
	}, `"active":true`)
	people := func(visit func(*side, int) ([]visitor, error), resource string) func(*peer, int) ([]visitor, error) {
		return func(p *peer, n int) ([]visitor, error) { return visit(p.side(resource), n) }
	}
	return []peerRow{
		{"client_credentials_es256", connections, tokens(resourceES256, "es:read", `"access_token":"ey`)},
		{"client_credentials_opaque", connections, tokens(resourceOpaque, "op:read", `"access_token":"`)},
		{"introspect_opaque", connections, introspections},
		{"userinfo", connections, people(userinfos, "")},
		{"refresh", durableRows, people(refreshes, resourceES256)},
		{"code_flow", connections, people(flows, resourceES256)},
		{"discovery", connections, document("/.well-known/openid-configuration", `"issuer":"`)},
		{"jwks", connections, document("/jwks", `"keys":[`)},
	}
}
