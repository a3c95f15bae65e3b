package secret

import (
	_ "embed"
	"strings"
	"unicode"
)

// commonWords are the words that most often are a password or what is left of
// one without its digits, signs and look-alikes, one on each line. With the
// patterns of Common they stand for many thousands of passwords.
//
//go:embed passwords.txt
var commonWords string

// Common says whether a password is among the first that are tried: one of the
// words that everybody knows with the usual additions, or a pattern, which is
// few characters, a row, or a repetition.
func Common(password string) bool {
	lower := strings.ToLower(password)
	if patterned(lower) {
		return true
	}
	stripped, bare := Core(lower), strings.TrimFunc(lower, notLetter)
	if bare == "" {
		return digitsAlone(lower)
	}
	for word := range strings.Lines(commonWords) {
		if word = strings.TrimSuffix(word, "\n"); word == stripped || word+word == stripped || word == bare {
			return true
		}
	}
	return false
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) }

// lookAlikes are what people write for letters.
var lookAlikes = strings.NewReplacer("@", "a", "4", "a", "3", "e", "1", "i", "!", "i", "0", "o", "$", "s", "5", "s", "7", "t", "+", "t")

// Core is what is left of a password without the digits and signs around it
// and with letters for their look-alikes.
func Core(password string) string {
	lower := strings.ToLower(password)
	trimmed := strings.TrimRightFunc(strings.TrimLeft(lower, "0123456789 .,;:_-#*<>()[]{}?/"), notLetter)
	return strings.TrimFunc(lookAlikes.Replace(trimmed), notLetter)
}

// mostDigits is up to how many characters a password of digits alone is
// taken for a date, a telephone number or a row.
const mostDigits = 11

func digitsAlone(text string) bool {
	return len(text) <= mostDigits && strings.Trim(text, "0123456789 .-/") == ""
}

// fewCharacters is how many different characters a password has at least.
const fewCharacters = 4

// longestRepeated is up to how many bytes a text that is repeated makes a
// pattern of the whole.
const longestRepeated = 7

// rows are what fingers walk along.
var rows = []string{"abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "qwertzuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm", "azertyuiop", "1qaz2wsx3edc4rfv5tgb", "1q2w3e4r5t6y7u8i9o0p", "qazwsxedcrfvtgb"}

func patterned(lower string) bool {
	different := map[rune]bool{}
	for _, r := range lower {
		different[r] = true
	}
	if len(different) < fewCharacters {
		return true
	}
	for _, row := range rows {
		if alongRow(lower, row) {
			return true
		}
	}
	for length := 1; length <= len(lower)/2; length++ {
		if len(lower)%length == 0 && strings.Repeat(lower[:length], len(lower)/length) == lower && length <= longestRepeated {
			return true
		}
	}
	return false
}

// alongRow says whether the text goes along a row, forwards or backwards, and
// perhaps round again.
func alongRow(text, row string) bool {
	backwards := []byte(row)
	for i, j := 0, len(backwards)-1; i < j; i, j = i+1, j-1 {
		backwards[i], backwards[j] = backwards[j], backwards[i]
	}
	times := len(text)/len(row) + 2
	return strings.Contains(strings.Repeat(row, times), text) || strings.Contains(strings.Repeat(string(backwards), times), text)
}
