package postgrestest

import (
	"net"
	"testing"
	"time"
)

// TestTheWayEndsWithBothEnds resets a connection, as the kernel does for a client
// that was killed: the way lets go of the other end, and goes with its test.
func TestTheWayEndsWithBothEnds(t *testing.T) {
	database, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := database.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buffer := make([]byte, 16)
		for err == nil {
			_, err = conn.Read(buffer)
		}
	}()
	t.Run("way", func(t *testing.T) { // it returns when the way has gone
		way := NewWay(t)
		way.network, way.target = "tcp", database.Addr().String()
		way.served.Go(way.accept)
		client, err := net.Dial("tcp", way.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		_ = client.(*net.TCPConn).SetLinger(0)
		_ = client.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("the other end is still connected")
		}
	})
}
