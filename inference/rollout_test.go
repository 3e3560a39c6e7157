package inference_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/inference"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

// rollouts is the hand that writes rollout.changed as the registry does.
type rollouts struct {
	*world
	candidate events.Artifact
	version   int
	revision  int
	sequence  uint64 // of the last message
}

// rollouts registers the next version as the candidate.
func (w *world) rollouts(t testing.TB, candidate events.Artifact) *rollouts {
	t.Helper()
	return &rollouts{world: w, candidate: candidate, version: w.version + 1}
}

// change writes the next revision, beside the last promotion.
func (r *rollouts) change(t testing.TB, state events.RolloutState, share float64) {
	t.Helper()
	r.revision++
	cause := events.RolloutManually
	if state == events.RolloutRolledBack {
		cause = events.RolloutBreach
	}
	ev := events.New(modelName, "test", fmt.Sprintf("revision-%d@%d", r.revision, r.sequence), time.Now(), &events.RolloutChanged{
		Revision: r.revision, State: state, Mode: events.RolloutCanary, Version: r.version, RunID: "run", Bundle: r.candidate, Production: r.world.version,
		PromotionSequence: r.last, Share: share, Plan: []float64{0.25, 0.6, 1}, Cause: cause})
	seq, err := r.bus.Append(t.Context(), ev, r.sequence)
	require.NoError(t, err)
	r.sequence = seq
}

// run begins or goes on with the canary and waits until the instances split by it.
func (r *rollouts) run(t testing.TB, share float64, instances ...*instance) {
	t.Helper()
	r.change(t, events.RolloutRunning, share)
	for _, i := range instances {
		i.splits(t, r.revision, share)
	}
}

// splits waits until a revision is in force on the instance; 0 for none.
func (i *instance) splits(t testing.TB, revision int, share float64) {
	t.Helper()
	bustest.Eventually(t, func() bool {
		n, _, s := i.Split()
		return n == revision && s == share
	}, fmt.Sprintf("revision %d is in force", revision))
}

// entity returns the id of a record.
func entity(t testing.TB, record []byte) string {
	t.Helper()
	var doc map[string]any
	require.NoError(t, json.Unmarshal(record, &doc))
	return doc["customerID"].(string)
}

// routed sends every record and checks that the answer is by the version that the split says.
func (i *instance) routed(t testing.TB) (byVersion map[int]int) {
	t.Helper()
	byVersion = map[int]int{}
	for _, r := range records(t) {
		want := i.Route(entity(t, r))
		require.Equal(t, want, i.predict(t, r).Version)
		byVersion[want]++
	}
	return byVersion
}

func TestACanaryAnswersItsShareOnEveryInstance(t *testing.T) {
	w := newWorld(t)
	one, two := run(t, w.config(t, "one")), run(t, w.config(t, "two"))
	w.promote(t, w.upload(t, 1))
	r := w.rollouts(t, w.upload(t, 2))
	for _, i := range []*instance{one, two} {
		i.serves(t, 1, records(t)[0])
	}
	r.run(t, 0.25, one, two)
	first := one.routed(t)
	require.Equal(t, first, two.routed(t), "the same customers on every instance")
	require.Greater(t, first[1], first[2])
	require.NotZero(t, first[2])
	_, health := one.get(t, "/health")
	require.Contains(t, health, `"rollout":{"revision":1,"in_force":true,"candidate":2,"share":0.25}`)
	_, metrics := one.get(t, "/metrics")
	require.Contains(t, metrics, "\nchurn_rollout_revision 1\n")
	require.Contains(t, metrics, "\nchurn_rollout_share 0.25\n")
	require.Contains(t, metrics, `churn_rollout_candidate_info{digest="`+string(artifact.DigestOf(encoded(t, 2)))+`",model="telco-churn",version="2"} 1`)

	r.run(t, 0.6, one, two)
	require.Greater(t, one.routed(t)[2], first[2])
	for _, name := range []string{"one", "two"} {
		bustest.Eventually(t, func() bool {
			for _, a := range read[*events.InstanceAlive](t, w, events.Fleet) {
				if a.Instance == name && a.RolloutRevision == 2 && a.Candidate == 2 && a.Version == 1 {
					return true
				}
			}
			return false
		}, name+" reports the revision in force")
	}

	r.change(t, events.RolloutRolledBack, 0)
	one.splits(t, 0, 0)
	require.Equal(t, map[int]int{1: len(records(t))}, one.routed(t))
	require.False(t, one.Holds(2))
	_, health = one.get(t, "/health")
	require.Contains(t, health, `"rollout":{"revision":3,"in_force":false,"detail":"canary: rolled_back"}`)
	_, metrics = one.get(t, "/metrics")
	require.NotContains(t, metrics, "churn_rollout_candidate_info{")
	var candidates, productions int
	for _, l := range read[*events.ModelLoaded](t, w, events.Fleet) {
		if l.Rollout > 0 {
			require.Equal(t, 1, l.Rollout, "loaded once for all steps")
			require.Equal(t, 2, l.Version)
			candidates++
		} else {
			require.Equal(t, 1, l.Version)
			productions++
		}
	}
	require.Equal(t, 2, candidates)
	require.Equal(t, 2, productions)
}

// TestAPromotionOfTheCandidateIsOnePointer damages the stored candidate once it is loaded.
func TestAPromotionOfTheCandidateIsOnePointer(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	i.serves(t, w.promote(t, w.upload(t, 1)), records(t)[0])
	r := w.rollouts(t, w.upload(t, 2))
	r.run(t, 0.25, i)
	damage(t, w, artifact.Digest(r.candidate.Digest))
	i.serves(t, w.promote(t, r.candidate), records(t)[0])
	r.change(t, events.RolloutCompleted, 1)
	i.splits(t, 0, 0)
	require.True(t, i.Holds(1), "the former Production can be named, and a rollback goes there")
	require.Equal(t, map[int]int{2: len(records(t))}, i.routed(t))
	require.Empty(t, read[*events.ModelLoadFailed](t, w, events.Fleet))
}

// TestACandidateThatWasAbortedMayBePromoted has it on the shelf.
func TestACandidateThatWasAbortedMayBePromoted(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	i.serves(t, w.promote(t, w.upload(t, 1)), records(t)[0])
	r := w.rollouts(t, w.upload(t, 2))
	r.run(t, 0.25, i)
	damage(t, w, artifact.Digest(r.candidate.Digest))
	r.change(t, events.RolloutAborted, 0)
	i.splits(t, 0, 0)
	i.serves(t, w.promote(t, r.candidate), records(t)[0])
	require.Empty(t, read[*events.ModelLoadFailed](t, w, events.Fleet))
}

func TestABadCandidateLeavesProductionAlone(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	i.serves(t, w.promote(t, w.upload(t, 1)), records(t)[0])
	r := w.rollouts(t, w.put(t, forged(t, 2)))
	r.change(t, events.RolloutRunning, 0.5)
	f := failures(t, w, 1)[0]
	require.Equal(t, events.LoadPermanent, f.Class)
	require.Equal(t, 1, f.Rollout)
	require.Equal(t, 2, f.Version)
	require.Equal(t, 1, f.StillServing)
	require.Zero(t, f.RolloutRevision, "what is not in force is not reported as such")
	require.Equal(t, map[int]int{1: len(records(t))}, i.routed(t))
	code, health := i.get(t, "/health")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, health, `"revision":1,"in_force":false,"candidate":2,"share":0.5,"detail":"version 2 is not loaded: verify bundle: golden row 0`)
}

func TestACandidateIsRetriedWhileTheStoreIsAway(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	c.ReloadEvery = 50 * time.Millisecond
	dial, store := c.Dial, &away{}
	c.Dial = func(ctx context.Context) (*bus.Bus, artifact.Store, error) {
		b, s, err := dial(ctx)
		store.Store = s
		return b, store, err
	}
	i := run(t, c)
	i.serves(t, w.promote(t, w.upload(t, 1)), records(t)[0])
	r := w.rollouts(t, w.upload(t, 2))
	store.down.Store(true)
	r.change(t, events.RolloutRunning, 0.25)
	require.Equal(t, events.LoadTransient, failures(t, w, 1)[0].Class)
	require.Equal(t, map[int]int{1: len(records(t))}, i.routed(t))
	r.change(t, events.RolloutRunning, 0.6)
	store.down.Store(false)
	i.splits(t, 2, 0.6)

	store.down.Store(true) // Production's own load waits for no candidate, and the other way round
	w.promote(t, w.upload(t, 3))
	bustest.Eventually(t, func() bool {
		return slices.ContainsFunc(read[*events.ModelLoadFailed](t, w, events.Fleet), func(f *events.ModelLoadFailed) bool { return f.Rollout == 0 && f.Version == 2 })
	}, "the failed load of the promoted version is published")
	n, _, _ := i.Split()
	require.Equal(t, 2, n, "what is served is still the promotion beside which the split stands")
	store.down.Store(false)
	i.serves(t, 2, records(t)[0])
	i.splits(t, 0, 0)
}

// TestARestartServesProductionAloneUntilTheStreamIsRead comes back from disk without NATS, and then without the stored candidate.
func TestARestartServesProductionAloneUntilTheStreamIsRead(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	c.CacheDir = t.TempDir()
	i := run(t, c)
	i.serves(t, w.promote(t, w.upload(t, 1)), records(t)[0])
	r := w.rollouts(t, w.upload(t, 2))
	r.run(t, 0.6, i)
	kept := filepath.Join(c.CacheDir, modelName, "bundle-"+artifact.Digest(r.candidate.Digest).Hex()+".tar")
	bustest.Eventually(t, func() bool { _, err := os.Stat(kept); return err == nil }, "the candidate is kept")
	before := i.routed(t)
	damage(t, w, artifact.Digest(r.candidate.Digest))
	i.stop()

	w.server.Stop(t)
	again := w.config(t, "one")
	again.CacheDir = c.CacheDir
	j := run(t, again)
	j.serves(t, 1, records(t)[0])
	require.Equal(t, map[int]int{1: len(records(t))}, j.routed(t))
	_, health := j.get(t, "/health")
	require.Contains(t, health, `"rollout":{"revision":0,"in_force":false,"detail":"the rollouts were not read yet"}`)
	w.server.Resume(t)
	j.splits(t, 1, 0.6)
	require.Equal(t, before, j.routed(t))
	require.Empty(t, read[*events.ModelLoadFailed](t, w, events.Fleet))
}

func TestJunkRolloutsAreSkipped(t *testing.T) {
	w := newWorld(t)
	w.promote(t, w.upload(t, 1))
	r := w.rollouts(t, w.upload(t, 2))
	junk := func(data string) {
		ack, err := w.bus.JetStream().Publish(t.Context(), "rollout.changed."+modelName, []byte(data))
		require.NoError(t, err)
		r.sequence = ack.Sequence
	}
	r.revision = 6 // can't be the first one
	r.change(t, events.RolloutRunning, 0.6)
	r.revision = 0
	i := run(t, w.config(t, "one"))
	i.serves(t, 1, records(t)[0])
	bustest.Eventually(t, func() bool { return metric(t, i, "churn_rollout_junk_total") == 1 }, "the gap is counted")
	r.run(t, 0.25, i)
	junk("{not json")
	junk("")
	bustest.Eventually(t, func() bool { return metric(t, i, "churn_rollout_junk_total") == 3 }, "junk is counted")
	i.splits(t, 1, 0.25)
	r.revision = 3 // two that could not be read may have been revisions 2 and 3
	r.change(t, events.RolloutAborted, 0)
	i.splits(t, 0, 0)

	r.revision = 3
	w.promote(t, w.upload(t, 1)) // version 2; the registry wrote revision 4 too late, and gives the number again
	r.candidate, r.version = w.upload(t, 3), 3
	r.run(t, 0.25, i)
	_, candidate, _ := i.Split()
	require.Equal(t, 3, candidate)
}

// TestARollbackReachesAnInstanceThatWasCutOff ends the canary while the instance has no connection.
func TestARollbackReachesAnInstanceThatWasCutOff(t *testing.T) {
	w := newWorld(t)
	proxy := bustest.StartProxy(t, w.url)
	c := w.config(t, "one")
	c.Dial = func(ctx context.Context) (*bus.Bus, artifact.Store, error) {
		b, err := bus.Connect(ctx, bus.Config{URL: proxy.URL(), Name: "one", StoreBytes: w.size})
		if err != nil {
			return nil, nil, err
		}
		w.mu.Lock()
		w.dialed = append(w.dialed, b)
		w.mu.Unlock()
		store, err := objstore.Open(ctx, b.JetStream(), objstore.DefaultConfig())
		return b, store, err
	}
	i := run(t, c)
	i.serves(t, w.promote(t, w.upload(t, 1)), records(t)[0])
	r := w.rollouts(t, w.upload(t, 2))
	r.run(t, 0.6, i)
	proxy.Swallow()
	r.change(t, events.RolloutRolledBack, 0)
	require.NotZero(t, i.routed(t)[2], "what was last heard of goes on")
	proxy.Cut()
	i.splits(t, 0, 0)
}

// TestASplitIsSuspendedWhileNATSIsAway lets nobody be answered by a candidate that nobody watches.
func TestASplitIsSuspendedWhileNATSIsAway(t *testing.T) {
	w := newWorld(t)
	s, err := inference.New(w.config(t, "one"))
	require.NoError(t, err)
	s.Unheard(10*time.Millisecond, 0)
	i := start(t, s)
	i.serves(t, w.promote(t, w.upload(t, 1)), records(t)[0])
	r := w.rollouts(t, w.upload(t, 2))
	r.run(t, 0.6, i)
	w.server.Stop(t)
	i.splits(t, 0, 0)
	require.Equal(t, map[int]int{1: len(records(t))}, i.routed(t))
	_, health := i.get(t, "/health")
	require.Contains(t, health, `"detail":"NATS is away: nobody would see what the candidate does"`)
	w.server.Resume(t)
	i.splits(t, 1, 0.6)
}

func TestARecreatedStreamForgetsTheRollout(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	bundle := w.upload(t, 1)
	i.serves(t, w.promote(t, bundle), records(t)[0])
	r := w.rollouts(t, w.upload(t, 2))
	r.run(t, 0.25, i)
	require.NoError(t, w.bus.JetStream().DeleteStream(t.Context(), string(events.Lifecycle)))
	require.NoError(t, w.bus.Provision(t.Context()))
	w.last, r.sequence, r.revision = 0, 0, 0
	w.promote(t, bundle)
	r.version = w.version + 1
	r.change(t, events.RolloutRunning, 0.6)
	w.server.Restart(t) // a reconnect has the tail looked at
	i.splits(t, 1, 0.6)
}

// TestWhatWasAnsweredIsMeasured compares the published counts with what the client saw, over an end by itself and a stop.
func TestWhatWasAnsweredIsMeasured(t *testing.T) {
	w := newWorld(t)
	s, err := inference.New(w.config(t, "one"))
	require.NoError(t, err)
	s.MeasureEvery(20 * time.Millisecond)
	i := start(t, s)
	i.serves(t, w.promote(t, w.upload(t, 1)), records(t)[0])
	r := w.rollouts(t, w.upload(t, 2))
	r.run(t, 0.6, i)
	counts := i.routed(t)
	list := "[" + string(records(t)[0]) + "," + string(records(t)[1]) + "," + string(records(t)[2]) + "]"
	code, _, body := i.post(t, "/predict", []byte(list))
	require.Equal(t, http.StatusOK, code, string(body))
	inList := map[int]uint64{}
	for _, record := range records(t)[:3] {
		inList[i.Route(entity(t, record))]++
	}
	faulty := strings.Replace(string(records(t)[0]), `"tenure":`, `"tenure":"x","tenure_":`, 1)
	code, _, _ = i.post(t, "/predict", []byte(faulty))
	require.Equal(t, http.StatusUnprocessableEntity, code)

	last := func() map[events.Arm]events.VersionMeasurement {
		all := read[*events.ServingMeasured](t, w, events.Fleet)
		if len(all) == 0 {
			return nil
		}
		out := map[events.Arm]events.VersionMeasurement{}
		for _, v := range all[len(all)-1].Versions {
			if v.Revision == 1 {
				out[v.Arm] = v
			}
		}
		return out
	}
	check := func() {
		t.Helper()
		for arm, version := range map[events.Arm]int{events.ArmProduction: 1, events.ArmCanary: 2} {
			want := uint64(counts[version]) + inList[version]
			bustest.Eventually(t, func() bool { return last()[arm].Records >= want }, "counts are published")
			v := last()[arm]
			require.Equal(t, version, v.Version)
			require.Equal(t, want, v.Records)
			require.Positive(t, sum(v.Scores))
			require.LessOrEqual(t, sum(v.Scores), want, "an entity that was asked for twice is scored once")
			require.Equal(t, sum(v.Scores), sum(v.ReferenceBins))
			require.Equal(t, v.Requests, sum(v.LatencyBuckets))
			require.Zero(t, v.Errors, "a client's fault is not the version's")
			require.Equal(t, w.last, v.PromotionSequence)
		}
	}
	check()
	r.change(t, events.RolloutAborted, 0)
	i.splits(t, 0, 0)
	i.predict(t, records(t)[0])
	i.stop()
	check()
	all := read[*events.ServingMeasured](t, w, events.Fleet)
	final := all[len(all)-1]
	require.Equal(t, i.Boot(), final.Boot)
	require.Zero(t, final.RolloutRevision)
	var alone uint64
	for _, v := range final.Versions {
		if v.Revision == 0 && v.Arm == events.ArmProduction {
			alone = v.Requests
		}
	}
	require.GreaterOrEqual(t, alone, uint64(2), "the last answers are in the measurement of the stop")
}

// TestCountsOutliveAnOutage answers while NATS is away: what is published afterwards holds all of it.
func TestCountsOutliveAnOutage(t *testing.T) {
	w := newWorld(t)
	s, err := inference.New(w.config(t, "one"))
	require.NoError(t, err)
	s.MeasureEvery(20 * time.Millisecond)
	i := start(t, s)
	i.serves(t, w.promote(t, w.upload(t, 1)), records(t)[0])
	r := w.rollouts(t, w.upload(t, 2))
	r.run(t, 0.6, i)
	first := i.routed(t)
	w.server.Stop(t)
	second := i.routed(t)
	w.server.Resume(t)
	want := uint64(first[2] + second[2])
	bustest.Eventually(t, func() bool {
		for _, m := range read[*events.ServingMeasured](t, w, events.Fleet) {
			for _, v := range m.Versions {
				if v.Arm == events.ArmCanary && v.Records == want && m.RolloutRevision == 1 && m.Candidate == 2 {
					return true
				}
			}
		}
		return false
	}, "all that was answered is counted")
}

func sum(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
