package spec

import (
	"fmt"
	"strings"
)

// DivergencesFile is the path of the published page from the module's root.
const DivergencesFile = "docs/divergences.md"

// Divergences returns the page that tells where Gatehouse does not do what a
// specification describes: first what it refuses for good, then what comes later.
func Divergences(rows []Row) string {
	var page strings.Builder
	page.WriteString(`# Where Gatehouse differs from the specifications

This page is made from ` + "`" + Table + "`" + ` by ` + "`go test ./internal/spec -update`" + `; change the table, not the page.
Everything in the table that is neither here nor named as being built is covered by a test that names it.

`)
	part(&page, rows, Refused, "Refused by design", "Not built and not planned; each line says why and what to use instead.")
	part(&page, rows, Later, "Later", "Not built yet. What depends on one of these is refused with an error that says so, never half done.")
	return page.String()
}

func part(page *strings.Builder, rows []Row, status Status, title, lead string) {
	fmt.Fprintf(page, "## %s\n\n%s\n\n", title, lead)
	count := 0
	for _, row := range rows {
		if row.Status != status || row.Reason == BeingBuilt {
			continue
		}
		if count == 0 {
			page.WriteString("| requirement | says | why not, and what instead |\n|---|---|---|\n")
		}
		count++
		fmt.Fprintf(page, "| `%s` %s | %s | %s |\n", row.ID, cell(row.Source), cell(row.Requirement), cell(sentence(row)))
	}
	if count == 0 {
		page.WriteString("Nothing.\n")
	}
	page.WriteString("\n")
}

// sentence joins the reason and the note, and begins with a capital letter.
func sentence(row Row) string {
	text := strings.ToUpper(row.Reason[:1]) + row.Reason[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	if row.Note != "" {
		text += " " + row.Note
	}
	return text
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
