// Package gatehouse holds the nouns of the house and the rules that need only
// them: Tenant, Client, Resource, User, Session, Grant, Consent, StoredKey,
// Event, and the acts that the store performs on them with their outcomes.
//
// It does no I/O and knows no HTTP, SQL or HTML.
package gatehouse
