package tune

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var space = Space{
	{Name: "rate", Low: 0.01, High: 1, Log: true},
	{Name: "depth", Low: 1, High: 8, Whole: true},
	{Name: "share", Low: 0, High: 1},
}

// bowl is an objective that is least at rate 0.1, depth 4, share 0.7, a little apart in each arm. It can't be had at depth 8.
type bowl struct {
	calls    int
	flat     bool // all points are equal
	unjudged bool // no point can be judged
}

func (b *bowl) Score(_ context.Context, arm int, p map[string]float64) (float64, map[string]float64, error) {
	b.calls++
	if p["depth"] == 8 {
		return 0, nil, &FailedTrial{errors.New("too deep")}
	}
	if b.flat {
		return 1, nil, nil
	}
	return b.at(p) + float64(arm)*0.01*p["share"], map[string]float64{"trees": 7}, nil
}

func (b *bowl) at(p map[string]float64) float64 {
	if b.flat {
		return 1
	}
	rate, depth, share := math.Log10(p["rate"])+1, p["depth"]-4, p["share"]-0.7
	return 1 + rate*rate + depth*depth/10 + share*share
}

func (b *bowl) Judge(_ context.Context, arm int, p map[string]float64) (map[string]float64, error) {
	b.calls++
	if b.unjudged {
		return nil, errors.New("no threshold")
	}
	return map[string]float64{"log_loss": b.at(p) + float64(arm%2)/1000*p["depth"], "roc_auc": -b.at(p)}, nil
}

// entries is a log in memory that breaks after so many.
type entries struct {
	list  []Entry
	limit int
}

var errKilled = errors.New("killed")

func (l *entries) Append(e Entry) error {
	if l.limit > 0 && len(l.list) == l.limit {
		return errKilled
	}
	l.list = append(l.list, e)
	return nil
}

// ticking is a clock on which every piece of work takes a second.
func ticking() func() time.Time {
	at := time.Unix(0, 0)
	return func() time.Time { at = at.Add(time.Second); return at }
}

func config(o Objective, log Log) Config {
	return Config{Space: space, First: Point{0.5, 7, 0.1}, Seed: 3, Outer: 3, Trials: 12, Objective: o, Log: log, Now: ticking()}
}

func TestSearchFindsTheBottom(t *testing.T) {
	b := &bowl{}
	c := config(b, &entries{})
	c.Trials = 60
	out, err := Run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, 60, out.Trials)
	require.Equal(t, ByTrials, out.Bound)
	best := out.Best()
	require.InDelta(t, -1, math.Log10(best.Point["rate"]), 0.3)
	require.Equal(t, 4.0, best.Point["depth"])
	require.InDelta(t, 0.7, best.Point["share"], 0.15)
	require.True(t, out.Improves("log_loss", true))
	require.True(t, out.Improves("roc_auc", false))
	require.False(t, out.Improves("log_loss", false))
	require.True(t, out.Worsens("log_loss", false))
	require.False(t, out.Worsens("log_loss", true))
	require.False(t, out.Improves("unknown", true))
	require.Len(t, out.Outer, 3)
	for arm, j := range out.Outer {
		require.Equal(t, map[string]float64{"rate": 0.5, "depth": 7, "share": 0.1}, j.Present.Point)
		require.Equal(t, arm, j.Chosen.Arm)
	}
	failed := 0
	for _, e := range out.Ranked {
		if e.Failed != "" {
			failed++
			require.Nil(t, e.Loss)
			require.Equal(t, "too deep", e.Failed)
		}
	}
	require.Positive(t, failed, "depth 8 was drawn")
}

func TestNothingBetterIsSaid(t *testing.T) {
	out, err := Run(t.Context(), config(&bowl{flat: true}, &entries{}))
	require.NoError(t, err)
	require.Zero(t, out.Outer[0].Chosen.Trial, "of equal trials the present parameters stay")
	require.False(t, out.Improves("log_loss", true))
	require.Zero(t, out.Compared["log_loss"].Mean)
}

func TestPointsAreInRangeAndReadable(t *testing.T) {
	s := NewSearch(space, Point{9, 9, 9}, 1)
	require.Equal(t, Point{9, 9, 9}, s.Next(), "the present parameters are tried as they are")
	for n := range 200 {
		p := s.Next()
		require.Equal(t, p, s.Next())
		s.Tell(float64(n % 7))
		if n == 0 {
			continue
		}
		for i, d := range space {
			require.GreaterOrEqual(t, p[i], d.Low)
			require.LessOrEqual(t, p[i], d.High)
			require.LessOrEqual(t, len(fmt.Sprint(p[i])), 6, "%v", p[i])
		}
		require.Equal(t, math.Trunc(p[1]), p[1])
	}
	require.Equal(t, 200, s.Trials())
}

// A run that is killed before, between or after any two pieces of work, and gone on with, gives what an uninterrupted one gives.
func TestKilledAtEveryPoint(t *testing.T) {
	whole := &entries{}
	want, err := Run(t.Context(), config(&bowl{}, whole))
	require.NoError(t, err)
	for n := 1; n < len(whole.list); n++ {
		log := &entries{limit: n}
		_, err := Run(t.Context(), config(&bowl{}, log))
		require.ErrorIs(t, err, errKilled, "%d entries", n)
		b, rest := &bowl{}, &entries{}
		c := config(b, rest)
		c.Done = log.list
		got, err := Run(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, want, got, "killed after %d", n)
		require.Equal(t, len(whole.list)-n, b.calls, "nothing is done twice")
		require.Equal(t, whole.list[n:], rest.list)
	}
}

func TestMoreTrialsGoOnFromFewer(t *testing.T) {
	long := config(&bowl{}, &entries{})
	long.Trials = 20
	want, err := Run(t.Context(), long)
	require.NoError(t, err)

	log := &entries{}
	_, err = Run(t.Context(), config(&bowl{}, log))
	require.NoError(t, err)
	long.Done, long.Log = log.list, log
	got, err := Run(t.Context(), long)
	require.NoError(t, err)
	require.Equal(t, want.Ranked, got.Ranked)
	require.Equal(t, want.Compared, got.Compared)
}

func TestBudgetCountsTrialsAndEndsWithARound(t *testing.T) {
	c := config(&bowl{}, &entries{})
	c.Trials, c.Budget = 0, 30*time.Second // of work that takes a second each, in four arms
	out, err := Run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, 8, out.Trials)
	require.Equal(t, ByBudget, out.Bound)
	require.GreaterOrEqual(t, out.Spent, 32*time.Second)
	c.Budget = time.Nanosecond
	out, err = Run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, 1, out.Trials, "the present parameters are always judged")
}

func TestAnotherSearchsEntriesAreRefused(t *testing.T) {
	log := &entries{}
	_, err := Run(t.Context(), config(&bowl{}, log))
	require.NoError(t, err)
	c := config(&bowl{}, &entries{})
	c.Done = log.list
	c.Seed++
	_, err = Run(t.Context(), c)
	require.ErrorContains(t, err, "the log holds")
}

func TestErrorsEndTheSearch(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errKilled)
	_, err := Run(ctx, config(&bowl{}, &entries{}))
	require.ErrorIs(t, err, errKilled)
	for name, change := range map[string]func(*Config){
		"bound":   func(c *Config) { c.Trials = 0 },
		"outer":   func(c *Config) { c.Outer = 1 },
		"present": func(c *Config) { c.First = c.First[:1] },
		"search":  func(c *Config) { c.Space, c.First = nil, nil },
		"nil":     func(c *Config) { c.Log = nil },
		"range":   func(c *Config) { c.Space = Space{{Name: "a", Low: 1, High: 1}}; c.First = Point{1} },
		"there":   func(c *Config) { c.Space = Space{{Name: "a", High: 1}, {Name: "a", High: 1}}; c.First = Point{1, 1} },
		"logar":   func(c *Config) { c.Space = Space{{Name: "a", High: 1, Log: true}}; c.First = Point{1} },
		// the present parameters must work
		"too deep": func(c *Config) { c.First = Point{0.5, 8, 0.5} },
	} {
		c := config(&bowl{}, &entries{})
		change(&c)
		_, err := Run(t.Context(), c)
		require.ErrorContains(t, err, name)
	}
}

func TestPresentParametersThatCannotBeJudgedAreKnownAtOnce(t *testing.T) {
	b, log := &bowl{unjudged: true}, &entries{}
	_, err := Run(t.Context(), config(b, log))
	require.ErrorContains(t, err, "judge the present parameters on outer fold 0: no threshold")
	require.Equal(t, 1, b.calls, "before any trial")
	require.Empty(t, log.list)
}

func key() Key {
	return Key{Format: format, Spec: "sha256:1", Dataset: "xxh64:2", Metric: "log_loss", Outer: 3, Inner: 5, Seed: 3, Space: space}
}

// journalled runs the search on a file.
func journalled(t *testing.T, path string) *Outcome {
	t.Helper()
	j, done, err := OpenJournal(path, key())
	require.NoError(t, err)
	c := config(&bowl{}, j)
	c.Done = done
	out, err := Run(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, j.Close())
	return out
}

// Whatever part of the file a kill left, the search ends in the same file and the same outcome. The last lines are cut at every byte, those
// before at some, as each line to write anew is synced.
func TestJournalCutAnywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tune.jsonl")
	want := journalled(t, path)
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	for n := 0; n < len(file); n++ {
		if n < len(file)-250 && n%509 != 0 {
			continue
		}
		require.NoError(t, os.WriteFile(path, file[:n], 0o600))
		require.Equal(t, want, journalled(t, path), "cut at %d", n)
		again, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(file), string(again), "cut at %d", n)
	}
	t.Run("a tail of zeros, as a power loss leaves", func(t *testing.T) {
		require.NoError(t, os.WriteFile(path, append(file[:len(file)/2:len(file)/2], make([]byte, 100)...), 0o600))
		require.Equal(t, want, journalled(t, path))
	})
}

// edited returns the space with another parameter at i.
func edited(i int, d Dim) Space {
	out := slices.Clone(space)
	out[i] = d
	return out
}

// A line that says something else than what was found, is gone, is there twice or stands elsewhere is refused, the last one too.
func TestJournalRefusesEditedLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tune.jsonl")
	journalled(t, path)
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(file, []byte("\n"))
	n := len(lines) - 1 // the last is empty
	for name, c := range map[string]struct {
		edit func(l [][]byte) [][]byte
		line int
	}{
		"another number": {func(l [][]byte) [][]byte {
			l[6] = bytes.Replace(l[6], []byte(`"seconds":1`), []byte(`"seconds":2`), 1)
			return l
		}, 7},
		"another last": {func(l [][]byte) [][]byte {
			l[n-1] = bytes.Replace(l[n-1], []byte(`"seconds":1`), []byte(`"seconds":2`), 1)
			return l
		}, n},
		"one taken out": {func(l [][]byte) [][]byte { return slices.Delete(l, 4, 5) }, 5},
		"one twice":     {func(l [][]byte) [][]byte { return slices.Insert(l, 4, l[4]) }, 6},
		"two exchanged": {func(l [][]byte) [][]byte { l[4], l[5] = l[5], l[4]; return l }, 5},
		"another key's sum": {func(l [][]byte) [][]byte {
			l[0] = append(l[0][:len(l[0])-4:len(l[0])-4], "x\"}\n"...)
			return l
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			text := bytes.Join(c.edit(slices.Clone(lines)), nil)
			require.NotEqual(t, file, text)
			require.NoError(t, os.WriteFile(path, text, 0o600))
			_, _, err := OpenJournal(path, key())
			require.ErrorIs(t, err, errSum)
			require.ErrorContains(t, err, fmt.Sprintf("line %d is damaged", c.line))
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, text, after)
		})
	}
}

func TestJournalRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tune.jsonl")
	journalled(t, path)
	file, err := os.ReadFile(path)
	require.NoError(t, err)

	for name, change := range map[string]func(*Key){
		"the data was xxh64:2 and is xxh64:3":                          func(k *Key) { k.Dataset = "xxh64:3" },
		"the spec was sha256:1 and is sha256:2":                        func(k *Key) { k.Spec = "sha256:2" },
		"the metric that chooses was log_loss and is pr_auc":           func(k *Key) { k.Metric, k.Inner = "pr_auc", 9 },
		"the number of outer folds was 3 and is 4":                     func(k *Key) { k.Outer = 4 },
		"the number of inner folds was 5 and is 4":                     func(k *Key) { k.Inner = 4 },
		"the seed was 3 and is 4":                                      func(k *Key) { k.Seed = 4 },
		"the number of parameters was 3 and is 2":                      func(k *Key) { k.Space = space[:2] },
		"parameter 2 was depth and is leaves":                          func(k *Key) { k.Space = edited(1, Dim{Name: "leaves", Low: 1, High: 8, Whole: true}) },
		"the range of depth was 1 to 8, whole and is 1 to 9, whole":    func(k *Key) { k.Space = edited(1, Dim{Name: "depth", Low: 1, High: 9, Whole: true}) },
		"the range of share was 0 to 1 and is 0.1 to 1, logarithmic; ": func(k *Key) { k.Space = edited(2, Dim{Name: "share", Low: 0.1, High: 1, Log: true}) },
		"its format": func(k *Key) { k.Format = 99 },
	} {
		k := key()
		change(&k)
		_, _, err := OpenJournal(path, k)
		var other *KeyError
		require.ErrorAs(t, err, &other)
		require.ErrorContains(t, err, name)
	}
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, file, after, "nothing is changed")

	file[len(file)/2] = '\n'
	require.NoError(t, os.WriteFile(path, file, 0o600))
	_, _, err = OpenJournal(path, key())
	require.ErrorContains(t, err, "is damaged")

	for _, other := range []string{"name: telco-churn\n", "precious, no newline", `{"precious": "data"}`, "{}", "\x00\x00", "\n", string(file[:9]) + "!"} {
		require.NoError(t, os.WriteFile(path, []byte(other), 0o600))
		_, _, err = OpenJournal(path, key())
		require.ErrorContains(t, err, "no journal", "%q", other)
		after, err = os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, other, string(after), "another file is not touched")
	}
}

func TestJournalIsForOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tune.jsonl")
	j, _, err := OpenJournal(path, key())
	require.NoError(t, err)
	_, _, err = OpenJournal(path, key())
	require.ErrorContains(t, err, "in use")
	require.NoError(t, j.Close())
	j, _, err = OpenJournal(path, key())
	require.NoError(t, err)
	require.NoError(t, j.Close())
}

func FuzzReadJournal(f *testing.F) {
	head, sum, err := seal(key(), "")
	require.NoError(f, err)
	loss := 2.0
	entry, _, err := seal(Entry{Point: map[string]float64{"rate": 1}, Loss: &loss, Seconds: 1}, sum)
	require.NoError(f, err)
	f.Add(fmt.Appendf(nil, "%s\n%s\n{\"arm\"", head, entry))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := readJournal("j", data, key())
		if err != nil {
			return
		}
		require.LessOrEqual(t, c.whole, len(data))
		again, err := readJournal("j", data[:c.whole], key())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}
