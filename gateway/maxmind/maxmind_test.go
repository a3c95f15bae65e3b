package maxmind_test

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/gateway"
	"gatehouse/gateway/maxmind"
	"gatehouse/internal/proxy/proxytest"
)

var _ gateway.Countries = (*maxmind.Countries)(nil)

// database writes a file in MaxMind's format (version 2.0) with networks' countries; "" is a
// record without one.
func database(t testing.TB, networks map[string]string) []byte {
	t.Helper()
	type node [2]int // < 0 is -1-record, 0 is nothing
	nodes := []node{{}}
	var data bytes.Buffer
	records := map[string]int{}
	for network, code := range networks {
		prefix := netip.MustParsePrefix(network)
		if _, known := records[code]; !known {
			records[code] = data.Len()
			if code == "" {
				data.Write(object(1))
				data.Write(text("continent"))
				data.Write(text("EU"))
			} else {
				data.Write(object(1))
				data.Write(text("country"))
				data.Write(object(1))
				data.Write(text("iso_code"))
				data.Write(text(code))
			}
		}
		address, at := prefix.Addr().As16(), 0
		bits := prefix.Bits()
		if prefix.Addr().Is4() { // the IPv4 addresses are those below ::/96
			v4 := prefix.Addr().As4()
			address = [16]byte{}
			copy(address[12:], v4[:])
			bits += 96
		}
		for i := range bits {
			bit := address[i/8] >> (7 - i%8) & 1
			if i == bits-1 {
				nodes[at][bit] = -1 - records[code]
				break
			}
			if nodes[at][bit] <= 0 {
				nodes = append(nodes, node{})
				nodes[at][bit] = len(nodes) - 1
			}
			at = nodes[at][bit]
		}
	}
	var out bytes.Buffer
	for _, one := range nodes {
		for _, value := range one {
			switch {
			case value == 0:
				value = len(nodes)
			case value < 0:
				value = len(nodes) + 16 + -1 - value
			}
			_ = binary.Write(&out, binary.BigEndian, uint32(value))
		}
	}
	out.Write(make([]byte, 16))
	out.Write(data.Bytes())
	out.WriteString("\xAB\xCD\xEFMaxMind.com")
	out.Write(object(9))
	for _, pair := range []struct {
		name  string
		value []byte
	}{
		{"binary_format_major_version", number(5, 2)}, {"binary_format_minor_version", number(5, 0)}, {"build_epoch", []byte{0x04, 9 - 7, 1, 2, 3, 4}}, {"database_type", text("Test-Country")},
		{"description", append(object(1), append(text("en"), text("a test")...)...)}, {"ip_version", number(5, 6)}, {"languages", append([]byte{0x01, 11 - 7}, text("en")...)}, {"node_count", number(6, len(nodes))}, {"record_size", number(5, 32)},
	} {
		out.Write(text(pair.name))
		out.Write(pair.value)
	}
	return out.Bytes()
}

// object begins a map with so many members, text is a string, number an unsigned of a kind.
func object(members int) []byte { return []byte{7<<5 | byte(members)} }
func text(s string) []byte      { return append([]byte{2<<5 | byte(len(s))}, s...) }
func number(kind, value int) []byte {
	encoded := binary.BigEndian.AppendUint32(nil, uint32(value))
	if kind == 5 {
		encoded = encoded[2:]
	}
	return append([]byte{byte(kind<<5 | len(encoded))}, encoded...)
}

func replace(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatal("not within 20 seconds: " + what)
}

func TestCountries(t *testing.T) {
	name, log := filepath.Join(t.TempDir(), "country.mmdb"), &proxytest.Log{}
	replace(t, name, database(t, map[string]string{"192.0.2.0/25": "DE", "192.0.2.128/25": "FR", "2001:db8::/32": "AT", "198.51.100.0/24": ""}))
	c, err := maxmind.Open(maxmind.Config{File: name, Look: 5 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	is := func(address, want string) bool {
		code, known, err := c.Country(netip.MustParseAddr(address))
		return err == nil && code == want && known == (want != "")
	}
	for address, want := range map[string]string{
		"192.0.2.1": "DE", "192.0.2.200": "FR", "::ffff:192.0.2.1": "DE", "2001:db8::1": "AT", "2001:db9::1": "", "198.51.100.1": "", "6.6.6.6": "", "fe80::1%eth0": "",
	} {
		if !is(address, want) {
			code, known, err := c.Country(netip.MustParseAddr(address))
			t.Errorf("%s: %q, %v, %v, want %q", address, code, known, err, want)
		}
	}
	replace(t, name, []byte("rubbish that is no database"))
	eventually(t, "a wrong file is told", func() bool { return strings.Contains(log.String(), "cannot be read") })
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if !is("192.0.2.1", "DE") {
		t.Error("the last good file does not stay")
	}
	replace(t, name, database(t, map[string]string{"192.0.2.0/24": "CH"}))
	eventually(t, "the new file is read", func() bool { return is("192.0.2.1", "CH") })
	if n := strings.Count(log.String(), "level=ERROR"); n > 3 {
		t.Errorf("a wrong file is told %d times", n)
	}
}

func TestFilesThatAreWrong(t *testing.T) {
	folder := t.TempDir()
	whole := database(t, map[string]string{"192.0.2.0/24": "DE"})
	for about, content := range map[string][]byte{"empty": {}, "rubbish": []byte("x"), "cut off": whole[:len(whole)-40]} {
		name := filepath.Join(folder, "file")
		replace(t, name, content)
		if _, err := maxmind.Open(maxmind.Config{File: name}); err == nil {
			t.Errorf("%s is accepted", about)
		}
	}
	if _, err := maxmind.Open(maxmind.Config{File: filepath.Join(folder, "none")}); err == nil {
		t.Error("a file that is not there is accepted")
	}
}
