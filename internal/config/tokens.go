package config

import (
	"fmt"

	"github.com/goccy/go-yaml/token"
)

// checkTokens refuses what settings do not need and attackers do, before the parser builds a tree.
func checkTokens(tokens token.Tokens, name string) error {
	flow, headers, content := 0, 0, false
	var width widths
	for i, t := range tokens {
		what, hint := "", ""
		switch t.Type {
		case token.AnchorType, token.AliasType:
			what, hint = "an anchor or alias", "write the value out, or put a text that begins with & or * in quotes"
		case token.TagType:
			what, hint = "a tag", "leave it out, or put a text that begins with ! in quotes"
		case token.MergeKeyType:
			what, hint = "a merge key", "write the keys out"
		case token.DirectiveType:
			what, hint = "a directive", "leave the line out"
		case token.MappingKeyType:
			what, hint = "a complex key", "write key: value, or put a text that begins with ? in quotes"
		case token.SequenceStartType, token.MappingStartType:
			if flow++; flow > maxFlowDepth {
				what = fmt.Sprintf("more than %d nested brackets", maxFlowDepth)
			}
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingValueType:
			if flow <= 0 && t.Position.Column > maxBlockColumn {
				what = fmt.Sprintf("a key or list entry beyond column %d", maxBlockColumn)
			}
			if width.count(t, tokens[max(i-1, 0)], flow > 0) > maxKeys {
				what, hint = fmt.Sprintf("more than %d keys in one place", maxKeys), "make a list of them, or several files"
			}
		case token.DocumentHeaderType:
			if headers++; headers > 1 || content {
				what, hint = "a second document", "keep one document in each file"
			}
		}
		if what != "" {
			return &Problem{What: what, Name: name, Line: t.Position.Line, Column: t.Position.Column, Hint: hint}
		}
		if t.Type != token.CommentType && t.Type != token.DocumentHeaderType && t.Type != token.DocumentEndType {
			content = true
		}
	}
	return nil
}

// widths counts the keys of the mappings that are open, outermost first.
type widths struct {
	open   []width
	inFlow int // keys since the outermost bracket
}

type width struct{ column, keys int }

// count takes a list entry or the colon of a key, and the token before it, and returns how many keys
// the mapping has so far.
func (w *widths) count(t, before *token.Token, flow bool) int {
	if flow {
		w.inFlow++
		return w.inFlow
	}
	w.inFlow = 0
	column := before.Position.Column
	if t.Type == token.SequenceEntryType {
		column = t.Position.Column
	}
	for len(w.open) > 0 && w.open[len(w.open)-1].column > column {
		w.open = w.open[:len(w.open)-1]
	}
	if t.Type == token.SequenceEntryType {
		return 0
	}
	if len(w.open) == 0 || w.open[len(w.open)-1].column < column {
		w.open = append(w.open, width{column: column})
	}
	top := &w.open[len(w.open)-1]
	top.keys++
	return top.keys
}
