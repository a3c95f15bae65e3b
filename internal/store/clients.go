package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"gatehouse"
)

// Bounds of an answer with many rows.
const (
	defaultPage = 100
	largestPage = 1000
)

func page(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, largestPage)
}

// ErrSubjectExists refuses a client whose id is or was a user's subject: its tokens could pass for
// the user's (RFC 9700 §4.15).
var ErrSubjectExists = errors.New("a user has or had this id as its subject; choose another client_id")

// Client returns a client. It comes from the snapshot and is shared: it must not be changed.
func (s *Store) Client(ctx context.Context, tenant gatehouse.TenantID, id string) (gatehouse.Client, bool, error) {
	v, err := s.view(ctx)
	if err != nil || !isStorable(id) {
		return gatehouse.Client{}, false, err
	}
	key := clientKey{tenant, id}
	if client, ok := v.clients.Get(key); ok {
		return client, true, nil
	}
	found := false
	client, err := read(ctx, s, "reading a client", func(c *connection) (client gatehouse.Client, err error) {
		client, found, err = c.client(tenant, id)
		return client, err
	})
	if err != nil || !found { // what does not exist is not kept: strangers choose those ids
		return gatehouse.Client{}, false, err
	}
	v.clients.Put(key, client)
	return client, true, nil
}

func clientDest(client *gatehouse.Client) []any {
	return []any{&client.ID, record(&client.ClientMetadata), moment(&client.DisabledAt), moment(&client.CreatedAt), moment(&client.UpdatedAt)}
}

func (c *connection) client(tenant gatehouse.TenantID, id string) (client gatehouse.Client, found bool, err error) {
	found, err = c.one(sqlClient, clientDest(&client), tenant, id)
	if err != nil || !found {
		return gatehouse.Client{}, false, err
	}
	client.Secrets, err = c.clientSecrets(tenant, id)
	return client, err == nil, err
}

func (c *connection) clientSecrets(tenant gatehouse.TenantID, id string) (secrets []gatehouse.ClientSecret, err error) {
	err = c.each(sqlClientSecrets, func(scan func(...any) error) error {
		var secret gatehouse.ClientSecret
		if err := scan(&secret.ID, &secret.Kind, &secret.Hash, moment(&secret.CreatedAt), moment(&secret.ExpiresAt)); err != nil {
			return err
		}
		secrets = append(secrets, secret)
		return nil
	}, tenant, id)
	return secrets, err
}

// Clients returns the clients whose ids follow after, in their order: 100 if limit is 0, never
// more than 1000.
func (s *Store) Clients(ctx context.Context, tenant gatehouse.TenantID, after string, limit int) ([]gatehouse.Client, error) {
	return read(ctx, s, "listing clients", func(c *connection) (clients []gatehouse.Client, err error) {
		err = c.each(sqlClients, func(scan func(...any) error) error {
			var client gatehouse.Client
			if err := scan(clientDest(&client)...); err != nil {
				return err
			}
			clients = append(clients, client)
			return nil
		}, tenant, after, page(limit))
		for i := range clients {
			if err == nil {
				clients[i].Secrets, err = c.clientSecrets(tenant, clients[i].ID)
			}
		}
		return clients, err
	})
}

// PutClient adds a client, or replaces metadata, secrets and DisabledAt of the one with the same
// id. CreatedAt and UpdatedAt are the store's. It fails with ErrSubjectExists if the id is
// or was a user's subject.
func (s *Store) PutClient(ctx context.Context, tenant gatehouse.TenantID, client gatehouse.Client, event gatehouse.Event) error {
	metadata, err := recordText(client.ClientMetadata)
	if err != nil {
		return err
	}
	_, err = write(ctx, s, "putting a client", tenant, func(a *act) (struct{}, error) {
		if err := errors.Join(a.seize(lockClient, client.ID), a.seize(lockSubject, client.ID)); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, a.putClient(client, metadata, event)
	})
	return err
}

func (a *act) putClient(client gatehouse.Client, metadata string, event gatehouse.Event) error {
	var subject string
	if taken, err := a.one(sqlSubjectKnown, []any{&subject}, a.tenant, client.ID); err != nil {
		return err
	} else if taken {
		return ErrSubjectExists
	}
	before, _, err := a.client(a.tenant, client.ID)
	if err != nil {
		return err
	}
	now := millis(a.now)
	if _, err := a.exec(sqlPutClient, a.tenant, client.ID, metadata, millis(client.DisabledAt), now, now); err != nil {
		return err
	}
	if _, err := a.exec(sqlDeleteClientSecrets, a.tenant, client.ID); err != nil {
		return err
	}
	for _, secret := range client.Secrets {
		if err := a.addClientSecret(client.ID, secret); err != nil {
			return err
		}
	}
	if client.Disabled() && !before.Disabled() {
		if err := a.endTokensOf(endingClient, client.ID); err != nil {
			return err
		}
	}
	if err := a.changed(); err != nil {
		return err
	}
	event.ClientID = client.ID
	return a.tell(event, gatehouse.EventClientChanged)
}

func (a *act) addClientSecret(clientID string, secret gatehouse.ClientSecret) error {
	created := secret.CreatedAt
	if created.IsZero() {
		created = a.now
	}
	_, err := a.exec(sqlAddClientSecret, a.tenant, clientID, secret.ID, string(secret.Kind), blob(secret.Hash), millis(created), millis(secret.ExpiresAt))
	return err
}

// DisableClient disables a client or enables it again. Disabling ends its access tokens; its
// grants rest and serve again when it is enabled.
func (s *Store) DisableClient(ctx context.Context, tenant gatehouse.TenantID, id string, disabled bool, event gatehouse.Event) (bool, error) {
	return write(ctx, s, "disabling a client", tenant, func(a *act) (bool, error) {
		if err := a.seize(lockClient, id); err != nil {
			return false, err
		}
		text := sqlEnableClient
		if disabled {
			text = sqlDisableClient
		}
		if found, err := a.exec(text, a.tenant, id, millis(a.now)); err != nil || found == 0 {
			return false, err
		}
		if disabled {
			if err := a.endTokensOf(endingClient, id); err != nil {
				return false, err
			}
		}
		if err := a.changed(); err != nil {
			return false, err
		}
		event.ClientID = id
		return true, a.tell(event, gatehouse.EventClientChanged, "disabled", strconv.FormatBool(disabled))
	})
}

// DeleteClient removes a client with its secrets and consents and ends its grants and tokens. The
// ends are told by one event that counts them.
func (s *Store) DeleteClient(ctx context.Context, tenant gatehouse.TenantID, id string, event gatehouse.Event) (bool, error) {
	return writeAt(ctx, s, thorough, "deleting a client", tenant, func(a *act) (bool, error) {
		if err := a.seize(lockClient, id); err != nil {
			return false, err
		}
		if _, err := a.exec(sqlDeleteClientSecrets, a.tenant, id); err != nil {
			return false, err
		}
		if found, err := a.exec(sqlDeleteClient, a.tenant, id); err != nil || found == 0 {
			return false, err
		}
		if _, err := a.exec(sqlDropConsentsOfClient, a.tenant, id); err != nil {
			return false, err
		}
		if _, err := a.exec(sqlDropLogoutsOf, a.tenant, id); err != nil {
			return false, err
		}
		ended, err := a.endRows(sqlEndGrantsOfClient, gatehouse.EndedByClientRemoved, id)
		if err != nil {
			return false, err
		}
		if err := a.endTokensOf(endingClient, id); err != nil {
			return false, err
		}
		if err := a.changed(); err != nil {
			return false, err
		}
		event.ClientID = id
		return true, a.tell(event, gatehouse.EventClientChanged, "deleted", "true", "grants_ended", strconv.Itoa(len(ended)))
	})
}

// AddClientSecret adds a secret and lets the others expire at retireOthersAt, or leaves them as
// they are if that is zero. Secrets that have expired go.
func (s *Store) AddClientSecret(ctx context.Context, tenant gatehouse.TenantID, id string, secret gatehouse.ClientSecret, retireOthersAt time.Time, event gatehouse.Event) (bool, error) {
	return write(ctx, s, "adding a client secret", tenant, func(a *act) (bool, error) {
		now := millis(a.now)
		if found, err := a.exec(sqlTouchClient, a.tenant, id, now); err != nil || found == 0 {
			return false, err
		}
		if !retireOthersAt.IsZero() {
			if _, err := a.exec(sqlRetireClientSecrets, a.tenant, id, millis(retireOthersAt)); err != nil {
				return false, err
			}
		}
		if _, err := a.exec(sqlDropExpiredSecrets, a.tenant, id, now); err != nil {
			return false, err
		}
		if err := a.addClientSecret(id, secret); err != nil {
			return false, err
		}
		if err := a.changed(); err != nil {
			return false, err
		}
		event.ClientID = id
		return true, a.tell(event, gatehouse.EventClientChanged, "secret_added", secret.ID)
	})
}
