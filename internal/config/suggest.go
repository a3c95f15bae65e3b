package config

import "strings"

// shortestBeginning is how many letters of a key name it.
const shortestBeginning = 3

// didYouMean is a hint that names the candidate nearest to the given word, or "" when none is near.
func didYouMean(word string, candidates []string) string {
	plain := normal(word)
	best, least := "", max(len(plain)/3, 1)+1 // nearer than that: a letter in three may be wrong
	for _, candidate := range candidates {
		distance := editDistance(plain, normal(candidate), least)
		if len(plain) >= shortestBeginning && strings.HasPrefix(normal(candidate), plain) {
			distance = min(distance, 1) // cert for certificate
		}
		if distance < least {
			best, least = candidate, distance
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

func normal(word string) string {
	return strings.ReplaceAll(strings.ToLower(word), "-", "_")
}

// editDistance counts the insertions, deletions, substitutions and swaps of neighbours between two
// words, or returns a number of at least limit when their lengths already differ by that much.
func editDistance(a, b string, limit int) int {
	if difference := len(a) - len(b); difference >= limit || -difference >= limit {
		return limit
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			substitution := above[j-1]
			if a[i-1] != b[j-1] {
				substitution++
			}
			row[j] = min(above[j]+1, row[j-1]+1, substitution)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
