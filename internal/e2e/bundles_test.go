package e2e

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/synth"
)

// damage replaces the content of a stored object by as many other bytes, and leaves what describes it.
func (e *everything) damage(t *testing.T, digest string) {
	t.Helper()
	store, err := e.bus.JetStream().ObjectStore(t.Context(), objstore.DefaultBucket)
	require.NoError(t, err)
	info, err := store.GetInfo(t.Context(), artifact.Digest(digest).Hex())
	require.NoError(t, err)
	stream, err := e.bus.JetStream().Stream(t.Context(), "OBJ_"+objstore.DefaultBucket)
	require.NoError(t, err)
	chunks := "$O." + objstore.DefaultBucket + ".C." + info.NUID
	require.NoError(t, stream.Purge(t.Context(), jetstream.WithPurgeSubject(chunks)))
	for left := int(info.Size); left > 0; left -= 128 << 10 {
		_, err := e.bus.JetStream().Publish(t.Context(), chunks, bytes.Repeat([]byte{'x'}, min(left, 128<<10)))
		require.NoError(t, err)
	}
}

// force promotes what the registry would not.
func (e *everything) force(t *testing.T, version int, bundle events.Artifact) uint64 {
	t.Helper()
	now := lifecycle(t, e.bus).production()
	seq, err := e.bus.Append(t.Context(), events.New(model, e.bus.Source(), fmt.Sprintf("%d@%d", version, now.sequence), time.Now(), &events.ModelPromoted{
		Version: version, RunID: "forged", Bundle: bundle, PreviousVersion: now.Version, PreviousSequence: now.sequence, Cause: events.PromotedManually,
	}), now.sequence)
	require.NoError(t, err)
	return seq
}

// rolledBack waits until the promotion at a sequence is followed by one that goes back to a version because it could not be loaded, and
// returns why the instance could not.
func (e *everything) rolledBack(t *testing.T, promoted uint64, to int) string {
	t.Helper()
	await(t, patience, "the registry rolls back by itself", func() error {
		now := lifecycle(t, e.bus).production()
		if now.PreviousSequence != promoted || now.Cause != events.PromotedByRollback {
			return fmt.Errorf("version %d is Production, cause %s, sequence %d", now.Version, now.Cause, now.sequence)
		}
		require.Equal(t, to, now.Version)
		require.True(t, now.Refuted)
		return nil
	})
	reason := ""
	read(t, e.bus, events.Fleet, func(m bus.Message) {
		p, ok := m.Event.Payload.(*events.ModelLoadFailed)
		if ok && p.PromotionSequence == promoted && p.Class == events.LoadPermanent {
			require.Equal(t, to, p.StillServing)
			reason = p.Reason
		}
	})
	require.NotEmpty(t, reason, "no permanent model.load_failed")
	return reason
}

func TestBundlesThatCannotBeServed(t *testing.T) {
	t.Parallel()
	e := up(t)
	asked := startAsking(t, e.bus.Conn(), e.addr)
	train := func(seed uint64, target string) {
		writeData(t, e.data, synth.Config{Rows: 2000, Seed: seed, Regime: synth.Shifted, IDPrefix: fmt.Sprintf("s%d-", seed)})
		e.cli(t, "train", "--target", target)
	}
	for seed := uint64(2); seed <= 4; seed++ {
		train(seed, "staging") // two more after version 2: an instance holds the newest ones ready, and then has to fetch this one
	}
	staged := lifecycle(t, e.bus).versions[1]

	// a bundle that was damaged in the store after it was judged
	e.damage(t, staged.Bundle.Digest)
	e.cli(t, "promote", "2")
	promoted := lifecycle(t, e.bus).promotions[1]
	require.Equal(t, 2, promoted.Version)
	require.Contains(t, e.rolledBack(t, promoted.sequence, 1), "corrupt")
	_, err := try(t, e.dir, "", churn(t), "promote", "2", "--nats", e.url)
	require.ErrorContains(t, err, "refuted", "a refuted version is promoted by force only")

	// a digest of nothing, one of something that is no bundle, and no digest at all
	nothing := string(artifact.DigestOf([]byte("nothing")))
	e.rolledBack(t, e.force(t, 97, events.Artifact{Name: events.ArtifactBundle, Digest: nothing, SizeBytes: 7}), 1)
	completed := lifecycle(t, e.bus).completed[0]
	for _, a := range completed.Artifacts {
		if a.Name == events.ArtifactHoldout {
			require.Contains(t, e.rolledBack(t, e.force(t, 98, a), 1), "decode")
		}
	}
	last := lifecycle(t, e.bus).production()
	_, err = e.bus.JetStream().Publish(t.Context(), "model.promoted."+model, []byte(
		`{"version":99,"bundle":{"name":"bundle.tar","digest":"sha256:short","size_bytes":1},"previous_version":1,"cause":"manual"}`))
	require.NoError(t, err)
	await(t, patience, "the registry repairs the tail", func() error {
		if now := lifecycle(t, e.bus).production(); now.sequence == last.sequence || now.Cause != events.PromotionRepair || now.Version != 1 {
			return fmt.Errorf("%+v", now)
		}
		return nil
	})

	// later promotions work
	train(5, "production")
	record := customers(t, 1)[0].record
	before := serves(t, e.addr, 5, record)

	// what is served was verified when it was loaded: damage in the store and a kill harm neither it nor a restart, which loads the local copy
	e.damage(t, lifecycle(t, e.bus).versions[4].Bundle.Digest)
	t.Logf("%d requests, none failed", asked.end(t))
	e.kill(t)
	e.start(t)
	await(t, patience, "it answers again", func() error {
		addr := newest(t, e, `(?m)^ +predict +http://(\S+)/predict`)
		a, err := post(addr, record)
		if err == nil && (a.Version != 5 || a.Probability != before.Probability) {
			err = fmt.Errorf("version %d, probability %s", a.Version, a.Probability)
		}
		return err
	})
	e.stop(t)
}
