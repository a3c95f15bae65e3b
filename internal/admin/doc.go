// Package admin owns what administrators do to a tenant: the tenant file and
// its comparison with what is stored, the rules by which clients, resources,
// users and settings are registered (shared by the file, the commands and
// every other way in), and the list of weakening switches in use.
//
// It reads and writes through the store's acts and never touches HTTP, SQL,
// keys or tokens. Secrets pass through it once, on their way to a hash or to
// the person who asked for them.
package admin
