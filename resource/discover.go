package resource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"gatehouse/jose"
	"gatehouse/oauth"
)

// Bounds of the issuer's metadata.
const (
	maxMetadataBytes   = 256 << 10
	maxMetadataMembers = 512
)

// discover returns the function that finds an issuer's jwks_uri: in its
// RFC 8414 metadata, or where that does not exist, in its OpenID Connect one.
func discover(issuer string, allowHTTP bool) func(context.Context, *http.Client) (string, error) {
	return func(ctx context.Context, client *http.Client) (string, error) {
		server, provider, err := oauth.MetadataURLs(issuer)
		if err != nil {
			return "", err
		}
		addresses := []string{server, provider}
		for _, address := range addresses {
			jwksURI, found, err := fetchMetadata(ctx, client, address, issuer)
			if err != nil {
				return "", fmt.Errorf("metadata at %s: %w", address, err)
			}
			if !found {
				continue
			}
			if err := checkURL(jwksURI, allowHTTP); err != nil {
				return "", fmt.Errorf("metadata at %s: jwks_uri: %w", address, err)
			}
			return jwksURI, nil
		}
		return "", fmt.Errorf("the issuer has no metadata at %s", strings.Join(addresses, " nor at "))
	}
}

func fetchMetadata(ctx context.Context, client *http.Client, address, issuer string) (jwksURI string, found bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", false, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return "", false, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusNotFound {
		return "", false, nil
	}
	if response.StatusCode != http.StatusOK {
		return "", false, fmt.Errorf("status %d, want 200", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxMetadataBytes+1))
	if err != nil {
		return "", false, err
	}
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	limits := jose.Limits{Bytes: maxMetadataBytes, Members: maxMetadataMembers}
	if err := limits.Decode(body, &metadata); err != nil {
		return "", false, err
	}
	if metadata.Issuer != issuer { // RFC 8414 §3.3: identical, else the metadata must not be used
		return "", false, fmt.Errorf("it is of issuer %q, want %q exactly", metadata.Issuer, issuer)
	}
	if metadata.JWKSURI == "" {
		return "", false, errors.New("it has no jwks_uri")
	}
	return metadata.JWKSURI, true, nil
}
