package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatehouse/internal/store/postgrestest"
)

const operationsPages = "../../docs/operations/"

// shellBlock is what a page tells to type.
var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// commandsOf returns what a page tells to type, in the sections of some
// headings, "" for what comes before the first one.
func commandsOf(t *testing.T, page string, headings ...string) string {
	t.Helper()
	text, err := os.ReadFile(operationsPages + page)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for section := range strings.SplitSeq("## \n"+string(text), "\n## ") {
		heading, body, _ := strings.Cut(strings.TrimPrefix(section, "## "), "\n")
		for _, block := range shellBlock.FindAllStringSubmatch(body, -1) {
			sections[heading] += block[1]
		}
	}
	commands := ""
	for _, heading := range headings {
		if sections[heading] == "" {
			t.Fatalf("%s tells nothing to type under %q", page, heading)
		}
		commands += sections[heading]
	}
	return commands
}

// operator is who follows the pages: with a shell, a place of its own and a
// systemctl that starts and stops one server.
type operator struct {
	*testing.T
	env map[string]string
}

const systemctl = `#!/bin/sh
case $1 in
start)
  gatehouse serve --config "$CONFIG" >>"$PLACE/server.log" 2>&1 &
  echo $! >"$PLACE/pid"
  for i in $(seq 300); do
    curl --silent --fail --output /dev/null "$ISSUER/readyz" && exit 0
    kill -0 $! || break
    sleep 0.1
  done
  tail -5 "$PLACE/server.log" >&2
  exit 1 ;;
stop)
  [ -e "$PLACE/pid" ] || exit 0
  pid=$(cat "$PLACE/pid"); rm "$PLACE/pid"
  kill -TERM "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done ;;
esac
`

func newOperator(t *testing.T) *operator {
	t.Helper()
	for _, program := range []string{"bash", "curl", "sqlite3"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("GATEHOUSE_TEST_SERVICES") == "1" {
				t.Fatalf("%s is not installed; scripts/test installs it", program)
			}
			t.Skipf("%s is not installed", program)
		}
	}
	place, self := t.TempDir(), ""
	var err error
	if self, err = os.Executable(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	o := &operator{t, map[string]string{
		"PLACE": place, "CONFIG": place + "/gatehouse.yaml", "DATA": place + "/data", "SAFE": place + "/safe", "BACKUP": place + "/backup",
		"BIN": place + "/bin", "NEW": place + "/new", "ISSUER": "http://" + address,
		"PATH": place + "/bin:" + os.Getenv("PATH"),
		// The server of a test has to be quick, not strong.
		"GATEHOUSE_PASSWORD_HASHING_MEMORY_MIB": "19", "GATEHOUSE_PASSWORD_HASHING_PASSES": "1",
	}}
	for _, directory := range []string{"safe", "backup", "bin", "new"} {
		if err := os.Mkdir(filepath.Join(place, directory), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"gatehouse.yaml": fmt.Sprintf("public_url: http://%s\nlisten: %s\ndata: ./data\napply: ./tenant.yaml\n", address, address),
		"tenant.yaml":    "clients:\n  - client_id: svc\n    client_name: Service\n    client_secret: a-secret-of-a-service-that-is-long\n    grant_types: [client_credentials]\n",
		"bin/systemctl":  systemctl,
	} {
		if err := os.WriteFile(filepath.Join(place, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"bin/gatehouse", "new/gatehouse"} { // testscript goes by the name
		if err := os.Symlink(self, filepath.Join(place, link)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { o.types("systemctl stop gatehouse") })
	return o
}

// types has a shell run commands, to the first that fails.
func (o *operator) types(commands string) string {
	o.Helper()
	shell := exec.Command("bash", "-euo", "pipefail", "-c", commands)
	shell.Env = os.Environ()
	for name, value := range o.env {
		shell.Env = append(shell.Env, name+"="+value)
	}
	log, err := os.CreateTemp(o.env["PLACE"], "typed")
	if err != nil {
		o.Fatal(err)
	}
	defer log.Close()
	shell.Stdout, shell.Stderr = log, log // a pipe would be held by the server
	err = shell.Run()
	said, _ := os.ReadFile(log.Name())
	if err != nil {
		server, _ := os.ReadFile(filepath.Join(o.env["PLACE"], "server.log"))
		o.Fatalf("%v\n%s\nsays %s\nthe server's log:\n%s", err, commands, said, server)
	}
	return string(said)
}

const askForToken = `curl --silent --fail --user svc:a-secret-of-a-service-that-is-long --data grant_type=client_credentials "$ISSUER/token" >"$PLACE/token"
curl --silent --fail "$ISSUER/jwks"
`

// serves returns the key set of a server that also issues a token.
func (o *operator) serves() string {
	o.Helper()
	return o.types(askForToken)
}

// clients returns the clients as the command lists them.
func (o *operator) clients() string {
	o.Helper()
	return o.types(`gatehouse client list --config "$CONFIG"`)
}

const addLater = `gatehouse client add --client-name Later --client-id later --redirect-uri https://later.example/cb --config "$CONFIG"`

func TestBackupAndRestoreOfSQLite(t *testing.T) {
	o := newOperator(t)
	o.types("systemctl start gatehouse")
	keys := o.serves()
	commands := commandsOf(t, "backup-and-restore.md", "", "SQLite")
	backup, restore, found := strings.Cut(commands, "systemctl start gatehouse\n")
	if !found {
		t.Fatal("the page does not start the server again")
	}
	o.types(backup + "systemctl start gatehouse")
	o.types(addLater)
	if list := o.clients(); !strings.Contains(list, "later") {
		t.Fatal(list)
	}
	o.types(restore)
	if again := o.serves(); again != keys {
		t.Errorf("the keys were %s, they are %s", keys, again)
	}
	if list := o.clients(); strings.Contains(list, "later") || !strings.Contains(list, "svc") {
		t.Errorf("the restored database has %s", list)
	}
}

func TestUpgrade(t *testing.T) {
	o := newOperator(t)
	o.types("systemctl start gatehouse")
	keys := o.serves()
	// The program is a link here, under the name by which it is found.
	commands := strings.Replace(commandsOf(t, "upgrade.md", ""), "install -m 755", "cp --no-dereference --remove-destination", 1)
	if said := o.types(commands); !strings.Contains(said, "gatehouse") {
		t.Errorf("the version is %s", said)
	}
	if again := o.serves(); again != keys {
		t.Errorf("the keys were %s, they are %s", keys, again)
	}
	// The other way: the database is newer than the program.
	o.types(`systemctl stop gatehouse
		sqlite3 "$DATA/gatehouse.db" "INSERT INTO migrations SELECT MAX(number) + 1, 'next', 0 FROM migrations"`)
	o.types(`! systemctl start gatehouse; grep --quiet "newer version" "$PLACE/server.log"; rm -f "$PLACE/pid"`)
	o.types(`cp "$BACKUP/before-upgrade.db" "$DATA/gatehouse.db"; systemctl start gatehouse`)
	o.serves()
}

func TestSetUpBackupAndRestoreOfPostgreSQL(t *testing.T) {
	o := newOperator(t)
	admin, err := url.Parse(postgrestest.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("gatehouse_ops_%d", os.Getpid())
	own := *admin
	own.User, own.Path = url.UserPassword(name, "a-password"), "/"+name
	o.env["ADMIN"], o.env["NAME"], o.env["PASSWORD"], o.env["DATABASE"] = admin.String(), name, "a-password", own.String()
	o.env["GATEHOUSE_DATABASE"] = own.String()
	t.Cleanup(func() {
		o.types(`systemctl stop gatehouse; psql "$ADMIN" --command "DROP DATABASE IF EXISTS $NAME WITH (FORCE)" --command "DROP ROLE IF EXISTS $NAME"`)
	})
	setUp := commandsOf(t, "postgresql.md", "Set up")
	withoutKeys := strings.Replace(setUp, `gatehouse keys init --config "$CONFIG"`, "", 1)
	o.types(strings.Replace(withoutKeys, "systemctl start gatehouse", "", 1))
	o.types(`! systemctl start gatehouse; grep --quiet "gatehouse keys init" "$PLACE/server.log"; rm -f "$PLACE/pid"`)
	o.types(`psql "$ADMIN" --command "DROP DATABASE $NAME WITH (FORCE)" --command "DROP ROLE $NAME"`)
	o.types(setUp)
	keys := o.serves()

	commands := commandsOf(t, "backup-and-restore.md", "", "PostgreSQL")
	backup, restore, found := strings.Cut(commands, "systemctl stop gatehouse\n")
	if !found {
		t.Fatal("the page does not stop the server")
	}
	o.types(backup)
	o.types(addLater)
	o.types("systemctl stop gatehouse\n" + restore)
	if again := o.serves(); again != keys {
		t.Errorf("the keys were %s, they are %s", keys, again)
	}
	if list := o.clients(); strings.Contains(list, "later") || !strings.Contains(list, "svc") {
		t.Errorf("the restored database has %s", list)
	}
	// A server with another key does not start.
	o.types(`systemctl stop gatehouse; mv "$DATA/gatehouse.key" "$DATA/kept.key"
		GATEHOUSE_DATABASE="$PLACE/other.db" gatehouse keys init --config "$CONFIG"
		! systemctl start gatehouse; grep --quiet "put the right key file in place" "$PLACE/server.log"; rm -f "$PLACE/pid"
		mv "$DATA/kept.key" "$DATA/gatehouse.key"; systemctl start gatehouse`)
}
