package faults

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"gatehouse/internal/spec"
	"gatehouse/internal/store/postgrestest"
)

// limitFiles bounds the files that a running process writes, in bytes: what it
// writes beyond is refused, as on a disk without room (prlimit(2)). The mark is
// soft, so that it can be lifted again.
func (s *server) limitFiles(bytes uint64) {
	s.Helper()
	limit := syscall.Rlimit{Cur: bytes, Max: unlimited}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(s.process.Process.Pid), rlimitFileSize, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 {
		s.Fatalf("prlimit: %v", errno)
	}
}

const (
	rlimitFileSize = 1 // RLIMIT_FSIZE
	unlimited      = ^uint64(0)
	// noRoom is less than any file of ours has already.
	noRoom = 1024
)

// wantsNoRoom fails unless acts that write are told to come again, nothing of them
// is left, and what only reads goes on.
func (w *witness) wantsNoRoom(a *account) {
	w.Helper()
	l := a.lives[0]
	for what, ask := range map[string]func() (answer, error){
		"refresh":   func() (answer, error) { return w.refresh(l.refresh) },
		"revoke":    func() (answer, error) { return w.revoke(l.refresh) },
		"authorize": func() (answer, error) { return w.do(a.http, http.MethodGet, authorization(a.scope, ""), nil) },
	} {
		if said, err := ask(); err != nil || !said.notNow() {
			w.Errorf("%s: %d %v %s %v", what, said.status, said.header, said.text, err)
		}
	}
	for _, token := range []string{l.access, l.refresh} {
		if said, err := w.introspect(token); err != nil || said.member("active") != "true" {
			w.Errorf("introspection: %d %s %v", said.status, said.text, err)
		}
	}
	w.wantsRest()
}

// wantsTokensWithoutRow fails unless a client's own token is given, or refused.
func (w *witness) wantsTokensWithoutRow(status int) {
	w.Helper()
	said, err := w.service()
	if err != nil || said.status != status || status != http.StatusOK && !said.notNow() {
		w.Errorf("a token without a row: %d %v %s %v", said.status, said.header, said.text, err)
	}
}

// TestNoRoomForFiles lets no file grow, now and then, while everybody is at work:
// neither the database nor the log.
func TestNoRoomForFiles(t *testing.T) {
	t.Parallel()
	spec.Covers(t, "FT-20")
	w := newWitness(t, "")
	goroutines := w.goroutines()
	w.impatient = true
	w.limitFiles(noRoom)
	w.wantsNoRoom(w.accounts[0])
	w.wantsTokensWithoutRow(http.StatusServiceUnavailable) // nor does the log grow
	w.limitFiles(unlimited)
	w.recovers(goroutines)
	w.wantsTokensWithoutRow(http.StatusOK)
	for range rounds() / 2 {
		w.interrupts(w.accounts, func(<-chan struct{}) {}, func() {
			w.limitFiles(noRoom)
			time.Sleep(time.Duration(rand.Int64N(int64(longestLife / 10))))
		})
		w.limitFiles(unlimited)
		each(t, w.accounts, func(_ int, a *account) error { return a.settles(w.server, false) })
	}
	each(t, w.accounts, func(_ int, a *account) error { return errors.Join(a.settles(w.server, true), a.usable(w.server)) })
	events := w.events()
	each(t, w.accounts, func(_ int, a *account) error { return a.told(events) })
	w.wantActs(w.accounts, redeeming, refreshing, revoking, issuing)
}

// TestNoRoomOnTheDisk fills a small file system of the server's own. The log is on
// another one.
func TestNoRoomOnTheDisk(t *testing.T) {
	t.Parallel()
	spec.Covers(t, "FT-20")
	ownMounts := func(command *exec.Cmd, script string) {
		command.Args = append([]string{"sh", "-ec", script, "sh", command.Path}, command.Args[1:]...)
		command.Path = "/bin/sh"
		command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if os.Getuid() != 0 {
			own := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			ownGroup := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
			command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			command.SysProcAttr.UidMappings, command.SysProcAttr.GidMappings = own, ownGroup
		}
	}
	h := bareHouse(t, "", 1)
	s := h.servers[0]
	data := filepath.Join(h.directory, s.name)
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	mount := "mount --make-rprivate /; mount -t tmpfs -o size=4m,mode=700 none " + data + "; "
	trial := exec.Command("true")
	ownMounts(trial, mount+`exec "$@"`)
	if said, err := trial.CombinedOutput(); err != nil {
		t.Logf("nobody may mount a file system here, so TestNoRoomForFiles has to do: %v %s", err, said)
		return
	}
	s.limited = func(command *exec.Cmd) { ownMounts(command, mount+`exec "$@"`) }
	s.configure("metrics: {listen: " + s.metrics + "}\napply: " + h.directory + "/tenant.yaml")
	w := witnessOf(t, h.start())
	goroutines := w.goroutines()

	filler := filepath.Join("/proc", fmt.Sprint(s.process.Process.Pid), "root", data, "filler")
	w.impatient = true
	fill(t, filler)
	w.wantsNoRoom(w.accounts[0])
	w.wantsTokensWithoutRow(http.StatusOK)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.recovers(goroutines)
}

// fill writes a file as long as there is room.
func fill(t *testing.T, name string) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for size := 1 << 20; size > 0; {
		_, err := file.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
}

// TestNoRoomForTheLog gives the log no room at all.
func TestNoRoomForTheLog(t *testing.T) {
	t.Parallel()
	spec.Covers(t, "FT-20")
	h := newHouse(t, "", 1)
	h.servers[0].limited = func(command *exec.Cmd) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = full.Close() })
		command.Stderr = full
	}
	s := h.start().servers[0]
	a := newAccount(t, "user0")
	for range 5 {
		a.act(s)
	}
	if len(a.unanswered) != 0 {
		t.Errorf("acts that rows tell of were not answered: %v", a.unanswered)
	}
	h.impatient = true
	said, err := s.service()
	if err != nil || !said.notNow() {
		t.Errorf("a token of which nothing tells: %d %s %v", said.status, said.text, err)
	}
}

// TestNoRoomInPostgreSQL has the database say that its disk is full.
func TestNoRoomInPostgreSQL(t *testing.T) {
	t.Parallel()
	spec.Covers(t, "FT-20")
	at := postgrestest.Schema(t)
	w := newWitness(t, at)
	goroutines := w.goroutines()
	for _, command := range []string{
		`CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$`,
		`CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON grants FOR EACH ROW EXECUTE FUNCTION no_room()`,
	} {
		postgrestest.Run(t, at, command)
	}
	w.impatient = true
	w.wantsNoRoom(w.accounts[0])
	w.wantsTokensWithoutRow(http.StatusOK)
	postgrestest.Run(t, at, "DROP FUNCTION no_room CASCADE")
	w.recovers(goroutines)
}

// TestSomebodyHoldsTheFile begins to write to the file from outside, as a shell
// does, and goes for a walk.
func TestSomebodyHoldsTheFile(t *testing.T) {
	t.Parallel()
	spec.Covers(t, "FT-17")
	w := newWitness(t, "")
	goroutines := w.goroutines()
	db, err := sql.Open("sqlite", filepath.Join(w.directory, w.name, "gatehouse.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	w.impatient = true
	each(t, w.accounts, func(_ int, a *account) error {
		asked := time.Now()
		w.wantsNoRoom(a)
		if took := overdue(asked, 3*told); took > 0 { // three acts
			return fmt.Errorf("it took %v", took)
		}
		return nil
	})
	w.wantsTokensWithoutRow(http.StatusOK)
	w.awaits("/readyz", http.StatusOK, recoversWithin)
	if _, err := db.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	w.recovers(goroutines)
}
