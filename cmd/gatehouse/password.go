package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"gatehouse/internal/secret"
)

// maxSecretInput bounds what is read from standard input for a secret.
const maxSecretInput = 4096

// interactive says whether a person sits at standard input.
func (t terminal) interactive() (*os.File, bool) {
	file, ok := t.in.(*os.File)
	return file, ok && term.IsTerminal(int(file.Fd()))
}

// readSecret reads one line, without its end, from standard input.
func (t terminal) readSecret() (secret.String, error) {
	text, err := io.ReadAll(io.LimitReader(t.in, maxSecretInput+1))
	if err != nil {
		return secret.String{}, fmt.Errorf("standard input: %w", err)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case len(text) > maxSecretInput:
		return secret.String{}, errors.New("standard input is too long for a secret")
	case line == "":
		return secret.String{}, errors.New("standard input is empty")
	case strings.ContainsAny(line, "\r\n"):
		return secret.String{}, errors.New("standard input has more than one line")
	}
	return secret.New(line), nil
}

// askPassword asks for a new password, twice and without echo.
func (t terminal) askPassword(try string) (secret.String, error) {
	file, interactive := t.interactive()
	if !interactive {
		return secret.String{}, misused(try, "there is no terminal to ask for the password at")
	}
	var typed [2][]byte
	for i, prompt := range []string{"New password: ", "Again: "} {
		fmt.Fprint(t.err, prompt)
		text, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(t.err)
		if err != nil {
			return secret.String{}, fmt.Errorf("reading the password: %w", err)
		}
		typed[i] = text
	}
	if !secret.Equal(typed[0], typed[1]) {
		return secret.String{}, failed("the same command again", "the two passwords differ; nothing was changed")
	}
	return secret.New(string(typed[0])), nil
}

// confirm asks before something is removed for good.
func (t terminal) confirm(question, try string) error {
	if _, interactive := t.interactive(); !interactive {
		return misused(try, "there is no terminal to ask whether you are sure")
	}
	fmt.Fprint(t.err, question+" [y/N] ")
	answer, err := bufio.NewReader(io.LimitReader(t.in, maxSecretInput)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return failed("", "nothing was changed")
	}
	return nil
}
