package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/oauth"
)

var subjectTypes = []string{gatehouse.SubjectPublic, gatehouse.SubjectPairwise}

// checkOpenID judges what OpenID Connect Registration §2 adds. The document of
// a sector is fetched by checkSector, once everything else is right.
func (r *registration) checkOpenID() {
	for i, value := range r.DefaultACRValues {
		if known := gatehouse.AuthenticationContexts(); !slices.Contains(known, value) {
			r.wrong.add(fmt.Sprintf("default_acr_values[%d]", i), choice(value, known), "no sign-in reaches %q", value)
		}
	}
	if alg := r.UserinfoSignedResponseAlg; alg != "" && !slices.Contains(idTokenAlgs, alg) {
		r.wrong.add("userinfo_signed_response_alg", choice(alg, idTokenAlgs), "UserInfo cannot be signed with %q", alg)
	}
	for _, page := range []struct{ key, uri string }{{"initiate_login_uri", r.InitiateLoginURI}, {"sector_identifier_uri", r.SectorIdentifierURI}} {
		if page.uri == "" {
			continue
		}
		if err := oauth.CheckWebURI(page.uri); err != nil {
			r.wrong.add(page.key, "", "%s", err)
		} else if page.key == "sector_identifier_uri" && !strings.HasPrefix(page.uri, "https://") { // Registration §2
			r.wrong.add(page.key, "", "%q must be an https URL", page.uri)
		} else if page.key == "initiate_login_uri" && r.in.ours(page.uri) {
			r.wrong.add(page.key, "point it at the application", "%q is on a host of this server itself", page.uri)
		}
	}
	r.checkSubjectType()
}

// checkSubjectType: without a sector_identifier_uri the redirect URIs must
// have one host, which is the sector (OpenID Connect Core §8.1).
func (r *registration) checkSubjectType() {
	if r.SubjectType != "" && !slices.Contains(subjectTypes, r.SubjectType) {
		r.wrong.add("subject_type", choice(r.SubjectType, subjectTypes), "unknown subject type %q", r.SubjectType)
	}
	if r.SubjectType != gatehouse.SubjectPairwise || r.SectorIdentifierURI != "" {
		return
	}
	var hosts []string
	for _, text := range r.RedirectURIs {
		uri, err := url.Parse(text)
		if err != nil || uri.Scheme != "https" {
			r.wrong.add("subject_type", "give a sector_identifier_uri", "the host of %q belongs to nobody in particular, so it is no sector", text)
			return
		}
		if host := strings.ToLower(uri.Hostname()); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	switch {
	case len(hosts) == 0:
		r.wrong.add("subject_type", "leave it out", "a client that nobody signs in to sees no user")
	case len(hosts) > 1:
		r.wrong.add("sector_identifier_uri", "publish the list of all redirect URIs at one of them", "is needed, since the redirect URIs have the hosts %s", strings.Join(hosts, " and "))
	}
}

// Fetcher gets documents from addresses that clients name.
type Fetcher interface {
	Get(ctx context.Context, url string) (body []byte, header http.Header, err error)
}

// checkSector fetches the document of a sector, which must name every redirect
// URI of the client: else anyone could join a sector and learn who of its
// users is who (OpenID Connect Registration §5, Core §8.1).
func checkSector(ctx context.Context, fetch Fetcher, metadata gatehouse.ClientMetadata) []*Problem {
	var wrong problems
	key, uri := "sector_identifier_uri", metadata.SectorIdentifierURI
	if fetch == nil {
		wrong.add(key, "register the client with gatehouse apply", "it cannot be fetched here")
		return wrong.list
	}
	body, _, err := fetch.Get(ctx, uri)
	if err != nil {
		wrong.add(key, "let it be reached from here, or list it under egress.allow if it is inside", "its document could not be fetched: %s", err)
		return wrong.list
	}
	var listed []string
	if err := json.Unmarshal(body, &listed); err != nil {
		wrong.add(key, "", "its document is not a JSON array of redirect URIs")
		return wrong.list
	}
	for i, redirectURI := range metadata.RedirectURIs {
		if !slices.Contains(listed, redirectURI) {
			wrong.add(fmt.Sprintf("redirect_uris[%d]", i), "add it to the document, octet for octet", "%q is not in the document at %s", redirectURI, uri)
		}
	}
	return wrong.list
}

// sectorChanged says whether the document has to be looked at: not when the
// same file is applied again and the other server happens to be away.
func sectorChanged(stored, metadata gatehouse.ClientMetadata) bool {
	return metadata.SectorIdentifierURI != "" &&
		(metadata.SectorIdentifierURI != stored.SectorIdentifierURI || !slices.Equal(metadata.RedirectURIs, stored.RedirectURIs))
}
