// Package block rewrites one part of a document that a program measures or makes: what stands between two marks.
package block

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Replace returns the document with the text between the marks "<!-- name -->", on a line of its own, and "<!-- /name -->" replaced. The error says which
// mark is missing or doubled.
func Replace(document, name, text string) (string, error) {
	opening, closing := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	for _, mark := range []string{opening, closing} {
		if n := strings.Count(document, mark); n != 1 {
			return "", fmt.Errorf("the mark %s stands %d times, want once on a line of its own", strings.TrimSpace(mark), n)
		}
	}
	before, rest, _ := strings.Cut(document, opening)
	_, after, found := strings.Cut(rest, closing)
	if !found {
		return "", errors.New("the closing mark comes before the opening one")
	}
	return before + opening + strings.TrimRight(text, "\n") + "\n" + closing + after, nil
}

// Rewrite replaces the block of a file, which changes at once or not at all.
func Rewrite(path, name, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed, err := Replace(string(old), name, text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".block-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(changed)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error to report is the first
		return fmt.Errorf("rewrite %s: %w", path, err)
	}
	return nil
}
