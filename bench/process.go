package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// process is a server under measurement.
type process struct {
	command *exec.Cmd
	address string
	// started is how long it took from the start to the first answer.
	started time.Duration
}

func (p *process) pid() int { return p.command.Process.Pid }

// stopPatience is how long a process may take to stop when it is asked to.
const stopPatience = 10 * time.Second

func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(stopPatience, func() { _ = p.command.Process.Kill() })
	_ = p.command.Wait()
	timer.Stop()
}

// anyCore lets a process run where it likes.
const anyCore = -1

// start starts a command on the core.
func start(core int, command *exec.Cmd) error {
	if core == anyCore {
		return command.Start()
	}
	return startOn(core, command)
}

// startPatience is how long a server may take to its first answer.
const startPatience = 30 * time.Second

// answers waits until the process answers the path with 200.
func (p *process) answers(began time.Time, path string) error {
	probe := request("GET", path, p.address, "")
	for time.Since(began) < startPatience {
		if w, err := dial(p.address); err == nil {
			_ = w.conn.SetDeadline(time.Now().Add(answerPatience))
			a, err := w.do(probe)
			w.close()
			if err == nil && a.status == 200 {
				p.started = time.Since(began)
				return nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("%s does not answer", p.command.Path)
}

// freeAddress returns a loopback address on which nobody listens.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// build makes the server's binary in a directory.
func build(directory string) (string, error) {
	binary := filepath.Join(directory, "gatehouse")
	command := exec.Command("go", "build", "-o", binary, "gatehouse/cmd/gatehouse")
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, output)
	}
	return binary, nil
}

// environment is ours without the variables that would configure the server.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "GATEHOUSE_") })
}

// serve starts the server with its configuration file. Its log goes to a file
// in the directory, as it does where the server is run.
func serve(core int, binary, directory, address string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(directory, "server.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{command: exec.Command(binary, "serve", "--config", filepath.Join(directory, configFile)), address: address}
	p.command.Stderr, p.command.Env = log, environment()
	began := time.Now()
	if err := start(core, p.command); err != nil {
		return nil, err
	}
	if err := p.answers(began, "/jwks"); err != nil {
		p.stop()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return p, nil
}

// limitArgument is the hidden first argument that makes this program the bare
// limit of one row.
const limitArgument = "bare-limit"

// startLimit starts the bare limit of a row in a process of its own.
func startLimit(core int, order limitOrder) (*process, limitHello, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, limitHello{}, err
	}
	text, err := json.Marshal(order)
	if err != nil {
		return nil, limitHello{}, err
	}
	p := &process{command: exec.Command(self, limitArgument)}
	p.command.Stdin = strings.NewReader(string(text))
	p.command.Stderr = os.Stderr
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, limitHello{}, err
	}
	if err := start(core, p.command); err != nil {
		return nil, limitHello{}, err
	}
	var hello limitHello
	if err := json.NewDecoder(bufio.NewReader(output)).Decode(&hello); err != nil {
		p.stop()
		return nil, limitHello{}, fmt.Errorf("the bare limit of %s: %w", order.Row, err)
	}
	go func() { _, _ = io.Copy(io.Discard, output) }()
	p.address = hello.Address
	return p, hello, nil
}
