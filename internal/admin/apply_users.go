package admin

import (
	"context"
	"fmt"

	"gatehouse"
	"gatehouse/internal/store"
)

func (p *planner) planUsers(ctx context.Context, file File) error {
	for i, entry := range file.Users {
		if err := p.planUser(ctx, EntryPath("users", i, entry.Username), entry); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) planUser(ctx context.Context, path string, entry UserEntry) error {
	before := len(p.wrong.list)
	p.wrong.list = append(p.wrong.list, under(path, checkUser(entry))...)
	stored, exists, err := p.findUser(ctx, path, entry)
	if err != nil || len(p.wrong.list) > before {
		return err
	}
	user := stored
	user.Username, user.Claims, user.Attributes, user.UpdatedAt = entry.Username, entry.StandardClaims, normalAttributes(entry.Attributes), p.now
	if !exists {
		user.Subject, user.CreatedAt = orElse(entry.Sub, newID()), p.now
		if entry.Disabled != nil && *entry.Disabled {
			user.DisabledAt = p.now
		}
	}
	p.report.Subjects = append(p.report.Subjects, user.Subject)
	newHash, err := p.planPassword(ctx, entry, stored)
	if err != nil {
		return err
	}
	if exists {
		p.planUserChange(stored, user, newHash)
	} else {
		p.planNewUser(user, newHash)
	}
	p.planUserDisabled(entry.Disabled, user)
	return nil
}

func (p *planner) planNewUser(user gatehouse.User, hash string) {
	user.PasswordHash = hash
	if hash != "" {
		user.PasswordChangedAt = p.now
	} else {
		p.report.Notes = append(p.report.Notes, fmt.Sprintf("user %s has no password yet: gatehouse user set-password %s", user.Username, user.Username))
	}
	p.change("+ user %s", user.Username)
	p.do(func(ctx context.Context) error { return p.putUser(ctx, user, map[string]string{"change": "created"}) })
}

func (p *planner) planUserChange(stored, user gatehouse.User, newHash string) {
	differences := compare(visible(stored), visible(user))
	if len(differences) > 0 {
		p.changes("user "+stored.Username, differences)
		detail := map[string]string{"change": "claims", "keys": keysOf(differences)}
		p.do(func(ctx context.Context) error { return p.putUser(ctx, user, detail) })
	}
	if newHash != "" {
		p.change("user %s: password: changed", user.Username)
		p.do(func(ctx context.Context) error {
			_, err := p.db.SetPassword(ctx, p.tenant, user.Subject, newHash, p.userEvent(user, map[string]string{"change": "password"}))
			return err
		})
	}
}

func (p *planner) planUserDisabled(wanted *bool, user gatehouse.User) {
	if wanted == nil || *wanted == user.Disabled() {
		return
	}
	word := "enabled"
	if *wanted {
		word = "disabled"
	}
	p.change("user %s: %s", user.Username, word)
	p.do(func(ctx context.Context) error {
		_, err := p.db.DisableUser(ctx, p.tenant, user.Subject, *wanted, p.userEvent(user, map[string]string{"change": word}))
		return err
	})
}

func (p *planner) userEvent(user gatehouse.User, detail map[string]string) gatehouse.Event {
	return gatehouse.Event{Kind: gatehouse.EventUserChanged, Subject: user.Subject, Actor: p.options.Actor, Detail: detail}
}

func (p *planner) putUser(ctx context.Context, user gatehouse.User, detail map[string]string) error {
	outcome, err := p.db.PutUser(ctx, p.tenant, user, p.userEvent(user, detail))
	switch {
	case err != nil:
		return err
	case outcome == store.LoginNameTaken:
		return fmt.Errorf("user %s: another user signs in by this username or e-mail address", user.Username)
	case outcome == store.SubjectTaken:
		return fmt.Errorf("user %s: the sub %q was a removed user's or is a client's, and is never used again; leave it out to have one made", user.Username, user.Subject)
	}
	return nil
}

// visible is what a comparison may show of a user.
func visible(user gatehouse.User) any {
	return struct {
		Username string `json:"username"`
		gatehouse.StandardClaims
		Attributes gatehouse.Attributes `json:"attributes,omitempty"`
	}{user.Username, user.Claims, user.Attributes}
}

// findUser finds what is stored of the user that the entry describes, and
// makes sure that nobody else can sign in by the same names.
func (p *planner) findUser(ctx context.Context, path string, entry UserEntry) (stored gatehouse.User, exists bool, err error) {
	if entry.Sub != "" {
		client, isClient, err := p.db.Client(ctx, p.tenant, entry.Sub)
		if err != nil {
			return gatehouse.User{}, false, err
		}
		if isClient { // RFC 9700 §4.15
			p.wrong.add(path+".sub", "choose another sub", "%q is the client_id of a client", client.ID)
		}
		if stored, exists, err = p.db.User(ctx, p.tenant, entry.Sub); err != nil {
			return gatehouse.User{}, false, err
		}
	}
	for _, name := range []struct{ key, text string }{{"username", entry.Username}, {"email", entry.Email}} {
		loginKey := gatehouse.LoginKey(name.text)
		if loginKey == "" {
			continue
		}
		owner, taken, err := p.db.UserByLogin(ctx, p.tenant, loginKey)
		switch {
		case err != nil:
			return gatehouse.User{}, false, err
		case !taken || exists && owner.Subject == stored.Subject:
		case name.key == "username" && entry.Sub == "" && gatehouse.LoginKey(owner.Username) == loginKey:
			stored, exists = owner, true
		case name.key == "username" && gatehouse.LoginKey(owner.Username) == loginKey:
			p.wrong.add(path+".sub", "a sub never changes: leave it out, or remove the user first", "user %s has another sub, %s", owner.Username, owner.Subject)
		default:
			p.wrong.add(path+"."+name.key, "choose another one", "user %s (%s) signs in by this name", owner.Username, owner.Subject)
		}
	}
	if exists && p.options.MustBeNew {
		p.wrong.add(path+".username", "choose another one, or change the user with gatehouse apply", "user %s exists already", stored.Username)
	}
	return stored, exists, nil
}

// planPassword returns the hash that the user shall have, or "" when nothing
// changes: a password in the file that is the stored one already is not
// hashed again.
func (p *planner) planPassword(ctx context.Context, entry UserEntry, stored gatehouse.User) (string, error) {
	if !entry.PasswordHash.IsZero() {
		hash := entry.PasswordHash.Reveal()
		if stored.PasswordHash == "" {
			return hash, nil
		}
		if stored.PasswordHash != hash {
			p.report.Notes = append(p.report.Notes, fmt.Sprintf("user %s keeps the password they have: password_hash is for moving in (gatehouse user set-password %s replaces it)", stored.Username, stored.Username))
		}
		return "", nil
	}
	if entry.Password.IsZero() {
		return "", nil
	}
	if weak := WeakPassword(entry.Username, entry.Password); weak != "" {
		p.report.WeakPasswords = append(p.report.WeakPasswords, weak)
	}
	if stored.PasswordHash != "" {
		same, _, err := p.hasher.Verify(ctx, stored.PasswordHash, entry.Password.Reveal())
		if err != nil || same {
			return "", err
		}
	}
	if p.options.DryRun {
		return "to be made", nil
	}
	return p.hasher.Hash(ctx, entry.Password.Reveal())
}
