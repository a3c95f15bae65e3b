package proxytest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// silence is how long a connection on which nothing comes is read: machines that test are busy.
const silence = 20 * time.Second

// Raw sends octets to an HTTP server, whose address may begin with http://, and returns the
// statuses of all answers until it closes the connection, or has been silent for long.
func Raw(t testing.TB, address, text string) (statuses []int, closed bool) {
	t.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, text); err != nil {
		t.Fatal(err)
	}
	_ = connection.SetReadDeadline(time.Now().Add(silence))
	buffered := bufio.NewReader(connection)
	for {
		response, err := http.ReadResponse(buffered, nil)
		if err != nil {
			network, is := errors.AsType[net.Error](err)
			return statuses, !is || !network.Timeout()
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		statuses = append(statuses, response.StatusCode)
	}
}
