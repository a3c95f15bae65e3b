package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/store"
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

// knownUser reads a user by username, e-mail address or sub, or fails with
// the name that was meant.
func knownUser(ctx context.Context, db *store.Store, name string) (gatehouse.User, error) {
	user, found, err := db.UserByLogin(ctx, tenant, gatehouse.LoginKey(name))
	if err != nil || found {
		return user, err
	}
	user, found, err = db.User(ctx, tenant, name)
	if err != nil || found {
		return user, err
	}
	all, err := allUsers(ctx, db)
	if err != nil {
		return gatehouse.User{}, err
	}
	names := make([]string, len(all))
	for i, user := range all {
		names[i] = user.Username
	}
	try := "gatehouse user list"
	if hint := config.DidYouMean(name, names); hint != "" {
		try = meant(hint) + ", or gatehouse user list"
	}
	return gatehouse.User{}, failed(try, "there is no user %q", name)
}

func allUsers(ctx context.Context, db *store.Store) ([]gatehouse.User, error) {
	var all []gatehouse.User
	after := ""
	for {
		page, err := db.Users(ctx, tenant, after, listPage)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		after = gatehouse.LoginKey(page[len(page)-1].Username)
	}
}

func userListCommand(term terminal, where *place) *cobra.Command {
	asJSON := false
	command := &cobra.Command{
		Use:   "list",
		Short: "List the users",
		Long:  "List the users in the order of their usernames.",
		Example: `  gatehouse user list --data ./data
  gatehouse user list --json --data ./data | jq -r '.[] | select(.disabled) | .username'`,
		Args: takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			return where.with(command, func(ctx context.Context, db *store.Store, _ located) error {
				all, err := allUsers(ctx, db)
				if err != nil {
					return err
				}
				if asJSON {
					documents := make([]userDocument, len(all))
					for i, user := range all {
						documents[i] = describeUser(user)
					}
					return printJSON(term.out, documents)
				}
				rows := [][]string{{"USERNAME", "STATE", "SUB", "EMAIL", "NAME"}}
				for _, user := range all {
					rows = append(rows, []string{user.Username, stateOf(user.DisabledAt), user.Subject, user.Claims.Email, user.Claims.Name})
				}
				return table(term.out, rows)
			})
		},
	}
	jsonFlag(command, &asJSON, "print a JSON list")
	return command
}

func userShowCommand(term terminal, where *place) *cobra.Command {
	asJSON := false
	command := &cobra.Command{
		Use:     "show USER",
		Short:   "Show a user",
		Long:    "Show what is stored of a user, named by username, e-mail address or sub. The\npassword is stored as a hash and never shown.",
		Example: "  gatehouse user show alice --data ./data\n  gatehouse user show alice@example.com --json --data ./data",
		Args:    takes("USER"),
		RunE: func(command *cobra.Command, args []string) error {
			return where.with(command, func(ctx context.Context, db *store.Store, _ located) error {
				user, err := knownUser(ctx, db, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(term.out, describeUser(user))
				}
				return facts(term.out, userFacts(user))
			})
		},
	}
	jsonFlag(command, &asJSON, "print one JSON document")
	return command
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
