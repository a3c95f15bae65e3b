package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/secret"
)

// File is a tenant file. What it does not name is left alone; a client, user
// or resource that it names, and the settings once it has that key, are
// described whole: what the description leaves out takes its default. Secrets
// and passwords are the exception: without one in the file, what is stored
// stays.
type File struct {
	Settings  *gatehouse.Settings `yaml:"settings"`
	Resources []ResourceEntry     `yaml:"resources"`
	Clients   []ClientEntry       `yaml:"clients"`
	Users     []UserEntry         `yaml:"users"`

	// name and line are where the file was read from; both are absent in one
	// that was not read.
	name string
	line func(path ...any) int
}

// ResourceEntry is a resource in a tenant file.
type ResourceEntry struct {
	Identifier      string                `yaml:"identifier"`
	Name            string                `yaml:"name"`
	Scopes          Scopes                `yaml:"scopes"`
	TokenFormat     gatehouse.TokenFormat `yaml:"token_format"`
	TokenLifetime   config.Duration       `yaml:"token_lifetime"`
	TokenSigningAlg string                `yaml:"token_signing_alg"`
}

// Scopes are a resource's scopes: in a file either a set of keys, each scope
// with its sentence, or a list of name and description.
type Scopes []gatehouse.ResourceScope

// UnmarshalJSON reads either form. Scopes from a set of keys are in
// alphabetical order.
func (s *Scopes) UnmarshalJSON(data []byte) error {
	var list []gatehouse.ResourceScope
	if bytes.HasPrefix(data, []byte("{")) {
		sentences := map[string]string{}
		if err := json.Unmarshal(data, &sentences); err != nil {
			return errors.New("write each scope with its sentence: photos:read: See your photos")
		}
		for name, sentence := range sentences {
			list = append(list, gatehouse.ResourceScope{Name: name, Description: sentence})
		}
		slices.SortFunc(list, func(a, b gatehouse.ResourceScope) int { return strings.Compare(a.Name, b.Name) })
		*s = list
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil {
		return errors.New("write a list of name and description, or a set of keys: photos:read: See your photos")
	}
	*s = list
	return nil
}

// ClientEntry is a client in a tenant file or from the command line. Without
// a ClientID the client is the one of that client_name, or a new one whose
// identifier is generated.
type ClientEntry struct {
	ClientID     string        `yaml:"client_id"`
	ClientSecret secret.String `yaml:"client_secret"`
	// ClientSecrets are several that are valid at the same time.
	ClientSecrets []secret.String `yaml:"client_secrets"`
	// Disabled is left as it is when nil.
	Disabled *bool `yaml:"disabled"`
	JWKS     JWKS  `yaml:"jwks"`
	gatehouse.ClientMetadata
}

// Metadata is the entry's metadata with its key set.
func (e ClientEntry) Metadata() gatehouse.ClientMetadata {
	metadata := e.ClientMetadata
	if len(e.JWKS) > 0 {
		metadata.JWKS = json.RawMessage(e.JWKS)
	}
	return metadata
}

// Label is the entry's client_id, else its client_name.
func (e ClientEntry) Label() string { return orElse(e.ClientID, e.ClientName) }

// Secrets are all secrets of the entry.
func (e ClientEntry) Secrets() []secret.String {
	if e.ClientSecret.IsZero() {
		return e.ClientSecrets
	}
	return append([]secret.String{e.ClientSecret}, e.ClientSecrets...)
}

// JWKS is a key set as JSON: in a file either YAML keys or a JSON text.
type JWKS []byte

// UnmarshalJSON reads either form and keeps compact JSON.
func (j *JWKS) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		data = []byte(text)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil || !bytes.HasPrefix(compact.Bytes(), []byte("{")) {
		return errors.New("it must be a key set of RFC 7517: keys: [...], as YAML or as a JSON text")
	}
	*j = compact.Bytes()
	return nil
}

// UserEntry is a user in a tenant file or from the command line. With a Sub
// it is the user of that sub, else the one of that username.
type UserEntry struct {
	Sub      string        `yaml:"sub"`
	Username string        `yaml:"username"`
	Password secret.String `yaml:"password"`
	// PasswordHash is argon2id or bcrypt in PHC form. It is for moving in:
	// a user who has a password already keeps it.
	PasswordHash secret.String `yaml:"password_hash"`
	// Disabled is left as it is when nil.
	Disabled   *bool                `yaml:"disabled"`
	Attributes gatehouse.Attributes `yaml:"attributes"`
	gatehouse.StandardClaims
}

// Decode reads a tenant file. name is for the errors, which have lines.
func Decode(data []byte, name string) (File, error) {
	var file File
	if err := config.Decode(data, name, &file); err != nil {
		return File{}, err
	}
	file.name, file.line = name, config.Locate(data)
	return file, nil
}

// locate puts the file's name and lines to problems, and the problems into the
// order of the file.
func (f File) locate(list []*Problem) {
	if f.line == nil {
		return
	}
	for _, problem := range list {
		if problem.line = f.line(steps(problem.Path)...); problem.line > 0 {
			problem.At = fmt.Sprintf("%s:%d", f.name, problem.line)
		}
	}
	slices.SortStableFunc(list, func(a, b *Problem) int { return a.line - b.line })
}

// EntryPath is how problems name an entry: clients[0] (web).
func EntryPath(kind string, index int, name string) string {
	if name == "" {
		return fmt.Sprintf("%s[%d]", kind, index)
	}
	return fmt.Sprintf("%s[%d] (%s)", kind, index, name)
}
