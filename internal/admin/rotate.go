package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/secret"
)

// MaxSecretOverlap bounds how long a rotated secret stays valid.
const MaxSecretOverlap = 30 * 24 * time.Hour

type rotationStore interface {
	Now() time.Time
	AddClientSecret(ctx context.Context, tenant gatehouse.TenantID, id string, secret gatehouse.ClientSecret, retireOthersAt time.Time, event gatehouse.Event) (bool, error)
}

// RotateSecret gives a confidential client a new secret. The others stop
// after the overlap; the time of that is returned.
func RotateSecret(ctx context.Context, db rotationStore, hasher Hasher, tenant gatehouse.TenantID, client gatehouse.Client, given secret.String, overlap time.Duration) (retire time.Time, err error) {
	if text := checkSecret(given, client.ClientMetadata); text != "" {
		return time.Time{}, errors.New(text)
	}
	if overlap < 0 || overlap > MaxSecretOverlap {
		return time.Time{}, fmt.Errorf("the overlap may be at most %s", config.Duration(MaxSecretOverlap))
	}
	now := db.Now()
	kept, err := keepSecret(ctx, hasher, given, now)
	if err != nil {
		return time.Time{}, err
	}
	retire = now.Add(overlap)
	found, err := db.AddClientSecret(ctx, tenant, client.ID, kept, retire, gatehouse.Event{
		Kind: gatehouse.EventClientChanged, ClientID: client.ID, Actor: "cli", Detail: map[string]string{"change": "secret"},
	})
	if err == nil && !found {
		err = fmt.Errorf("client %s was removed meanwhile", client.ID)
	}
	return retire, err
}
