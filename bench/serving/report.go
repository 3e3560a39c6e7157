package main

import (
	"fmt"
	"strings"
)

// report returns what was measured as Markdown.
func (b *bench) report(host string) string {
	var out strings.Builder
	out.WriteString(b.summary(host))
	for _, c := range b.chapters {
		fmt.Fprintf(&out, "\n### %s\n\n%s", c.title, c.detail)
	}
	return out.String()
}

// summary returns the main table.
func (b *bench) summary(host string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "On %s. Medians of %d rounds of %s; ratios are of rounds that follow each other, least to greatest in brackets.\n\n", host, b.config.Rounds, b.config.Round)
	out.WriteString("| what | ours | beside | ratio | goal |\n|---|---:|---:|---:|---|\n")
	for _, c := range b.chapters {
		for _, f := range c.findings {
			out.WriteString(f.line() + "\n")
		}
	}
	for _, r := range b.Remarks() {
		fmt.Fprintf(&out, "\n%s\n", r)
	}
	return out.String()
}
