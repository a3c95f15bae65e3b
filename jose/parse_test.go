package jose

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gatehouse/internal/spec"
)

func TestParseForm(t *testing.T) {
	spec.Covers(t, "RFC7515-5.2-1", "RFC7515-5.2-2", "RFC7515-4-1", "RFC8725-3.7-1")
	good := signedWithHeader(t, goodHeader)
	parts := strings.Split(good, ".")
	header, claims, signature := parts[0], parts[1], parts[2]
	for name, raw := range map[string]string{
		"empty":                  "",
		"one part":               header,
		"two parts":              header + "." + claims,
		"four parts":             good + ".",
		"JWE":                    good + ".a.b",
		"no header":              "." + claims + "." + signature,
		"no claims":              header + ".." + signature,
		"no signature":           header + "." + claims + ".",
		"dots":                   "..",
		"line end in the header": header[:4] + "\n" + header[4:] + "." + claims + "." + signature,
		"line end in the claims": header + "." + claims[:4] + "\r\n" + claims[4:] + "." + signature,
		"line end at the end":    good + "\n",
		"space at the end":       good + " ",
		"space at the start":     " " + good,
		"padding":                header + "." + claims + "." + signature + "==",
		"stray bits":             header + "." + claims + "." + signature[:len(signature)-1] + "_",
		"standard alphabet":      header + "." + claims + "." + "+/" + signature[2:],
		"NUL":                    header + "." + claims + "\x00." + signature,
		"not ASCII":              header + "." + claims + ".ä" + signature,
		"JSON serialization":     `{"payload":"` + claims + `","protected":"` + header + `","signature":"` + signature + `"}`,
		"header not an object":   compact(`"ES256"`, someClaims, []byte{1}),
		"header an array":        compact(`[{"alg":"ES256"}]`, someClaims, []byte{1}),
		"header not UTF-8":       compact("{\"alg\":\"ES256\",\"a\":\"\xff\"}", someClaims, []byte{1}),
		"header with a tail":     compact(goodHeader+"{}", someClaims, []byte{1}),
		"header with a BOM":      compact("\ufeff"+goodHeader, someClaims, []byte{1}),
		"header cut":             compact(goodHeader[:len(goodHeader)-1], someClaims, []byte{1}),
		"repeated member":        compact(`{"alg":"ES256","a":1,"a":2}`, someClaims, []byte{1}),
		"case variant":           compact(`{"alg":"ES256","kid":"a","KID":"b"}`, someClaims, []byte{1}),
		"case variant alone":     compact(`{"alg":"ES256","Kid":"a"}`, someClaims, []byte{1}),
		"Kelvin sign":            compact(`{"alg":"ES256","`+"\u212a"+`id":"a"}`, someClaims, []byte{1}),
		"typ a number":           compact(`{"alg":"ES256","typ":1}`, someClaims, []byte{1}),
		"typ an array":           compact(`{"alg":"ES256","typ":["JWT"]}`, someClaims, []byte{1}),
		"typ long":               compact(`{"alg":"ES256","typ":"`+strings.Repeat("t", maxTypeLength+1)+`"}`, someClaims, []byte{1}),
		"header too long":        compact(`{"alg":"ES256","a":"`+strings.Repeat("a", maxHeaderBytes)+`"}`, someClaims, []byte{1}),
	} {
		t.Run(name, func(t *testing.T) {
			u, err := Parse(raw, Limits{})
			if !errors.Is(err, ErrMalformed) || u.UnverifiedPayload() != nil && u.Header != (Header{}) {
				t.Errorf("error %v, %+v", err, u.Header)
			}
			for part := range strings.SplitSeq(raw, ".") {
				if err != nil && len(part) > 20 && strings.Contains(err.Error(), part) {
					t.Errorf("the error quotes the token: %v", err)
				}
			}
		})
	}
	mustVerify(t, good, testKeys()[ES256].Public())
}

func TestParseLimit(t *testing.T) {
	raw := signedWithHeader(t, goodHeader)
	if _, err := Parse(raw, Limits{Bytes: len(raw) - 1}); !errors.Is(err, ErrMalformed) {
		t.Errorf("one byte too long: %v", err)
	}
	if _, err := Parse(raw, Limits{Bytes: len(raw)}); err != nil {
		t.Errorf("as long as allowed: %v", err)
	}
}

func TestHeaderEscapes(t *testing.T) {
	u, err := Parse(compact(`{"\u0061lg":"ES\u003256","kid":"a\"\\\/b","typ":"JWT"}`, someClaims, []byte{1}), Limits{})
	if want := (Header{ES256, `a"\/b`, "JWT"}); err != nil || u.Header != want {
		t.Errorf("header %+v, %v", u.Header, err)
	}
}

func TestUnverifiedPayload(t *testing.T) {
	u, err := Parse(compact(goodHeader, someClaims, []byte{1}), Limits{})
	if err != nil || string(u.UnverifiedPayload()) != someClaims {
		t.Fatalf("payload %s, %v", u.UnverifiedPayload(), err)
	}
	if payload, err := u.Verify(testKeys()[ES256].Public()); !errors.Is(err, ErrSignature) || payload != nil {
		t.Errorf("verified: %s, %v", payload, err)
	}
}

// The three parts share a buffer; none can be appended into the next.
func TestPartsDoNotOverlap(t *testing.T) {
	raw := signedWithHeader(t, goodHeader)
	u, err := Parse(raw, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_ = append(u.UnverifiedPayload(), make([]byte, signatureP256)...)
	payload, err := u.Verify(testKeys()[ES256].Public())
	if err != nil || string(payload) != someClaims {
		t.Errorf("payload %s, %v", payload, err)
	}
}

func TestUnverifiedIsNotPrinted(t *testing.T) {
	u, err := Parse(signedWithHeader(t, goodHeader), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, u); got != "jose.Unverified(ES256)" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("got", "token", u)
	if !strings.Contains(log.String(), "token=jose.Unverified(ES256)") {
		t.Errorf("the log says %s", log.String())
	}
}
