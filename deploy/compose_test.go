package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// compose is as much of a compose file as ours uses; anything else in it is an error.
type compose struct {
	Name     string             `yaml:"name"`
	Services map[string]service `yaml:"services"`
	Volumes  map[string]any     `yaml:"volumes"`
}

type service struct {
	Image       string                `yaml:"image"`
	Build       *build                `yaml:"build"`
	Command     []string              `yaml:"command"`
	Environment map[string]string     `yaml:"environment"`
	Ports       []string              `yaml:"ports"`
	Mounts      []string              `yaml:"volumes"`
	DependsOn   map[string]dependency `yaml:"depends_on"`
	Health      health                `yaml:"healthcheck"`
	Restart     string                `yaml:"restart"`
	ReadOnly    bool                  `yaml:"read_only"`
	Tmpfs       []string              `yaml:"tmpfs"`
	CapDrop     []string              `yaml:"cap_drop"`
	Security    []string              `yaml:"security_opt"`
	Logging     any                   `yaml:"logging"`
	StopSignal  string                `yaml:"stop_signal"`
	StopGrace   string                `yaml:"stop_grace_period"`
	Network     string                `yaml:"network_mode"`
}

type build struct {
	Context    string            `yaml:"context"`
	Dockerfile string            `yaml:"dockerfile"`
	Args       map[string]string `yaml:"args"`
}

type dependency struct {
	Condition string `yaml:"condition"`
}

type health struct {
	Test     []string `yaml:"test"`
	Interval string   `yaml:"interval"`
	Timeout  string   `yaml:"timeout"`
	Retries  int      `yaml:"retries"`
	Start    string   `yaml:"start_period"`
	Disable  bool     `yaml:"disable"`
}

// root is the repository's folder.
const root = ".."

// load reads the compose file with the variables that env gives, and returns the names of all variables in it, too.
func load(t *testing.T, env map[string]string) (c compose, variables []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "docker-compose.yaml"))
	require.NoError(t, err)
	var tree map[string]any
	require.NoError(t, yaml.Unmarshal(raw, &tree))
	for key := range tree {
		if strings.HasPrefix(key, "x-") {
			delete(tree, key)
		}
	}
	// Compose fills variables in after it has parsed, so that no value can change the structure.
	filled, err := yaml.Marshal(fill(t, tree, env, &variables))
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalWithOptions(filled, &c, yaml.Strict()))
	slices.Sort(variables)
	return c, slices.Compact(variables)
}

var variable = regexp.MustCompile(`\$(?:\$|\{([A-Z0-9_]+)(?::-([^}]*))?\})`)

func fill(t *testing.T, node any, env map[string]string, seen *[]string) any {
	switch n := node.(type) {
	case map[string]any:
		for k, v := range n {
			n[k] = fill(t, v, env, seen)
		}
	case []any:
		for i, v := range n {
			n[i] = fill(t, v, env, seen)
		}
	case string:
		out := variable.ReplaceAllStringFunc(n, func(found string) string {
			m := variable.FindStringSubmatch(found)
			if m[1] == "" {
				return "$"
			}
			*seen = append(*seen, m[1])
			if v := env[m[1]]; v != "" {
				return v
			}
			require.Contains(t, found, ":-", "%s has no default", m[1])
			return m[2]
		})
		require.NotContains(t, strings.ReplaceAll(out, "$JS", ""), "$", "a variable in %q that is not understood", n)
		return out
	}
	return node
}

// programs builds both programs once.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "deploy")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/churn", "./cmd/inference")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	return dir, cmd.Run()
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := programs(); err == nil {
		_ = os.RemoveAll(dir) // a temporary folder
	}
	os.Exit(code)
}

// command returns what a container of ours would run for args after its entry point, as a program of this machine.
func (s service) command(t *testing.T, args ...string) []string {
	t.Helper()
	dir, err := programs()
	require.NoError(t, err)
	return append([]string{filepath.Join(dir, s.program(t))}, args...)
}

func (s service) program(t *testing.T) string {
	t.Helper()
	name := s.Build.Dockerfile
	if name == "" {
		name = "Dockerfile"
	}
	entry := read(t, name).final().exec(t, "ENTRYPOINT")
	require.Len(t, entry, 1)
	return strings.TrimPrefix(entry[0], "/")
}

func (s service) ours() bool { return s.Build != nil }

func TestComposeIsSound(t *testing.T) {
	c, _ := load(t, nil)
	require.Equal(t, "churn", c.Name)
	for _, name := range []string{"nats-1", "nats-2", "nats-3", "minio", "data", "trainer", "registry", "drift", "scorer", "inference-1", "inference-2"} {
		require.Contains(t, c.Services, name)
	}
	published := map[string]string{}
	for name, s := range c.Services {
		t.Run(name, func(t *testing.T) {
			if s.ours() {
				require.Contains(t, s.Image, ":", "named, so that an override can take a pulled one")
				require.DirExists(t, filepath.Join(root, s.Build.Context))
				require.True(t, s.ReadOnly)
				require.Equal(t, []string{"ALL"}, s.CapDrop)
				require.Contains(t, s.Tmpfs, "/tmp", "artifacts are spooled there")
			} else {
				require.True(t, pinned(s.Image), s.Image)
			}
			require.Contains(t, s.Security, "no-new-privileges:true")
			oneShot := s.Restart == "no"
			require.True(t, oneShot || s.Restart == "unless-stopped", s.Restart)
			require.Equal(t, oneShot, s.Health.Disable, "what goes on is watched")
			if !oneShot {
				require.Equal(t, "CMD", s.Health.Test[0], "no shell")
				require.NotEmpty(t, s.Health.Interval+s.Health.Timeout+s.Health.Start)
			}
			for _, p := range s.Ports {
				require.Regexp(t, `^127\.0\.0\.1:\d+:\d+$`, p)
				require.Empty(t, published[p[:strings.LastIndex(p, ":")]], "taken by another")
				published[p[:strings.LastIndex(p, ":")]] = name
			}
			for on, d := range s.DependsOn {
				other, ok := c.Services[on]
				require.True(t, ok, on)
				switch d.Condition {
				case "service_healthy":
					require.NotEmpty(t, other.Health.Test, on)
				case "service_completed_successfully":
					require.Equal(t, "no", other.Restart, on)
				default:
					require.Fail(t, "condition", d.Condition)
				}
			}
			for _, m := range s.Mounts {
				source, rest, ok := strings.Cut(m, ":")
				require.True(t, ok, m)
				if strings.ContainsAny(source, "./") {
					require.DirExists(t, filepath.Join(root, source))
					require.True(t, strings.HasSuffix(rest, ":ro"), "a folder of this machine is mounted read-only")
				} else {
					require.Contains(t, c.Volumes, source)
				}
			}
		})
	}
}

// pinned reports whether an image is named with a tag that says a version.
func pinned(image string) bool {
	_, tag, ok := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	return ok && strings.ContainsAny(tag, "0123456789") && !strings.Contains(tag, "latest")
}

func TestPinned(t *testing.T) {
	for image, want := range map[string]bool{
		"nats:2.15.2-alpine": true, "golang:1.26-bookworm": true, "nats": false, "nats:latest": false, "nats:alpine": false, "host:5000/nats": false,
	} {
		require.Equal(t, want, pinned(image), image)
	}
}

// TestDatasetOfOnesOwn holds that a folder of this machine stands in for the generated data, and only read.
func TestDatasetOfOnesOwn(t *testing.T) {
	c, _ := load(t, map[string]string{"CHURN_STACK_DATA_DIR": "../shared/data", "CHURN_STACK_DATA_FILE": "Telco.csv"})
	require.Equal(t, []string{"../shared/data:/data:ro"}, c.Services["trainer"].Mounts)
	require.Equal(t, "/data/Telco.csv", c.Services["trainer"].Environment["CHURN_DATA"])
	require.Equal(t, []string{"generated:/data"}, c.Services["data"].Mounts)
}

var settingInHelp = regexp.MustCompile(`\$([A-Z][A-Z0-9_]+)`)

// TestComposeCommandsAndSettings has the programs themselves say whether they know the commands, flags and variables of the compose file.
func TestComposeCommandsAndSettings(t *testing.T) {
	c, _ := load(t, nil)
	for name, s := range c.Services {
		if !s.ours() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			help := run(t, s.command(t, append(slices.Clone(s.Command), "--help")...)...)
			known := settingInHelp.FindAllString(help, -1)
			for setting := range s.Environment {
				require.Contains(t, known, "$"+setting)
			}
			if len(s.Health.Test) > 0 {
				require.Equal(t, "/"+s.program(t), s.Health.Test[1])
				run(t, s.command(t, append(slices.Clone(s.Health.Test[2:]), "--help")...)...)
			}
		})
	}
	_, err := exec.Command(c.Services["trainer"].command(t, "trainer", "--no-such-flag", "--help")[0], "trainer", "--no-such-flag", "--help").Output()
	require.Error(t, err, "a flag that is not there is told although help is asked for")
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	require.NoError(t, err, "%v: %s", args, out)
	return string(out)
}

// TestComposeVariables holds that a variable of the compose file is either a setting of the programs or stands in the list at the file's top.
func TestComposeVariables(t *testing.T) {
	c, variables := load(t, nil)
	raw, err := os.ReadFile(filepath.Join(root, "docker-compose.yaml"))
	require.NoError(t, err)
	head, _, ok := strings.Cut(string(raw), "\nname:")
	require.True(t, ok)
	var listed []string
	for _, word := range strings.Fields(head) {
		listed = append(listed, expand(word)...)
	}
	settings := settingInHelp.FindAllString(run(t, c.Services["trainer"].command(t, "trainer", "--help")...), -1)
	settings = append(settings, settingInHelp.FindAllString(run(t, c.Services["scorer"].command(t, "scorer", "--help")...), -1)...)
	settings = append(settings, settingInHelp.FindAllString(run(t, c.Services["inference-1"].command(t, "--help")...), -1)...)
	for _, instance := range []string{"inference-1", "inference-2"} {
		for _, setting := range []string{"CHURN_IN_FLIGHT", "CHURN_MAX_RECORDS", "CHURN_PREDICTION_LOG", "CHURN_DRAIN_DELAY"} {
			require.NotEmpty(t, c.Services[instance].Environment[setting], "%s has no effect on %s", setting, instance)
		}
	}
	for _, v := range variables {
		require.Contains(t, listed, v)
		if v != "VERSION" && !strings.HasPrefix(v, "CHURN_STACK_") {
			require.Contains(t, settings, "$"+v)
		}
	}
	for _, v := range listed {
		if strings.HasPrefix(v, "CHURN_STACK_") {
			require.Contains(t, variables, v, "listed and not used")
		}
	}
}

// expand writes out A_{B,C}_D as a shell does.
func expand(word string) []string {
	word = strings.TrimRight(word, ",.;:)")
	before, rest, ok := strings.Cut(word, "{")
	list, after, closed := strings.Cut(rest, "}")
	if !ok || !closed {
		return []string{word}
	}
	var out []string
	for _, one := range strings.Split(list, ",") {
		out = append(out, before+one+after)
	}
	return out
}
