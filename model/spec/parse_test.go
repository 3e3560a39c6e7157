package spec

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// small is the shortest spec that is valid.
const small = `name: small
columns:
  target: {name: left, positive: "Yes"}
  numeric:
    - name: age
`

func TestParseFillsDefaults(t *testing.T) {
	s, err := Parse([]byte(small))
	require.NoError(t, err)
	require.Equal(t, "small-training", s.Experiment)
	require.Equal(t, "small", s.Split.Salt)
	require.Equal(t, "No", s.Columns.Target.Negative)
	require.Equal(t, PromotionAuto, s.Promotion)
	require.Equal(t, ',', s.Dataset.Comma())
	require.Equal(t, "f1_churn", s.Gates.Production.Metric)
	require.Equal(t, 168*time.Hour, s.Drift.MaxAge)
	require.Nil(t, s.Drift.Performance, "performance is off unless the file asks for it")
	require.Contains(t, s.Columns.Missing, "NA")
}

func TestParseReadsValues(t *testing.T) {
	s, err := Parse([]byte("\ufeff" + strings.ReplaceAll(small, "\n", "\r\n") + `
  categorical:
    - {name: "zip code", values: [01234, 1.50, true, No, "null"], max_levels: 7}
  missing: []
drift:
  max_age: 1d12h
  performance: {}
  monitors: [{column: age}]
retrain:
  schedule: {cron: "0 0 2 * * MON"}
labels: {horizon: 30d}
expectations:
  not_null: [{column: age}]
`))
	require.NoError(t, err)
	k := s.Columns.Categorical[0]
	require.Equal(t, []string{"01234", "1.50", "true", "No", "null"}, k.Values, "a word stays as it is written")
	require.Equal(t, 7, k.MaxLevels)
	require.Empty(t, s.Columns.Missing)
	require.Equal(t, 36*time.Hour, s.Drift.MaxAge)
	require.Equal(t, DefaultPerformance(), *s.Drift.Performance)
	require.Equal(t, ActionReport, s.Drift.Monitors[0].Action)
	require.Equal(t, Schedule{Cron: "0 0 2 * * MON", TimeZone: "UTC", TargetStage: "production"}, *s.Retrain.Schedule)
	require.Equal(t, 720*time.Hour, s.Labels.Horizon)
	require.Equal(t, 1.0, s.Expectations.NotNull[0].Mostly)
}

func TestParseNamesLines(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		line       int
		path, msg  string
	}{
		{"unknown key", small + "tree: 3\n", 6, "tree", "unknown key"},
		{"unknown key in a list", small + "    - {name: b, maximum: 3}\n", 6, "columns.numeric[1].maximum", "unknown key, want one of: name, min, max"},
		{"duplicate key", small + "name: again\n", 6, "name", "twice, first in line 1"},
		{"wrong type", small + "learner:\n  trees: many\n", 7, "learner.trees", `want a whole number, got "many"`},
		{"quoted number", small + "learner:\n  trees: \"9\"\n", 7, "learner.trees", "remove the quotes"},
		{"not finite", small + "learner:\n  l2: .nan\n", 7, "learner.l2", "finite"},
		{"bad duration", small + "drift:\n  repeat: often\n", 7, "drift.repeat", "want a duration like 30s"},
		{"list for a section", small + "drift: [1]\n", 6, "drift", "want keys and values, got a list"},
		{"value for a list", small + "gates:\n  staging: none\n", 7, "gates.staging", `want a list, got the value "none"`},
		{"section for a value", small + "learner:\n  seed: {a: 1}\n", 7, "learner.seed", "want a single value"},
		{"out of range", small + "learner:\n  subsample: 1.5\n", 7, "learner.subsample", "at most 1"},
		{"fault of an absent key", small + "retrain:\n  schedule: {time_zone: UTC}\n", 7, "retrain.schedule.cron", "six fields"},
		{"column used twice", small + "    - name: left\n", 6, "columns.numeric[1].name", "already used by columns.target.name"},
		{"null in a list", small + "  missing: [~]\n", 6, "columns.missing[0]", "quotes"},
		{"anchor", small + "experiment: &a x\n", 6, "experiment", "anchors"},
		{"syntax", small + "gates: [1\n", 6, "", "not found"},
		{"second document", small + "---\nname: b\n", 7, "", "second"},
		{"tab", small + "\tgates: 1\n", 6, "", "cannot start"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse([]byte(c.yaml))
			require.Nil(t, s)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Len(t, Faults(err), 1, "%v", err)
			require.Equal(t, c.line, e.Line, "%v", err)
			require.Equal(t, c.path, e.Path)
			require.Contains(t, e.Msg, c.msg)
			require.Equal(t, strings.Split(c.yaml, "\n")[c.line-1], e.Source)
			require.Contains(t, err.Error(), e.Source)
		})
	}
}

func TestParseReportsAllFaults(t *testing.T) {
	_, err := Parse([]byte(`name: my model
colour: red
columns:
  target: {name: left, positive: gone}
  numeric:
    - {name: age, min: 9, max: 3}
learner:
  trees: x
  subsample: 0
drift:
  monitors: [{column: height}]
`))
	var got []string
	line := 0
	for _, f := range Faults(err) {
		got = append(got, f.Path)
		require.GreaterOrEqual(t, f.Line, line, "faults come in the order of the file: %v", err)
		line = f.Line
	}
	require.Equal(t, []string{
		"name", "colour", "columns.target.negative", "columns.numeric[0].min", "learner.trees", "learner.subsample",
		"drift.monitors[0].column",
	}, got)
}

func TestParseRefusesEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "null\n"} {
		_, err := Parse([]byte(text))
		require.Error(t, err, "%q", text)
	}
	_, err := Parse(make([]byte, maxBytes+1))
	require.ErrorContains(t, err, "more than")
}

func TestMarshalRoundTrip(t *testing.T) {
	odd := Telco()
	odd.Columns.Categorical[0].Values = []string{"a: b", "- c", "#", "é ü", `"`, `\`, "007", "1e3", "~", "yes", "a,b]", "<&>", "a\u2028b", "x "[:1], "{", "%", "@", "'", "=", "<<", "a #b", "a:b", "(x)"}
	odd.Columns.Ignored = []string{"due date (local)", "été", ".inf", "0x1F"}
	odd.Dataset = Dataset{Path: `C:\data\a b.csv`, Format: FormatCSV, Delimiter: "\t"}
	odd.Retrain.Schedule = &Schedule{Cron: "0 */5 2-4 1,15 JAN ?", TimeZone: "Europe/Berlin", TargetStage: "staging"}
	odd.Drift.Performance = nil
	odd.Learner.Seed = 1<<64 - 1
	odd.Learner.L2 = 1e-300
	odd.Labels.Horizon = 90 * time.Minute
	odd.Features.Encoding, odd.Features.TargetSmoothing, odd.Features.TargetFolds = EncodingTarget, 0, 10
	odd.Columns.Categorical[1].Encoding = EncodingNative
	for _, s := range []*Spec{Telco(), odd} {
		text, err := s.Marshal()
		require.NoError(t, err)
		back, err := Parse(text)
		require.NoError(t, err, "%s", text)
		again, err := back.Marshal()
		require.NoError(t, err)
		require.Equal(t, string(text), string(again))
		require.Equal(t, s.Digest(), back.Digest())
		require.Equal(t, s, back)
	}
}

func TestMarshalRefusesInvalid(t *testing.T) {
	s := Telco()
	s.Name = "a/b"
	_, err := s.Marshal()
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "name", e.Path)
	require.Zero(t, e.Line)
}

func TestDigest(t *testing.T) {
	s := Telco()
	d := s.Digest()
	require.Regexp(t, `^sha256:[0-9a-f]{64}$`, d)
	s.Dataset = Dataset{Path: "elsewhere.csv", Delimiter: ";"}
	require.Equal(t, d, s.Digest(), "where the data is does not change the rules")
	s.Gates.Staging[0].Min = 0.46
	require.NotEqual(t, d, s.Digest())
}

// A key that came later must not change what a spec without it is written as: older bundles hold its digest.
func TestLaterKeysAreLeftOutAtTheirDefaults(t *testing.T) {
	s, err := Parse([]byte(small + "  categorical: [{name: plan}]\n"))
	require.NoError(t, err)
	text, err := s.Marshal()
	require.NoError(t, err)
	require.NotContains(t, string(text), "target_")
	require.NotContains(t, strings.ReplaceAll(string(text), "  encoding: ordinal\n", ""), "encoding")
	digest := s.Digest()
	for _, change := range []func(*Spec){
		func(s *Spec) { s.Features.TargetSmoothing = 11 },
		func(s *Spec) { s.Features.TargetFolds = 6 },
		func(s *Spec) { s.Columns.Categorical[0].Encoding = EncodingOrdinal },
	} {
		c := s.Clone()
		change(c)
		require.NotEqual(t, digest, c.Digest())
	}
	require.Equal(t, EncodingOrdinal, s.EncodingOf(s.Columns.Categorical[0]))
	s.Columns.Categorical[0].Encoding = EncodingTarget
	require.Equal(t, EncodingTarget, s.EncodingOf(s.Columns.Categorical[0]))
}

func TestCloneIsDeep(t *testing.T) {
	s := Telco()
	s.Retrain.Schedule = &Schedule{Cron: "0 0 2 * * 1", TimeZone: "UTC", TargetStage: "staging"}
	s.Columns.Missing = []string{"NA"}
	s.Columns.Ignored = []string{"x"}
	before := s.Clone()
	c := s.Clone()
	require.Equal(t, s, c)
	*c.Columns.Numeric[0].Max = -1
	c.Columns.Numeric[0].Name = "x"
	c.Columns.Categorical[0].Values[0] = "x"
	c.Columns.Missing[0] = "x"
	c.Columns.Ignored[0] = "z"
	c.Features.Derived[0].Of[0] = "x"
	c.Features.Derived[0].Equals[0] = "x"
	c.Gates.Staging[0].Min = 0
	c.Drift.Monitors[0].Column = "x"
	c.Drift.Performance.Every = 1
	c.Retrain.Schedule.Cron = "x"
	c.Expectations.NotNull[0].Column = "x"
	require.Equal(t, before, s)
}

func TestTelco(t *testing.T) {
	s := Telco()
	require.Equal(t, "telco-churn", s.Name)
	require.Equal(t, "telco-churn-training", s.Experiment)
	require.Empty(t, s.Dataset.Path)
	require.Equal(t, []Threshold{{"f1_churn", 0.45}, {"roc_auc", 0.75}}, s.Gates.Staging)
	require.Len(t, s.Columns.Numeric, 3)
	require.Len(t, s.Columns.Categorical, 16)
	require.Equal(t, ActionRetrain, s.Drift.Monitors[0].Action)
	require.Equal(t, ActionRetrain, s.Drift.Performance.Action)
	text := TelcoYAML()
	text[0] = '!'
	require.NotEqual(t, text, TelcoYAML())
	s.Name = "changed"
	require.Equal(t, "telco-churn", Telco().Name)
}

func TestFaultsOfOtherErrors(t *testing.T) {
	require.Empty(t, Faults(nil))
	require.Empty(t, Faults(errors.New("x")))
	_, err := Parse([]byte("name: 1\n"))
	require.NotEmpty(t, Faults(errors.Join(errors.New("x"), err)))
}

func TestFormatOf(t *testing.T) {
	require.Equal(t, FormatCSV, FormatOf("a/b.CSV"))
	require.Equal(t, FormatJSONL, FormatOf("b.ndjson"))
	require.Empty(t, FormatOf("b"))
}

func TestCanonicalWord(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "Yes": "Yes", "True": "true", "FALSE": "false", "t": "t", "1": "1", "1.0": "1", "1e0": "1", "+1": "1", "-0": "0",
		"0.50": "0.5", "007": "7", "-3": "-3", "0x10": "0x10", "1_000": "1_000", "-": "-", ".": ".", "Infinity": "Infinity",
		"12345678901234567890123": "12345678901234567890123", "1e400": "1e400", "9007199254740993.0": "9007199254740993.0", "-Inf": "-Inf", "+nan": "+nan",
	} {
		require.Equal(t, want, CanonicalWord(in), "%q", in)
	}
	require.True(t, SameWord("1", "1.0"))
	require.False(t, SameWord("1", "true"))
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add(TelcoYAML())
	f.Add([]byte("name: [a\n"))
	f.Add([]byte("a: &a [*a]\n<<: 1\n? x\n: y\n"))
	f.Add([]byte(small + "  categorical:\n    - {name: '\"', values: [\"\\u00e9\", ~, 0o17, |\n  x]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			require.Nil(t, s)
			require.NotEmpty(t, Faults(err), "%v", err)
			return
		}
		text, err := s.Marshal()
		require.NoError(t, err)
		back, err := Parse(text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, s, back)
	})
}
