package faults

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/spec"
)

// versionBefore builds the program of the last commit before the newest migration
// of the tables, out of the history of this checkout.
func versionBefore(t *testing.T) (binary string) {
	t.Helper()
	migrations, err := filepath.Glob("../internal/store/migrations/*.sql")
	if err != nil || len(migrations) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	newest := slices.Max(migrations)
	commit, err := git("log", "-1", "--format=%H", "--diff-filter=A", "--", strings.TrimPrefix(newest, "../"))
	before := strings.TrimSpace(string(commit)) + "^"
	if err == nil && before == "^" {
		before = "HEAD" // the migration is not committed yet
	}
	var sources []byte
	if err == nil {
		sources, err = git("archive", "--format=tar", before)
	}
	if err != nil {
		if os.Getenv("GATEHOUSE_TEST_SERVICES") == "1" {
			t.Fatalf("the version before %s cannot be had; a full clone is needed: %v", filepath.Base(newest), err)
		}
		t.Skipf("needs the version before %s, and with it a full clone: %v", filepath.Base(newest), err)
	}
	directory := t.TempDir()
	if err := unpack(sources, directory); err != nil {
		t.Fatal(err)
	}
	if binary, err = build(directory, directory, []string{"GOPROXY=off"}); err != nil {
		// A module of then that is not here any more: by those of now.
		for _, name := range []string{"go.mod", "go.sum"} {
			text, err := os.ReadFile(filepath.Join("..", name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(directory, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if binary, err = build(directory, directory, []string{"GOPROXY=off"}); err != nil {
			t.Fatal(err)
		}
	}
	return binary
}

func git(arguments ...string) ([]byte, error) {
	command := exec.Command("git", append([]string{"-C", "..", "-c", "safe.directory=*"}, arguments...)...)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		err = fmt.Errorf("git %s: %w: %s", arguments[0], err, complaint.String())
	}
	return output, err
}

// unpack writes the files of an archive that we made.
func unpack(archive []byte, into string) error {
	root, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	defer root.Close()
	for files := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch header.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(filepath.Clean(header.Name), 0o700)
		case tar.TypeReg:
			var text []byte
			if text, err = io.ReadAll(files); err == nil {
				err = root.WriteFile(header.Name, text, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
}

// rotation are the servers that a load balancer sends requests to.
type rotation struct {
	mu      sync.Mutex
	serving []*server
	under   sync.WaitGroup
	served  atomic.Int64 // acts that were answered
}

// use has a request served by one of them, and says whether it went well.
func (r *rotation) use(nth int, do func(at *server) bool) bool {
	r.mu.Lock()
	if len(r.serving) == 0 {
		r.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		return true
	}
	at := r.serving[nth%len(r.serving)]
	r.under.Add(1)
	r.mu.Unlock()
	defer r.under.Done()
	if !do(at) {
		return false
	}
	r.served.Add(1)
	return true
}

// become changes who serves, and returns when nobody else is asked any more.
func (r *rotation) become(serving ...*server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serving = serving
	r.under.Wait()
}

// load has everybody at work until stop is called: each act has to be answered.
func (r *rotation) load(t *testing.T, all []*account) (stop func()) {
	quit := make(chan struct{})
	var work sync.WaitGroup
	for _, a := range all {
		work.Go(func() {
			for nth := 0; ; nth++ {
				select {
				case <-quit:
					return
				default:
				}
				if !r.use(nth, a.act) {
					t.Errorf("%s found no answer: %v", a.name, a.unanswered)
					return
				}
			}
		})
	}
	return func() {
		close(quit)
		work.Wait()
	}
}

// beside lets versions serve beside each other for a while, and until there was
// something to serve, however busy the machine is.
func (r *rotation) beside() {
	least := time.Second
	if nightly() {
		least = 10 * time.Second
	}
	served := r.served.Load() + 10*accounts
	for begin := time.Now(); time.Since(begin) < least || r.served.Load() < served && time.Since(begin) < readyWithin; {
		time.Sleep(10 * time.Millisecond)
	}
}

// TestUpgradeUnderLoad has the version before and this one on one database, from
// before the newest migration until after it, while everybody is at work.
func TestUpgradeUnderLoad(t *testing.T) {
	spec.Covers(t, "FT-26")
	t.Parallel()
	before := versionBefore(t)
	onEach(t, func(t *testing.T, database string, servers int) {
		h := bareHouse(t, database, servers)
		for _, s := range h.servers {
			s.binary = before
		}
		h.furnish().start()
		var all []*account
		for i := range accounts {
			all = append(all, newAccount(t, fmt.Sprint("user", i)))
		}
		balancer := &rotation{}
		balancer.become(h.servers...)
		stop := sync.OnceFunc(balancer.load(t, all))
		defer stop()
		balancer.beside()
		if servers == 1 {
			h.upgradesFile(balancer)
		} else {
			h.upgradesOneByOne(balancer)
		}
		balancer.beside()
		stop()
		each(t, all, func(i int, a *account) error {
			return errors.Join(a.settles(h.servers[i%servers], true), a.usable(h.servers[i%servers]))
		})
		refreshes := 0
		for _, a := range all {
			refreshes += a.answered[refreshing]
		}
		if refreshes < 5*accounts || h.putOff.Load() > int64(refreshes)/5 {
			t.Errorf("%d refreshes were answered meanwhile, and %d requests put off", refreshes, h.putOff.Load())
		}
		events := h.events()
		each(t, all, func(_ int, a *account) error { return a.told(events) })
	})
}

// upgradesOneByOne replaces one server after the other. In between one goes back:
// the old server that still runs serves alone, on the new tables.
func (h *house) upgradesOneByOne(balancer *rotation) {
	h.Helper()
	old, new := h.servers[0], h.servers[1]
	balancer.become(old)
	new.stop()
	new.binary = built
	new.start()
	balancer.become(old, new)
	balancer.beside()
	balancer.become(old)
	new.stop()
	new.wantsNewer(old.binary)
	balancer.beside()
	new.start()
	balancer.become(new)
	old.stop()
	old.binary = built
	old.start()
	balancer.become(old, new)
}

// upgradesFile has a command of the new version change the tables under the old
// server, and then replaces the server.
func (h *house) upgradesFile(balancer *rotation) {
	h.Helper()
	s := h.servers[0]
	old := s.binary
	s.binary = built
	h.must(s.gatehouse("client", "list"))
	balancer.beside()
	balancer.become()
	s.stop()
	s.wantsNewer(old)
	s.start()
	balancer.become(s)
}

// wantsNewer fails unless an old program refuses the tables, and says why.
func (s *server) wantsNewer(old string) {
	s.Helper()
	command := exec.Command(old, "serve", "--config", s.configFile())
	command.Env = environment()
	said, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "newer version") {
		s.Errorf("the old program ends with %v and says %s", err, said)
	}
}
