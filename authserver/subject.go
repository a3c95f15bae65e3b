package authserver

import (
	"context"
	"encoding/base64"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
)

// subjectFor returns the sub by which the client knows a user: the user's own,
// or one that only the clients of its sector see (OpenID Connect Core §8). It
// is a MAC under a key that never rotates: it must be the same for ever.
func (s *Server) subjectFor(ctx context.Context, tenant gatehouse.TenantID, client gatehouse.Client, subject string) (string, error) {
	sector := client.Sector()
	if sector == "" {
		return subject, nil
	}
	key, err := s.Keys.PairwiseKey(ctx, tenant)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(key.MAC([]byte("pairwise sub"), []byte(tenant), []byte(sector), []byte(subject))), nil
}

// Expects says whether the client would have this user: it may have named
// another, by the sub that it knows (OpenID Connect Core §3.1.2.1).
func (s *Server) Expects(r *endpoint.Request, in interaction.Interaction, subject string) (bool, error) {
	if in.HintSubject == "" {
		return true, nil
	}
	client, found, err := s.Store.Client(r.Context(), r.Tenant.ID, in.ClientID)
	if err != nil || !found {
		return false, err
	}
	known, err := s.subjectFor(r.Context(), r.Tenant.ID, client, subject)
	return known == in.HintSubject, err
}

type handleStore interface {
	GrantTermsOfHandle(ctx context.Context, tenant gatehouse.TenantID, handle string) (gatehouse.Grant, bool, error)
}

// grantOf returns the grant that an access token belongs to, and with it the
// user behind a pairwise sub. Whether it has ended, TokenEnded was asked.
func (s *Server) grantOf(ctx context.Context, tenant gatehouse.TenantID, claims accessClaims) (gatehouse.Grant, bool, error) {
	grant, found, err := s.Store.GrantTermsOfHandle(ctx, tenant, claims.Handle)
	return grant, found && grant.ClientID == claims.rootClient(), err
}

// userOf returns the subject of the user that an access token acts for, "" if
// there is none, or none any more.
func (s *Server) userOf(ctx context.Context, tenant gatehouse.TenantID, claims accessClaims) (string, error) {
	if !claims.ofUser() {
		return "", nil
	}
	client, _, err := s.Store.Client(ctx, tenant, claims.ClientID)
	if err != nil || client.Sector() == "" {
		return claims.Subject, err
	}
	grant, found, err := s.grantOf(ctx, tenant, claims)
	if !found {
		return "", err
	}
	return grant.Subject, err
}
