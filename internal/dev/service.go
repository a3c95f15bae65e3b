package dev

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Bounds of what the playground's service reads.
const (
	maxServiceBody   = 16 << 10
	maxServiceAnswer = 64 << 10
)

// service is the machine client of the playground. It has the secret, and the page
// is told what travelled, without the secret.
type service struct {
	issuer, secret string
	client         *http.Client
}

// exchanged is a request and its answer, as the page's own requests are kept
// (playground/exchange.js).
type exchanged struct {
	Title         string            `json:"title"`
	Method        string            `json:"method"`
	URL           string            `json:"url"`
	Headers       map[string]string `json:"headers"`
	User          string            `json:"user"`
	Form          [][2]string       `json:"form"`
	Status        int               `json:"status"`
	StatusText    string            `json:"statusText"`
	AnswerHeaders [][2]string       `json:"answerHeaders"`
	Answer        json.RawMessage   `json:"answer"`
	MS            int64             `json:"ms"`
}

// token asks for a token of the service's own (RFC 6749 §4.4).
func (s service) token(w http.ResponseWriter, r *http.Request) {
	s.send(w, r, "Token request of the service", "/token", [][2]string{{"grant_type", "client_credentials"}, {"scope", scopeRead}})
}

// revoke takes one back (RFC 7009 §2.1).
func (s service) revoke(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Token string `json:"token"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxServiceBody))
	if err != nil || json.Unmarshal(body, &asked) != nil || asked.Token == "" {
		answer(w, http.StatusBadRequest, map[string]string{"error": `send a JSON object such as {"token": "eyJ..."}`})
		return
	}
	s.send(w, r, "Revocation by the service", "/revoke", [][2]string{{"token", asked.Token}, {"token_type_hint", "access_token"}})
}

func (s service) send(w http.ResponseWriter, r *http.Request, title, path string, form [][2]string) {
	if s.secret == "" {
		answer(w, http.StatusConflict, map[string]string{"error": "your own tenant file changed the client " + clientMachine + ", and its secret is not known here"})
		return
	}
	record, err := s.exchange(r, title, path, form)
	if err != nil {
		answer(w, http.StatusBadGateway, map[string]string{"error": "the issuer does not answer"})
		return
	}
	answer(w, http.StatusOK, record)
}

func (s service) exchange(r *http.Request, title, path string, form [][2]string) (exchanged, error) {
	values := url.Values{}
	for _, field := range form {
		values.Set(field[0], field[1])
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, s.issuer+path, strings.NewReader(values.Encode()))
	if err != nil {
		return exchanged{}, err
	}
	request.SetBasicAuth(clientMachine, s.secret)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	began := time.Now()
	response, err := s.client.Do(request)
	if err != nil {
		return exchanged{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxServiceAnswer))
	if err != nil {
		return exchanged{}, err
	}
	record := exchanged{
		Title: title, Method: request.Method, URL: request.URL.String(), User: clientMachine, Form: form,
		Headers: map[string]string{"Authorization": "Basic [" + clientMachine + " and its secret]", "Content-Type": request.Header.Get("Content-Type")},
		Status:  response.StatusCode, StatusText: http.StatusText(response.StatusCode), AnswerHeaders: [][2]string{},
		Answer: json.RawMessage(`""`), MS: time.Since(began).Milliseconds(),
	}
	for name, values := range response.Header {
		record.AnswerHeaders = append(record.AnswerHeaders, [2]string{strings.ToLower(name), strings.Join(values, ", ")})
	}
	slices.SortFunc(record.AnswerHeaders, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	if json.Valid(body) {
		record.Answer = body
	} else if len(body) > 0 {
		return exchanged{}, errors.New("the issuer's answer is no JSON")
	}
	return record, nil
}
