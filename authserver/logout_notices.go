package authserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"gatehouse"
)

// Clients are told of the end of a session by back channel (OpenID Connect
// Back-Channel Logout). The act that ends the session queues who is to be told;
// whoever serves delivers. Bounds of that:
const (
	// logoutPoll is how often the queue is looked at.
	logoutPoll = time.Second
	// logoutClients is how many clients are told at the same time. A client that
	// does not answer takes up one of them.
	logoutClients = 32
	// logoutBatch is how many notices of one client are claimed at once, and
	// logoutLease for how long nobody else is given them: they are told one after
	// the other, and those that have not begun by logoutTurn are left to the next.
	logoutBatch = 16
	logoutLease = 2 * time.Minute
	logoutTurn  = time.Minute
	// logoutAttempts is how often it is tried to tell a client. The first wait
	// doubles up to the longest: all in all it takes an hour and a quarter.
	logoutAttempts  = 10
	logoutFirstWait = 10 * time.Second
	logoutMaxWait   = 30 * time.Minute
)

type logoutQueue interface {
	DueLogouts(ctx context.Context, limit int) ([]gatehouse.LogoutClient, error)
	ClaimLogouts(ctx context.Context, tenant gatehouse.TenantID, clientID string, lease time.Duration, limit int) ([]gatehouse.LogoutNotice, error)
	FinishLogout(ctx context.Context, notice gatehouse.LogoutNotice, outcome gatehouse.LogoutOutcome, wait time.Duration, reason string) (bool, error)
}

// Logouts delivers what is queued, of all tenants.
type Logouts struct {
	Server *Server
	// HTTP sends: the addresses are strangers', so it is the egress one.
	HTTP *http.Client
	// Tenant returns a tenant that is served.
	Tenant func(context.Context, gatehouse.TenantID) (gatehouse.Tenant, bool, error)
	// Told, if not nil, counts the outcomes.
	Told func(gatehouse.LogoutOutcome)

	mu      sync.Mutex
	telling map[gatehouse.LogoutClient]bool
	turns   sync.WaitGroup
}

// Run delivers until ctx ends. What is under way then is left to lapse, and is
// delivered again by whoever serves next.
func (l *Logouts) Run(ctx context.Context) {
	ticker := time.NewTicker(logoutPoll)
	defer ticker.Stop()
	defer l.HTTP.CloseIdleConnections()
	defer l.turns.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := l.begin(ctx); err != nil && ctx.Err() == nil {
				l.Server.Log.Error("logouts to deliver cannot be looked up", "error", err)
			}
		}
	}
}

// Deliver tries to tell every client what is due by now, once, and returns when
// all have answered or failed to.
func (l *Logouts) Deliver(ctx context.Context) error {
	err := l.begin(ctx)
	l.turns.Wait()
	return err
}

// begin lets each client that is due have a turn of its own, beside those that
// are under way: one that does not answer holds up nobody else.
func (l *Logouts) begin(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.telling == nil {
		l.telling = map[gatehouse.LogoutClient]bool{}
	}
	if len(l.telling) >= logoutClients {
		return nil
	}
	due, err := l.Server.Store.DueLogouts(ctx, 2*logoutClients)
	if err != nil {
		return err
	}
	for _, client := range due {
		if l.telling[client] || len(l.telling) >= logoutClients {
			continue
		}
		l.telling[client] = true
		l.turns.Go(func() {
			if err := l.tell(ctx, client); err != nil && ctx.Err() == nil {
				l.Server.Log.Error("logouts cannot be delivered", "tenant", string(client.Tenant), "client_id", client.ClientID, "error", err)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.telling, client)
		})
	}
	return nil
}

// tell has a client's turn: one batch. After an attempt that nobody answered
// the others of the batch fail along with it.
func (l *Logouts) tell(ctx context.Context, due gatehouse.LogoutClient) error {
	notices, err := l.Server.Store.ClaimLogouts(ctx, due.Tenant, due.ClientID, logoutLease, logoutBatch)
	if err != nil || len(notices) == 0 {
		return err
	}
	turn, end := context.WithTimeout(ctx, logoutTurn)
	defer end()
	tenant, served, err := l.Tenant(ctx, due.Tenant)
	if err != nil {
		return err
	}
	client, known, err := l.Server.Store.Client(ctx, due.Tenant, due.ClientID)
	if err != nil {
		return err
	}
	var silent *unanswered
	for _, notice := range notices {
		if turn.Err() != nil {
			return nil // the rest lapses
		}
		var failure error
		switch {
		case !served || !known || client.Disabled() || client.BackchannelLogoutURI == "":
			if err := l.finish(ctx, notice, gatehouse.LogoutGivenUp, errNobodyToTell); err != nil {
				return err
			}
			continue
		case silent != nil:
			failure = silent
		default:
			failure = l.post(turn, tenant, client, notice)
			silent, _ = errors.AsType[*unanswered](failure)
		}
		if ctx.Err() != nil { // the server stops: nobody's failure
			return nil
		}
		outcome := gatehouse.LogoutDelivered
		switch {
		case failure != nil && notice.Attempts >= logoutAttempts:
			outcome = gatehouse.LogoutGivenUp
		case failure != nil:
			outcome = gatehouse.LogoutFailed
		}
		if err := l.finish(ctx, notice, outcome, failure); err != nil {
			return err
		}
	}
	return nil
}

var errNobodyToTell = errors.New("the client or the tenant is not served any more, or has no backchannel_logout_uri")

// unanswered says that nobody took the request at all.
type unanswered struct{ cause error }

func (e *unanswered) Error() string { return "no answer: " + e.cause.Error() }
func (e *unanswered) Unwrap() error { return e.cause }

// post sends the logout token (Back-Channel Logout §2.5): the body has
// logout_token and nothing else. 200 says that the client has done it (§2.8);
// 204 too, which some frameworks make of an empty 200. Redirects are not followed.
func (l *Logouts) post(ctx context.Context, tenant gatehouse.Tenant, client gatehouse.Client, notice gatehouse.LogoutNotice) error {
	token, err := l.Server.logoutToken(ctx, tenant, client, notice)
	if err != nil {
		return err
	}
	body := url.Values{"logout_token": {token}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, client.BackchannelLogoutURI, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := l.HTTP.Do(request)
	if err != nil {
		if wrapped, is := errors.AsType[*url.Error](err); is {
			err = wrapped.Err // without the address, which may hold a secret
		}
		return &unanswered{err}
	}
	_ = response.Body.Close()
	switch {
	case response.StatusCode == http.StatusOK || response.StatusCode == http.StatusNoContent:
		return nil
	case response.StatusCode >= http.StatusInternalServerError:
		return &unanswered{fmt.Errorf("status %d", response.StatusCode)}
	}
	return fmt.Errorf("status %d", response.StatusCode)
}

// finish records what became of an attempt.
func (l *Logouts) finish(ctx context.Context, notice gatehouse.LogoutNotice, outcome gatehouse.LogoutOutcome, failure error) error {
	reason := ""
	if failure != nil {
		reason = failure.Error()
		l.Server.Log.LogAttrs(ctx, slog.LevelWarn, "a client could not be told of a logout",
			slog.String("tenant", string(notice.Tenant)), slog.String("client_id", notice.ClientID), slog.Int("attempt", notice.Attempts),
			slog.Bool("given_up", outcome == gatehouse.LogoutGivenUp), slog.String("error", reason))
	}
	counted, err := l.Server.Store.FinishLogout(ctx, notice, outcome, logoutWait(notice.Attempts), reason)
	if counted && l.Told != nil {
		l.Told(outcome)
	}
	return err
}

// logoutWait is how long to wait after an attempt that failed.
func logoutWait(attempt int) time.Duration {
	wait := logoutFirstWait
	for i := 1; i < attempt && wait < logoutMaxWait; i++ {
		wait *= 2
	}
	return min(wait, logoutMaxWait)
}
