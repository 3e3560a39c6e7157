package deploy

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// dockerfile is a list of stages.
type dockerfile []stage

// stage is a list of instructions; the first is FROM.
type stage []instruction

type instruction struct{ name, args string }

// read parses a Dockerfile of the repository's root.
func read(t *testing.T, name string) dockerfile {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(raw), "")
	text = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")
	var d dockerfile
	for _, line := range strings.Split(text, "\n") {
		if line == "" {
			continue
		}
		word, args, ok := strings.Cut(line, " ")
		require.True(t, ok, line)
		if word == "FROM" {
			d = append(d, nil)
		}
		require.NotEmpty(t, d, "an instruction before FROM")
		d[len(d)-1] = append(d[len(d)-1], instruction{word, strings.TrimSpace(args)})
	}
	require.Len(t, d, 2)
	return d
}

func (d dockerfile) final() stage { return d[len(d)-1] }

// all returns the arguments of every instruction with a name.
func (s stage) all(name string) []string {
	var out []string
	for _, i := range s {
		if i.name == name {
			out = append(out, i.args)
		}
	}
	return out
}

// exec returns the words of an instruction that must be in exec form, as there is no shell for the other.
func (s stage) exec(t *testing.T, name string) []string {
	t.Helper()
	all := s.all(name)
	require.Len(t, all, 1, name)
	var words []string
	require.NoError(t, json.Unmarshal([]byte(all[0][strings.IndexByte(all[0], '['):]), &words), all[0])
	return words
}

var images = map[string]string{"Dockerfile": "churn", "Dockerfile.serve": "inference"}

func TestImagesAreBuiltInStages(t *testing.T) {
	for name := range images {
		d := read(t, name)
		from := strings.Fields(d[0].all("FROM")[0])
		require.True(t, pinned(from[1]), from[1])
		require.Equal(t, []string{"scratch"}, d.final().all("FROM"), "nothing but what is copied")
		for _, args := range d.final().all("COPY") {
			require.Contains(t, args, "--from=build")
		}
		for _, script := range d[0].all("RUN") {
			script = regexp.MustCompile(`--mount=\S+`).ReplaceAllString(script, "")
			run(t, "sh", "-n", "-c", script)
		}
	}
}

// TestGoVersion holds that the build stage's Go is the one that go.mod asks for.
func TestGoVersion(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(raw))[1]
	for name := range images {
		require.Contains(t, read(t, name)[0].all("FROM")[0], "golang:"+want+"-")
	}
}

func TestImagesRunAsNobody(t *testing.T) {
	for name, program := range images {
		f := read(t, name).final()
		require.Equal(t, []string{"65532:65532"}, f.all("USER"), "a number, as there is no file of names")
		require.Equal(t, []string{"/" + program}, f.exec(t, "ENTRYPOINT"))
		label := strings.Join(f.all("LABEL"), " ")
		for _, l := range []string{"title", "description", "licenses", "version"} {
			require.Contains(t, label, "org.opencontainers.image."+l+"=")
		}
		check := f.exec(t, "HEALTHCHECK")
		require.Equal(t, "/"+program, check[0])
		service := service{Build: &build{Dockerfile: name}}
		run(t, service.command(t, append(check[1:], "--help")...)...)
		help := run(t, service.command(t, append(command(t, f), "--help")...)...)
		known := settingInHelp.FindAllString(help, -1)
		for _, env := range f.all("ENV") {
			for _, pair := range strings.Fields(env) {
				setting, _, _ := strings.Cut(pair, "=")
				require.True(t, setting == "ZONEINFO" || slices.Contains(known, "$"+setting), setting)
			}
		}
	}
}

// command is the default command, which may be none.
func command(t *testing.T, f stage) []string {
	t.Helper()
	if len(f.all("CMD")) == 0 {
		return nil
	}
	return f.exec(t, "CMD")
}

// TestBuildContext makes the context that .dockerignore leaves, and has the go command find there all that the images' builds need.
func TestBuildContext(t *testing.T) {
	dir := buildContext(t)
	for name, program := range images {
		steps := strings.Join(read(t, name)[0].all("RUN"), "\n")
		require.Contains(t, steps, " -o /out/ ./cmd/"+program)
		list := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{.Module.Path}} {{.ImportPath}}{{end}}", "./cmd/"+program)
		list.Dir = dir
		out, err := list.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "telco-churn-mlops telco-churn-mlops/inference\n")
	}
	require.NoDirExists(t, filepath.Join(dir, ".git"))
	require.NoFileExists(t, filepath.Join(dir, ".env"))
	require.NoDirExists(t, filepath.Join(dir, "deploy"))
}

// buildContext copies what .dockerignore does not exclude, with the rules that ours uses: the last pattern that matches decides.
func buildContext(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	require.NoError(t, err)
	ignored := func(name string) bool {
		out := false
		for _, p := range strings.Split(string(raw), "\n") {
			if p == "" || strings.HasPrefix(p, "#") {
				continue
			}
			p, keep := strings.CutPrefix(p, "!")
			if matches(t, p, name) {
				out = !keep
			}
		}
		return out
	}
	dir := t.TempDir()
	require.NoError(t, filepath.WalkDir(root, func(from string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, from)
		switch {
		case err != nil || name == ".":
			return err
		case ignored(name) && e.IsDir():
			return fs.SkipDir
		case ignored(name) || e.IsDir():
			return nil
		}
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), content, 0o644)
	}))
	return dir
}

// matches reports whether a pattern matches a path or a folder that it is in.
func matches(t *testing.T, pattern, name string) bool {
	t.Helper()
	anywhere := strings.HasPrefix(pattern, "**/")
	pattern = strings.TrimPrefix(pattern, "**/")
	require.NotContains(t, pattern, "**", "not understood here")
	for ; name != "."; name = path.Dir(name) {
		at := name
		if anywhere {
			at = path.Base(name)
		}
		ok, err := path.Match(pattern, at)
		require.NoError(t, err)
		if ok {
			return true
		}
	}
	return false
}

// TestVersionIsLinkedIn links as the images and the Makefile do, and asks the program.
func TestVersionIsLinkedIn(t *testing.T) {
	make, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	const flags = "-s -w -X telco-churn-mlops/internal/app.version="
	require.Contains(t, string(make), flags+"$(VERSION)")
	for name := range images {
		d := read(t, name)
		require.Contains(t, strings.Join(d[0].all("RUN"), "\n"), flags+"${VERSION}")
		require.Contains(t, d[0].all("ARG"), "VERSION=unknown")
		require.Contains(t, d.final().all("ARG"), "VERSION=unknown", "a stage knows no argument of another")
	}
	binary := filepath.Join(t.TempDir(), "inference")
	cmd := exec.Command("go", "build", "-ldflags", flags+"v9.8.7-test", "-o", binary, "./cmd/inference")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, run(t, binary, "--version"), "v9.8.7-test")
}
