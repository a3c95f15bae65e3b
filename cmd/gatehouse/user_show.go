package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"gatehouse"
)

// userDocument is a user as --json prints it.
type userDocument struct {
	Subject  string `json:"sub"`
	Username string `json:"username"`
	gatehouse.StandardClaims
	HasPassword       bool      `json:"has_password"`
	PasswordChangedAt time.Time `json:"password_changed_at,omitzero"`
	Disabled          bool      `json:"disabled"`
	CreatedAt         time.Time `json:"created_at"`
	UpdatedAt         time.Time `json:"updated_at"`
}

func describeUser(user gatehouse.User) userDocument {
	document := userDocument{
		Subject: user.Subject, Username: user.Username, StandardClaims: user.Claims, HasPassword: user.PasswordHash != "",
		Disabled: user.Disabled(), CreatedAt: user.CreatedAt, UpdatedAt: user.UpdatedAt,
	}
	if document.HasPassword {
		document.PasswordChangedAt = user.PasswordChangedAt
	}
	return document
}

// users is the collection of the people who sign in.
func users() collection[gatehouse.User] {
	return collection[gatehouse.User]{
		noun: "user", argument: "USER",
		find: func(ctx context.Context, db database, name string) (gatehouse.User, bool, error) {
			user, found, err := db.UserByLogin(ctx, db.tenant, gatehouse.LoginKey(name))
			if err != nil || found {
				return user, found, err
			}
			return db.User(ctx, db.tenant, name)
		},
		page: func(ctx context.Context, db database, after string) ([]gatehouse.User, error) {
			return db.Users(ctx, db.tenant, after, listPage)
		},
		key:      func(user gatehouse.User) string { return gatehouse.LoginKey(user.Username) },
		id:       func(user gatehouse.User) string { return user.Username },
		name:     func(user gatehouse.User) string { return user.Username },
		document: func(user gatehouse.User) any { return describeUser(user) },
		heading:  []string{"USERNAME", "STATE", "SUB", "EMAIL", "NAME"},
		row: func(user gatehouse.User) []string {
			return []string{user.Username, stateOf(user.DisabledAt), user.Subject, user.Claims.Email, user.Claims.Name}
		},
		facts:      userFacts,
		disabledAt: func(user gatehouse.User) time.Time { return user.DisabledAt },
		changed:    gatehouse.EventUserChanged,
		about:      func(user gatehouse.User, event *gatehouse.Event) { event.Subject = user.Subject },
		disable: func(ctx context.Context, db database, user gatehouse.User, disabled bool, event gatehouse.Event) (bool, error) {
			return db.DisableUser(ctx, db.tenant, user.Subject, disabled, event)
		},
		remove: func(ctx context.Context, db database, user gatehouse.User, event gatehouse.Event) (bool, error) {
			return db.DeleteUser(ctx, db.tenant, user.Subject, event)
		},
	}
}

func userFacts(user gatehouse.User) [][2]string {
	c := user.Claims
	password := "none"
	if user.PasswordHash != "" {
		password = "set " + moment(user.PasswordChangedAt)
	}
	verified := func(value string, is bool) string {
		if value == "" {
			return ""
		}
		return strconv.FormatBool(is)
	}
	address := ""
	if c.Address != nil {
		parts := []string{c.Address.StreetAddress, c.Address.PostalCode, c.Address.Locality, c.Address.Region, c.Address.Country}
		address = strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
		if address == "" {
			address = strings.Join(strings.Fields(c.Address.Formatted), " ")
		}
	}
	return [][2]string{
		{"username", user.Username}, {"sub", user.Subject}, {"state", stateOf(user.DisabledAt)}, {"password", password},
		{"name", c.Name}, {"given_name", c.GivenName}, {"family_name", c.FamilyName}, {"middle_name", c.MiddleName},
		{"nickname", c.Nickname}, {"preferred_username", c.PreferredUsername},
		{"email", c.Email}, {"email_verified", verified(c.Email, c.EmailVerified)},
		{"phone_number", c.PhoneNumber}, {"phone_number_verified", verified(c.PhoneNumber, c.PhoneNumberVerified)},
		{"profile", c.Profile}, {"picture", c.Picture}, {"website", c.Website}, {"gender", c.Gender}, {"birthdate", c.Birthdate},
		{"zoneinfo", c.Zoneinfo}, {"locale", c.Locale}, {"address", address},
		{"created", moment(user.CreatedAt)}, {"updated", moment(user.UpdatedAt)},
	}
}
