package config

// DidYouMean is the hint "did you mean NAME?" with the candidate nearest to the word, or "" when none
// is near: for names in values, as Decode gives it for keys.
func DidYouMean(word string, candidates []string) string { return didYouMean(word, candidates) }
