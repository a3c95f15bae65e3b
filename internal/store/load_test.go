package store

import "testing"

func TestLoadCountsCommitsAndTheirActs(t *testing.T) {
	s := openTest(t)
	before := s.Load()
	together(t, s, tellNote("a"), tellNote("b"), tellNote("c"))
	after := s.Load()
	if acts := after.Acts - before.Acts; acts != 4 { // with the one that lets the others in
		t.Errorf("%d acts were counted, want 4", acts)
	}
	if commits := after.Commits - before.Commits; commits == 0 || commits > 4 || after.Committing <= before.Committing || after.Waiting != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}
