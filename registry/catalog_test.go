package registry

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// tape writes a LIFECYCLE by hand.
type tape struct {
	records []Record
}

func digest(n int) string { return "sha256:" + strings.Repeat(fmt.Sprintf("%x", n%16), 64) }

func bundleOf(n int) events.Artifact {
	return events.Artifact{Name: events.ArtifactBundle, Digest: digest(n), SizeBytes: 1}
}

func runOf(n int) string { return fmt.Sprintf("run-%d", n) }

func (p *tape) add(payload events.Payload) uint64 {
	subject, _ := events.SubjectOf(payload.EventType(), churn)
	seq := uint64(len(p.records) + 1)
	p.records = append(p.records, Record{
		Sequence: seq, Time: time.Unix(int64(seq), 0), Subject: subject, Event: events.New(churn, "test", fmt.Sprint(seq), time.Unix(1, 0), payload),
	})
	return seq
}

func (p *tape) junk(t events.Type) uint64 {
	subject, _ := events.SubjectOf(t, churn)
	seq := uint64(len(p.records) + 1)
	p.records = append(p.records, Record{Sequence: seq, Subject: subject, Err: errors.New("junk")})
	return seq
}

func (p *tape) run(n int) uint64 {
	return p.add(&events.RunCompleted{RunID: runOf(n), Experiment: "e", TargetStage: events.StageProduction, Artifacts: []events.Artifact{bundleOf(n)}})
}

func (p *tape) register(n int) uint64 {
	return p.add(&events.ModelRegistered{Version: n, RunID: runOf(n), Bundle: bundleOf(n), TargetStage: events.StageProduction})
}

func (p *tape) gate(n int, v events.Verdict, against uint64) uint64 {
	return p.add(&events.ModelGated{Version: n, RunID: runOf(n), Verdict: v, Reason: "r", PromotionSequence: against})
}

func (p *tape) promote(n int, cause events.PromotionCause) uint64 {
	return p.add(&events.ModelPromoted{Version: n, RunID: runOf(n), Bundle: bundleOf(n), Cause: cause})
}

// version adds a run that is registered, gated and, if promotable, promoted.
func (p *tape) version(n int, v events.Verdict, against uint64) uint64 {
	p.run(n)
	p.register(n)
	seq := p.gate(n, v, against)
	if v == events.VerdictPromotable {
		seq = p.promote(n, events.PromotedByGate)
	}
	return seq
}

func (p *tape) catalog(t *testing.T) *Catalog {
	t.Helper()
	c := NewCatalog()
	for _, r := range p.records {
		_ = c.Apply(r)
	}
	return c
}

func stages(c *Catalog) map[int]events.Stage {
	out := map[int]events.Stage{}
	for _, v := range c.Versions(churn) {
		out[v.Version] = v.Stage
	}
	return out
}

func TestStages(t *testing.T) {
	const none, staging, production, archived = events.StageNone, events.StageStaging, events.StageProduction, events.StageArchived
	for _, c := range []struct {
		name string
		tape func(*tape)
		want map[int]events.Stage
	}{
		{"registered", func(p *tape) { p.run(1); p.register(1) }, map[int]events.Stage{1: none}},
		{"rejected stays none", func(p *tape) { p.version(1, events.VerdictRejected, 0) }, map[int]events.Stage{1: none}},
		{"staged", func(p *tape) { p.version(1, events.VerdictStaged, 0) }, map[int]events.Stage{1: staging}},
		{"promoted", func(p *tape) { p.version(1, events.VerdictPromotable, 0) }, map[int]events.Stage{1: production}},
		{"not better stays in staging", func(p *tape) {
			s := p.version(1, events.VerdictPromotable, 0)
			p.version(2, events.VerdictNotPromoted, s)
		}, map[int]events.Stage{1: production, 2: staging}},
		{"older staging is archived", func(p *tape) {
			p.version(1, events.VerdictStaged, 0)
			p.version(2, events.VerdictRejected, 0)
			p.version(3, events.VerdictStaged, 0)
		}, map[int]events.Stage{1: archived, 2: none, 3: staging}},
		{"replaced production is archived", func(p *tape) {
			s := p.version(1, events.VerdictPromotable, 0)
			p.version(2, events.VerdictPromotable, s)
		}, map[int]events.Stage{1: archived, 2: production}},
		{"rollback", func(p *tape) {
			s := p.version(1, events.VerdictPromotable, 0)
			p.version(2, events.VerdictPromotable, s)
			p.promote(1, events.PromotedByRollback)
		}, map[int]events.Stage{1: production, 2: archived}},
		{"withdrawn", func(p *tape) {
			p.version(1, events.VerdictPromotable, 0)
			p.add(&events.ModelPromoted{Cause: events.PromotionWithdrawn, PreviousVersion: 1})
		}, map[int]events.Stage{1: archived}},
		{"promoted by hand before its verdict", func(p *tape) {
			p.run(1)
			p.register(1)
			p.promote(1, events.PromotedManually)
			p.gate(1, events.VerdictStaged, 0)
		}, map[int]events.Stage{1: production}},
		{"archived by hand", func(p *tape) {
			p.version(1, events.VerdictStaged, 0)
			p.add(&events.ModelChanged{Change: events.ChangeArchive, Version: 1})
		}, map[int]events.Stage{1: archived}},
		{"production is not archived by hand", func(p *tape) {
			p.version(1, events.VerdictPromotable, 0)
			p.add(&events.ModelChanged{Change: events.ChangeArchive, Version: 1})
		}, map[int]events.Stage{1: production}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p tape
			c.tape(&p)
			require.Equal(t, c.want, stages(p.catalog(t)))
		})
	}
}

func TestApplyIgnoresWhatItSawAndKeepsTheFirstOfTwoThatContradict(t *testing.T) {
	var p tape
	s := p.version(1, events.VerdictPromotable, 0)
	p.version(2, events.VerdictPromotable, s)
	whole := p.catalog(t)
	twice := NewCatalog()
	for i := range p.records {
		for j := range i + 1 { // everything before comes again and again
			_ = twice.Apply(p.records[j])
		}
	}
	require.Equal(t, whole, twice)

	for name, bad := range map[string]uint64{
		"second verdict":         p.gate(2, events.VerdictRejected, 0),
		"number not the next":    p.register(9),
		"run registered already": p.add(&events.ModelRegistered{Version: 3, RunID: runOf(1), Bundle: bundleOf(3), TargetStage: events.StageStaging}),
		"verdict of nothing":     p.gate(7, events.VerdictStaged, 0),
		"second end of a run": p.add(&events.RunCompleted{
			RunID: runOf(1), Experiment: "e", TargetStage: events.StageStaging, Artifacts: []events.Artifact{bundleOf(5)},
		}),
		"failed after completed": p.add(&events.RunFailed{RunID: runOf(1), Step: "train", Reason: "x"}),
	} {
		c := p.catalog(t)
		require.Error(t, c.Fault(bad), name)
		require.Equal(t, stages(whole), stages(c), name)
		require.Equal(t, 3, c.NextVersion(churn), name)
	}
	again := p.run(2) // the same end again is no contradiction
	require.NoError(t, p.catalog(t).Fault(again))
}

func TestJunkMovesOnlyWhatACompareAndSetExpects(t *testing.T) {
	var p tape
	s := p.version(1, events.VerdictPromotable, 0)
	require.Equal(t, s, p.catalog(t).Expected(events.TypeModelPromoted, churn))
	_, due := p.catalog(t).JunkTail(churn)
	require.False(t, due)

	j := p.junk(events.TypeModelPromoted)
	c := p.catalog(t)
	require.Equal(t, j, c.Expected(events.TypeModelPromoted, churn))
	now, ok := c.Promotion(churn)
	require.True(t, ok)
	require.Equal(t, 1, now.Version)
	restate, due := c.JunkTail(churn)
	require.True(t, due)
	require.Equal(t, s, restate.Sequence)
	require.Equal(t, uint64(1), c.Junk())

	p.promote(1, events.PromotionRepair)
	c = p.catalog(t)
	_, due = c.JunkTail(churn)
	require.False(t, due)
	require.False(t, c.ChangedSince(churn, s), "a repair changes nothing")
	settled, _ := c.Settled(churn)
	require.Equal(t, s, settled.Sequence)
	v, _ := c.Version(churn, 1)
	require.Equal(t, []uint64{s}, v.Promoted)
}

func TestOvertaken(t *testing.T) {
	var p tape
	s := p.version(1, events.VerdictPromotable, 0)
	p.run(2)
	p.register(2)
	p.gate(2, events.VerdictPromotable, s)
	require.Len(t, p.catalog(t).Unpromoted(churn), 1)

	p.junk(events.TypeModelPromoted)
	p.promote(1, events.PromotionRepair)
	require.Len(t, p.catalog(t).Unpromoted(churn), 1, "junk and its repair overtake nobody")

	p.add(&events.ModelPromoted{Cause: events.PromotionWithdrawn})
	c := p.catalog(t)
	require.Empty(t, c.Unpromoted(churn))
	v, _ := c.Version(churn, 2)
	require.True(t, c.Overtaken(v))
	require.Equal(t, events.StageStaging, v.Stage)

	p.promote(2, events.PromotedManually)
	c = p.catalog(t)
	v, _ = c.Version(churn, 2)
	require.False(t, c.Overtaken(v))
	require.Equal(t, events.StageProduction, v.Stage)
}

func TestEarlierGoesBackInHistory(t *testing.T) {
	numbers := func(c *Catalog) []int {
		var out []int
		for _, v := range c.Earlier(churn) {
			out = append(out, v.Version)
		}
		return out
	}
	var p tape
	var s uint64
	require.Empty(t, numbers(p.catalog(t)))
	for n := 1; n <= 3; n++ {
		s = p.version(n, events.VerdictPromotable, s)
	}
	require.Equal(t, []int{2, 1}, numbers(p.catalog(t)))
	p.promote(2, events.PromotedByRollback)
	require.Equal(t, []int{1}, numbers(p.catalog(t)), "two rollbacks go back two steps")
	p.promote(1, events.PromotedByRollback)
	require.Empty(t, numbers(p.catalog(t)))

	p.promote(3, events.PromotedManually)
	require.Equal(t, []int{1}, numbers(p.catalog(t)))
	p.add(&events.ModelPromoted{Cause: events.PromotionWithdrawn, PreviousVersion: 3})
	require.Equal(t, []int{3, 1}, numbers(p.catalog(t)), "a withdrawal can be taken back")

	// A rollback that refutes takes the bytes out for good, whatever version carries them.
	p.promote(3, events.PromotedManually)
	p.add(&events.ModelPromoted{
		Version: 1, RunID: runOf(1), Bundle: bundleOf(1), Cause: events.PromotedByRollback, PreviousVersion: 3, Refuted: true,
	})
	c := p.catalog(t)
	require.True(t, c.Refuted(churn, digest(3)))
	v, _ := c.Version(churn, 3)
	require.True(t, v.Refuted)
	p.promote(2, events.PromotedManually)
	require.Equal(t, []int{1}, numbers(p.catalog(t)))
}

func TestRuns(t *testing.T) {
	var p tape
	p.add(&events.RunStarted{RunID: "a", Causes: []events.Cause{{Kind: events.CauseFirst}}, TargetStage: events.StageProduction})
	p.add(&events.RunStarted{RunID: "b", Causes: []events.Cause{{Kind: events.CauseFirst}}, TargetStage: events.StageProduction})
	p.add(&events.RunFailed{RunID: "b", Step: "validate", Reason: "bad"})
	seq := p.run(1)
	p.run(2)
	p.register(1)
	c := p.catalog(t)
	c.Refuse(seq, "a run with a version is not refused")
	c.Refuse(seq+1, "golden rows differ")
	states := map[string]RunState{}
	for _, r := range c.Runs(churn) {
		states[r.ID] = r.State
	}
	require.Equal(t, map[string]RunState{"a": RunOpen, "b": RunFailed, runOf(1): RunCompleted, runOf(2): RunRefused}, states)
	run, ok := c.Run(runOf(1))
	require.True(t, ok)
	require.Equal(t, 1, run.Version)
	run, _ = c.Run(runOf(2))
	require.Equal(t, "golden rows differ", run.Refused)
}
