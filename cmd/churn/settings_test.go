package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the tables of settings in README.md and .env.example anew")

const (
	readme     = "../../README.md"
	envExample = "../../.env.example"
)

// setting is one variable of the environment, as the commands' flags declare it.
type setting struct {
	env, flag, fallback, help string
	defaults                  map[string][]string // commands by default
	commands                  []string
	others                    []string // names that the world has for it, read where ours is not set
}

// allSettings walks the command line and returns every variable by name, and how many commands there are.
func allSettings(t *testing.T) ([]*setting, int) {
	t.Helper()
	var c cli
	parser, err := newParser(&c)
	require.NoError(t, err)
	byEnv := map[string]*setting{}
	leaves := parser.Model.Leaves(true)
	for _, leaf := range leaves {
		for _, group := range leaf.AllFlags(false) {
			for _, f := range group {
				for _, env := range f.Envs {
					if strings.HasPrefix(env, "CHURN_") {
						observe(t, byEnv, leaf, f, env)
					}
				}
			}
		}
	}
	out := make([]*setting, 0, len(byEnv))
	for _, s := range byEnv {
		slices.Sort(s.commands)
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *setting) int { return strings.Compare(a.env, b.env) })
	return out, len(leaves)
}

func observe(t *testing.T, byEnv map[string]*setting, leaf *kong.Node, f *kong.Flag, env string) {
	t.Helper()
	name := strings.TrimSuffix(strings.TrimPrefix(leaf.FullPath(), "churn "), " serve") // what "churn drift" does
	s := byEnv[env]
	if s == nil {
		s = &setting{env: env, flag: f.Name, help: f.Help, defaults: map[string][]string{}}
		for _, other := range f.Envs {
			if other != env {
				s.others = append(s.others, other)
			}
		}
		byEnv[env] = s
	}
	require.Equal(t, s.flag, f.Name, "%s belongs to two flags, here of %s", env, name)
	if !two[env] {
		require.Equal(t, s.help, f.Help, "%s says two things, here of %s", env, name)
	}
	s.defaults[f.Default] = append(s.defaults[f.Default], name)
	s.commands = append(s.commands, name)
	if f.Default != "" {
		s.fallback, s.help = f.Default, f.Help
	}
}

// two are the variables that rightly have another default where the command is "up": without a server it brings its own.
var two = map[string]bool{"CHURN_NATS": true}

// elsewhere are the variables whose name is not their flag's: the demo must not be played on a dataset that is set for "up".
var elsewhere = map[string]string{"CHURN_DEMO_DATA": "data"}

func TestSettingsAreConsistent(t *testing.T) {
	settings, _ := allSettings(t)
	require.NotEmpty(t, settings)
	for _, s := range settings {
		t.Run(s.env, func(t *testing.T) {
			want := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(s.env, "CHURN_"), "_", "-"))
			if other, ok := elsewhere[s.env]; ok {
				want = other
			}
			require.Equal(t, want, s.flag)
			require.NotEmpty(t, s.help)
			if two[s.env] {
				require.Equal(t, []string{"up"}, s.defaults[""])
				require.Len(t, s.defaults, 2)
				return
			}
			require.Len(t, s.defaults, 1, "defaults: %v", s.defaults)
		})
	}
}

func TestSettingsTable(t *testing.T) {
	settings, commands := allSettings(t)
	raw, err := os.ReadFile(readme)
	require.NoError(t, err)
	const open, end = "<!-- settings -->\n", "<!-- /settings -->"
	before, rest, ok := strings.Cut(string(raw), open)
	require.True(t, ok, "README.md has no %s", open)
	table, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "README.md has no %s", end)
	want := settingsTable(settings, commands)
	if *update {
		require.NoError(t, os.WriteFile(readme, []byte(before+open+want+end+after), 0o644))
		return
	}
	require.Equal(t, want, table, "make it anew with: go test ./cmd/churn -run TestSettings -update")
}

// settingsTable is in Markdown. Commands are named where they are few.
func settingsTable(settings []*setting, commands int) string {
	var joined []string
	for _, s := range settings {
		if s.env == "CHURN_NATS" {
			joined = s.commands
		}
	}
	var b strings.Builder
	b.WriteString("| variable | flag | default | of | meaning |\n|---|---|---|---|---|\n")
	for _, s := range settings {
		fallback := code(s.fallback)
		if two[s.env] {
			fallback += "; `up`: none"
		}
		of := ""
		switch {
		case len(s.commands) == commands:
			of = "all"
		case slices.Equal(s.commands, joined):
			of = "all that use NATS"
		default:
			names := make([]string, len(s.commands))
			for i, n := range s.commands {
				names[i] = code(n)
			}
			of = strings.Join(names, ", ")
		}
		name := code(s.env)
		for _, other := range s.others {
			name += ", else " + code(other)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, code("--"+s.flag), fallback, of, strings.ReplaceAll(s.help, "|", `\|`))
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// The part of .env.example that is made from the flags. What compose alone reads may stand outside it.
const (
	envOpen = "# --- settings of the program ---\n"
	envEnd  = "# --- end of the settings of the program ---\n"
)

func TestSettingsEnvExample(t *testing.T) {
	settings, _ := allSettings(t)
	want := envFile(settings)
	raw, err := os.ReadFile(envExample)
	if *update && os.IsNotExist(err) {
		raw, err = []byte(envHead+envOpen+envEnd), nil
	}
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(raw), envOpen)
	require.True(t, ok, ".env.example has no line %q", envOpen)
	part, after, ok := strings.Cut(rest, envEnd)
	require.True(t, ok, ".env.example has no line %q", envEnd)
	if *update {
		require.NoError(t, os.WriteFile(envExample, []byte(before+envOpen+want+envEnd+after), 0o644))
		return
	}
	require.Equal(t, want, part, "make it anew with: go test ./cmd/churn -run TestSettings -update")
	for _, line := range strings.Split(before+after, "\n") {
		name, _, _ := strings.Cut(strings.TrimLeft(line, "# "), "=")
		if strings.HasPrefix(name, "CHURN_") {
			require.True(t, strings.HasPrefix(name, "CHURN_STACK_"), "%s outside of the settings of the program", name)
		}
	}
}

const envHead = `# Settings of this machine. Copy this file to .env, which make and compose read, and take the # from what you change. An empty value counts as
# not set. The program itself reads its environment only.

`

// envFile lists every variable, commented out, so that a copy changes nothing.
func envFile(settings []*setting) string {
	var b strings.Builder
	for _, s := range settings {
		help := s.help
		if two[s.env] {
			help += ` "churn up" brings its own server unless this is set.`
		}
		fmt.Fprintf(&b, "\n# %s\n#%s=%s\n", help, s.env, s.fallback)
	}
	return b.String() + "\n"
}
