package dev

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Ready is what stands on the stage once everything answers.
type Ready struct {
	Issuer     string `json:"issuer"`
	Playground string `json:"playground"`
	API        string `json:"api"`
	// APIResource is PhotoAPI's resource identifier where that is not its
	// address: it had another one when the data was made.
	APIResource string `json:"api_resource,omitempty"`
	// BFF is where the backend for frontend serves its application, and PhotoAPI
	// below /api.
	BFF string `json:"bff"`
	// Gateway stands in front of PhotoAPI.
	Gateway string `json:"gateway"`
	// Thumbnails is the second API, which PhotoAPI alone can call.
	Thumbnails string   `json:"thumbnails"`
	Users      []User   `json:"users"`
	Clients    []Client `json:"clients"`

	// Data is the directory that holds the data.
	Data string `json:"-"`
	// Temporary says that Data goes when the program does.
	Temporary bool   `json:"-"`
	Version   string `json:"-"`
}

// User is a person who can sign in. Password is empty when nobody but they
// know it.
type User struct {
	Username string `json:"username"`
	Password string `json:"password,omitempty"`
	Sub      string `json:"sub"`
}

// Client is a ready client in the names of RFC 7591 §2. ClientSecret is empty
// for public clients, and where only a hash is known.
type Client struct {
	ClientID                string   `json:"client_id"`
	ClientSecret            string   `json:"client_secret,omitempty"`
	RedirectURIs            []string `json:"redirect_uris"`
	GrantTypes              []string `json:"grant_types"`
	Scope                   string   `json:"scope"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method"`

	// Name is shown to people.
	Name string `json:"-"`
}

// secretOf is the secret of a client, "" where nobody knows one.
func (r Ready) secretOf(id string) string {
	for _, c := range r.Clients {
		if c.ClientID == id {
			return c.ClientSecret
		}
	}
	return ""
}

// Line is the stage as one line of JSON, with its line end.
func (r Ready) Line() ([]byte, error) {
	line, err := json.Marshal(r)
	return append(line, '\n'), err
}

// Text is the stage as a person reads it in a terminal, with colours or
// without.
func (r Ready) Text(colour bool) string {
	p := printer{colour: colour}
	p.line("%s is ready, on this machine only.", strings.TrimSpace(p.bold("Gatehouse")+" "+r.Version))
	p.line("")
	p.pair("Issuer", p.link(r.Issuer))
	p.pair("Playground", p.link(r.Playground)+p.faint("  sign in step by step, in your browser"))
	p.pair("PhotoAPI", p.link(r.API)+p.faint("  a protected sample API: GET and POST /photos"))
	if r.APIResource != "" {
		p.pair("", p.faint("its identifier stays ")+r.APIResource+p.faint(": there it was when this data was made"))
	}
	p.pair("Gateway", p.link(r.Gateway)+p.faint("  stands in front of PhotoAPI: routes, scopes, a limit"))
	p.pair("Thumbnails", p.link(r.Thumbnails)+p.faint("  a second API behind it, for an exchanged token over mutual TLS"))
	p.pair("Photos", p.link(r.BFF)+p.faint("  an application with a backend for frontend: a cookie, and no token"))
	p.pair("Discovery", p.link(r.Issuer+"/.well-known/openid-configuration"))
	r.people(&p)
	r.clients(&p)
	r.commands(&p)
	r.house(&p)
	return p.String()
}

func (r Ready) people(p *printer) {
	p.title("People who can sign in")
	for _, user := range r.Users {
		password := "password " + p.bold(user.Password)
		if user.Password == "" {
			password = p.faint("password as in your file")
		}
		p.pair(user.Username, password+p.faint("  sub "+user.Sub))
	}
}

func (r Ready) clients(p *printer) {
	p.title("Ready clients")
	for _, client := range r.Clients {
		method := client.TokenEndpointAuthMethod
		if method == "none" {
			method = "public: none"
		}
		p.pair(client.ClientID, fmt.Sprintf("%s %s", client.Name, p.faint("("+method+"; "+strings.Join(client.GrantTypes, ", ")+")")))
		if client.ClientSecret != "" {
			p.pair("", "secret    "+p.bold(client.ClientSecret))
		}
		for i, uri := range client.RedirectURIs {
			label := "          "
			if i == 0 {
				label = "redirect  "
			}
			p.pair("", label+uri+p.faint(portNote(uri)))
		}
	}
}

// portNote says of which redirect URIs the port does not count.
func portNote(uri string) string {
	for _, one := range anyLoopbackPort {
		if uri == one {
			return "  any port"
		}
	}
	return ""
}

func (r Ready) commands(p *printer) {
	machine, found := r.machine()
	if !found {
		return
	}
	token := fmt.Sprintf("curl -s -u %s:%s -d grant_type=client_credentials -d scope=%s %s/token", machine.ClientID, machine.ClientSecret, scopeRead, r.Issuer)
	p.title("A token, without a person")
	p.line("  %s", token)
	p.title("The same, put to use")
	p.line(`  curl -s -H "Authorization: Bearer $(%s | sed 's/.*"access_token":"\([^"]*\)".*/\1/')" %s/photos`, token, r.API)
}

// machine is the demonstration's own, unless the developer's file has made
// something else of it.
func (r Ready) machine() (Client, bool) {
	for _, client := range r.Clients {
		if client.ClientID == clientMachine && client.ClientSecret != "" && client.TokenEndpointAuthMethod == "client_secret_basic" {
			return client, true
		}
	}
	return Client{}, false
}

func (r Ready) house(p *printer) {
	p.title("What dev mode relaxes")
	p.line("  plain http, on %s only, and so cookies without Secure and the __Host- prefix", loopback)
	p.line("  demonstration passwords that everybody knows, kept with a cheap hash (argon2id, %d MiB)", hashMemoryMiB)
	p.line("  client secrets and the key that seals the signing keys lie beside the data")
	p.title("Your data")
	if r.Temporary {
		p.line("  %s, removed at the end; keep it with --data DIR", r.Data)
	} else {
		p.line("  %s; the demonstration's secrets are in %s", r.Data, noteName)
	}
	p.line("")
	p.line("Stop with %s.", p.bold("Ctrl-C"))
}

// printer lays lines out for a terminal.
type printer struct {
	strings.Builder
	colour bool
}

// labelWidth is the width of the first column.
const labelWidth = 14

func (p *printer) line(format string, args ...any) {
	fmt.Fprintf(p, format+"\n", args...)
}

func (p *printer) title(text string) {
	p.line("")
	p.line("%s", p.bold(text))
}

func (p *printer) pair(label, text string) {
	p.line("  %-*s %s", labelWidth, label, text)
}

// ANSI SGR attributes (ECMA-48 §8.3.117).
const (
	sgrBold  = "1"
	sgrFaint = "2"
	sgrCyan  = "36"
)

func (p *printer) bold(text string) string  { return p.with(sgrBold, text) }
func (p *printer) faint(text string) string { return p.with(sgrFaint, text) }
func (p *printer) link(text string) string  { return p.with(sgrCyan, text) }

func (p *printer) with(attribute, text string) string {
	if !p.colour || text == "" {
		return text
	}
	return "\x1b[" + attribute + "m" + text + "\x1b[0m"
}
