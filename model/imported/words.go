package imported

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"telco-churn-mlops/model/spec"
)

// maxCategories bounds the categories of a column.
const maxCategories = 65_535

// wordsOf returns the words of categories written as JSON strings, numbers or booleans.
func wordsOf(items []json.RawMessage) ([]string, error) {
	words := make([]string, 0, len(items))
	for i, item := range items {
		var word string
		switch text := string(item); {
		case strings.HasPrefix(text, `"`):
			if err := json.Unmarshal(item, &word); err != nil {
				return nil, fmt.Errorf("category %d: %w", i, err)
			}
		case text == "true" || text == "false":
			word = text
		case text == "" || strings.IndexByte("-0123456789", text[0]) < 0:
			return nil, fmt.Errorf("category %d is %s, and no text, number or boolean", i, clip(text))
		default:
			word = spec.CanonicalWord(text)
		}
		words = append(words, word)
	}
	return words, nil
}

// checkWords returns the words as a record's values are read, without space around them, and refuses those that two codes would share, and an
// empty one, which is a missing value here and a category of its own there.
func checkWords(words []string) ([]string, error) {
	switch {
	case len(words) == 0:
		return nil, errors.New("there are no categories")
	case len(words) > maxCategories:
		return nil, fmt.Errorf("%d categories, at most %d can be served", len(words), maxCategories)
	}
	out := make([]string, 0, len(words))
	seen := make(map[string]bool, len(words))
	for i, w := range words {
		w = strings.TrimSpace(w)
		switch {
		case w == "" || !utf8.ValidString(w):
			return nil, fmt.Errorf("category %d is %q: a value that is empty or no text can't be told from a missing one", i, words[i])
		case seen[w]:
			return nil, fmt.Errorf("the category %q is there twice", clip(w))
		}
		seen[w] = true
		out = append(out, w)
	}
	return out, nil
}
