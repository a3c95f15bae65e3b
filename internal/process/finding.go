package process

// Finding is what a look at one thing found: that it is in order, weak, or broken.
type Finding struct {
	About string
	OK    string
	Weak  string
	Err   error
	// Do is what to do about it.
	Do string
}

// Findings are collected by a look at what a configuration names.
type Findings []Finding

// Note adds that something is in order, or broken.
func (f *Findings) Note(about, ok, do string, err error) {
	if err != nil {
		ok = ""
	}
	*f = append(*f, Finding{About: about, OK: ok, Err: err, Do: do})
}

// Weak adds that something is weaker than it could be.
func (f *Findings) Weak(about, what, do string) {
	*f = append(*f, Finding{About: about, Weak: what, Do: do})
}
