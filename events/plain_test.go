package events

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// same reports whether plain and encoding/json read the same, and whether plain read it at all.
func same(t *testing.T, data []byte) bool {
	t.Helper()
	var fast, slow RunTracked
	read := readPlain(data, &fast)
	if !read {
		return false
	}
	require.NoError(t, json.Unmarshal(data, &slow), "%s", data)
	for i, m := range slow.Metrics { // NaN is not equal to itself
		if v := float64(m.Value); math.IsNaN(v) && math.IsNaN(float64(fast.Metrics[i].Value)) {
			slow.Metrics[i].Value, fast.Metrics[i].Value = 0, 0
		}
	}
	require.Equal(t, slow, fast, "%s", data)
	return true
}

func TestPlainReadsWhatEncodeWrites(t *testing.T) {
	end, name := int64(-7), "tidy \"owl\"\n\u2028<7> \U0001f989"
	for _, p := range []RunTracked{
		{RunID: "r"},
		{RunID: "r", Actor: "ann", Status: StatusFinished, EndTime: &end, Name: &name, Lifecycle: StageDeleted, RemovedTags: []string{"a", "b\\"},
			Created: &RunCreation{ExperimentID: "1", UserID: "ann", StartTime: math.MaxInt64, ArtifactURI: "mlflow-artifacts:/1/r/artifacts"},
			Params:  []Pair{{"a", ""}, {"ü", "x<y"}}, Tags: []Pair{{"", ""}},
			Metrics: []MetricPoint{{Key: "auc", Value: 0.1, Timestamp: 1, Step: math.MinInt64, ModelID: "m", DatasetName: "d", DatasetDigest: "9f"},
				{Key: "nan", Value: Number(math.NaN())}, {Key: "inf", Value: Number(math.Inf(-1))}, {Key: "tiny", Value: 5e-324}, {Key: "zero", Value: Number(math.Copysign(0, -1))}}},
	} {
		data, err := marshal(&p)
		require.NoError(t, err)
		require.True(t, same(t, data), "%s", data)
		data, err = json.Marshal(p) // with escapes, as events were written once
		require.NoError(t, err)
		require.True(t, same(t, data), "%s", data)
	}
}

// A message has room for what clients log, byte for byte, and says the same as with escapes.
func TestEncodeEscapesNoMarkup(t *testing.T) {
	text := strings.Repeat("<a href='x'>&</a>", 1000)
	e := New("r", "test", "k", time.Now(), &RunTracked{RunID: "r", Params: []Pair{{Key: "p", Value: text}}})
	subject, header, data, err := e.Encode()
	require.NoError(t, err)
	require.Less(t, len(data), len(text)+100)
	require.NotEqual(t, byte('\n'), data[len(data)-1])
	escaped, err := json.Marshal(e.Payload)
	require.NoError(t, err)
	for _, data := range [][]byte{data, escaped} {
		got, err := Decode(subject, header, data)
		require.NoError(t, err)
		require.Equal(t, e.Payload, got.Payload)
	}
}

func TestPlainLeavesTheRestToJSON(t *testing.T) {
	for _, data := range []string{
		``, `null`, `{}`, `[]`, `{"run_id":"r"} `, ` {"run_id":"r"}`, `{"run_id": "r"}`, `{"run_id":"r"}{}`, `{"run_id":"r",}`, `{"run_id":"r"`, `{"run_id":"r`,
		`{"run_id":null}`, `{"run_id":7}`, `{"RUN_ID":"r"}`, `{"run_id":"r","run_id":"s"}`, `{"actor":"a","run_id":"r"}`, `{"run_id":"r","later":1}`,
		`{"run_id":"\ud800x`, `{"run_id":"\q"}`, "{\"run_id\":\"a\nb\"}", `{"metrics":[]}`, `{"metrics":null}`, `{"metrics":[null]}`, `{"metrics":[{}]}`,
		`{"metrics":[{"key":"k","value":"nan"}]}`, `{"metrics":[{"key":"k","value":1e999}]}`, `{"metrics":[{"key":"k","value":.5}]}`,
		`{"metrics":[{"key":"k","value":01}]}`, `{"metrics":[{"key":"k","value":1.}]}`, `{"metrics":[{"key":"k","value":1e}]}`, `{"metrics":[{"key":"k","value":+1}]}`,
		`{"metrics":[{"key":"k","value":0x1}]}`, `{"metrics":[{"key":"k","value":1_0}]}`, `{"metrics":[{"key":"k","value":Inf}]}`,
		`{"metrics":[{"key":"k","step":1.0}]}`, `{"metrics":[{"key":"k","step":1e2}]}`, `{"metrics":[{"key":"k","step":9223372036854775808}]}`,
		`{"metrics":[{"key":"k","step":-}]}`, `{"end_time":null}`, `{"inputs":[{"name":"d"}]}`, `{"outputs":[{"model_id":"m"}]}`, `{"removed_tags":[1]}`,
	} {
		require.False(t, readPlain([]byte(data), new(RunTracked)), data)
	}
	// Broken UTF-8 and lone surrogates are read, as encoding/json reads them.
	require.True(t, same(t, []byte("{\"run_id\":\"a\xffb\"}")))
	require.True(t, same(t, []byte(`{"run_id":"\ud800x"}`)))
}

func FuzzPlain(f *testing.F) {
	for _, data := range []string{
		`{"run_id":"r","created":{"experiment_id":"1","start_time":-1},"status":"FINISHED","end_time":5,"name":"a\u003cb","metrics":[{"key":"k","value":-0.5e+3,"step":1}]}`,
		`{"params":[{"key":"a","value":"\\"},{"key":"b"}],"tags":[{"value":"ü"}],"removed_tags":["x"],"actor":"\""}`,
		`{"metrics":[{"value":"NaN"},{"value":"Infinity","timestamp":0}]}`,
	} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) { same(t, data) })
}
