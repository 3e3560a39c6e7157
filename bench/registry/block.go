package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The marks around what a run rewrites.
const (
	blockBegin = "<!-- bench-registry -->\n"
	blockEnd   = "<!-- /bench-registry -->"
)

// replaceBlock returns the document with the text between the marks replaced. The error says which mark is missing or doubled.
func replaceBlock(document, text string) (string, error) {
	for _, mark := range []string{blockBegin, blockEnd} {
		if n := strings.Count(document, mark); n != 1 {
			return "", fmt.Errorf("the mark %s stands %d times, want once on a line of its own", strings.TrimSpace(mark), n)
		}
	}
	before, rest, _ := strings.Cut(document, blockBegin)
	_, after, found := strings.Cut(rest, blockEnd)
	if !found {
		return "", errors.New("the closing mark comes before the opening one")
	}
	return before + blockBegin + strings.TrimRight(text, "\n") + "\n" + blockEnd + after, nil
}

// rewriteBlock replaces the block of a file, which changes at once or not at all.
func rewriteBlock(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed, err := replaceBlock(string(old), text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".bench-*")
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
