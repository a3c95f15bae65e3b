package dev

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gatehouse/internal/secret"
)

// noteName is the file in a data directory that marks it as the developer's
// stage and keeps the secrets that the database has only as hashes, so that
// what is printed stays true over restarts.
const noteName = "dev.json"

// databaseName is the file that package server makes in a data directory.
const databaseName = "gatehouse.db"

// note is what noteName holds.
type note struct {
	// API is PhotoAPI's identifier, kept once it is made: grants, consents and
	// tokens name it. It is the address that PhotoAPI had first.
	API string
	// Ports are those of the last start, zeros before the first.
	Ports ports
	// Furnished says that the demonstration was put into the database once.
	Furnished bool
	// Secrets by client_id.
	Secrets map[string]secret.String
}

// noteText is a note as it is written: the one place where the secrets are in
// clear.
type noteText struct {
	About   string            `json:"about"`
	API     string            `json:"api"`
	Ports   ports             `json:"ports"`
	Done    bool              `json:"furnished"`
	Secrets map[string]string `json:"client_secrets"`
}

const noteAbout = "Written by gatehouse dev: the addresses and client secrets of this demonstration, for this machine only."

// readNote reads the note of a data directory, an empty one when there is
// none. It refuses a directory with a database that dev did not make: the
// demonstration's passwords have no place in it.
func readNote(directory string) (note, error) {
	name := filepath.Join(directory, noteName)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		_, err := os.Stat(filepath.Join(directory, databaseName))
		if err == nil {
			return note{}, fmt.Errorf("%s has a database that gatehouse dev did not make. Everybody knows the passwords of the demonstration users, so choose another directory for --data", directory)
		}
		return note{Secrets: map[string]secret.String{}}, nil
	}
	if err != nil {
		return note{}, err
	}
	var text noteText
	if err := json.Unmarshal(data, &text); err != nil {
		return note{}, fmt.Errorf("%s cannot be read (%w); write {} into it to have new client secrets made", name, err)
	}
	n := note{API: text.API, Ports: text.Ports.sound(), Furnished: text.Done, Secrets: map[string]secret.String{}}
	for client, clear := range text.Secrets {
		n.Secrets[client] = secret.New(clear)
	}
	return n, nil
}

// write replaces the note of a data directory, readable by its owner alone.
func (n note) write(directory string) (err error) {
	text := noteText{About: noteAbout, API: n.API, Ports: n.Ports, Done: n.Furnished, Secrets: map[string]string{}}
	for client, hidden := range n.Secrets {
		text.Secrets[client] = hidden.Reveal()
	}
	data, err := json.MarshalIndent(text, "", "  ")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(directory, noteName+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, err = file.Write(append(data, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), filepath.Join(directory, noteName))
}

// fill makes the secrets of demonstration clients that have none yet.
func (n note) fill() {
	for _, client := range confidential {
		if n.Secrets[client].IsZero() {
			n.Secrets[client] = secret.Random()
		}
	}
}
