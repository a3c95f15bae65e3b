package jwks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/jose"
)

type answer struct {
	url    string
	keys   []jose.PublicKey
	maxAge time.Duration
}

// load finds the address if it is not known, and fetches the set once.
func (s *Set) load(ctx context.Context, url string) (answer, error) {
	if url == "" {
		if s.config.Locate == nil {
			return answer{}, errors.New("the key set has no address")
		}
		var err error
		if url, err = s.config.Locate(ctx, s.client); err != nil {
			return answer{}, fmt.Errorf("locating the key set: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, fmt.Errorf("fetching the key set: %w", err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json") // RFC 7517 §8.5
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, fmt.Errorf("fetching the key set: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("fetching the key set from %s: status %d, want 200", url, response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, jose.MaxKeySetBytes+1))
	if err != nil {
		return answer{}, fmt.Errorf("reading the key set from %s: %w", url, err)
	}
	set, err := jose.ParseKeySet(body)
	if err != nil {
		return answer{}, fmt.Errorf("the answer of %s: %w", url, err)
	}
	maxAge, told := maxAge(response.Header)
	if !told {
		maxAge = s.config.Fresh
	}
	return answer{url, set.Keys, maxAge}, nil
}

// maxAge reads max-age of Cache-Control (RFC 9111 §5.2.2.1); no-store and
// no-cache count as 0.
func maxAge(header http.Header) (age time.Duration, told bool) {
	for _, line := range header.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch strings.ToLower(name) {
			case "no-store", "no-cache":
				return 0, true
			case "max-age":
				seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
				if err != nil {
					continue
				}
				age, told = time.Duration(seconds)*time.Second, true
			}
		}
	}
	return age, told
}
