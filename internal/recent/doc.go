// Package recent owns the bounded map that forgets what was not asked for
// lately.
//
// It is for what can be had again. It never holds marks of what was used: one
// that is forgotten is a replay that is accepted.
package recent
