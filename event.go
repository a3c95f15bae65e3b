package gatehouse

import "time"

// Event is something that happened and is kept: a row written in the act's
// own transaction.
type Event struct {
	// Seq orders events of a tenant; it is the cursor of `gatehouse events`.
	Seq      int64
	At       time.Time
	Kind     EventKind
	Subject  string
	ClientID string
	// Grant is the grant's handle, never its id.
	Grant     string
	SessionID string
	By        Circumstance
	// Actor is who did it: "" the person or client itself, "cli" a command.
	Actor string
	// Count is more than one for aggregated events, and LastAt the latest.
	Count  int
	LastAt time.Time
	// Detail has further facts in the event's own words; never a secret.
	Detail map[string]string
}

// EventKind names what happened.
type EventKind string

// The kinds.
const (
	EventLogin            EventKind = "login.succeeded"
	EventLoginFailed      EventKind = "login.failed"
	EventNewDevice        EventKind = "login.new_device"
	EventLogout           EventKind = "logout"
	EventSessionEnded     EventKind = "session.ended"
	EventLogoutDelivered  EventKind = "logout.delivered"
	EventLogoutFailed     EventKind = "logout.failed"
	EventLogoutGivenUp    EventKind = "logout.given_up"
	EventConsent          EventKind = "consent.given"
	EventConsentDenied    EventKind = "consent.denied"
	EventConsentWithdrawn EventKind = "consent.withdrawn"
	EventCodeIssued       EventKind = "code.issued"
	EventCodeRedeemed     EventKind = "code.redeemed"
	EventGrantEnded       EventKind = "grant.ended"
	EventCodeReplayed     EventKind = "code.replayed"
	EventRefreshReplayed  EventKind = "refresh.replayed"
	EventRedelivered      EventKind = "refresh.redelivered"
	EventLostState        EventKind = "refresh.lost_state"
	EventTokenRevoked     EventKind = "token.revoked"
	EventTokenExchanged   EventKind = "token.exchanged"
	EventWrongVerifier    EventKind = "code.wrong_verifier"
	EventKeyCreated       EventKind = "key.created"
	EventKeyPlanned       EventKind = "key.planned"
	EventKeyRevoked       EventKind = "key.revoked"
	EventKeyRemoved       EventKind = "key.removed"
	EventRestored         EventKind = "backup.restored"
	EventApplied          EventKind = "tenant.applied"
	EventTenantChanged    EventKind = "tenant.changed"
	EventClientChanged    EventKind = "client.changed"
	EventUserChanged      EventKind = "user.changed"
	EventResourceChanged  EventKind = "resource.changed"
	EventSettingsChanged  EventKind = "settings.changed"
)

// EventFilter selects events. Zero fields select everything.
type EventFilter struct {
	After    int64
	Since    time.Time
	Until    time.Time
	Kinds    []EventKind
	Subject  string
	ClientID string
	// Limit bounds the answer; the newest are kept when Latest is set.
	Limit  int
	Latest bool
}
