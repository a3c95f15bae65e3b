package admin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/secret"
)

// Credential is a client with the secret that was just made for it.
type Credential struct {
	ClientID     string
	ClientName   string
	ClientSecret secret.String
}

// clientPage is how many clients are read at once.
const clientPage = 500

func (p *planner) planClients(ctx context.Context, file File) error {
	var all []gatehouse.Client // read only when a client is known by its name
	for i, entry := range file.Clients {
		if entry.ClientID == "" && all == nil {
			var err error
			if all, err = p.allClients(ctx); err != nil {
				return err
			}
		}
		if err := p.planClient(ctx, EntryPath("clients", i, entry.Label()), entry, all); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) allClients(ctx context.Context) ([]gatehouse.Client, error) {
	all := []gatehouse.Client{}
	after := ""
	for {
		page, err := p.db.Clients(ctx, p.tenant, after, clientPage)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		after = page[len(page)-1].ID
	}
}

func (p *planner) planClient(ctx context.Context, path string, entry ClientEntry, all []gatehouse.Client) error {
	stored, exists, err := p.findClient(ctx, path, entry, all)
	if err != nil {
		return err
	}
	metadata, wrong := Register(entry.Metadata(), Surroundings{Hosts: p.hosts, Resources: p.resources})
	p.wrong.list = append(p.wrong.list, under(path, wrong)...)
	wrongBefore := len(p.wrong.list)
	p.checkSecrets(path, entry, metadata)
	if len(wrong) > 0 || len(p.wrong.list) > wrongBefore {
		return nil
	}

	if sectorChanged(stored.ClientMetadata, metadata) {
		if wrong := checkSector(ctx, p.options.Fetch, metadata); len(wrong) > 0 {
			p.wrong.list = append(p.wrong.list, under(path, wrong)...)
			return nil
		}
	}

	client := stored
	client.ClientMetadata, client.UpdatedAt = metadata, p.now
	if !exists {
		client.ID, client.CreatedAt = orElse(entry.ClientID, newID()), p.now
		if entry.Disabled != nil && *entry.Disabled {
			client.DisabledAt = p.now
		}
	}
	if p.options.Unattended && !client.Public() && len(client.Secrets) == 0 && len(entry.Secrets()) == 0 {
		p.wrong.add(path+".client_secret", "give one of 32 characters or more, or run gatehouse apply once, which makes one and prints it", "is missing, and nobody is here to be told a new one")
		return nil
	}
	secrets, secretsChanged, err := p.planSecrets(ctx, entry, client)
	if err != nil {
		return err
	}
	client.Secrets = secrets
	p.report.Clients = append(p.report.Clients, client.ID)
	p.report.Weak = append(p.report.Weak, Weaknesses(client)...)

	differences := compare(stored.ClientMetadata, metadata)
	event := gatehouse.Event{Kind: gatehouse.EventClientChanged, ClientID: client.ID, Actor: p.options.Actor}
	switch {
	case !exists:
		p.change("+ client %s", client.ID)
		event.Detail = map[string]string{"change": "created"}
	case len(differences) > 0 || secretsChanged:
		p.changes("client "+client.ID, differences)
		if secretsChanged {
			p.change("client %s: client_secret: changed", client.ID)
			differences = append(differences, difference{key: "client_secret"})
		}
		event.Detail = map[string]string{"change": "metadata", "keys": keysOf(differences)}
	}
	if event.Detail != nil {
		p.do(func(ctx context.Context) error { return p.db.PutClient(ctx, p.tenant, client, event) })
	}
	p.planClientDisabled(entry.Disabled, client)
	return nil
}

func (p *planner) planClientDisabled(wanted *bool, client gatehouse.Client) {
	if wanted == nil || *wanted == client.Disabled() {
		return
	}
	word := "enabled"
	if *wanted {
		word = "disabled"
	}
	p.change("client %s: %s", client.ID, word)
	p.do(func(ctx context.Context) error {
		_, err := p.db.DisableClient(ctx, p.tenant, client.ID, *wanted, gatehouse.Event{
			Kind: gatehouse.EventClientChanged, ClientID: client.ID, Actor: p.options.Actor, Detail: map[string]string{"change": word},
		})
		return err
	})
}

// findClient finds what is stored of the client that the entry describes.
func (p *planner) findClient(ctx context.Context, path string, entry ClientEntry, all []gatehouse.Client) (gatehouse.Client, bool, error) {
	if entry.ClientID == "" {
		return p.findClientByName(path, entry.ClientName, all)
	}
	if text := checkIdentifier(entry.ClientID); text != "" {
		p.wrong.add(path+".client_id", "", "%s", text)
		return gatehouse.Client{}, false, nil
	}
	user, isUser, err := p.db.User(ctx, p.tenant, entry.ClientID)
	if err != nil {
		return gatehouse.Client{}, false, err
	}
	if isUser { // RFC 9700 §4.15
		p.wrong.add(path+".client_id", "choose another client_id", "%q is the sub of user %s", entry.ClientID, user.Username)
	}
	stored, exists, err := p.db.Client(ctx, p.tenant, entry.ClientID)
	if exists && p.options.MustBeNew {
		p.wrong.add(path+".client_id", "choose another one, or change the client with gatehouse apply", "client %s exists already", entry.ClientID)
	}
	return stored, exists, err
}

func (p *planner) findClientByName(path, name string, all []gatehouse.Client) (gatehouse.Client, bool, error) {
	if p.options.MustBeNew {
		return gatehouse.Client{}, false, nil
	}
	if name == "" {
		p.wrong.add(path+".client_id", "write a client_id, or a client_name by which the client is found again", "the client has neither client_id nor client_name")
		return gatehouse.Client{}, false, nil
	}
	var found []gatehouse.Client
	for _, client := range all {
		if client.ClientName == name {
			found = append(found, client)
		}
	}
	switch {
	case len(found) == 0:
		return gatehouse.Client{}, false, nil
	case len(found) > 1:
		p.wrong.add(path+".client_id", "add the client_id of one of them", "%d clients have the name %q", len(found), name)
	}
	return found[0], true, nil
}

func (p *planner) checkSecrets(path string, entry ClientEntry, metadata gatehouse.ClientMetadata) {
	given := entry.Secrets()
	if len(given) > MaxClientSecrets {
		p.wrong.add(path+".client_secrets", "", "more than %d secrets", MaxClientSecrets)
		return
	}
	for i, text := range given {
		key := ".client_secret"
		if at := i - (len(given) - len(entry.ClientSecrets)); at >= 0 {
			key = fmt.Sprintf(".client_secrets[%d]", at)
		}
		if wrong := checkSecret(text, metadata); wrong != "" {
			p.wrong.add(path+key, "", "%s", wrong)
		}
	}
}

// planSecrets returns the secrets that the client shall have. Those in the
// entry are the only ones; without any, what is stored stays, and a
// confidential client that has none gets one.
func (p *planner) planSecrets(ctx context.Context, entry ClientEntry, client gatehouse.Client) (secrets []gatehouse.ClientSecret, changed bool, err error) {
	given := entry.Secrets()
	switch {
	case client.Public():
		return nil, len(client.Secrets) > 0, nil
	case len(given) == 0 && len(client.Secrets) > 0:
		return client.Secrets, false, nil
	case len(given) == 0:
		made := secret.Random()
		p.report.Generated = append(p.report.Generated, Credential{client.ID, client.ClientName, made})
		given = append(given, made)
	}
	left := slices.DeleteFunc(slices.Clone(client.Secrets), func(s gatehouse.ClientSecret) bool {
		return !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(p.now)
	})
	for _, text := range given {
		kept, found, err := p.takeStored(ctx, &left, text)
		if err != nil {
			return nil, false, err
		}
		if !found {
			if kept, err = keepSecret(ctx, p.hasher, text, p.now); err != nil {
				return nil, false, err
			}
		}
		if !found || !kept.ExpiresAt.IsZero() {
			changed = true
		}
		kept.ExpiresAt = time.Time{}
		secrets = append(secrets, kept)
	}
	return secrets, changed || len(left) > 0, nil
}

// takeStored removes the given secret from the stored ones and returns it.
func (p *planner) takeStored(ctx context.Context, stored *[]gatehouse.ClientSecret, given secret.String) (gatehouse.ClientSecret, bool, error) {
	for i, candidate := range *stored {
		same, err := isSecret(ctx, p.hasher, candidate, given)
		if err != nil {
			return gatehouse.ClientSecret{}, false, err
		}
		if same {
			*stored = slices.Delete(*stored, i, i+1)
			return candidate, true, nil
		}
	}
	return gatehouse.ClientSecret{}, false, nil
}
