package kvredis_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"os"
	"time"

	"gatehouse/kv/kvredis"
)

// A mark that everybody who shares the Redis sees, for as long as it matters.
func Example() {
	ctx := context.Background()
	marks, err := kvredis.Open(ctx, kvredis.Config{
		Addresses: []string{"redis.example.com:6379"},
		Username:  "gatehouse",
		Password:  kvredis.NewSecret(os.Getenv("REDIS_PASSWORD")),
		TLS:       &tls.Config{}, // the system's authorities
		Prefix:    "orders-api",
	})
	if err != nil {
		log.Fatal(err) // says what to change, such as the server's maxmemory-policy
	}
	defer marks.Close()

	first, err := marks.Add(ctx, "proof 7f3a", nil, 5*time.Minute)
	switch {
	case err != nil: // nobody knows whether it was used before: refuse
		fmt.Println("try again later:", err)
	case !first:
		fmt.Println("this was used before")
	}
}

// Redis that Sentinel watches: the addresses are those of the sentinels.
func ExampleConfig_sentinel() {
	config := kvredis.Config{
		Addresses:      []string{"a.example.com:26379", "b.example.com:26379", "c.example.com:26379"},
		SentinelMaster: "gatehouse",
		TLS:            &tls.Config{},
		Password:       kvredis.NewSecret("a secret"),
	}
	fmt.Println(config.Check(), config.Password)
	// Output: <nil> [redacted]
}
