package login

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"time"

	"gatehouse/internal/endpoint"
	"gatehouse/internal/seal"
)

const (
	deviceCookie = "gh-device-"

	// deviceLifetime is how long a device is known after a sign-in. Browsers
	// keep no cookie longer than 400 days.
	deviceLifetime = 365 * 24 * time.Hour

	// maxDeviceAccounts bounds how many accounts one browser is known for.
	maxDeviceAccounts = 4

	deviceIDBytes = 16
	markBytes     = 4 + deviceIDBytes + seal.MACBytes
)

// deviceMark proves that an account signed in on a device once. It opens
// nothing: it only spares the device the delays that others have caused.
type deviceMark struct {
	at  uint32 // Unix seconds
	id  [deviceIDBytes]byte
	tag [seal.MACBytes]byte
}

func (m deviceMark) String() string {
	b := binary.BigEndian.AppendUint32(nil, m.at)
	b = append(append(b, m.id[:]...), m.tag[:]...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// signed is what the tag authenticates.
func (m deviceMark) signed(subject string) [][]byte {
	return [][]byte{binary.BigEndian.AppendUint32(nil, m.at), m.id[:], []byte(subject)}
}

// readMarks reads the device cookie. What it cannot read it leaves out.
func readMarks(text string) []deviceMark {
	var marks []deviceMark
	for part := range strings.SplitSeq(text, ".") {
		if len(marks) == maxDeviceAccounts {
			break
		}
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || len(b) != markBytes {
			continue
		}
		marks = append(marks, deviceMark{
			at: binary.BigEndian.Uint32(b), id: [deviceIDBytes]byte(b[4:]), tag: [seal.MACBytes]byte(b[4+deviceIDBytes:]),
		})
	}
	return marks
}

func writeMarks(marks []deviceMark) string {
	parts := make([]string, len(marks))
	for i, m := range marks {
		parts[i] = m.String()
	}
	return strings.Join(parts, ".")
}

// genuine says whether the mark is ours, for the subject, and not too old.
func (m deviceMark) genuine(ring *seal.Ring, subject string, now time.Time) bool {
	age := now.Sub(time.Unix(int64(m.at), 0))
	return age <= deviceLifetime && ring.VerifyMAC(m.tag[:], m.signed(subject)...)
}

func (e *Endpoints) deviceRing(r *endpoint.Request) *seal.Ring {
	return e.box.Keys.MACRing(r.Tenant.ID, "known device")
}

// knownDevice returns the device's id if the subject has signed in on it.
func (e *Endpoints) knownDevice(r *endpoint.Request, subject string) (id []byte, known bool) {
	ring, now := e.deviceRing(r), e.box.Now()
	for _, mark := range readMarks(e.box.Read(r, deviceCookie)) {
		if mark.genuine(ring, subject, now) && subject != "" {
			return mark.id[:], true
		}
	}
	return nil, false
}

// rememberDevice marks the device as the subject's, before the marks of the
// others who use it.
func (e *Endpoints) rememberDevice(w http.ResponseWriter, r *endpoint.Request, subject string) {
	ring, now := e.deviceRing(r), e.box.Now()
	mark := deviceMark{at: uint32(now.Unix())}
	_, _ = rand.Read(mark.id[:]) // never fails: it ends the process instead
	mark.tag = [seal.MACBytes]byte(ring.Current().MAC(mark.signed(subject)...))
	marks := []deviceMark{mark}
	for _, other := range readMarks(e.box.Read(r, deviceCookie)) {
		if len(marks) < maxDeviceAccounts && !other.genuine(ring, subject, now) {
			marks = append(marks, other)
		}
	}
	e.box.Write(w, r, deviceCookie, writeMarks(marks), int(deviceLifetime/time.Second))
}
