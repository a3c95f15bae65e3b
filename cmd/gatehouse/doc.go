// Command gatehouse is the command line of the house: it starts the server and the
// developer's stage, and administers a tenant's clients, users and settings
// on the database, whether a server runs on it or not.
//
// It owns flags, prompts, help texts and how results are printed. What the
// commands do is done by internal/admin, internal/server and internal/dev.
package main
