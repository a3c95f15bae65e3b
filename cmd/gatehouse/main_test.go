package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse"
	"gatehouse/internal/keyring"
	"gatehouse/internal/server"
	"gatehouse/internal/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gatehouse": main})
}

// TestCommands runs the transcripts in testdata. Beside testscript's own
// commands they have `database DIR`, which makes an empty database as a
// server's first start does, `ready DIR`, which waits until a server on that
// data answers, and `kid ALGORITHM`, which sets KID to the key that signs.
func TestCommands(t *testing.T) {
	update := os.Getenv("UPDATE_TRANSCRIPTS") != ""
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       update,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GATEHOUSE_PASSWORD_HASHING_MEMORY_MIB", "19")
			env.Setenv("GATEHOUSE_PASSWORD_HASHING_PASSES", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"database": makeDatabase, "ready": awaitServer, "kid": keyInUse},
	})
}

func makeDatabase(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: database DIR")
	}
	directory := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(directory, 0o700))
	db, err := store.Open(context.Background(), store.Config{Path: filepath.Join(directory, "gatehouse.db")})
	ts.Check(err)
	ts.Check(db.Close())
}

// keyInUse sets KID to the signing key of an algorithm that is in use.
func keyInUse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: kid ALGORITHM")
	}
	db, err := store.Open(context.Background(), store.Config{Path: filepath.Join(ts.MkAbs(ts.Getenv("GATEHOUSE_DATA")), "gatehouse.db")})
	ts.Check(err)
	keys, err := shownKeys(context.Background(), database{db, gatehouse.DefaultTenant})
	ts.Check(err)
	ts.Check(db.Close())
	for _, key := range keys {
		if key.Algorithm == args[0] && key.State == keyring.InUse {
			ts.Setenv("KID", key.KID)
			return
		}
	}
	ts.Fatalf("no %s key is in use", args[0])
}

func awaitServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready DIR")
	}
	socket := server.ControlSocket(ts.MkAbs(args[0]))
	for range 1000 {
		if info, err := os.Stat(socket); err == nil && info.Mode().Type() == fs.ModeSocket {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("no server on %s", args[0])
}
