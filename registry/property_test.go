package registry

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// chaos makes events that need not agree with anything.
type chaos struct {
	*rand.Rand
	keys []string
}

func (r chaos) version() int { return 1 + r.IntN(4) }

func (r chaos) key() string { return r.keys[r.IntN(len(r.keys))] }

func (r chaos) rest() events.Stage {
	return []events.Stage{events.StageNone, events.StageStaging, events.StageArchived}[r.IntN(3)]
}

func (r chaos) artifact() events.Artifact { return bundleOf(r.version()) }

func (r chaos) payload(next int) events.Payload {
	switch r.IntN(9) {
	case 0:
		return &events.RunStarted{RunID: runOf(r.version())}
	case 1:
		return &events.RunCompleted{RunID: runOf(r.version()), Artifacts: []events.Artifact{r.artifact()}}
	case 2, 3:
		p := &events.ModelRegistered{Version: next + r.IntN(2), RunID: runOf(r.IntN(20)), Bundle: r.artifact()}
		if r.IntN(2) == 0 {
			p.Source, p.Bundle, p.Unservable = fmt.Sprint("mlflow-artifacts:/0/", r.IntN(3)), events.Artifact{}, "no"
		}
		return p
	case 4:
		n := r.version()
		return &events.ModelGated{Version: n, RunID: runOf(r.IntN(20)), Verdict: events.VerdictPromotable, Reason: "first"}
	case 5, 6:
		p := &events.ModelPromoted{Version: r.IntN(5), PreviousVersion: r.IntN(5), Cause: events.PromotedManually, Ungated: r.IntN(2) == 0, ArchiveExisting: r.IntN(3) == 0}
		if p.Version == 0 || r.IntN(3) == 0 {
			p.Demoted, p.DemotedTo = r.version(), r.rest()
		}
		return p
	}
	p := &events.ModelChanged{Version: r.IntN(4), Value: string(r.rest()), Remove: r.IntN(4) == 0, ArchiveExisting: r.IntN(2) == 0}
	p.Change = []events.Change{
		events.ChangeArchive, events.ChangeDelete, events.ChangeAlias, events.ChangeTag, events.ChangeDescription, events.ChangeCreate, events.ChangeRename,
		events.ChangeStage, events.ChangeGates,
	}[r.IntN(9)]
	switch p.Change {
	case events.ChangeAlias, events.ChangeTag:
		p.Key = []string{"champion", "blue"}[r.IntN(2)]
	case events.ChangeRename:
		p.Value = r.key()
	case events.ChangeCreate:
		p.Key = []string{"", r.key()}[r.IntN(2)]
	case events.ChangeGates:
		p.Value = []string{`{}`, `{"staging":[{"metric":"roc_auc","min":0.5}]}`, `{"promotion":"never"}`, `{"staging":7}`}[r.IntN(4)]
	}
	return p
}

// Whatever a stream holds, its fold keeps what the rest relies on, and folding it twice gives the same.
func TestAnyStreamFolds(t *testing.T) {
	for seed := range uint64(30) {
		r := chaos{rand.New(rand.NewPCG(seed, 7)), []string{"a", "b", "c"}}
		c, again := NewCatalog(), NewCatalog()
		for seq := uint64(1); seq <= 150; seq++ {
			key := r.key()
			p := r.payload(c.NextVersion(key))
			subject, err := events.SubjectOf(p.EventType(), key)
			require.NoError(t, err)
			rec := Record{Sequence: seq, Time: time.Unix(int64(seq), 0), Subject: subject, Event: events.New(key, "test", fmt.Sprint(seq), time.Unix(int64(seq), 0), p)}
			if r.IntN(20) == 0 {
				rec.Event, rec.Err = events.Event{}, events.ErrInvalid
			}
			first := c.Apply(rec)
			require.Equal(t, first, again.Apply(rec))
			require.NoError(t, again.Apply(rec), "the second delivery changes nothing")
			sound(t, c, fmt.Sprintf("seed %d, sequence %d", seed, seq))
		}
		for _, key := range c.Models() {
			m, _ := c.Model(key)
			other, _ := again.Model(key)
			require.Equal(t, m, other)
			require.Equal(t, c.Versions(key), again.Versions(key))
			require.Equal(t, c.Audit(key), again.Audit(key))
		}
	}
}

// sound checks what must hold of every catalog.
func sound(t *testing.T, c *Catalog, at string) {
	t.Helper()
	names := map[string]bool{}
	for _, key := range c.Models() {
		m, exists := c.Model(key)
		if exists && !m.Deleted {
			require.False(t, names[m.Name], "two models are called %s: %s", m.Name, at)
			names[m.Name] = true
			found, ok := c.Key(m.Name)
			require.True(t, ok, at)
			require.Equal(t, key, found, at)
		}
		for i, v := range c.models[key].versions {
			require.Equal(t, i+1, v.Version, at)
		}
		p, ok := c.Promotion(key)
		now, is := c.Production(key)
		require.Equal(t, ok && p.Version > 0 && p.Version < c.NextVersion(key), is, at)
		if is {
			require.Equal(t, events.StageProduction, now.Stage, at)
			then, ok := c.ProductionAt(key, time.Unix(1<<40, 0))
			require.True(t, ok, at)
			require.Equal(t, now, then, at)
		}
		if ok && !p.Ungated {
			require.LessOrEqual(t, len(c.models[key].inProduction()), 1, at)
		}
		_, _, astray := c.Astray(key)
		if is && !astray {
			require.False(t, now.Deleted, at)
			servable, _ := now.Servable()
			require.True(t, servable || m.Gates == nil, at)
		}
		if w, due := amendment(c, key, "test"); due {
			answered(t, c, w, at)
		}
		if m.Gates != nil {
			require.LessOrEqual(t, len(c.models[key].inProduction()), 1, at)
		}
		for alias, n := range m.Aliases {
			v, ok := c.Version(key, n)
			require.True(t, ok || alias == c.Champion, at)
			require.False(t, v.Deleted, at)
		}
	}
}

// answered checks that the answer to a promotion that went astray stands itself.
func answered(t *testing.T, c *Catalog, w draft, at string) {
	t.Helper()
	p := w.payload.(*events.ModelPromoted)
	require.NoError(t, p.Validate(), at)
	require.NoError(t, c.models[w.key].excluded(p), at)
	require.Equal(t, c.Expected(events.TypeModelPromoted, w.key), w.expected, at)
}
