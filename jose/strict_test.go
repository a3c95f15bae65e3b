package jose

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/spec"
)

func TestStrictObject(t *testing.T) {
	spec.Covers(t, "RFC7519-4-1", "RFC7519-2-1")
	for _, good := range []string{
		`{}`, ` { } `, "{\t\r\n}", `{"a":1}`, `{"a":{"a":{"a":[]}}}`, `{"a":[{"b":1},{"b":2}]}`, `{"a":-0.5e-3,"b":0,"c":10,"d":1e308,"e":-1}`,
		`{"a":"\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00ä😀"}`, `{"":1," ":2}`, `{"a":true,"b":false,"c":null}`, `{ "a" : [ 1 , 2 ] , "b" : "x" }`,
		`{"a":` + strings.Repeat("[", MaxJSONDepth-1) + strings.Repeat("]", MaxJSONDepth-1) + `}`,
		`{"a":{},"b":{"a":1},"c":{"b":{"a":{},"c":1}}}`, `{"a":` + strings.Repeat("9", MaxNumberLength) + `}`,
	} {
		if err := StrictObject([]byte(good), Limits{}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
		if !json.Valid([]byte(good)) {
			t.Errorf("%s: encoding/json disagrees", good)
		}
	}
	for name, bad := range map[string]string{
		"nothing":                   ``,
		"space":                     ` `,
		"array":                     `[]`,
		"string":                    `"a"`,
		"number":                    `1`,
		"null":                      `null`,
		"open":                      `{`,
		"open after a name":         `{"a"`,
		"open after a colon":        `{"a":`,
		"open after a value":        `{"a":1`,
		"open array":                `{"a":[1`,
		"open string":               `{"a":"b`,
		"open escape":               `{"a":"\`,
		"two values":                `{}{}`,
		"tail":                      `{} x`,
		"NUL after":                 "{}\x00",
		"trailing comma":            `{"a":1,}`,
		"leading comma":             `{,"a":1}`,
		"two commas":                `{"a":1,,"b":2}`,
		"trailing comma in array":   `{"a":[1,]}`,
		"leading comma in array":    `{"a":[,1]}`,
		"no comma":                  `{"a":1 "b":2}`,
		"no comma in array":         `{"a":[1 2]}`,
		"no colon":                  `{"a" 1}`,
		"equals sign":               `{"a"=1}`,
		"unquoted name":             `{a:1}`,
		"number as name":            `{1:1}`,
		"single quotes":             `{'a':1}`,
		"comment":                   `{/**/"a":1}`,
		"bare word":                 `{"a":nul}`,
		"capital word":              `{"a":True}`,
		"NaN":                       `{"a":NaN}`,
		"Infinity":                  `{"a":-Infinity}`,
		"leading zero":              `{"a":01}`,
		"leading minus zero":        `{"a":-01}`,
		"plus":                      `{"a":+1}`,
		"minus alone":               `{"a":-}`,
		"dot at the end":            `{"a":1.}`,
		"dot at the start":          `{"a":.1}`,
		"empty exponent":            `{"a":1e}`,
		"empty signed exponent":     `{"a":1e+}`,
		"hex":                       `{"a":0x1}`,
		"1e400":                     `{"a":1e400}`,
		"-1e400":                    `{"a":-1e400}`,
		"long number":               `{"a":` + strings.Repeat("9", MaxNumberLength+1) + `}`,
		"long fraction":             `{"a":0.` + strings.Repeat("1", MaxNumberLength) + `}`,
		"control character":         "{\"a\":\"\n\"}",
		"NUL in a string":           "{\"a\":\"\x00\"}",
		"unknown escape":            `{"a":"\x41"}`,
		"short escape":              `{"a":"\u12"}`,
		"escape with a sign":        `{"a":"\u+123"}`,
		"high surrogate":            `{"a":"\ud83d"}`,
		"low surrogate":             `{"a":"\ude00"}`,
		"two high surrogates":       `{"a":"\ud83d\ud83d"}`,
		"surrogate, other escape":   `{"a":"\ud83d\n"}`,
		"surrogate, cut":            `{"a":"\ud83d\u`,
		"not UTF-8":                 "{\"a\":\"\xc3\"}",
		"overlong UTF-8":            "{\"a\":\"\xc0\xaf\"}",
		"surrogate in UTF-8":        "{\"a\":\"\xed\xa0\x80\"}",
		"BOM":                       "\ufeff{}",
		"UTF-16":                    "{\x00}\x00",
		"no-break space":            "{\u00a0}",
		"repeated":                  `{"a":1,"a":1}`,
		"repeated by an escape":     `{"a":1,"\u0061":2}`,
		"repeated, two escapes":     `{"\u0061":1,"\u0061":2}`,
		"repeated empty":            `{"":1,"":2}`,
		"case variant":              `{"iss":1,"ISS":2}`,
		"case variant, long s":      `{"iss":1,"i` + "\u017f" + `s":2}`,
		"case variant, Kelvin":      `{"kid":1,"\u212aid":2}`,
		"case variant, not ASCII":   `{"ä":1,"Ä":2}`,
		"repeated deep":             `{"a":[[{"b":{"c":1,"d":2,"c":3}}]]}`,
		"repeated after an object":  `{"a":{"b":1,"c":2},"a":1}`,
		"repeated in a later one":   `{"a":[{"b":1},{"b":1,"b":2}]}`,
		"too deep":                  `{"a":` + strings.Repeat("[", MaxJSONDepth) + strings.Repeat("]", MaxJSONDepth) + `}`,
		"too deep in objects":       strings.Repeat(`{"a":`, MaxJSONDepth+1) + `1` + strings.Repeat(`}`, MaxJSONDepth+1),
		"too long":                  `{"a":"` + strings.Repeat("a", MaxJSONBytes) + `"}`,
		"too many members":          `{"o":[` + manyMembers(MaxObjectMembers) + `,` + manyMembers(MaxObjectMembers) + `]}`,
		"too many in one":           manyMembers(MaxObjectMembers + 1),
		"brackets that do not pair": `{"a":[}]`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := StrictObject([]byte(bad), Limits{}); !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v", err)
			}
			var v any
			if err := DecodeStrict([]byte(bad), &v); !errors.Is(err, ErrMalformed) || v != nil {
				t.Errorf("decoded as %v, %v", v, err)
			}
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"member%d":0`, i)
	}
	return "{" + b.String()[1:] + "}"
}

func TestStrictLimits(t *testing.T) {
	document := []byte(`{"a":{"b":1}}`)
	for _, limits := range []Limits{{Bytes: len(document) - 1}, {Depth: 1}, {Members: 1}} {
		if err := StrictObject(document, limits); !errors.Is(err, ErrMalformed) {
			t.Errorf("limits %+v: %v", limits, err)
		}
	}
	if err := StrictObject(document, Limits{Bytes: len(document), Depth: 2, Members: 2}); err != nil {
		t.Error(err)
	}
	if err := StrictObject([]byte(manyMembers(MaxObjectMembers)), Limits{}); err != nil {
		t.Error(err)
	}
}

func TestStrictIsCheap(t *testing.T) {
	spec.Covers(t, "FT-31")
	for name, data := range map[string]string{
		"FT-31 depth":     `{"a":` + strings.Repeat("[", 1e5) + strings.Repeat("]", 1e5) + `}`,
		"FT-31 array":     `{"a":[` + strings.Repeat("1,", 1e6) + `1]}`,
		"FT-31 string":    `{"a":"` + strings.Repeat("a", 1<<20) + `"}`,
		"FT-31 duplicate": `{"a":1` + strings.Repeat(`,"a":1`, 1e4) + `}`,
		"FT-31 members":   manyMembers(1e4),
		"FT-31 number":    `{"a":` + strings.Repeat("1", 60_000) + `e1}`,
		"full and flat":   manyMembers(MaxObjectMembers),
		"full of escapes": `{"a":"` + strings.Repeat(`\u0061`, 10_000) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			const megabyte = 1 << 20
			if cost := allocated(func() { _ = StrictObject([]byte(data), Limits{}) }); cost > 4*megabyte {
				t.Errorf("%d bytes of garbage for %d of input", cost, len(data))
			}
		})
	}
}

func TestDecodeStrict(t *testing.T) {
	type inner struct {
		Name string `json:"name"`
	}
	type embedded struct {
		Base int `json:"base"`
	}
	var v struct {
		embedded
		One    inner            `json:"one"`
		Many   []inner          `json:"many"`
		Named  map[string]inner `json:"named"`
		Point  *inner           `json:"point,omitempty"`
		Raw    json.RawMessage  `json:"raw"`
		Any    any              `json:"any"`
		Time   time.Time        `json:"time"`
		Hidden string           `json:"-"`
		Plain  int
	}
	good := `{"base":1,"one":{"name":"a"},"many":[{"name":"b"}],"named":{"Name":{"name":"c"}},"point":{"name":"d"},
		"raw":{"NAME":1},"any":{"BASE":1},"time":"2026-11-20T12:00:00Z","Plain":3,"unknown":{"Name":1},"hidden":"x"}`
	if err := DecodeStrict([]byte(good), &v); err != nil {
		t.Fatal(err)
	}
	if v.Base != 1 || v.One.Name != "a" || v.Many[0].Name != "b" || v.Named["Name"].Name != "c" || v.Point.Name != "d" ||
		string(v.Raw) != `{"NAME":1}` || v.Plain != 3 || v.Hidden != "" || v.Time.IsZero() {
		t.Errorf("decoded as %+v", v)
	}
	for _, bad := range []string{
		`{"Base":1}`, `{"ONE":{}}`, `{"one":{"Name":"a"}}`, `{"many":[{"NAME":"a"}]}`, `{"named":{"x":{"nAme":"a"}}}`, `{"point":{"Name":"a"}}`,
		`{"plain":1}`, `{"\u006fNe":{}}`, `{"base":"x"}`, `{"time":"today"}`, `{"base":1.5}`,
	} {
		if err := DecodeStrict([]byte(bad), &v); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	if err := DecodeStrict([]byte(`{"base":"secret-value"}`), &v); err == nil || strings.Contains(err.Error(), "secret-value") {
		t.Errorf("the error quotes the document: %v", err)
	}
}

func TestStrictMembersAreThoseOfDecodeStrict(t *testing.T) {
	for _, text := range []string{
		`{}`, ` { "a" : 1 , "b" : [ 1, {"c":null} ] , "d":"x\u00e9\n" } `, `{"\u0061b":true,"c":{}}`, `{"a":null}`,
		`{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"a":1}x`, `[]`, `null`, `{"a"}`, `{"a":}`, "{\"a\":\"\xff\"}", `{"a":1e999}`, ``,
	} {
		var want map[string]json.RawMessage
		wantErr := DecodeStrict([]byte(text), &want)
		got, err := StrictMembers([]byte(text))
		if (err == nil) != (wantErr == nil) || len(got) != len(want) {
			t.Errorf("%s: %v %v, want %v %v", text, got, err, want, wantErr)
		}
		for name, value := range want {
			if string(got[name]) != string(value) {
				t.Errorf("%s: %q is %s, want %s", text, name, got[name], value)
			}
		}
	}
}
