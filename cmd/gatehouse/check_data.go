package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"gatehouse"
	"gatehouse/egress"
	"gatehouse/internal/admin"
	"gatehouse/internal/keyring"
	"gatehouse/internal/seal"
	"gatehouse/internal/secret"
)

const (
	// toleratedLead is how far the database's clock may be from this machine's.
	toleratedLead = 10 * time.Second
	// clientsAtOnce is how many clients are read at once.
	clientsAtOnce = 500
)

func (e *examination) checkClock(db database) {
	lead := db.ClockOffset()
	if lead == 0 {
		lead = time.Until(db.Now())
	}
	if lead.Abs() > toleratedLead {
		e.warn("clock", "set this machine's clock, and keep it set (NTP)", "the database's clock is %s off this machine's", lead.Round(time.Second))
		return
	}
	e.ok("clock", "the database and this machine agree")
}

func (e *examination) checkKeys(ctx context.Context, db database, kek seal.Key, readable bool) {
	recorded, found, err := db.KeyEncryptionKey(ctx)
	switch {
	case err != nil:
		e.fail("keys", "the database", "%s", err)
		return
	case !found:
		e.warn("keys", "start the server once; on PostgreSQL, gatehouse keys init first", "the database has none yet")
		return
	case !readable:
		e.fail("keys", "put the key file back from its backup", "the database was sealed with key %08x, and the key file cannot be read", recorded.ID)
		return
	}
	if _, err := keyring.Open(ctx, db, kek); err != nil {
		e.fail("keys", "the key file that belongs to this database, from its backup", "%s", err)
		return
	}
	e.ok("keys", "the key file belongs to the database")
	e.checkAges(ctx, db)
}

// checkAges looks how long the tenant's keys have been in use.
func (e *examination) checkAges(ctx context.Context, db database) {
	keys, err := shownKeys(ctx, db)
	if err != nil {
		e.fail("keys", "the database", "%s", err)
		return
	}
	policy, err := policyOf(ctx, db)
	if err != nil {
		e.fail("keys", "the database", "%s", err)
		return
	}
	now, used := db.Now(), 0
	for _, key := range keys {
		if key.State != keyring.InUse {
			continue
		}
		used++
		kind := string(key.Purpose)
		if key.Algorithm != "" {
			kind += " " + key.Algorithm
		}
		age := now.Sub(key.SignFrom)
		if age > policy.Rotation+policy.Wait {
			e.warn("keys", "start the server, which rotates by itself, or gatehouse keys rotate", "%s (%s) has been in use for %s, longer than key_rotation", key.KID, kind, days(age))
			continue
		}
		e.ok("keys", "%s (%s) has been in use for %s", key.KID, kind, days(age))
	}
	if used == 0 {
		e.fail("keys", "start the server, which makes keys", "none is in use")
	}
}

// days is an age in whole days.
func days(age time.Duration) string {
	if n := int(age / (24 * time.Hour)); n > 0 {
		return plural(n, "day")
	}
	return "less than a day"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (e *examination) checkClients(ctx context.Context, db database) {
	hosts, err := admin.HostsOf(ctx, db, e.process.PublicURL)
	count, wrong := 0, 0
	if err == nil {
		err = eachClient(ctx, db, func(client gatehouse.Client) {
			count++
			for _, sentence := range admin.Weaknesses(client) {
				wrong++
				e.warn("clients", weaknessRemedy(client), "%s", sentence)
			}
			for _, sentence := range admin.Misplaced(client, hosts) {
				wrong++
				e.fail("clients", "a URI of the application's own in its place, with gatehouse apply", "%s", sentence)
			}
		})
	}
	if err != nil {
		e.fail("clients", "the database", "%s", err)
		return
	}
	if wrong == 0 {
		e.ok("clients", "%s, none with a weakening switch", plural(count, "client"))
	}
}

func weaknessRemedy(client gatehouse.Client) string {
	if client.InsecureShortSecret {
		return "gatehouse client rotate-secret " + client.ID + ", and no insecure_short_secret"
	}
	return "profile oauth2.1, once the client sends PKCE"
}

const mendTenant = "mend the file; docs/tenant.example.yaml names everything that can be in it"

func (e *examination) readTenantFile() (admin.File, bool) {
	text, err := os.ReadFile(e.process.Apply)
	if err != nil {
		e.fail("apply", "a tenant file that this user may read", "%s", err)
		return admin.File{}, false
	}
	file, err := admin.Decode(text, e.process.Apply)
	if err != nil {
		e.failAll("apply", mendTenant, err)
		return admin.File{}, false
	}
	return file, true
}

// checkTenantText checks the tenant file where there is no database yet.
func (e *examination) checkTenantText() {
	if e.process.Apply == "" {
		return
	}
	if _, understood := e.readTenantFile(); understood {
		e.ok("apply", "%s is understood; the rest shows when there is a database", e.process.Apply)
	}
}

// checkTenantFile applies the tenant file without writing anything.
func (e *examination) checkTenantFile(ctx context.Context, db database, outbound *egress.Client) {
	if e.process.Apply == "" {
		return
	}
	file, understood := e.readTenantFile()
	if !understood {
		return
	}
	options := admin.Options{DryRun: true, Actor: "check", Unattended: true}
	if outbound != nil {
		options.Fetch = outbound
	}
	report, err := admin.Apply(ctx, db, secret.NewHasher(hashingOf(e.process)), db.tenant, e.process.PublicURL, file, options)
	if err != nil {
		e.failAll("apply", mendTenant, err)
		return
	}
	for _, sentence := range report.Weak {
		e.warn("apply", "a safer setting in the file", "%s", sentence)
	}
	for _, sentence := range report.WeakPasswords {
		e.warn("apply", "another password", "%s", sentence)
	}
	if len(report.Changes) == 0 {
		e.ok("apply", "%s describes what is there", e.process.Apply)
		return
	}
	e.ok("apply", "%s can be applied: %s at the next start", e.process.Apply, plural(len(report.Changes), "change"))
}
