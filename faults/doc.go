// Package faults tries the binary in bad times. It is killed in the middle of
// what it does, its database goes away, falls silent, slows down, refuses
// connections, has no room or is brought up to date by a newer version, and all
// the while clients go on asking. Then what they were answered is held against
// what is there.
//
// Two servers, two backends for frontend and two gateways are tried as one, too, and
// one of each is killed in the middle of what a crowd does.
//
// It holds tests only. They build the binary, run `gatehouse serve` in processes
// of their own, on an SQLite file and, where GATEHOUSE_TEST_POSTGRES names a
// server, on PostgreSQL, and speak to it from outside; the database is opened
// beside it for a look at the events alone. By day a race is run 20 times and an
// outage lasts seconds; with GATEHOUSE_TEST_NIGHTLY=1 it is 200 times, half a
// minute, and a binary with the race detector.
package faults
