package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/admin"
	"gatehouse/internal/keyring"
)

func tenantCommand(term terminal) *cobra.Command {
	where := &place{}
	all := tenants(where)
	command := group(&cobra.Command{
		Use:   "tenant",
		Short: "Add, list, show, stop and start tenants",
		Long: `A tenant is an issuer with clients, users, resources, keys, sessions and
events of its own, that share nothing with those of other tenants. The default
tenant lives at the server's public URL and is always there; others live below
it, at /t/NAME, or at a host of their own.

What is in a tenant is changed by the other commands with --tenant NAME. Tenants
below one public URL share its origin in browsers: they are for administrators
who trust each other. Give the others a host of their own.`,
		Example: `  gatehouse tenant add blue --config gatehouse.yaml
  gatehouse apply blue.yaml --tenant blue --config gatehouse.yaml
  gatehouse tenant list --config gatehouse.yaml`,
	},
		tenantAddCommand(term, where),
		all.listCommand(term, where, "List the tenants in the order of their names. The default one is among them once\nit has settings.",
			"  gatehouse tenant list --config gatehouse.yaml\n  gatehouse tenant list --json --config gatehouse.yaml | jq -r '.[].issuer'"),
		all.showCommand(term, where, "Show where a tenant is reached and whether it is.",
			"  gatehouse tenant show blue --config gatehouse.yaml"),
		all.disableCommand(term, where, true, "Stop a tenant: within a second nothing of it is served, and the access tokens\nthat it issued are refused for good. What is stored stays.", "blue"),
		all.disableCommand(term, where, false, "Serve a disabled tenant again. Access tokens from before stay refused; sessions\nand refresh tokens that have not expired work again.", "blue"))
	where.addFlags(command)
	return command
}

func tenantAddCommand(term terminal, where *place) *cobra.Command {
	issuer, name, asJSON := "", "", false
	command := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a tenant with its keys",
		Long: `Make a tenant and its first keys. NAME has up to 40 lower-case letters, digits
and hyphens, and stays for good: it is part of the issuer, public URL/t/NAME.

With --issuer the tenant lives at a host of its own, such as
https://id.blue.example. The server answers there as soon as requests reach it
with that name in the Host header; see to the certificate and the DNS entry.
Clients that have redirect URIs at that host are named on standard error: no
code is sent there any more.

--name is the setting "name". A tenant file that has settings describes them
whole: write the name there, too.`,
		Example: `  gatehouse tenant add blue --name "Blue Ltd" --config gatehouse.yaml
  gatehouse tenant add red --issuer https://id.red.example --config gatehouse.yaml`,
		Args: takes("NAME"),
		RunE: func(command *cobra.Command, args []string) error {
			return where.withinKeys(command, furnishes, func(ctx context.Context, db database, keys *keyring.Keyring) error {
				record := gatehouse.TenantRecord{ID: gatehouse.TenantID(args[0]), Name: name, Issuer: issuer}
				if err := addTenant(ctx, db, keys, record, where.publicURL); err != nil {
					return err
				}
				if err := noteMisplaced(ctx, term, db, where.publicURL); err != nil {
					return err
				}
				record, _, err := db.TenantRecord(ctx, record.ID)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(term.out, describeTenant(record, where.publicURL))
				}
				return facts(term.out, tenantFacts(record, where.publicURL))
			})
		},
	}
	command.Flags().StringVar(&issuer, "issuer", "", "the `URL` of a host of its own")
	command.Flags().StringVar(&name, "name", "", "the `TEXT` that its pages show")
	jsonFlag(command, &asJSON, "print one JSON document")
	return command
}

func addTenant(ctx context.Context, db database, keys *keyring.Keyring, record gatehouse.TenantRecord, publicURL string) error {
	if err := admin.CheckTenant(record, publicURL); err != nil {
		return failed("gatehouse tenant add --help", "the tenant cannot be made: %s", err)
	}
	settings := gatehouse.Settings{Name: record.Name}
	if wrong := admin.CheckSettings(settings, nil); len(wrong) > 0 {
		return failed("another --name", "the tenant cannot be made: %s", wrong[0])
	}
	first, err := keys.FirstKeys(record.ID)
	if err != nil {
		return err
	}
	outcome, err := db.CreateTenant(ctx, record, settings, first, byCommand(gatehouse.EventTenantChanged, "created"))
	if err != nil {
		return err
	}
	switch outcome {
	case gatehouse.TenantExists:
		return failed("gatehouse tenant show "+string(record.ID), "tenant %s exists already", record.ID)
	case gatehouse.TenantHostTaken:
		return failed("gatehouse tenant list", "another tenant lives at %s", record.Issuer)
	}
	return nil
}

// noteMisplaced tells which clients, of whichever tenant, had URIs at the host
// that has become a tenant's: no code is sent there any more.
func noteMisplaced(ctx context.Context, term terminal, db database, publicURL string) error {
	hosts, err := admin.HostsOf(ctx, db, publicURL)
	if err != nil {
		return err
	}
	look := func(id gatehouse.TenantID) error {
		return eachClient(ctx, database{db.Store, id}, func(client gatehouse.Client) {
			for _, sentence := range admin.Misplaced(client, hosts) {
				fmt.Fprintln(term.err, "note: "+oneLine("tenant "+string(id)+": "+sentence))
			}
		})
	}
	if err := look(gatehouse.DefaultTenant); err != nil {
		return err
	}
	return eachTenant(ctx, db, func(record gatehouse.TenantRecord) error {
		if record.ID == gatehouse.DefaultTenant {
			return nil
		}
		return look(record.ID)
	})
}

// tenantDocument is a tenant as --json prints it.
type tenantDocument struct {
	Tenant gatehouse.TenantID `json:"tenant"`
	// Issuer is left out where the server's configuration, which has the
	// public URL, was not named.
	Issuer    string    `json:"issuer,omitempty"`
	Name      string    `json:"name,omitempty"`
	Disabled  bool      `json:"disabled"`
	CreatedAt time.Time `json:"created_at"`
}

func describeTenant(record gatehouse.TenantRecord, publicURL string) tenantDocument {
	return tenantDocument{record.ID, record.IssuerUnder(publicURL), record.Name, record.Disabled(), record.CreatedAt}
}

func tenantFacts(record gatehouse.TenantRecord, publicURL string) [][2]string {
	return [][2]string{
		{"tenant", string(record.ID)}, {"issuer", shownIssuer(record, publicURL)}, {"name", record.Name},
		{"state", stateOf(record.DisabledAt)}, {"created", moment(record.CreatedAt)},
	}
}

// shownIssuer stands in for the public URL where the configuration that has it
// was not named.
func shownIssuer(record gatehouse.TenantRecord, publicURL string) string {
	if publicURL == "" {
		publicURL = "PUBLIC_URL"
	}
	return record.IssuerUnder(publicURL)
}

// tenants is the collection of the tenants in a database.
func tenants(where *place) collection[gatehouse.TenantRecord] {
	id := func(record gatehouse.TenantRecord) string { return string(record.ID) }
	return collection[gatehouse.TenantRecord]{
		noun: "tenant", argument: "NAME",
		find: func(ctx context.Context, db database, name string) (gatehouse.TenantRecord, bool, error) {
			return db.TenantRecord(ctx, gatehouse.TenantID(name))
		},
		page: func(ctx context.Context, db database, after string) ([]gatehouse.TenantRecord, error) {
			return db.Tenants(ctx, gatehouse.TenantID(after), listPage)
		},
		key: id, id: id, name: id,
		document: func(record gatehouse.TenantRecord) any { return describeTenant(record, where.publicURL) },
		heading:  []string{"TENANT", "STATE", "ISSUER", "NAME"},
		row: func(record gatehouse.TenantRecord) []string {
			return []string{string(record.ID), stateOf(record.DisabledAt), shownIssuer(record, where.publicURL), record.Name}
		},
		facts:      func(record gatehouse.TenantRecord) [][2]string { return tenantFacts(record, where.publicURL) },
		disabledAt: func(record gatehouse.TenantRecord) time.Time { return record.DisabledAt },
		changed:    gatehouse.EventTenantChanged,
		about:      func(gatehouse.TenantRecord, *gatehouse.Event) {},
		disable: func(ctx context.Context, db database, record gatehouse.TenantRecord, disabled bool, event gatehouse.Event) (bool, error) {
			if record.ID == gatehouse.DefaultTenant {
				return false, failed("stop the server, or disable its clients", "the default tenant cannot be disabled")
			}
			return db.DisableTenant(ctx, record.ID, disabled, event)
		},
	}
}
