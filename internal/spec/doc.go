// Package spec owns the table of requirements, requirements.tsv: one row for each
// sentence of the specifications that binds Gatehouse, in our own words, with its
// status. Tests name the rows they prove with [Covers]; the package's own test reads
// every test file of the module and fails when a row that says covered has no test,
// when a test names a row that does not exist, and when docs/divergences.md, which
// publishes what is refused and what comes later, is out of date.
//
// Only tests and scripts/gate import this package. It never touches the network, never
// runs the product and holds no rule of the protocol itself.
package spec
