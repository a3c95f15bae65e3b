package admin

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
)

const issuer = "https://id.example"

// desk is a database with what it takes to apply files to it.
type desk struct {
	*testing.T
	db     *store.Store
	hasher *secret.Hasher
}

func newDesk(t *testing.T) desk {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "gatehouse.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return desk{t, db, secret.NewHasher(secret.Params{MemoryKiB: 64, Passes: 1})}
}

func (d desk) tryApply(text string, options Options) (Report, error) {
	d.Helper()
	file, err := Decode([]byte(text), "tenant.yaml")
	if err != nil {
		d.Fatal(err)
	}
	return Apply(d.Context(), d.db, d.hasher, gatehouse.DefaultTenant, issuer, file, options)
}

// apply applies the text and compares the changes, line by line.
func (d desk) apply(text string, want ...string) Report {
	d.Helper()
	report, err := d.tryApply(text, Options{})
	if err != nil {
		d.Fatalf("apply: %v", err)
	}
	if got := strings.Join(report.Changes, "\n"); got != strings.Join(want, "\n") {
		d.Errorf("changes are\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	return report
}

func (d desk) refuse(text string, want ...string) {
	d.Helper()
	before := d.events()
	_, err := d.tryApply(text, Options{})
	if err == nil {
		d.Fatal("a file that is wrong was applied")
	}
	for _, words := range want {
		if !strings.Contains(err.Error(), words) {
			d.Errorf("the error is\n%v\nwhich does not say %q", err, words)
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != len(want) {
		d.Errorf("the error has %d lines, want %d:\n%v", got, len(want), err)
	}
	if d.events() != before {
		d.Error("a refused file left events")
	}
}

func (d desk) events() int {
	d.Helper()
	events, err := d.db.Events(d.Context(), gatehouse.DefaultTenant, gatehouse.EventFilter{Limit: 1000})
	if err != nil {
		d.Fatal(err)
	}
	return len(events)
}

func (d desk) client(id string) gatehouse.Client {
	d.Helper()
	client, found, err := d.db.Client(d.Context(), gatehouse.DefaultTenant, id)
	if err != nil || !found {
		d.Fatalf("client %s: found %v, %v", id, found, err)
	}
	return client
}

func (d desk) user(name string) gatehouse.User {
	d.Helper()
	user, found, err := d.db.UserByLogin(d.Context(), gatehouse.DefaultTenant, name)
	if err != nil || !found {
		d.Fatalf("user %s: found %v, %v", name, found, err)
	}
	return user
}

func (d desk) hasSecret(client gatehouse.Client, text string) bool {
	d.Helper()
	for _, stored := range client.Secrets {
		if same, err := isSecret(d.Context(), d.hasher, stored, secret.New(text)); err != nil {
			d.Fatal(err)
		} else if same {
			return true
		}
	}
	return false
}

const house = `
settings:
  name: Photo House
  code_lifetime: 2m
resources:
  - identifier: https://api.example/photos
    name: PhotoAPI
    scopes:
      photos:read: See your photos
      photos:write: Add photos
clients:
  - client_id: web
    client_secret: 0123456789abcdef0123456789abcdef
    client_name: Photo web
    redirect_uris: [https://photos.example/callback]
    grant_types: [authorization_code, refresh_token]
    scope: openid offline_access photos:read
  - client_id: spa
    token_endpoint_auth_method: none
    redirect_uris: [https://spa.example/callback]
users:
  - username: alice
    sub: "248289761001"
    password: wonderland-1865
    name: Alice Liddell
    email: alice@example.com
`

func TestApplyTwiceChangesNothing(t *testing.T) {
	d := newDesk(t)
	d.apply(house,
		"+ resource https://api.example/photos",
		"settings: code_lifetime: 2m",
		"settings: name: Photo House",
		"+ client web",
		"+ client spa",
		"+ user alice",
	)
	hash, events := d.user("alice").PasswordHash, d.events()
	d.apply(house)
	if d.user("alice").PasswordHash != hash {
		t.Error("the same password was hashed again")
	}
	if d.events() != events {
		t.Error("applying the same file left events")
	}
	if web := d.client("web"); !d.hasSecret(web, "0123456789abcdef0123456789abcdef") || web.Secrets[0].Kind != gatehouse.SecretSHA256 {
		t.Errorf("the given secret is not kept as SHA-256: %+v", web.Secrets)
	}
	if alice := d.user("alice@example.com"); alice.Subject != "248289761001" {
		t.Errorf("the given sub became %q", alice.Subject)
	}
}

func TestApplyShowsTheDifference(t *testing.T) {
	d := newDesk(t)
	d.apply(house, d.dryRun(house)...)
	changed := strings.NewReplacer(
		"https://photos.example/callback", "https://photos.example/cb",
		"client_name: Photo web", "client_name: Photos",
		"0123456789abcdef0123456789abcdef", "another-secret-of-32-characters-or-more",
		"wonderland-1865", "looking-glass-1871",
		"See your photos", "See all your photos",
		"Alice Liddell", "Alice Hargreaves",
		"code_lifetime: 2m", "refresh_grace: 0s",
	).Replace(house)
	want := []string{
		"resource https://api.example/photos: scopes.photos:read: See your photos -> See all your photos",
		"settings: code_lifetime: removed, was 2m",
		"settings: refresh_grace: 0s",
		"client web: client_name: Photo web -> Photos",
		"client web: redirect_uris: + https://photos.example/cb  - https://photos.example/callback",
		"client web: client_secret: changed",
		"user alice: name: Alice Liddell -> Alice Hargreaves",
		"user alice: password: changed",
	}
	if got := strings.Join(d.dryRun(changed), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("a dry run says\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	d.apply(changed, want...)
	d.apply(changed)
	web := d.client("web")
	if d.hasSecret(web, "0123456789abcdef0123456789abcdef") || !d.hasSecret(web, "another-secret-of-32-characters-or-more") {
		t.Error("the secret was not replaced")
	}
}

// dryRun returns the changes of a dry run, which must leave nothing behind.
func (d desk) dryRun(text string) []string {
	d.Helper()
	before := d.events()
	report, err := d.tryApply(text, Options{DryRun: true})
	if err != nil {
		d.Fatal(err)
	}
	if d.events() != before || len(report.Generated) > 0 {
		d.Error("a dry run changed something")
	}
	return report.Changes
}

func TestApplyLeavesAloneWhatTheFileDoesNotName(t *testing.T) {
	d := newDesk(t)
	d.apply(house, d.dryRun(house)...)
	d.apply("clients:\n  - client_id: extra\n    grant_types: [client_credentials]\n    scope: photos:write\n", "+ client extra")
	d.apply(house)
	if d.client("extra").Scope != "photos:write" {
		t.Error("the other client changed")
	}
	// An entry without secret or password keeps what is stored.
	d.apply(strings.NewReplacer("    client_secret: 0123456789abcdef0123456789abcdef\n", "", "    password: wonderland-1865\n", "").Replace(house))
}

func TestGeneratedCredentialsAreToldOnce(t *testing.T) {
	d := newDesk(t)
	const text = "clients:\n  - client_name: Nightly\n    grant_types: [client_credentials]\n"
	report, err := d.tryApply(text, Options{})
	if err != nil || len(report.Generated) != 1 || len(report.Clients) != 1 {
		t.Fatalf("report %+v, %v", report, err)
	}
	made := report.Generated[0]
	const other = "clients:\n  - client_name: Hourly\n    grant_types: [client_credentials]\n"
	if _, err := d.tryApply(other, Options{Unattended: true}); err == nil || !strings.Contains(err.Error(), "clients[0] (Hourly).client_secret: is missing") {
		t.Errorf("a secret that nobody would see was made: %v", err)
	}
	if _, err := d.tryApply(text, Options{Unattended: true}); err != nil {
		t.Errorf("a client that has a secret already: %v", err)
	}
	if made.ClientID != report.Clients[0] || made.ClientName != "Nightly" || len(made.ClientSecret.Reveal()) < MinSecretLength {
		t.Errorf("the credential is %q for %q", made.ClientID, made.ClientName)
	}
	if !d.hasSecret(d.client(made.ClientID), made.ClientSecret.Reveal()) {
		t.Error("the secret that was told is not the client's")
	}
	if again := d.apply(text); len(again.Generated) > 0 || again.Clients[0] != made.ClientID {
		t.Errorf("the second time made %+v", again)
	}
}

func TestSeveralSecretsAndRotation(t *testing.T) {
	d := newDesk(t)
	one, two := strings.Repeat("1", MinSecretLength), strings.Repeat("2", MinSecretLength)
	const head = "clients:\n  - client_id: m\n    grant_types: [client_credentials]\n"
	d.apply(head+"    client_secrets: ["+quoted(one)+", "+quoted(two)+"]\n", "+ client m")
	if m := d.client("m"); !d.hasSecret(m, one) || !d.hasSecret(m, two) {
		t.Error("two secrets were given and are not kept")
	}
	d.apply(head+"    client_secret: "+quoted(two)+"\n", "client m: client_secret: changed")
	if m := d.client("m"); d.hasSecret(m, one) || !d.hasSecret(m, two) {
		t.Error("the secret that left the file is still valid")
	}
	given := secret.Random()
	retire, err := RotateSecret(t.Context(), d.db, d.hasher, gatehouse.DefaultTenant, d.client("m"), given, 3600e9)
	if err != nil {
		t.Fatal(err)
	}
	m := d.client("m")
	for _, stored := range m.Secrets {
		if same, err := isSecret(t.Context(), d.hasher, stored, secret.New(two)); err != nil || same && !stored.ExpiresAt.Equal(retire) {
			t.Errorf("the old secret expires at %v, want %v (%v)", stored.ExpiresAt, retire, err)
		}
	}
	if !d.hasSecret(m, given.Reveal()) || !d.hasSecret(m, two) {
		t.Error("after a rotation with overlap both secrets must be there")
	}
	if _, err := RotateSecret(t.Context(), d.db, d.hasher, gatehouse.DefaultTenant, d.client("m"), secret.New("short"), 0); err == nil {
		t.Error("a short secret was taken")
	}
}

func quoted(text string) string { return `"` + text + `"` }

func TestDisabledIsPartOfTheFile(t *testing.T) {
	d := newDesk(t)
	d.apply(house, d.dryRun(house)...)
	off := strings.NewReplacer("client_id: spa\n", "client_id: spa\n    disabled: true\n", "username: alice\n", "username: alice\n    disabled: true\n").Replace(house)
	d.apply(off, "client spa: disabled", "user alice: disabled")
	d.apply(off)
	d.apply(house) // says nothing of it
	if !d.client("spa").Disabled() || !d.user("alice").Disabled() {
		t.Error("what the file does not mention was enabled again")
	}
	d.apply(strings.ReplaceAll(off, "disabled: true", "disabled: false"), "client spa: enabled", "user alice: enabled")
	born := "clients:\n  - client_id: m\n    disabled: true\n    grant_types: [client_credentials]\nusers:\n  - username: bob\n    disabled: true\n"
	d.apply(born, "+ client m", "+ user bob")
	if !d.client("m").Disabled() || !d.user("bob").Disabled() {
		t.Error("what the file makes as disabled is enabled")
	}
	d.apply(born)
}

func TestImportedPasswordHash(t *testing.T) {
	d := newDesk(t)
	phc, err := d.hasher.Hash(context.Background(), "wonderland-1865")
	if err != nil {
		t.Fatal(err)
	}
	text := "users:\n  - username: alice\n    password_hash: " + quoted(phc) + "\n"
	d.apply(text, "+ user alice")
	d.apply(text)
	alice := d.user("alice")
	if err := d.db.Rehash(t.Context(), gatehouse.DefaultTenant, alice.Subject, phc, strings.Replace(phc, "t=1", "t=2", 1)); err != nil {
		t.Fatal(err)
	}
	if report := d.apply(text); len(report.Notes) != 1 {
		t.Errorf("notes are %q, want one about the password that stays", report.Notes)
	}
}

func TestWeaknessesAreReported(t *testing.T) {
	d := newDesk(t)
	report := d.apply(`
clients:
  - client_id: old
    client_secret: short
    insecure_short_secret: true
    profile: oidc
    redirect_uris: [https://old.example/cb]
`, "+ client old")
	if len(report.Weak) != 2 {
		t.Errorf("weak are %q", report.Weak)
	}
	if old := d.client("old"); old.Secrets[0].Kind != gatehouse.SecretArgon2id || !d.hasSecret(old, "short") {
		t.Errorf("the short secret is kept as %+v", old.Secrets)
	}
}
