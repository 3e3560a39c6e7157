package inference

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/explain"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
)

// beside puts a candidate beside the Production of an idle service and gives it a share of the entities.
func beside(t testing.TB, s *Service, b *model.Bundle, share float64) *Predictor {
	t.Helper()
	s.slot.turn(canaryOf(1, share, 1))
	require.True(t, s.slot.join(&opened{digest: "two", bundle: b}))
	c := s.slot.now().candidate
	require.NotNil(t, c)
	return c
}

// counted is what the meter of an arm holds.
func counted(s *Service, a arm) events.VersionMeasurement {
	v, _ := s.slot.now().meters[a].measure(time.Now())
	return v
}

// made returns the events that wait in the log.
func made(t testing.TB, s *Service) []events.PredictionMade {
	t.Helper()
	var out []events.PredictionMade
	for _, text := range queued(s) {
		var p events.PredictionMade
		require.NoError(t, json.Unmarshal([]byte(text), &p))
		require.NoError(t, p.Validate())
		out = append(out, p)
	}
	return out
}

func TestTheCandidateAnswersItsShare(t *testing.T) {
	s, p := idle(t)
	c := beside(t, s, fitted(t, 2), 0.5)
	byVersion := map[int]int{}
	for _, record := range good(t) {
		code, body := ask(s, request{body: record})
		require.Equal(t, 200, code, body)
		var a Answer
		require.NoError(t, json.Unmarshal([]byte(body), &a))
		byVersion[a.Version]++
		by := map[int]*Predictor{1: p, 2: c}[a.Version]
		alone, err := by.Predict(record, Options{NewID: func() string { return "" }})
		require.NoError(t, err)
		require.Equal(t, alone.Answers[0].Probability, a.Probability)
		logged := made(t, s)
		require.Len(t, logged, 1)
		require.Equal(t, a.Version, logged[0].Version)
		require.Equal(t, 1, logged[0].RolloutRevision)
		require.Equal(t, map[int]events.Arm{1: "", 2: events.ArmCanary}[a.Version], logged[0].Arm)
	}
	require.Greater(t, byVersion[1], 10)
	require.Greater(t, byVersion[2], 10)
	require.EqualValues(t, byVersion[1], counted(s, armProduction).Requests)
	require.EqualValues(t, byVersion[2], counted(s, armCanary).Requests)
	require.Zero(t, counted(s, armCanary).Errors)

	// A list counts once for each version that took part, and its records where they were answered.
	list := "[" + strings.Join(texts(good(t)), ",") + "]"
	code, body := ask(s, request{body: []byte(list)})
	require.Equal(t, 200, code, body)
	require.EqualValues(t, byVersion[1]+1, counted(s, armProduction).Requests)
	require.EqualValues(t, 2*byVersion[2], counted(s, armCanary).Records)
}

func texts(records [][]byte) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = string(r)
	}
	return out
}

// Whatever is wrong with a candidate costs no request: Production answers, and it counts as the candidate's failure.
func TestABadCandidateCostsNoRequest(t *testing.T) {
	needsMore := spec.Telco()
	needsMore.Columns.Numeric = append(needsMore.Columns.Numeric, spec.Numeric{Name: "shoe_size"})
	for name, spoil := range map[string]func(t *testing.T, s *Service){
		"it refuses what Production accepts": func(t *testing.T, s *Service) {
			beside(t, s, modeltest.Bundle(t, modeltest.Options{Spec: needsMore}), 1)
		},
		"it panics": func(t *testing.T, s *Service) {
			c := beside(t, s, fitted(t, 2), 1)
			c.scorers.New = func() any { panic("no scorer") }
		},
		"it panics after it has read": func(t *testing.T, s *Service) {
			c := beside(t, s, fitted(t, 2), 1)
			c.scorers.New = func() any { return &scorer{} }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := idle(t)
			spoil(t, s)
			record := good(t)[0]
			list := []byte("[" + string(record) + "," + string(record) + "]")
			for _, body := range [][]byte{record, list} {
				code, text := ask(s, request{body: body})
				require.Equal(t, 200, code, text)
				require.Contains(t, text, `"version":1,`)
				require.NotContains(t, text, `"version":2,`)
			}
			alone, err := p.Predict(record, Options{NewID: func() string { return "" }})
			require.NoError(t, err)
			logged := made(t, s)
			require.Len(t, logged, 3)
			for _, l := range logged {
				require.Equal(t, alone.Answers[0].Probability, l.Score)
				require.Empty(t, l.Arm)
			}
			candidate, production := counted(s, armCanary), counted(s, armProduction)
			require.EqualValues(t, 2, candidate.Fallbacks)
			require.EqualValues(t, 2, candidate.Errors)
			require.Zero(t, candidate.Records)
			require.EqualValues(t, 2, production.Requests)
			require.EqualValues(t, 3, production.Records)
			require.Zero(t, production.Errors)

			// What is wrong for both is the request's own fault.
			code, _ := ask(s, request{body: []byte(`{"customerID":"a"}`)})
			require.Equal(t, 422, code)
			require.EqualValues(t, 2, counted(s, armCanary).Errors)
		})
	}
}

// A candidate with other columns reads the record itself.
func TestACandidateWithOtherColumnsReadsForItself(t *testing.T) {
	fewer := spec.Telco()
	fewer.Columns.Numeric[0].Max = nil
	fewer.Columns.Numeric[0].Min = nil
	s, p := idle(t)
	c := beside(t, s, modeltest.Bundle(t, modeltest.Options{Spec: fewer, Seed: 3}), 1)
	require.NotEqual(t, p.columns, c.columns)
	name := fewer.Columns.Numeric[0].Name
	var fields map[string]any
	require.NoError(t, json.Unmarshal(good(t)[0], &fields))
	fields[name] = 1e6
	record, err := json.Marshal(fields)
	require.NoError(t, err)
	code, text := ask(s, request{body: record})
	require.Equal(t, 200, code, text)
	require.Contains(t, text, `"version":2,`)
	require.NotContains(t, text, "warnings", "its own bounds count")
	code, text = ask(s, request{body: record, version: 1})
	require.Equal(t, 200, code, text)
	require.Contains(t, text, "value_error.range")
	require.EqualValues(t, 1, counted(s, armCanary).Requests)
	logged := made(t, s)
	require.Equal(t, events.ArmDirect, logged[1].Arm)
}

// A candidate that can't be explained costs nobody an explanation.
func TestACandidateThatCannotExplainCostsNoRequest(t *testing.T) {
	for name, explainer := range map[string]func() (*explain.Explainer, error){
		"it has no counts": func() (*explain.Explainer, error) { return nil, errors.New("no counts") },
		"it panics":        func() (*explain.Explainer, error) { panic("in the explainer") },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := idle(t)
			beside(t, s, fitted(t, 2), 1).explainer = explainer
			code, text := ask(s, request{body: good(t)[0], explain: true})
			require.Equal(t, 200, code, text)
			require.Contains(t, text, `"version":1,`)
			require.Contains(t, text, `"explanation":`)
			require.EqualValues(t, 1, counted(s, armCanary).Fallbacks)
			require.EqualValues(t, 1, counted(s, armProduction).Requests)
		})
	}
}

// A slow candidate takes its part of the time once, and Production answers the rest of the list, even where that made it late.
func TestASlowCandidateLeavesTheListToProduction(t *testing.T) {
	for _, took := range []time.Duration{40 * time.Millisecond, 100 * time.Millisecond} {
		s, _ := idle(t)
		now := time.Now()
		s.cfg.Now = func() time.Time { return now }
		c := beside(t, s, fitted(t, 2), 1)
		fresh := c.scorers.New
		c.scorers.New = func() any { now = now.Add(took); return fresh() }
		list := "[" + strings.Join(texts(good(t)[:5]), ",") + "]"
		code, text := ask(s, request{body: []byte(list), deadline: now.Add(60 * time.Millisecond)})
		require.Equal(t, 200, code, text)
		require.Equal(t, 1, strings.Count(text, `"version":2,`))
		require.Equal(t, 4, strings.Count(text, `"version":1,`))
		require.EqualValues(t, 1, counted(s, armCanary).Fallbacks)
		require.Zero(t, counted(s, armProduction).Errors)
	}
}

// What is no JSON, or nested deeper than a reader of the log can follow, is refused wherever it stands.
func TestWhatIsNoJSONIsRefusedInAColumnNobodyReads(t *testing.T) {
	s, _ := idle(t)
	record := string(good(t)[0])
	for _, value := range []string{"NaN", "-Infinity", "Infinity", strings.Repeat("[", 101) + strings.Repeat("]", 101)} {
		for _, column := range []string{"zzz", "Churn"} {
			code, text := ask(s, request{body: []byte(`{"` + column + `":` + value + "," + record[1:])})
			require.Equal(t, 422, code, text)
		}
	}
	code, text := ask(s, request{body: []byte(`{"zzz":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "," + record[1:])})
	require.Equal(t, 200, code, text)
}

// Without an id column the entity is a digest in the memory of the decoder, which no other request gets before the answer is logged.
func TestTheEntityOfAnAnswerIsItsOwn(t *testing.T) {
	s, _ := idle(t)
	noID := spec.Telco()
	noID.Columns.ID, noID.Expectations.UniqueID = "", false
	p := NewPredictor("telco-churn", modeltest.Bundle(t, modeltest.Options{Spec: noID}), Promotion{Version: 1, Digest: "sha256:1", Sequence: 1})
	s.slot.exchange(p)
	records := good(t)
	w := works.Get().(*work)
	defer w.release()
	out := newAnswer()
	defer out.release()
	w.began = time.Now()
	require.Nil(t, s.work(&request{body: records[0]}, w, out))
	entity := strings.Clone(w.rows[0].entity)
	for _, r := range records[1:5] {
		code, text := ask(s, request{body: r})
		require.Equal(t, 200, code, text)
	}
	require.Equal(t, entity, w.rows[0].entity)
}

// ticking is a clock that goes on by a step at each look.
func ticking(s *Service, step time.Duration) {
	now := time.Now()
	s.cfg.Now = func() time.Time {
		now = now.Add(step)
		return now
	}
}

func TestAListCountsByTheTimeOfOneRecord(t *testing.T) {
	s, _ := idle(t)
	beside(t, s, fitted(t, 2), 0.5)
	ticking(s, time.Millisecond)
	list := "[" + string(bytes.Join(good(t), []byte(","))) + "]"
	code, body := ask(s, request{body: []byte(list)})
	require.Equal(t, 200, code, body)
	for _, a := range []arm{armProduction, armCanary} {
		v := counted(s, a)
		require.Positive(t, v.Records)
		require.Equal(t, uint64(1), v.Requests)
		took, ok := events.LatencyQuantile(v.LatencyBuckets, 1)
		require.True(t, ok)
		require.Less(t, took, 6*time.Millisecond, "the looks at the clock that a record takes, and not those of the list: arm %d", a)
	}
}
