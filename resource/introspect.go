package resource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"gatehouse/internal/recent"
	"gatehouse/revocation"
	"gatehouse/token"
)

const (
	// answerLife is how long an answer about an active token is used, and
	// followedLife while the revocation feed tells what has ended since.
	// inactiveLife is how long one about an inactive token is.
	answerLife   = 30 * time.Second
	followedLife = time.Minute
	inactiveLife = 5 * time.Second

	// introspectionTimeout bounds one question, maxAnswerBytes its answer,
	// maxQuestions those under way at once.
	introspectionTimeout = 5 * time.Second
	maxAnswerBytes       = 64 << 10
	maxQuestions         = 64

	maxInactive = 4096 // answers about inactive tokens that are remembered
)

// introspector asks one issuer about tokens (RFC 7662).
type introspector struct {
	issuer   Issuer
	rules    token.Rules
	metadata *metadata
	client   *http.Client

	active, inactive *recent.Map[digest, answer]
	places           chan struct{} // one for each question under way

	mu        sync.Mutex
	questions map[digest]*question
}

// answer is what the issuer said of a token.
type answer struct {
	askedAt time.Time
	access  *Access // shared
	facts   []revocation.Token
	refused *token.Error // nil when the token is active and fulfils the rules
}

// question is one that is under way, for all who want to know.
type question struct {
	done   chan struct{}
	answer answer
	err    error
}

func newIntrospector(issuer Issuer, rules token.Rules, m *metadata, client *http.Client, maxCached int) *introspector {
	return &introspector{
		issuer: issuer, rules: rules, metadata: m, client: client,
		active: recent.New[digest, answer](maxCached), inactive: recent.New[digest, answer](maxInactive),
		places: make(chan struct{}, maxQuestions), questions: map[digest]*question{},
	}
}

// errBusy is for questions for which there is no place.
var errBusy = errors.New("too many questions about tokens are under way")

// ask returns an answer that is no older than life, of which an earlier one may be
// remembered. The error means that there is none. ctx ends the caller's wait and
// not the question.
func (i *introspector) ask(ctx context.Context, raw string, key digest, life time.Duration) (answer, error) {
	now := time.Now()
	if known, found := i.active.Get(key); found && now.Sub(known.askedAt) < life {
		return known, nil
	}
	// Apart, so that made-up tokens push nothing out.
	if known, found := i.inactive.Get(key); found && now.Sub(known.askedAt) < inactiveLife {
		return known, nil
	}
	q, err := i.begin(raw, key)
	if err != nil {
		return answer{}, err
	}
	select {
	case <-q.done:
		return q.answer, q.err
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// begin joins the question about the token, or asks it.
func (i *introspector) begin(raw string, key digest) (*question, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if q, asked := i.questions[key]; asked {
		return q, nil
	}
	select {
	case i.places <- struct{}{}:
	default:
		return nil, errBusy
	}
	q := &question{done: make(chan struct{})}
	i.questions[key] = q
	go func() {
		q.answer, q.err = i.question(raw)
		if q.err == nil && q.answer.refused == nil {
			i.active.Put(key, q.answer)
		} else if q.err == nil {
			i.active.Drop(key)
			i.inactive.Put(key, q.answer)
		}
		i.mu.Lock()
		delete(i.questions, key)
		i.mu.Unlock()
		<-i.places
		close(q.done)
	}()
	return q, nil
}

// question asks the issuer.
func (i *introspector) question(raw string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), introspectionTimeout)
	defer cancel()
	a := answer{askedAt: time.Now()}
	body, err := i.post(ctx, raw)
	if err != nil {
		i.metadata.doubt()
		return answer{}, fmt.Errorf("introspection at %s: %w", i.issuer.Identifier, err)
	}
	claims, err := token.CheckIntrospected(body, i.rules)
	if err == nil {
		a.access, a.facts, err = i.issuer.read(claims)
	}
	if err == nil {
		return a, nil
	}
	refused, is := errors.AsType[*token.Error](err)
	if !is || refused.Reason == token.Malformed { // this is no answer
		return answer{}, fmt.Errorf("introspection at %s: %w", i.issuer.Identifier, err)
	}
	a.refused = refused
	return a, nil
}

func (i *introspector) post(ctx context.Context, raw string) ([]byte, error) {
	address, err := i.metadata.endpoint(ctx, "introspection_endpoint", i.issuer.IntrospectionURI, func(e endpoints) string { return e.introspection })
	if err != nil {
		return nil, err
	}
	form := url.Values{"token": {raw}, "token_type_hint": {"access_token"}} // RFC 7662 §2.1
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.SetBasicAuth(url.QueryEscape(i.issuer.ClientID), url.QueryEscape(i.issuer.ClientSecret)) // RFC 6749 §2.3.1
	response, err := i.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d, want 200", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	if err == nil && len(body) > maxAnswerBytes {
		err = fmt.Errorf("the answer is longer than %d bytes", maxAnswerBytes)
	}
	return body, err
}
