package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// TestSettingsAreThoseOfChurn holds every variable against the table in README.md, which is made from the flags of "churn": the same service
// has the same settings with the same defaults there.
func TestSettingsAreThoseOfChurn(t *testing.T) {
	raw, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(raw), "<!-- settings -->")
	require.True(t, ok)
	table, _, ok = strings.Cut(table, "<!-- /settings -->")
	require.True(t, ok)
	rows := strings.Split(table, "\n")

	var s settings
	parser, err := kong.New(&s, options()...)
	require.NoError(t, err)
	checked := 0
	for _, f := range parser.Model.Flags {
		for _, env := range f.Envs {
			if !strings.HasPrefix(env, "CHURN_") {
				continue
			}
			checked++
			at := slices.IndexFunc(rows, func(row string) bool { return strings.HasPrefix(row, "| `"+env+"`") })
			require.NotEqual(t, -1, at, "README.md does not list %s", env)
			cells := strings.Split(rows[at], " | ")
			names := append([]string{f.Name}, f.Aliases...)
			require.True(t, slices.ContainsFunc(names, func(n string) bool { return cells[1] == "`--"+n+"`" }), "%s: %v, README.md has %s", env, names, cells[1])
			fallback := strings.TrimSuffix(strings.TrimSpace(cells[2]), "; `up`: none")
			want := ""
			if f.Default != "" {
				want = fmt.Sprintf("`%s`", f.Default)
			}
			require.Equal(t, want, fallback, "the default of %s", env)
		}
	}
	require.Greater(t, checked, 10)
}
