package dev

import (
	"gatehouse"
	"gatehouse/internal/admin"
	"gatehouse/internal/secret"
)

// The demonstration users have every standard claim of OpenID Connect Core
// §5.1, and passwords that everybody knows.
func demoUsers() []admin.UserEntry {
	return []admin.UserEntry{
		{
			Sub:      "demo-alice",
			Username: "alice",
			Password: secret.New("white-rabbit"),
			StandardClaims: gatehouse.StandardClaims{
				Name: "Alice Liddell", GivenName: "Alice", FamilyName: "Liddell", MiddleName: "Pleasance", Nickname: "Ali",
				PreferredUsername: "alice",
				Profile:           "https://alice.example/about",
				Picture:           "https://alice.example/portrait.png",
				Website:           "https://alice.example/",
				Email:             "alice@alice.example", EmailVerified: true,
				Gender: "female", Birthdate: "1992-05-04", Zoneinfo: "Europe/London", Locale: "en-GB",
				PhoneNumber: "+442079460123", PhoneNumberVerified: true,
				Address: &gatehouse.Address{
					Formatted:     "7 Rabbit Hole Lane\nOxford\nOX1 1DP\nUnited Kingdom",
					StreetAddress: "7 Rabbit Hole Lane", Locality: "Oxford", Region: "Oxfordshire", PostalCode: "OX1 1DP", Country: "United Kingdom",
				},
			},
		},
		{
			Sub:      "demo-bob",
			Username: "bob",
			Password: secret.New("yellow-brick"),
			StandardClaims: gatehouse.StandardClaims{
				Name: "Bob Gale", GivenName: "Bob", FamilyName: "Gale", MiddleName: "Toto", Nickname: "Bobby",
				PreferredUsername: "bob",
				Profile:           "https://bob.example/about",
				Picture:           "https://bob.example/portrait.png",
				Website:           "https://bob.example/",
				Email:             "bob@bob.example", EmailVerified: true,
				Gender: "male", Birthdate: "0000-11-23", Zoneinfo: "America/Chicago", Locale: "en-US",
				PhoneNumber: "+17855550142", PhoneNumberVerified: true,
				Address: &gatehouse.Address{
					Formatted:     "12 Prairie Road\nWichita, KS 67202\nUnited States",
					StreetAddress: "12 Prairie Road", Locality: "Wichita", Region: "KS", PostalCode: "67202", Country: "United States",
				},
			},
		},
	}
}
