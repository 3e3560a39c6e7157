package inference_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference/batch"
	"telco-churn-mlops/inference/openinference"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/modeltest"
)

// tensorInputs are records as one input for each column, the data of each flat or nested, the numbers as they are written in the records.
func tensorInputs(t testing.TB, b *model.Bundle, records [][]byte, nested bool) []byte {
	t.Helper()
	rows := make([]map[string]json.RawMessage, len(records))
	for i := range records {
		require.NoError(t, json.Unmarshal(records[i], &rows[i]))
	}
	type input struct {
		Name     string `json:"name"`
		Shape    []int  `json:"shape"`
		Datatype string `json:"datatype"`
		Data     any    `json:"data"`
	}
	var inputs []input
	for _, m := range openinference.Inputs(b) {
		in := input{Name: m.Name, Shape: []int{len(rows)}, Datatype: m.Datatype}
		var flat []json.RawMessage
		var column [][]json.RawMessage
		for i := range rows {
			flat, column = append(flat, rows[i][m.Name]), append(column, []json.RawMessage{rows[i][m.Name]})
		}
		if in.Data = flat; nested {
			in.Shape, in.Data = []int{len(rows), 1}, column
		}
		inputs = append(inputs, in)
	}
	body, err := json.Marshal(map[string]any{"inputs": inputs})
	require.NoError(t, err)
	return body
}

// v2Scores reads the scores, as they are written, from an answer of the Open Inference Protocol.
func v2Scores(t testing.TB, body []byte) []string {
	t.Helper()
	var answer struct {
		Outputs []struct {
			Name string
			Data []json.RawMessage
		}
	}
	require.NoError(t, json.Unmarshal(body, &answer), "%s", body)
	var scores []string
	for _, o := range answer.Outputs {
		if o.Name == openinference.OutputProbability {
			for _, v := range o.Data {
				scores = append(scores, string(v))
			}
		}
	}
	return scores
}

// oddRecords are records as clients send them: of every kind of value, with missing, unseen and out-of-range ones, numbers as text, and long digits.
func oddRecords(t testing.TB) [][]byte {
	t.Helper()
	records := modeltest.Records(t, modeltest.Options{Rows: 60, Seed: 77})[:8]
	change := func(i int, column string, to any) {
		var record map[string]any
		require.NoError(t, json.Unmarshal(records[i], &record))
		record[column] = to
		data, err := json.Marshal(record)
		require.NoError(t, err)
		records[i] = data
	}
	change(1, "TotalCharges", nil)
	change(2, "Contract", "Three centuries")
	change(3, "MonthlyCharges", json.Number("29.850000381469726562501"))
	change(4, "tenure", json.Number("1e2"))
	change(5, "PaymentMethod", nil)
	change(6, "MonthlyCharges", json.Number("123456789.123456789"))
	change(7, "tenure", json.Number("-0"))
	return records
}

// The same record has the same score to the last bit, whatever way it is asked for.
func TestEveryEndpointGivesEqualScores(t *testing.T) {
	w := newWorld(t)
	former := w.promote(t, w.upload(t, 2))
	i := run(t, w.config(t, "a"))
	records := oddRecords(t)
	i.serves(t, former, records[0])
	version := w.promote(t, w.upload(t, 1))
	i.serves(t, version, records[0])
	b, err := model.Decode(encoded(t, 1))
	require.NoError(t, err)

	var want []string // of the bundle itself
	row, scorer := b.Schema.NewRow(), b.NewScorer()
	for _, record := range records {
		_, err := b.Schema.DecodeJSON(record, row, dataset.DecodeOptions{})
		require.NoError(t, err)
		text, err := json.Marshal(scorer.Score(row).Probability)
		require.NoError(t, err)
		want = append(want, string(text))
	}
	listed := func(body []byte) []string {
		var answers []answer
		require.NoError(t, json.Unmarshal(body, &answers), "%s", body)
		var scores []string
		for _, a := range answers {
			require.Equal(t, version, a.Version)
			scores = append(scores, a.Probability.String())
		}
		return scores
	}
	ok := func(path string, body []byte) []byte {
		code, _, answer := i.post(t, path, body)
		require.Equal(t, http.StatusOK, code, "%s", answer)
		return answer
	}
	list := append(append([]byte("["), bytes.Join(records, []byte(","))...), ']')
	texts := make([]string, len(records))
	for k := range records {
		texts[k] = string(records[k])
	}
	jsonRecords, err := json.Marshal(map[string]any{"inputs": []any{map[string]any{"name": "records", "shape": []int{len(texts)}, "datatype": "BYTES", "data": texts}}})
	require.NoError(t, err)
	infer := "/v2/models/" + modelName + "/infer"
	versioned := fmt.Sprintf("/v2/models/%s/versions/%d/infer", modelName, version)
	flat, nested := tensorInputs(t, b, records, false), tensorInputs(t, b, records, true)
	nats := func(subject string, body []byte) []byte {
		msg, err := w.bus.Conn().Request(subject, body, 5*time.Second)
		require.NoError(t, err)
		require.Empty(t, msg.Header.Get("Nats-Service-Error"), "%s", msg.Data)
		return msg.Data
	}
	subject := "predict." + modelName
	for _, test := range []struct {
		name   string
		scores func() []string
	}{
		{"/predict, one by one", func() (scores []string) {
			for _, record := range records {
				scores = append(scores, decode(t, ok("/predict", record)).Probability.String())
			}
			return scores
		}},
		{"/predict, a list", func() []string { return listed(ok("/predict", list)) }},
		{"/predict, explained", func() []string { return listed(ok("/predict?explain=true", list)) }},
		{"/predict, in part", func() []string { return listed(ok("/predict?partial=true", list)) }},
		{"NATS, one by one", func() (scores []string) {
			for _, record := range records {
				scores = append(scores, decode(t, nats(subject, record)).Probability.String())
			}
			return scores
		}},
		{"NATS, a list", func() []string { return listed(nats(subject, list)) }},
		{"NATS, a version", func() []string { return listed(nats(fmt.Sprintf("%s.v%d", subject, version), list)) }},
		{"v2, flat", func() []string { return v2Scores(t, ok(infer, flat)) }},
		{"v2, nested", func() []string { return v2Scores(t, ok(infer, nested)) }},
		{"v2, records as JSON", func() []string { return v2Scores(t, ok(infer, jsonRecords)) }},
		{"v2, explained", func() []string { return v2Scores(t, ok(infer+"?explain=true", flat)) }},
		{"v2 of a version, flat", func() []string { return v2Scores(t, ok(versioned, flat)) }},
		{"v2 of a version, nested", func() []string { return v2Scores(t, ok(versioned, nested)) }},
		{"batch, to JSON lines", func() []string { return batchScores(t, b, records, batch.JSONLines) }},
		{"batch, to CSV", func() []string { return batchScores(t, b, records, batch.CSV) }},
		{"v2 of a version, records as JSON", func() []string { return v2Scores(t, ok(versioned, jsonRecords)) }},
	} {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, want, test.scores()) })
	}

	// What came in as tensors, and what came over NATS, is logged as a record that has the same score again.
	logged := map[string]bool{}
	bustest.Eventually(t, func() bool {
		for _, p := range read[*events.PredictionMade](t, w, events.Predictions) {
			if p.Version != version || logged[p.PredictionID] {
				continue
			}
			logged[p.PredictionID] = true
			_, err := b.Schema.DecodeJSON(p.Record, row, dataset.DecodeOptions{})
			require.NoError(t, err)
			require.Equal(t, p.Score, scorer.Score(row).Probability, "%s", p.Record)
		}
		return len(logged) >= 14*len(records)
	}, "all predictions are logged")
}

// batchScores scores the records as a file and returns the scores as they are written.
func batchScores(t *testing.T, b *model.Bundle, records [][]byte, to batch.Format) (scores []string) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	defer root.Close()
	require.NoError(t, root.WriteFile("in.jsonl", append(bytes.Join(records, []byte("\n")), '\n'), 0o600))
	f, err := root.Open("in.jsonl")
	require.NoError(t, err)
	defer f.Close()
	in, err := batch.NewFile(f)
	require.NoError(t, err)
	_, err = batch.Run(t.Context(), batch.Job{Bundle: b, Input: in, InputFormat: batch.JSONLines, OutputFormat: to, Folder: root, Output: "out"})
	require.NoError(t, err)
	out, err := root.ReadFile("out")
	require.NoError(t, err)
	if to == batch.JSONLines {
		for line := range bytes.Lines(out) {
			scores = append(scores, decode(t, line).Probability.String())
		}
		return scores
	}
	rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	require.NoError(t, err)
	at := slices.Index(rows[0], openinference.OutputProbability)
	require.GreaterOrEqual(t, at, 0, "%v", rows[0])
	for _, r := range rows[1:] {
		scores = append(scores, r[at])
	}
	return scores
}
