package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAnswer bounds an answer with its head, in bytes.
	maxAnswer = 64 << 10
	// answerPatience is how long an answer may take.
	answerPatience = 30 * time.Second
)

// wire is one keep-alive connection. It costs a small part of what net/http's
// client does, so that one core of load keeps one core of server busy.
type wire struct {
	conn   net.Conn
	buffer []byte
	filled int
	// recorded, when it is not nil, gets a copy of every answer.
	recorded *[]sample
}

// answer is an HTTP answer. Its bytes are valid until the wire's next one.
type answer struct {
	status     int
	head, body []byte
}

func dial(address string) (*wire, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn, buffer: make([]byte, maxAnswer)}, nil
}

func (w *wire) close() { _ = w.conn.Close() }

// do sends a request and reads its answer, which must have a Content-Length.
func (w *wire) do(request []byte) (answer, error) {
	if _, err := w.conn.Write(request); err != nil {
		return answer{}, err
	}
	w.filled = 0
	for {
		if end := bytes.Index(w.buffer[:w.filled], []byte("\r\n\r\n")); end >= 0 {
			return w.rest(end)
		}
		if err := w.more(); err != nil {
			return answer{}, err
		}
	}
}

func (w *wire) more() error {
	if w.filled == len(w.buffer) {
		return errors.New("the answer is too long")
	}
	n, err := w.conn.Read(w.buffer[w.filled:])
	w.filled += n
	if n > 0 {
		return nil
	}
	return err
}

func (w *wire) rest(end int) (answer, error) {
	head := w.buffer[:end]
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return answer{}, fmt.Errorf("not an HTTP answer: %.60q", head)
	}
	status, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return answer{}, err
	}
	length, err := strconv.Atoi(string(headerOf(head, "Content-Length")))
	if err != nil {
		return answer{}, fmt.Errorf("answer %d without Content-Length", status)
	}
	total := end + 4 + length
	if total > len(w.buffer) {
		return answer{}, errors.New("the answer is too long")
	}
	for w.filled < total {
		if err := w.more(); err != nil {
			return answer{}, err
		}
	}
	if w.filled > total {
		return answer{}, errors.New("more came than the answer")
	}
	answered := answer{status, head, w.buffer[end+4 : total]}
	if w.recorded != nil {
		*w.recorded = append(*w.recorded, answered.sample())
	}
	return answered, nil
}

func (a answer) sample() sample {
	copied := sample{Status: a.status, Body: string(a.body)}
	lines := strings.Split(string(a.head), "\r\n")
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		copied.Header = append(copied.Header, [2]string{name, value})
	}
	return copied
}

// headerOf returns the value of a header that is written as net/http does,
// nil when it is not there.
func headerOf(head []byte, name string) []byte {
	start := bytes.Index(head, []byte("\r\n"+name+": "))
	if start < 0 {
		return nil
	}
	value := head[start+len(name)+4:]
	if end := bytes.Index(value, []byte("\r\n")); end >= 0 {
		value = value[:end]
	}
	return value
}

// request writes an HTTP request; headers are names and values in turn.
func request(method, target, host, body string, headers ...string) []byte {
	text := method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n"
	for i := 0; i+1 < len(headers); i += 2 {
		text += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	if method == "POST" {
		text += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	return []byte(text + "\r\n" + body)
}
