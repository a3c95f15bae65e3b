package oauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"gatehouse/oauth"
)

type gone struct{}

func (gone) Error() string             { return "the database is gone" }
func (gone) RetryAfter() time.Duration { return 2 * time.Second }

func TestAFaultThatPassesByItself(t *testing.T) {
	e := oauth.AsError(fmt.Errorf("reading: %w", gone{}))
	if e.Code != oauth.TemporarilyUnavailable || e.Status != http.StatusServiceUnavailable || e.RetryAfter != 2*time.Second || !errors.Is(e, gone{}) {
		t.Errorf("%+v", e)
	}
	if !described(e.Public()) {
		t.Errorf("public: %s", e.Public())
	}
	if e := oauth.AsError(errors.New("broken")); e.Code != oauth.ServerError || e.RetryAfter != 0 {
		t.Errorf("a fault that stays: %+v", e)
	}
}
