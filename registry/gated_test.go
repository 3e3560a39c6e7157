package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/modeltest"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry/fault"
)

// stump is a logged model of two inputs, or more, that says yes where x is above a threshold.
func stump(threshold float64, more ...string) map[string]string {
	inputs := append([]string{"x", "y"}, more...)
	var columns []string
	row := map[string]string{}
	for i, name := range inputs {
		columns = append(columns, fmt.Sprintf(`{"type": "double", "name": %q, "required": true}`, name))
		row[name] = fmt.Sprint(i)
	}
	infos := strings.TrimSpace(strings.Repeat("[0:1] ", len(inputs)))
	return map[string]string{
		"model/model.txt": fmt.Sprintf(`tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=%d
objective=binary sigmoid:1
feature_names=%s
feature_infos=%s
tree_sizes=300

Tree=0
num_leaves=2
num_cat=0
split_feature=0
split_gain=1
threshold=%g
decision_type=2
left_child=-1
right_child=-2
leaf_value=-1 1
leaf_weight=1 1
leaf_count=5 5
internal_value=0
internal_weight=0
internal_count=10
is_linear=0
shrinkage=1


end of trees
`, len(inputs)-1, strings.Join(inputs, " "), infos, threshold),
		"model/input_example.json": fmt.Sprintf(`{"columns": ["%s"], "data": [[%s], [%s]]}`, strings.Join(inputs, `", "`),
			strings.Repeat("0.1, ", len(inputs)-1)+"0.1", strings.Repeat("0.9, ", len(inputs)-1)+"0.9"),
		"model/MLmodel": "flavors:\n  lightgbm:\n    data: model.txt\n    model_class: lightgbm.basic.Booster\n" +
			"saved_input_example_info:\n  artifact_path: input_example.json\nsignature:\n  inputs: '[" + strings.Join(columns, ", ") + "]'\n",
	}
}

// holdout has rows that the stump at 0.5 tells apart, but one.
func holdout(more ...string) string {
	var b strings.Builder
	b.WriteString(strings.Join(append([]string{"x", "y"}, more...), ",") + ",left\n")
	for i := range 40 {
		fmt.Fprintf(&b, "%g,0.5%s,%v\n", float64(i)/40, strings.Repeat(",1", len(more)), i >= 20)
	}
	return b.String()
}

func with(files map[string]string, path, text string) map[string]string {
	files[path] = text
	return files
}

// gatesOfStumps ask for a ROC-AUC, and for more of it than Production has.
func gatesOfStumps() *Gates {
	return &Gates{
		Gates:  spec.Gates{Staging: []spec.Threshold{{Metric: "roc_auc", Min: 0.6}}, Production: spec.Comparison{Metric: "roc_auc"}},
		Target: "left", Positive: "true",
	}
}

// submit registers what a run holds below "model" and waits for the verdict.
func (r *rig) submit(s *running, name string, files map[string]string) Version {
	r.t.Helper()
	run := r.log(s, files)
	v, err := s.CreateVersion(r.t.Context(), NewVersion{Model: name, Source: "runs:/" + run.ID + "/model", Actor: "ann"})
	require.NoError(r.t, err)
	return r.verdict(name, v.Version)
}

func (r *rig) verdict(key string, version int) Version {
	r.t.Helper()
	var v Version
	r.wait("a verdict", func(c *Catalog) bool {
		v, _ = c.Version(key, version)
		return v.Gate != nil && !(len(c.Unpromoted(key)) > 0)
	})
	return v
}

// What Python trained goes through the gates that are set on its model: its own figures promote nothing.
func TestGatesOfAModelWithoutASpec(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	const name = "stumps"
	_, err := s.CreateModel(ctx, NewModel{Name: name, Actor: "ann"})
	require.NoError(t, err)
	m, err := s.SetGates(ctx, name, gatesOfStumps(), "ann")
	require.NoError(t, err)
	require.True(t, m.Gated)
	require.Equal(t, SignatureCompatible, m.Gates.Signature)
	inProduction := func(version int) {
		t.Helper()
		p, _ := s.production(t, name)
		require.Equal(t, version, p.Version)
		m, err := s.Model(ctx, name)
		require.NoError(t, err)
		require.Equal(t, version, m.Aliases[DefaultChampion], "in the same write")
	}
	promote := func(version int, reason string) error {
		_, err := s.Transition(ctx, Transition{
			Model: name, Version: version, Stage: events.StageProduction, Override: reason != "", Reason: reason, Actor: "bob",
		})
		return err
	}

	v := r.submit(s, name, with(stump(0.7), "holdout.csv", holdout()))
	require.Equal(t, ReasonFirst, v.Gate.Reason, v.Gate.Detail+v.Unservable)
	require.Equal(t, 40, v.Gate.HoldoutRows)
	require.Equal(t, "abc123", v.GitCommit)
	require.Equal(t, "customers:d1", v.DatasetFingerprint)
	inProduction(1)
	v = r.submit(s, name, with(stump(0.5), "model/holdout.csv", holdout()))
	require.Equal(t, ReasonBetter, v.Gate.Reason, v.Gate.Detail)
	inProduction(2)

	v = r.submit(s, name, with(stump(0.6), "holdout.csv", holdout()))
	require.Equal(t, ReasonNotBetter, v.Gate.Reason)
	err = promote(3, "")
	require.ErrorIs(t, err, ErrNotPassed)
	require.Equal(t, fault.Invalid, fault.CodeOf(err), "no code that clients retry")
	require.ErrorContains(t, err, "roc_auc > production does not hold: 0.875 against 0.975")
	require.Equal(t, fault.Invalid, fault.CodeOf(s.SetAlias(ctx, name, DefaultChampion, 3, "bob")), "the alias goes the same way")
	err = second(s.Transition(ctx, Transition{Model: name, Version: 3, Stage: events.StageProduction, Override: true}))
	require.ErrorIs(t, err, ErrReason)
	require.NoError(t, promote(3, "the old one is slow"))
	inProduction(3)
	p, _ := s.production(t, name)
	require.True(t, p.Override)
	require.Equal(t, "the old one is slow", p.Reason)
	require.Equal(t, 1.0, counter(t, s.metrics.promotions.WithLabelValues(name, string(events.PromotedManually))))

	v = r.submit(s, name, stump(0.9))
	require.Equal(t, ReasonNoHoldout, v.Gate.Reason, "its own words are not believed")
	require.Equal(t, events.StageStaging, v.Stage)
	inProduction(3)
	require.NoError(t, s.SetAlias(ctx, name, DefaultChampion, 4, "bob"), "by hand it may be promoted")
	inProduction(4)
	require.ErrorIs(t, s.DeleteAlias(ctx, name, DefaultChampion, "bob"), ErrProtected)

	v = r.submit(s, name, map[string]string{"model/model.pkl": "x", "model/MLmodel": "flavors:\n  sklearn:\n    pickled_model: model.pkl\n"})
	require.Equal(t, events.VerdictRejected, v.Gate.Verdict)
	require.Equal(t, ReasonUnusable, v.Gate.Reason)
	require.NotEmpty(t, v.Gate.Detail)
	err = second(s.Transition(ctx, Transition{Model: name, Version: 5, Stage: events.StageStaging}))
	require.ErrorIs(t, err, ErrNotPassed)
	require.ErrorContains(t, err, "unusable: ")
	require.ErrorIs(t, promote(5, ""), ErrUnservable)
	require.ErrorIs(t, promote(5, "please"), ErrUnservable, "nothing goes past that")

	v = r.submit(s, name, with(stump(0.5, "z"), "holdout.csv", holdout()))
	require.Equal(t, events.VerdictRejected, v.Gate.Verdict, "the holdout lacks an input")
	v = r.submit(s, name, with(stump(0.5, "z"), "holdout.csv", holdout("z")))
	require.Equal(t, ReasonSignature, v.Gate.Reason, v.Gate.Detail)
	require.Contains(t, v.Gate.Detail, "z, a number")
	require.ErrorContains(t, promote(7, ""), "inputs beyond those of production does not hold: 1 against 0")

	require.Equal(t, fault.Invalid, fault.CodeOf(s.DeleteVersion(ctx, name, 4, "bob")))
	require.ErrorIs(t, s.DeleteModel(ctx, name, "bob"), ErrProtected)
	back, err := s.Rollback(ctx, name, RollbackOptions{Version: 2, Actor: "bob"})
	require.NoError(t, err)
	require.Equal(t, 2, back.Version)
	_, err = s.Transition(ctx, Transition{Model: name, Version: 2, Stage: events.StageArchived, Actor: "bob"})
	require.NoError(t, err)
	inProduction(0)

	l, err := s.Lineage(ctx, name, 2)
	require.NoError(t, err)
	require.Equal(t, "Default", l.Experiment)
	require.Equal(t, events.CauseRequested, l.Causes[0].Kind)
	require.Contains(t, l.Causes[0].Detail, "ann")
	require.Len(t, l.Datasets, 1)
	require.Len(t, l.Promotions, 2)
	d, err := s.Diff(ctx, name, 2, 7)
	require.NoError(t, err)
	require.Empty(t, d.NoInputs)
	require.Len(t, d.Inputs, 1)
	require.Equal(t, "z", d.Inputs[0].Name)
	require.Nil(t, d.Inputs[0].A)
	require.Equal(t, "number", *d.Inputs[0].B)
	require.NotEmpty(t, d.Artifacts)
	require.Empty(t, r.deadLetters())
}

// Whatever is stored when a registration dies, the same call again, or a registry that starts, finishes it, and nothing happens twice.
func TestARegistrationThatDiesHalfWay(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	_, err := s.CreateModel(ctx, NewModel{Name: "m"})
	require.NoError(t, err)
	m, err := s.SetGates(ctx, "m", gatesOfStumps(), "ann")
	require.NoError(t, err)
	run := r.log(s, with(stump(0.5), "holdout.csv", holdout()))
	n := NewVersion{Model: "m", Source: "runs:/" + run.ID + "/model", Actor: "ann"}
	o, err := s.resolve(ctx, n)
	require.NoError(t, err)
	p, err := s.describe(ctx, m, n, o)
	require.NoError(t, err)
	count := func(c *Catalog) (completed, versions int) {
		for _, run := range c.Runs("m") {
			if run.Completed != nil {
				completed++
			}
		}
		return completed, len(c.Versions("m"))
	}

	// The run is completed, and nobody registered it.
	require.NoError(t, s.complete(ctx, m, n, o, p))
	s.stop()
	s = r.ready()
	completed, versions := count(r.catalog())
	require.Equal(t, []int{1, 0}, []int{completed, versions})
	require.Equal(t, RunCompleted, r.catalog().Runs("m")[0].State, "a run that only logged is no fault")
	_, err = s.CreateVersion(ctx, n)
	require.NoError(t, err)
	require.Equal(t, ReasonFirst, r.verdict("m", 1).Gate.Reason)
	completed, versions = count(r.catalog())
	require.Equal(t, []int{1, 1}, []int{completed, versions})

	// It is registered, and nobody judged it.
	s.stop()
	p.Version = 2
	last, _, err := r.bus.Last(ctx, events.TypeModelRegistered, "m")
	require.NoError(t, err)
	_, err = r.bus.Append(ctx, events.New("m", "test", "two", time.Now(), p), last.Sequence)
	require.NoError(t, err)
	s = r.ready()
	require.Equal(t, ReasonNotBetter, r.verdict("m", 2).Gate.Reason)

	// It is judged, and nobody promoted it.
	s.stop()
	_, err = Withdraw(ctx, r.bus, "m", WithdrawOptions{})
	require.NoError(t, err)
	p.Version = 3
	last, _, err = r.bus.Last(ctx, events.TypeModelRegistered, "m")
	require.NoError(t, err)
	_, err = r.bus.Append(ctx, events.New("m", "test", "three", time.Now(), p), last.Sequence)
	require.NoError(t, err)
	promoted, _, err := r.bus.Last(ctx, events.TypeModelPromoted, "m")
	require.NoError(t, err)
	gated, _, err := r.bus.Last(ctx, events.TypeModelGated, "m")
	require.NoError(t, err)
	_, err = r.bus.Append(ctx, events.New("m", "test", "gate three", time.Now(), &events.ModelGated{
		Version: 3, RunID: run.ID, Verdict: events.VerdictPromotable, Reason: ReasonFirst, PromotionSequence: promoted.Sequence,
	}), gated.Sequence)
	require.NoError(t, err)
	r.ready()
	r.wait("the promotion", func(c *Catalog) bool {
		p, _ := c.Promotion("m")
		return p.Version == 3 && p.Cause == events.PromotedByGate
	})
	require.Empty(t, r.deadLetters())
}

// Transition judges what has no verdict yet, and tells the person who asked.
func TestAPromotionJudgesFirst(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	_, err := s.CreateModel(ctx, NewModel{Name: "m"})
	require.NoError(t, err)
	run := r.log(s, with(stump(0.5), "model/holdout.csv", holdout()))
	_, err = s.CreateVersion(ctx, NewVersion{Model: "m", Source: "runs:/" + run.ID + "/model"})
	require.NoError(t, err)
	require.NoError(t, s.work.lock(ctx)) // the supervisor is busy with something else
	g := gatesOfStumps()
	g.Target, g.Positive = "", ""
	_, err = s.SetGates(ctx, "m", g, "ann")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := s.Transition(ctx, Transition{Model: "m", Version: 1, Stage: events.StageProduction, Actor: "ann"})
		done <- err
	}()
	s.work.unlock()
	err = <-done
	require.ErrorIs(t, err, ErrNotPassed, "the holdout has no column target")
	v := r.verdict("m", 1)
	require.Equal(t, ReasonUnusable, v.Gate.Reason)

	_, err = s.SetGates(ctx, "m", nil, "ann")
	require.NoError(t, err)
	_, err = s.Transition(ctx, Transition{Model: "m", Version: 1, Stage: events.StageProduction, Actor: "ann"})
	require.NoError(t, err, "without gates nobody is asked")
	for _, bad := range []*Gates{
		{Signature: "sideways"}, {Promotion: "never"},
		{Gates: spec.Gates{Staging: []spec.Threshold{{Metric: "nothing", Min: 1}}}},
	} {
		_, err = s.SetGates(ctx, "m", bad, "ann")
		require.Equal(t, fault.Invalid, fault.CodeOf(err), "%+v", bad)
	}
	_, err = s.SetGates(ctx, churn, nil, "ann")
	require.Error(t, err, "the spec's model has the spec's")
}

// A client may register under the name of the spec, before and beside the trainer: the numbers are one row, and the spec's gates judge both.
func TestAClientRegistersTheSpecsModel(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	_, err := s.CreateModel(t.Context(), NewModel{Name: churn})
	require.NoError(t, err)
	v := r.submit(s, churn, stump(0.5))
	require.Equal(t, ReasonNoHoldout, v.Gate.Reason, v.Gate.Detail)
	require.Equal(t, events.StageStaging, v.Stage)
	r.complete(modeltest.Options{Seed: 1})
	c := r.production(2)
	p, _ := c.Promotion(churn)
	require.Equal(t, events.PromotedByGate, p.Cause)
	require.True(t, c.Gated(churn), "also for who does not know the spec")
	v = r.submit(s, churn, with(stump(0.5), "holdout.csv", holdout()))
	require.Equal(t, ReasonUnusable, v.Gate.Reason, "the holdout lacks the spec's target")
	r.settle()
	require.Empty(t, r.deadLetters())
	p, _ = s.production(t, churn)
	require.Equal(t, 2, p.Version)
}
