package authserver

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/oauth"
	"gatehouse/revocation"
)

// feedStore follows what has ended. It tells in the order of commits, and at
// least every second or so.
type feedStore interface {
	FollowEndings(ctx context.Context, tenant gatehouse.TenantID, place int64, tell func(revocation.News) error) error
}

// FeedEndpoint is the name of the feed's row. Its answers last as long as their
// readers stay.
const FeedEndpoint = "revocation-feed"

const (
	// feedLife is how long one connection lasts at most, and up to feedScatter
	// more: its reader then authenticates anew, and goes on where it was.
	feedLife    = 5 * time.Minute
	feedScatter = time.Minute
	// feedPatience is how long a reader may take for a batch of messages.
	feedPatience = 10 * time.Second

	maxFeeds          = 1000 // connections of one server at once
	maxFeedsPerTenant = maxFeeds / 4
	maxFeedsPerClient = 100
	// feedRate is how often a client may connect, in requests per second.
	feedRate = 10
	// feedBusyRetry is when who found no place should try again.
	feedBusyRetry = 10 * time.Second
	// feedDrainingRetry is when another server, or this one anew, is there.
	feedDrainingRetry = time.Second
)

// serveFeed is the revocation feed (docs/revocation.md): what has ended of this
// tenant's tokens, and what ends, for as long as the reader stays.
func (s *Server) serveFeed(w http.ResponseWriter, r *endpoint.Request) error {
	form, err := oauth.ReadForm(r.Request)
	if err != nil {
		return err
	}
	c, err := s.authenticate(r, form)
	if err != nil {
		return err
	}
	if c.Client.Public() || !c.Client.RevocationFeed {
		return oauth.Refuse("feed-not-registered", oauth.UnauthorizedClient, "The client is not registered for the revocation feed. Set its revocation_feed.").WithStatus(http.StatusForbidden)
	}
	if err := clientLimited(s.limits.feed.Take(clientKey(c), feedRate), "The client connects to the revocation feed more often than its limit allows. Slow down."); err != nil {
		return err
	}
	if err := s.feeds.draining(); err != nil {
		return err
	}
	leave, found := s.feeds.enter(c.tenant(), c.Client.ID)
	if !found {
		return oauth.Refuse("feed-full", oauth.TemporarilyUnavailable, "As many readers follow the revocation feed as may. Try again later.").After(feedBusyRetry)
	}
	defer leave()
	scatter := time.Duration(time.Now().Nanosecond()) * (feedScatter / time.Second) // so that not all come again at once
	ctx, cancel := context.WithTimeout(r.Context(), feedLife+scatter)
	defer cancel()
	defer context.AfterFunc(s.feeds.open, cancel)()
	f := &feed{server: s, call: c, response: w, control: http.NewResponseController(w), secrets: s.workingSecrets(c.Client)}
	f.place, f.snapshot = s.openCursor(c.tenant(), form.Get("cursor"))
	err = s.Store.FollowEndings(ctx, c.tenant(), f.place, f.tell)
	if f.out == nil {
		return orRefuse(s.feeds.draining(), err)
	}
	s.Log.LogAttrs(r.Context(), slog.LevelInfo, "feed ended", slog.String("tenant", string(c.tenant())), slog.String("client_id", c.Client.ID),
		slog.String("request", c.ID), slog.String("cause", err.Error()))
	return nil
}

// feed is one connection of a reader.
type feed struct {
	server   *Server
	call     *call
	response http.ResponseWriter
	control  *http.ResponseController
	// secrets are those that the client could authenticate with when it did.
	secrets  []string
	place    int64
	snapshot bool
	out      *revocation.Writer // nil before the beginning
}

// errFeedWithdrawn ends the connection of a reader that may not read any more.
var errFeedWithdrawn = errors.New("the reader may not read any more")

// tell passes news on. It is called every second at least, and so finds out soon
// when the reader, or its tenant, was switched off.
func (f *feed) tell(news revocation.News) error {
	if may, err := f.may(); err == nil && !may {
		return errFeedWithdrawn
	}
	// While the database is away there is nothing new to tell, and nobody to ask.
	if f.out == nil {
		if err := f.begin(); err != nil {
			return err
		}
	}
	if err := f.extend(); err != nil {
		return err
	}
	for _, e := range news.Entries {
		if e.Claim == revocation.Issuer {
			e.Value = f.call.Tenant.Issuer
		}
		if err := f.out.Entry(e); err != nil {
			return err
		}
	}
	if !news.AsOf.IsZero() {
		if err := f.out.Mark(revocation.Mark{At: news.AsOf, Cursor: f.server.cursor(f.call.tenant(), news.Place)}); err != nil {
			return err
		}
	}
	if err := f.out.Flush(); err != nil {
		return err
	}
	return f.control.Flush()
}

func (f *feed) may() (bool, error) {
	client, found, err := f.server.Store.Client(f.call.Context(), f.call.tenant(), f.call.Client.ID)
	if err != nil || !found || client.Disabled() || !client.RevocationFeed {
		return false, err
	}
	// After a rotation the reader shows anew that it has a secret that works.
	if !slices.Equal(f.secrets, f.server.workingSecrets(client)) {
		return false, nil
	}
	tenant, _, err := f.server.Store.TenantRecord(f.call.Context(), f.call.tenant())
	return !tenant.Disabled(), err
}

// workingSecrets are the ids of a client's secrets that work now.
func (s *Server) workingSecrets(client gatehouse.Client) []string {
	var ids []string
	for _, secret := range client.Secrets {
		if secret.ExpiresAt.IsZero() || s.Store.Now().Before(secret.ExpiresAt) {
			ids = append(ids, secret.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func (f *feed) begin() error {
	header := f.response.Header()
	header.Set("Content-Type", revocation.MediaType)
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no") // which nginx heeds
	f.response.WriteHeader(http.StatusOK)
	f.out = revocation.NewWriter(f.response)
	return f.out.Begin(revocation.Beginning{Issuer: f.call.Tenant.Issuer, Snapshot: f.snapshot})
}

// extend gives the reader time for the next batch. One that is too slow is cut
// off, and can go on at its last cursor.
func (f *feed) extend() error {
	err := f.control.SetWriteDeadline(time.Now().Add(feedPatience))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// A cursor is a place in the tenant's feed, sealed: numbers are given over all
// tenants, and a place is worth nothing in another database.
const cursorPurpose = "feed cursor"

func (s *Server) cursor(tenant gatehouse.TenantID, place int64) string {
	var octets [8]byte
	binary.BigEndian.PutUint64(octets[:], uint64(place))
	return base64.RawURLEncoding.EncodeToString(s.Keys.SealRing(tenant, cursorPurpose).Seal(octets[:], nil))
}

// openCursor returns the place of a cursor; without one, or with one that is
// none of ours, the beginning, and that everything follows.
func (s *Server) openCursor(tenant gatehouse.TenantID, cursor string) (place int64, snapshot bool) {
	if cursor == "" || len(cursor) > revocation.MaxCursor {
		return 0, true
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return 0, true
	}
	octets, opened := s.Keys.SealRing(tenant, cursorPurpose).Open(sealed, nil)
	if !opened || len(octets) != 8 {
		return 0, true
	}
	place = int64(binary.BigEndian.Uint64(octets))
	return place, place == 0
}

// feeds counts the readers of the feed, and ends them all.
type feeds struct {
	open  context.Context // over when there are to be none
	close context.CancelFunc

	mu       sync.Mutex
	count    int
	byTenant map[gatehouse.TenantID]int
	byClient map[feedClient]int
}

type feedClient struct {
	tenant gatehouse.TenantID
	id     string
}

func newFeeds() *feeds {
	f := &feeds{byTenant: map[gatehouse.TenantID]int{}, byClient: map[feedClient]int{}}
	f.open, f.close = context.WithCancel(context.Background())
	return f
}

// draining is the refusal of a server that is being stopped, else nil.
func (f *feeds) draining() error {
	if f.open.Err() == nil {
		return nil
	}
	return oauth.Refuse("feed-draining", oauth.TemporarilyUnavailable, "This server is stopping. Try again.").After(feedDrainingRetry)
}

// enter takes a place for a reader, if there is one: no tenant takes those of
// the others, and no client those of its tenant.
func (f *feeds) enter(tenant gatehouse.TenantID, id string) (leave func(), found bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	client := feedClient{tenant, id}
	if f.count >= maxFeeds || f.byTenant[tenant] >= maxFeedsPerTenant || f.byClient[client] >= maxFeedsPerClient {
		return nil, false
	}
	f.count++
	f.byTenant[tenant]++
	f.byClient[client]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.count--
		if f.byTenant[tenant]--; f.byTenant[tenant] == 0 {
			delete(f.byTenant, tenant)
		}
		if f.byClient[client]--; f.byClient[client] == 0 {
			delete(f.byClient, client)
		}
	}, true
}

// Drain ends the connections that would not end by themselves. Their readers
// come again, to another server if there is one.
func (s *Server) Drain() { s.feeds.close() }

// FeedReaders is how many follow the revocation feed now.
func (s *Server) FeedReaders() int {
	s.feeds.mu.Lock()
	defer s.feeds.mu.Unlock()
	return s.feeds.count
}
