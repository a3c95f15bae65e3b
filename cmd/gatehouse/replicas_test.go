package main

import (
	"strings"
	"testing"

	"gatehouse/internal/store/postgrestest"
)

// TestTwoProcessesOnOneDatabase starts two servers at the same moment on a new
// database.
func TestTwoProcessesOnOneDatabase(t *testing.T) {
	first, second := newOperator(t), newOperator(t)
	database := postgrestest.Schema(t)
	for _, o := range []*operator{first, second} {
		o.env["GATEHOUSE_DATABASE"] = database
		t.Cleanup(func() { o.types("systemctl stop gatehouse") }) // before the schema goes
	}
	first.types(`gatehouse keys init --config "$CONFIG"`)
	second.env["THERE"] = first.env["DATA"]
	second.types(`mkdir "$DATA"; install -m 600 "$THERE/gatehouse.key" "$DATA/gatehouse.key"`)
	second.env["FIRST_PLACE"], second.env["FIRST_CONFIG"], second.env["FIRST_ISSUER"] = first.env["PLACE"], first.env["CONFIG"], first.env["ISSUER"]
	second.types(`PLACE=$FIRST_PLACE CONFIG=$FIRST_CONFIG ISSUER=$FIRST_ISSUER systemctl start gatehouse & systemctl start gatehouse; wait $!`)
	keys := first.serves()
	if other := second.serves(); other != keys || !strings.Contains(keys, `"kid"`) {
		t.Errorf("the key sets are %s and %s", keys, other)
	}

	// A command at one is felt at both within a second.
	first.types(`gatehouse client disable svc --config "$CONFIG"; sleep 1`)
	for _, o := range []*operator{first, second} {
		if said := o.types(`curl --silent --user svc:a-secret-of-a-service-that-is-long --data grant_type=client_credentials "$ISSUER/token"`); !strings.Contains(said, "invalid_client") {
			t.Errorf("a disabled client is told %s", said)
		}
	}
	second.types(`gatehouse client enable svc --config "$CONFIG"; sleep 1`)
	for _, o := range []*operator{first, second} {
		o.serves()
	}

	// One of them is killed; the other goes on, and so does the first after a restart.
	first.types(`kill -KILL "$(cat "$PLACE/pid")"; rm "$PLACE/pid"`)
	second.serves()
	first.types("systemctl start gatehouse")
	if again := first.serves(); again != keys {
		t.Errorf("after a restart the keys are %s", again)
	}
}
