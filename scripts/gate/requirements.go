package main

import (
	"fmt"
	"os"
	"path/filepath"

	"gatehouse/internal/spec"
)

// requirements prints the rows that are still being built, after marking as covered,
// when settle is set, those that a test names.
func requirements(root string, settle bool) error {
	path := filepath.Join(root, filepath.FromSlash(spec.Table))
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	table := string(text)
	if settle {
		claims, err := spec.Claims(root)
		if err != nil {
			return err
		}
		settled, turned := spec.Settle(table, claims)
		if len(turned) > 0 {
			if err := os.WriteFile(path, []byte(settled), 0o644); err != nil {
				return err
			}
		}
		for _, id := range turned {
			fmt.Println("now covered:", id)
		}
		table = settled
	}
	rows, err := spec.Parse(table)
	if err != nil {
		return err
	}
	counts := make(map[spec.Status]int)
	open := 0
	for _, row := range rows {
		if row.Status == spec.Later && row.Reason == spec.BeingBuilt {
			fmt.Printf("%-18s %s\n", row.ID, row.Requirement)
			open++
			continue
		}
		counts[row.Status]++
	}
	fmt.Printf("%d rows: %d covered, %d being built, %d refused, %d later\n",
		len(rows), counts[spec.Covered], open, counts[spec.Refused], counts[spec.Later])
	return nil
}
