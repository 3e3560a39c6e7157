package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// ready is a registry whose folds are up to date.
func (r *rig) ready(change ...func(*Config)) *running {
	r.t.Helper()
	s := r.start(change...)
	require.NoError(r.t, s.Ready(r.t.Context()))
	return s
}

// log makes a finished run of a client with files below its artifacts, by path.
func (r *rig) log(s *running, files map[string]string) tracking.Run {
	r.t.Helper()
	ctx := r.t.Context()
	run, err := s.Tracking().CreateRun(ctx, tracking.NewRun{ExperimentID: "0", StartTime: 1_000, Tags: []events.Pair{{Key: gitCommitTag, Value: "abc123"}}})
	require.NoError(r.t, err)
	require.NoError(r.t, s.Tracking().Log(ctx, run.ID, tracking.Batch{
		Params: []events.Pair{{Key: "trees", Value: "20"}}, Metrics: []events.MetricPoint{{Key: "roc_auc", Value: 0.9, Timestamp: 1}},
	}))
	require.NoError(r.t, s.Tracking().LogInputs(ctx, run.ID, []events.DatasetInput{{Name: "customers", Digest: "d1", SourceType: "local", Source: "x"}}, ""))
	for path, text := range files {
		r.file(s, folderOf(run)+"/"+path, text)
	}
	end := int64(2_500)
	run, err = s.Tracking().UpdateRun(ctx, run.ID, tracking.RunUpdate{Status: events.StatusFinished, EndTime: &end})
	require.NoError(r.t, err)
	return run
}

func folderOf(run tracking.Run) string {
	path, _ := tracking.PathOf(run.ArtifactURI)
	return path
}

func (r *rig) file(s *running, path, text string) {
	r.t.Helper()
	ref, err := artifact.PutBytes(r.t.Context(), r.store, []byte(text))
	require.NoError(r.t, err)
	require.NoError(r.t, s.Tracking().PutFile(r.t.Context(), path, ref, ""))
}

// model makes a model without gates with a number of versions that can't be served.
func (r *rig) model(s *running, name string, versions int) {
	r.t.Helper()
	_, err := s.CreateModel(r.t.Context(), NewModel{Name: name, Actor: "ann"})
	require.NoError(r.t, err)
	for n := 1; n <= versions; n++ {
		v, err := s.CreateVersion(r.t.Context(), NewVersion{Model: name, Source: fmt.Sprintf("s3://elsewhere/%d", n), Actor: "ann"})
		require.NoError(r.t, err)
		require.Equal(r.t, n, v.Version)
	}
}

// standing returns the stage of every version of a model.
func standing(t *testing.T, s *running, name string) string {
	t.Helper()
	m, err := s.Model(t.Context(), name)
	require.NoError(t, err)
	var out []string
	s.View(func(c *Catalog, _ *Fleet) {
		for _, v := range c.versions(m.Key) {
			out = append(out, string(v.Stage))
		}
	})
	return strings.Join(out, " ")
}

func TestStagesOfAModelWithoutGatesAreMLflows(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	const name = "söme: model/of > ours *"
	r.model(s, name, 4)
	ctx := t.Context()
	to := func(version int, stage events.Stage, archive bool) {
		t.Helper()
		v, err := s.Transition(ctx, Transition{Model: name, Version: version, Stage: stage, ArchiveExisting: archive, Actor: "ann"})
		require.NoError(t, err)
		require.Equal(t, stage, v.Stage)
	}
	const none, staging, production, archived = events.StageNone, events.StageStaging, events.StageProduction, events.StageArchived
	for _, step := range []struct {
		version int
		stage   events.Stage
		archive bool
		want    string
		last    int // the version that model.promoted names
	}{
		{1, production, false, "Production None None None", 1},
		{2, production, false, "Production Production None None", 2},
		{2, production, false, "Production Production None None", 2},
		{3, production, true, "Archived Archived Production None", 3},
		{1, production, false, "Production Archived Production None", 1},
		{1, staging, false, "Staging Archived Production None", 3},
		{4, staging, false, "Staging Archived Production Staging", 3},
		{2, staging, true, "Archived Staging Production Archived", 3},
		{3, archived, false, "Archived Staging Archived Archived", 0},
		{3, none, false, "Archived Staging None Archived", 0},
		{1, production, true, "Production Staging None Archived", 1},
		{1, staging, true, "Staging Archived None Archived", 0},
	} {
		to(step.version, step.stage, step.archive)
		require.Equal(t, step.want, standing(t, s, name), "%+v", step)
		p, ok := s.production(t, name)
		require.Equal(t, step.last, p.Version, "%+v", step)
		require.Equal(t, step.last > 0, ok && p.Unservable != "", "said to be not servable: %+v", step)
	}
	// A second fold of the same stream says the same.
	c := r.catalog()
	key, ok := c.Key(name)
	require.True(t, ok)
	require.Equal(t, []int(nil), c.models[key].inProduction())
	require.Empty(t, r.deadLetters())
	require.False(t, c.Gated(key))
	var said []string
	for _, ch := range c.Audit(key) {
		require.Equal(t, "ann", ch.Actor)
		said = append(said, ch.Summary)
	}
	require.Len(t, said, 1+4+11, "every fact, and nothing for what changed nothing:\n%s", strings.Join(said, "\n"))
	require.Equal(t, "moved version 1 from Production to Staging, archiving the others", said[0])
}

func (s *running) production(t *testing.T, name string) (p Promotion, ok bool) {
	t.Helper()
	m, err := s.Model(t.Context(), name)
	require.NoError(t, err)
	s.View(func(c *Catalog, _ *Fleet) { p, ok = c.Promotion(m.Key) })
	return p, ok
}

func TestNamesOfModels(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	r.model(s, "a", 2)
	_, err := s.CreateModel(ctx, NewModel{Name: "a"})
	require.Equal(t, fault.Exists, fault.CodeOf(err))
	m, err := s.CreateModel(ctx, NewModel{Name: churn})
	require.NoError(t, err)
	require.True(t, m.Gated, "by its spec")
	_, err = s.RenameModel(ctx, churn, "other", "ann")
	require.ErrorIs(t, err, ErrProtected)
	require.ErrorIs(t, s.DeleteModel(ctx, churn, "ann"), ErrProtected)
	for _, bad := range []string{"", "  ", "\xff", "a\x00", strings.Repeat("ü", 257)} {
		_, err = s.CreateModel(ctx, NewModel{Name: bad})
		require.Equal(t, fault.Invalid, fault.CodeOf(err), "%q", bad)
	}
	long := strings.Repeat("ü", 256)
	m, err = s.CreateModel(ctx, NewModel{Name: long, Description: "long", Tags: []events.Pair{{Key: "k", Value: "v"}}, Actor: "ann"})
	require.NoError(t, err)
	require.Equal(t, long, m.Name)
	require.LessOrEqual(t, len(m.Key), events.MaxModelName)
	require.Equal(t, map[string]string{"k": "v"}, m.Tags)
	require.Equal(t, "ann", m.User)

	// The key stays when the name goes; who takes the name gets another key.
	m, err = s.RenameModel(ctx, "a", "b", "ann")
	require.NoError(t, err)
	require.Equal(t, "a", m.Key)
	_, err = s.Model(ctx, "a")
	require.ErrorIs(t, err, ErrUnknown)
	_, err = s.RenameModel(ctx, "b", long, "ann")
	require.Equal(t, fault.Exists, fault.CodeOf(err))
	m, err = s.CreateModel(ctx, NewModel{Name: "a"})
	require.NoError(t, err)
	require.NotEqual(t, "a", m.Key)
	v, err := s.CreateVersion(ctx, NewVersion{Model: "b", Source: "s3://x"})
	require.NoError(t, err)
	require.Equal(t, 3, v.Version)
	require.Equal(t, "b", v.ModelName)

	// A model that is made again goes on counting, under the name it had last.
	_, err = s.Transition(ctx, Transition{Model: "b", Version: 3, Stage: events.StageProduction})
	require.NoError(t, err)
	require.NoError(t, s.DeleteModel(ctx, "b", "ann"))
	require.ErrorIs(t, s.DeleteModel(ctx, "b", "ann"), ErrUnknown)
	require.Zero(t, must(t, r.catalog(), "a").Version, "Production was withdrawn first")
	m, err = s.CreateModel(ctx, NewModel{Name: "b", Description: "new"})
	require.NoError(t, err)
	require.Equal(t, "a", m.Key)
	require.Empty(t, m.Aliases)
	v, err = s.CreateVersion(ctx, NewVersion{Model: "b", Source: "s3://x"})
	require.NoError(t, err)
	require.Equal(t, 4, v.Version)
	_, err = s.DescribeVersion(ctx, "b", 3, "x", "ann")
	require.ErrorIs(t, err, ErrUnknown, "old versions stay deleted")
	require.Empty(t, r.deadLetters())
}

func must(t *testing.T, c *Catalog, key string) Promotion {
	t.Helper()
	p, ok := c.Promotion(key)
	require.True(t, ok)
	return p
}

func TestTagsAliasesAndDescriptions(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	r.model(s, "m", 2)
	require.NoError(t, s.SetModelTag(ctx, "m", events.Pair{Key: "k", Value: ""}, "ann"))
	require.NoError(t, s.SetVersionTag(ctx, "m", 1, events.Pair{Key: "k", Value: "v"}, "ann"))
	_, err := s.DescribeModel(ctx, "m", "all", "ann")
	require.NoError(t, err)
	v, err := s.DescribeVersion(ctx, "m", 1, "one", "ann")
	require.NoError(t, err)
	require.Equal(t, "one", v.Description)
	require.Equal(t, map[string]string{"k": "v"}, v.Tags)
	require.True(t, v.UpdatedAt.After(v.At))
	require.NoError(t, s.DeleteModelTag(ctx, "m", "k", "ann"))
	require.NoError(t, s.DeleteModelTag(ctx, "m", "k", "ann"))
	require.NoError(t, s.DeleteVersionTag(ctx, "m", 1, "k", "ann"))
	require.ErrorIs(t, s.DeleteVersionTag(ctx, "m", 3, "k", "ann"), ErrUnknown)

	for _, bad := range []string{"", "latest", "LATEST", "v1", "V20", "a b", "a.b", strings.Repeat("a", 256)} {
		require.Equal(t, fault.Invalid, fault.CodeOf(s.SetAlias(ctx, "m", bad, 1, "ann")), "%q", bad)
	}
	require.NoError(t, s.SetAlias(ctx, "m", "champion", 1, "ann"), "free in a model without gates")
	require.NoError(t, s.SetAlias(ctx, "m", "blue", 1, "ann"))
	require.NoError(t, s.SetAlias(ctx, "m", "blue", 2, "ann"))
	require.ErrorIs(t, s.SetAlias(ctx, "m", "blue", 3, "ann"), ErrUnknown)
	v, err = s.ByAlias(ctx, "m", "blue")
	require.NoError(t, err)
	require.Equal(t, 2, v.Version)
	require.Equal(t, []string{"blue"}, v.Aliases)
	_, err = s.ByAlias(ctx, "m", "green")
	require.Equal(t, fault.Invalid, fault.CodeOf(err))
	m, err := s.Model(ctx, "m")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"champion": 1, "blue": 2}, m.Aliases)
	require.Equal(t, "all", m.Description)
	require.Empty(t, m.Tags)

	_, err = s.Transition(ctx, Transition{Model: "m", Version: 2, Stage: events.StageProduction})
	require.NoError(t, err)
	require.NoError(t, s.DeleteVersion(ctx, "m", 2, "ann"), "it leaves Production first")
	p, _ := s.production(t, "m")
	require.Zero(t, p.Version)
	require.Equal(t, 2, p.Demoted)
	m, err = s.Model(ctx, "m")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"champion": 1}, m.Aliases)
	require.NoError(t, s.DeleteAlias(ctx, "m", "champion", "ann"))
	require.NoError(t, s.DeleteAlias(ctx, "m", "champion", "ann"))
	require.Empty(t, r.deadLetters())
}

func TestWhatWasProductionThen(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	r.model(s, "m", 2)
	before := time.Now()
	times := []time.Time{before}
	for _, n := range []int{1, 2} {
		_, err := s.Transition(ctx, Transition{Model: "m", Version: n, Stage: events.StageProduction, ArchiveExisting: true})
		require.NoError(t, err)
		p, _ := s.production(t, "m")
		times = append(times, p.At)
	}
	p, err := s.Rollback(ctx, "m", RollbackOptions{Actor: "ann", Reason: "worse"})
	require.NoError(t, err)
	require.Equal(t, 1, p.Version)
	c := r.catalog()
	_, ok := c.ProductionAt("m", times[0])
	require.False(t, ok)
	for i, n := range []int{1, 2} {
		v, ok := c.ProductionAt("m", times[i+1])
		require.True(t, ok)
		require.Equal(t, n, v.Version)
	}
	v, _ := c.ProductionAt("m", time.Now())
	require.Equal(t, 1, v.Version)
	require.Len(t, c.History("m"), 3)
	require.Equal(t, "rolled back from version 2 to version 1", c.Audit("m")[0].Summary)
}

func TestTheVersionExpected(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	r.model(s, "m", 3)
	promote := func(version, expected int) error {
		_, err := s.Transition(ctx, Transition{Model: "m", Version: version, Stage: events.StageProduction, ArchiveExisting: true, Expected: &expected})
		return err
	}
	err := promote(1, 7)
	require.ErrorIs(t, err, ErrOvertaken)
	require.Equal(t, fault.Conflict, fault.CodeOf(err))
	require.ErrorContains(t, err, "has no Production, expected was 7")
	require.NoError(t, promote(1, 0))
	require.NoError(t, promote(1, 0), "the same again after a lost answer")
	require.ErrorContains(t, promote(2, 0), "version 1 of model m is Production")
	require.NoError(t, promote(2, 1))
	for name, err := range map[string]error{
		"rollback": second(s.Rollback(ctx, "m", RollbackOptions{Expected: new(int)})),
		"withdraw": second(s.Withdraw(ctx, "m", WithdrawOptions{Expected: new(int)})),
		"command":  second(Promote(ctx, r.bus, "m", 3, PromoteOptions{Expected: new(int)})),
	} {
		require.Equal(t, fault.Conflict, fault.CodeOf(err), name)
		require.ErrorContains(t, err, "version 2", name)
	}
}

func second[T any](_ T, err error) error { return err }
