package dev

import (
	"slices"
	"testing"

	"gatehouse/internal/admin"
)

func TestAfterLogout(t *testing.T) {
	got := afterLogout([]string{"https://app.example/callback", "https://app.example/other", "com.example.app:/callback"}, "http://127.0.0.1:8081")
	want := []string{
		"https://app.example/", "https://app.example", "https://app.example/callback", "https://app.example/other",
		"com.example.app:/callback", "http://127.0.0.1:8081/",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestDemoUsersHaveEveryClaim(t *testing.T) {
	for _, user := range demoUsers() {
		c := user.StandardClaims
		for name, value := range map[string]string{
			"name": c.Name, "given_name": c.GivenName, "family_name": c.FamilyName, "middle_name": c.MiddleName, "nickname": c.Nickname,
			"preferred_username": c.PreferredUsername, "profile": c.Profile, "picture": c.Picture, "website": c.Website, "email": c.Email,
			"gender": c.Gender, "birthdate": c.Birthdate, "zoneinfo": c.Zoneinfo, "locale": c.Locale, "phone_number": c.PhoneNumber,
		} {
			if value == "" {
				t.Errorf("%s has no %s", user.Username, name)
			}
		}
		if !c.EmailVerified || !c.PhoneNumberVerified || c.Address == nil || c.Address.Formatted == "" || c.Address.Country == "" {
			t.Errorf("%s: %+v", user.Username, c)
		}
	}
}

func TestJoinPrefersTheDevelopersOwn(t *testing.T) {
	demo := demoFile(somewhere, nil, nil)
	own := admin.File{
		Resources: []admin.ResourceEntry{{Identifier: somewhere.apiIdentifier, Name: "Mine"}},
		Clients:   []admin.ClientEntry{{ClientID: clientWeb}, {ClientID: "other"}},
	}
	// One has alice's login name in another spelling, one has bob's sub.
	own.Users = []admin.UserEntry{{Username: "ALICE"}, {Username: "else", Sub: "demo-bob"}}
	joined := join(own, demo)
	if len(joined.Resources) != 2 || joined.Resources[0].Name != "Mine" {
		t.Errorf("resources: %+v", joined.Resources)
	}
	if len(joined.Clients) != len(demo.Clients)+1 || joined.Clients[0].ClientName != "" {
		t.Errorf("clients: %+v", joined.Clients)
	}
	if len(joined.Users) != 2 {
		t.Errorf("users: %+v", joined.Users)
	}
}
