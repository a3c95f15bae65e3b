package resource

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// Metadata is what a resource publishes about itself (RFC 9728 §2) beside its
// identifier, its issuers and how it takes tokens. Every member may be empty.
type Metadata struct {
	Name string
	// Scopes that clients may ask for: better the few that they begin with than
	// all.
	Scopes                           []string
	Documentation, PolicyURI, TosURI string
}

// metadataPrefix begins the path of the document (RFC 9728 §3.1).
const metadataPrefix = "/.well-known/oauth-protected-resource"

// metadataCacheTime is for how long clients may keep the document, in seconds.
const metadataCacheTime = 300

// metadataPlace is where a resource's metadata is, and what it says; empty when it
// publishes none.
type metadataPlace struct {
	path, url string
	body      []byte
}

// placeOf inserts the well-known path between host and path of the identifier.
func placeOf(config Config) (metadataPlace, error) {
	if config.Metadata == nil {
		return metadataPlace{}, nil
	}
	uri, isURL := isWebURL(config.Audience)
	if !isURL || checkURL(uri.Scheme+"://"+uri.Host, config.InsecureAllowHTTP) != nil {
		return metadataPlace{}, errors.New("resource: Metadata needs an Audience that is an https URL, since the document is published there") // RFC 9728 §1.2
	}
	issuers, err := config.issuers()
	if err != nil {
		return metadataPlace{}, err
	}
	var servers []string
	for _, i := range issuers {
		servers = append(servers, i.Identifier)
	}
	document := struct {
		Resource             string   `json:"resource"`
		AuthorizationServers []string `json:"authorization_servers"`
		ScopesSupported      []string `json:"scopes_supported,omitempty"`
		BearerMethods        []string `json:"bearer_methods_supported"`
		Name                 string   `json:"resource_name,omitempty"`
		Documentation        string   `json:"resource_documentation,omitempty"`
		PolicyURI            string   `json:"resource_policy_uri,omitempty"`
		TosURI               string   `json:"resource_tos_uri,omitempty"`
	}{
		config.Audience, servers, config.Metadata.Scopes, []string{"header"},
		config.Metadata.Name, config.Metadata.Documentation, config.Metadata.PolicyURI, config.Metadata.TosURI,
	}
	body, err := json.Marshal(document)
	if err != nil {
		return metadataPlace{}, err
	}
	path := metadataPrefix + strings.TrimSuffix(uri.EscapedPath(), "/")
	place := metadataPlace{path: path, url: uri.Scheme + "://" + uri.Host + path, body: body}
	if uri.RawQuery != "" {
		place.url += "?" + uri.RawQuery
	}
	return place, nil
}

// MetadataPath is where [Server.MetadataHandler] belongs on the host of the
// Audience; "" without Config.Metadata.
func (s *Server) MetadataPath() string { return s.place.path }

// MetadataHandler answers with the resource's metadata, to pages of every origin,
// too. Without Config.Metadata it answers 404.
func (s *Server) MetadataHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*") // a public document
		switch {
		case len(s.place.body) == 0:
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodOptions:
			header.Set("Access-Control-Allow-Methods", "GET")
			header.Set("Access-Control-Allow-Headers", "*")
			w.WriteHeader(http.StatusNoContent)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			header.Set("Allow", "GET, HEAD, OPTIONS")
			w.WriteHeader(http.StatusMethodNotAllowed)
		default:
			header.Set("Content-Type", "application/json")
			header.Set("Cache-Control", "public, max-age="+strconv.Itoa(metadataCacheTime))
			header.Set("Content-Length", strconv.Itoa(len(s.place.body)))
			_, _ = w.Write(s.place.body)
		}
	})
}
