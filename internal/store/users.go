package store

import (
	"context"
	"errors"
	"strconv"

	"gatehouse"
)

// PutUserOutcome tells how a PutUser went.
type PutUserOutcome int

// The outcomes. With all but Stored nothing was changed.
const (
	Stored         PutUserOutcome = iota + 1
	LoginNameTaken                // another user signs in with the username or e-mail address
	SubjectTaken                  // the subject was a deleted user's, or is a client's id
)

func userDest(user *gatehouse.User) []any {
	return []any{&user.Subject, &user.Username, &user.PasswordHash, moment(&user.PasswordChangedAt), record(&user.Claims),
		moment(&user.DisabledAt), moment(&user.CreatedAt), moment(&user.UpdatedAt), record(&user.Attributes)}
}

func (c *connection) user(tenant gatehouse.TenantID, subject string) (user gatehouse.User, found bool, err error) {
	found, err = c.one(sqlUser, userDest(&user), tenant, subject)
	return user, found, err
}

// User returns a user by subject, disabled ones too.
func (s *Store) User(ctx context.Context, tenant gatehouse.TenantID, subject string) (gatehouse.User, bool, error) {
	if !isStorable(subject) {
		return gatehouse.User{}, false, nil
	}
	found := false
	user, err := read(ctx, s, "reading a user", func(c *connection) (user gatehouse.User, err error) {
		user, found, err = c.user(tenant, subject)
		return user, err
	})
	return user, found, err
}

// UserByLogin returns a user by username or e-mail address in the form of gatehouse.LoginKey,
// disabled ones too.
func (s *Store) UserByLogin(ctx context.Context, tenant gatehouse.TenantID, loginKey string) (gatehouse.User, bool, error) {
	if !isStorable(loginKey) {
		return gatehouse.User{}, false, nil
	}
	found := false
	user, err := read(ctx, s, "looking up a login name", func(c *connection) (user gatehouse.User, err error) {
		found, err = c.one(sqlUserByLogin, userDest(&user), tenant, loginKey)
		return user, err
	})
	return user, found, err
}

// Users returns the users whose usernames, in the form of gatehouse.LoginKey, follow after, in
// their order: 100 if limit is 0, never more than 1000.
func (s *Store) Users(ctx context.Context, tenant gatehouse.TenantID, after string, limit int) ([]gatehouse.User, error) {
	return read(ctx, s, "listing users", func(c *connection) (users []gatehouse.User, err error) {
		err = c.each(sqlUsers, func(scan func(...any) error) error {
			var user gatehouse.User
			if err := scan(userDest(&user)...); err != nil {
				return err
			}
			users = append(users, user)
			return nil
		}, tenant, after, page(limit))
		return users, err
	})
}

// PutUser adds a user, or replaces everything but CreatedAt of the one with the same subject. The
// username and the e-mail address are both names to sign in with, and unique. Another password
// hash, or a DisabledAt that was not there, ends the user's sessions and grants. CreatedAt,
// UpdatedAt and PasswordChangedAt are the store's.
func (s *Store) PutUser(ctx context.Context, tenant gatehouse.TenantID, user gatehouse.User, event gatehouse.Event) (PutUserOutcome, error) {
	claims, err := recordText(user.Claims)
	if err != nil {
		return 0, err
	}
	attributes := "{}"
	if len(user.Attributes) > 0 {
		if attributes, err = recordText(user.Attributes); err != nil {
			return 0, err
		}
	}
	return write(ctx, s, "putting a user", tenant, func(a *act) (PutUserOutcome, error) {
		if err := errors.Join(a.seize(lockUser, user.Subject), a.seize(lockSubject, user.Subject)); err != nil {
			return 0, err
		}
		before, exists, err := a.user(a.tenant, user.Subject)
		if err != nil {
			return 0, err
		}
		if !exists {
			var other string
			unusable, err := a.one(sqlSubjectUnusable, []any{&other}, a.tenant, user.Subject)
			if err != nil {
				return 0, err
			}
			if unusable {
				return SubjectTaken, errUndo
			}
		}
		if outcome, err := a.storeUser(user, before, exists, claims, attributes); err != nil {
			return outcome, err
		}
		event.Subject = user.Subject
		if err := a.tell(event, gatehouse.EventUserChanged); err != nil {
			return 0, err
		}
		switch {
		case exists && user.Disabled() && !before.Disabled():
			err = a.disableUser(user.Subject, event)
		case exists && user.PasswordHash != before.PasswordHash:
			err = a.endAllOf(user.Subject, gatehouse.EndedByPasswordChange, event)
		}
		return Stored, err
	})
}

func (a *act) storeUser(user, before gatehouse.User, exists bool, claims, attributes string) (PutUserOutcome, error) {
	now := millis(a.now)
	key := gatehouse.LoginKey(user.Username)
	if _, err := a.exec(sqlDropLoginNames, a.tenant, user.Subject); err != nil {
		return 0, err
	}
	keys := []string{key}
	if email := gatehouse.LoginKey(user.Claims.Email); email != key {
		keys = append(keys, email)
	}
	for _, k := range keys {
		if k == "" {
			continue
		}
		var owner string
		taken, err := a.one(sqlLoginNameOwner, []any{&owner}, a.tenant, k)
		if err != nil {
			return 0, err
		}
		if taken {
			return LoginNameTaken, errUndo
		}
	}
	var err error
	if exists {
		changedAt := before.PasswordChangedAt
		if user.PasswordHash != before.PasswordHash {
			changedAt = a.now
		}
		_, err = a.exec(sqlSetUser, a.tenant, user.Subject, user.Username, user.PasswordHash, millis(changedAt), claims,
			millis(user.DisabledAt), now, attributes, key)
	} else {
		_, err = a.exec(sqlAddUser, a.tenant, user.Subject, user.Username, user.PasswordHash, now, claims, millis(user.DisabledAt), now, now, attributes, key)
	}
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if k == "" {
			continue
		}
		if added, err := a.exec(sqlAddLoginName, a.tenant, k, user.Subject); err != nil {
			return 0, err
		} else if added == 0 {
			return LoginNameTaken, errUndo
		}
	}
	return Stored, nil
}

// SetPassword sets the password's PHC string and ends the user's sessions and grants.
func (s *Store) SetPassword(ctx context.Context, tenant gatehouse.TenantID, subject, phc string, event gatehouse.Event) (bool, error) {
	return writeAt(ctx, s, thorough, "setting a password", tenant, func(a *act) (bool, error) {
		if err := a.seize(lockUser, subject); err != nil {
			return false, err
		}
		found, err := a.exec(sqlSetPassword, a.tenant, subject, phc, millis(a.now))
		if err != nil || found == 0 {
			return false, err
		}
		event.Subject = subject
		if err := a.tell(event, gatehouse.EventUserChanged, "password", "changed"); err != nil {
			return false, err
		}
		return true, a.endAllOf(subject, gatehouse.EndedByPasswordChange, event)
	})
}

// Rehash replaces the PHC string of a password by another of the same password, unless it has
// changed meanwhile. It ends nothing and is no event.
func (s *Store) Rehash(ctx context.Context, tenant gatehouse.TenantID, subject, oldPHC, newPHC string) error {
	_, err := write(ctx, s, "rehashing a password", tenant, func(a *act) (int64, error) {
		return a.exec(sqlRehash, a.tenant, subject, oldPHC, newPHC)
	})
	return err
}

// DisableUser disables a user, which ends all sessions, grants and tokens, or enables it again,
// which brings none of them back.
func (s *Store) DisableUser(ctx context.Context, tenant gatehouse.TenantID, subject string, disabled bool, event gatehouse.Event) (bool, error) {
	return writeAt(ctx, s, thorough, "disabling a user", tenant, func(a *act) (bool, error) {
		if err := a.seize(lockUser, subject); err != nil {
			return false, err
		}
		text := sqlEnableUser
		if disabled {
			text = sqlDisableUser
		}
		if found, err := a.exec(text, a.tenant, subject, millis(a.now)); err != nil || found == 0 {
			return false, err
		}
		event.Subject = subject
		if err := a.tell(event, gatehouse.EventUserChanged, "disabled", strconv.FormatBool(disabled)); err != nil || !disabled {
			return err == nil, err
		}
		return true, a.disableUser(subject, event)
	})
}

func (a *act) disableUser(subject string, event gatehouse.Event) error {
	if err := a.endTokensOf(endingSubject, subject); err != nil {
		return err
	}
	return a.endAllOf(subject, gatehouse.EndedByUserDisabled, event)
}

// DeleteUser removes a user with its names and consents, and ends all sessions, grants and tokens.
// The subject is never given again.
func (s *Store) DeleteUser(ctx context.Context, tenant gatehouse.TenantID, subject string, event gatehouse.Event) (bool, error) {
	return writeAt(ctx, s, thorough, "deleting a user", tenant, func(a *act) (bool, error) {
		if err := a.seize(lockUser, subject); err != nil {
			return false, err
		}
		if _, err := a.exec(sqlDropLoginNames, a.tenant, subject); err != nil {
			return false, err
		}
		if found, err := a.exec(sqlDeleteUser, a.tenant, subject); err != nil || found == 0 {
			return false, err
		}
		if _, err := a.exec(sqlRetireSubject, a.tenant, subject, millis(a.now)); err != nil {
			return false, err
		}
		if _, err := a.exec(sqlDropConsentsOfUser, a.tenant, subject); err != nil {
			return false, err
		}
		event.Subject = subject
		if err := a.tell(event, gatehouse.EventUserChanged, "deleted", "true"); err != nil {
			return false, err
		}
		if err := a.endTokensOf(endingSubject, subject); err != nil {
			return false, err
		}
		return true, a.endAllOf(subject, gatehouse.EndedByUserRemoved, event)
	})
}

// endAllOf ends a user's sessions and grants, with and without offline_access.
func (a *act) endAllOf(subject string, reason gatehouse.EndReason, cause gatehouse.Event) error {
	if _, err := a.endSessions(sqlEndSessionsOfUser, subject, reason, cause); err != nil {
		return err
	}
	_, err := a.endGrants(sqlEndGrantsOfUser, reason, cause, subject)
	return err
}
