package registry

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus/bustest"
	"telco-churn-mlops/model"
	"telco-churn-mlops/model/modeltest"
)

// lying returns a bundle that is whole in every way but does not score a golden row as it says.
func lying(t *testing.T, o modeltest.Options) []byte {
	t.Helper()
	b := modeltest.Bundle(t, o)
	files, err := b.Files()
	require.NoError(t, err)
	golden, err := json.Marshal(b.Golden[0].Probability)
	require.NoError(t, err)
	wrong, err := json.Marshal(b.Golden[0].Probability + 1e-6)
	require.NoError(t, err)
	manifest := string(files[0].Data)
	for i, f := range files {
		if f.Name == model.GoldenFile {
			files[i].Data = bytes.ReplaceAll(bytes.Clone(f.Data), golden, wrong)
			require.NotEqual(t, f.Data, files[i].Data)
			manifest = strings.Replace(manifest, hexSum(f.Data), hexSum(files[i].Data), 1)
		}
	}
	manifest = strings.Replace(manifest, b.Manifest.Digest, "", 1)
	files[0].Data = []byte(strings.Replace(manifest, `"digest": ""`, `"digest": "`+hexSum([]byte(manifest))+`"`, 1))
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Size: int64(len(f.Data)), Mode: 0o644, Format: tar.FormatUSTAR}
		require.NoError(t, w.WriteHeader(h))
		_, err := w.Write(f.Data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	_, err = model.Decode(out.Bytes())
	require.NoError(t, err, "it is refused for its golden rows alone")
	return out.Bytes()
}

func hexSum(data []byte) string {
	d := sha256.Sum256(data)
	return hex.EncodeToString(d[:])
}

// damage puts other bytes of the same length in the place of an object.
func (r *rig) damage(a events.Artifact) {
	r.t.Helper()
	bucket, err := r.bus.JetStream().ObjectStore(r.t.Context(), objstore.DefaultConfig().Bucket)
	require.NoError(r.t, err)
	_, err = bucket.PutBytes(r.t.Context(), artifact.Digest(a.Digest).Hex(), bytes.Repeat([]byte("x"), int(a.SizeBytes)))
	require.NoError(r.t, err)
}

// remove takes an object out of the store behind everyone's back.
func (r *rig) remove(digest string) {
	r.t.Helper()
	bucket, err := r.bus.JetStream().ObjectStore(r.t.Context(), objstore.DefaultConfig().Bucket)
	require.NoError(r.t, err)
	require.NoError(r.t, bucket.Delete(r.t.Context(), artifact.Digest(digest).Hex()))
}

func TestARunWithAnUnusableBundleIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*rig, *events.RunCompleted)
		reason string
	}{
		{"no bundle at all in its bytes", func(r *rig, run *events.RunCompleted) {
			run.Artifacts[0] = r.put(events.ArtifactBundle, []byte("not a tar"))
		}, "decode bundle"},
		{"golden rows differ", func(r *rig, run *events.RunCompleted) {
			run.Artifacts[0] = r.put(events.ArtifactBundle, lying(r.t, modeltest.Options{Spec: r.spec, Seed: 1, RunID: run.RunID}))
		}, "verify bundle"},
		{"damaged in the store", func(r *rig, run *events.RunCompleted) { r.damage(run.Artifacts[0]) }, "corrupt"},
		{"not in the store", func(_ *rig, run *events.RunCompleted) { run.Artifacts[0].Digest = digest(3) }, "not found"},
		{"bundle of another spec", func(_ *rig, run *events.RunCompleted) { run.SpecDigest = digest(4) }, "the bundle follows spec"},
		{"bundle of another model", func(r *rig, run *events.RunCompleted) {
			s := r.spec.Clone()
			s.Name = "other"
			data := modeltest.Encoded(r.t, modeltest.Options{Spec: s, Seed: 1, RunID: run.RunID})
			run.Artifacts[0] = r.put(events.ArtifactBundle, data)
		}, "the bundle is of model other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.start()
			r.complete(modeltest.Options{Seed: 1, RunID: "good"})
			r.production(1)
			bad := r.run(modeltest.Options{Seed: 1, RunID: "bad"})
			c.change(r, bad)
			seq := r.publish(bad.RunID, bad)
			var letter events.DeadLetter
			bustest.Eventually(t, func() bool {
				letter = r.deadLetters()[seq]
				return letter.Reason != ""
			}, "dead letter")
			require.Contains(t, letter.Reason, c.reason)

			// The next run is not held up, and takes the number that the refused one did not get.
			r.complete(modeltest.Options{Seed: 1, RunID: "next"})
			v := r.judged(2)
			require.Equal(t, "next", v.RunID)
			cat := r.catalog()
			run, _ := cat.Run(bad.RunID)
			require.Equal(t, RunRefused, run.State)
			require.Contains(t, run.Refused, c.reason)
			p, _ := cat.Promotion(churn)
			require.Equal(t, 1, p.Version)
		})
	}
}

func TestARunWithoutABundleIsNoVersion(t *testing.T) {
	r := newRig(t)
	r.start()
	r.complete(modeltest.Options{Seed: 1, RunID: "log"}, func(run *events.RunCompleted) { run.Artifacts = run.Artifacts[1:] })
	r.complete(modeltest.Options{Seed: 1, RunID: "model"})
	c := r.production(1)
	v, _ := c.Version(churn, 1)
	require.Equal(t, "model", v.RunID)
	require.Empty(t, r.deadLetters())
	run, _ := c.Run("log")
	require.Equal(t, RunCompleted, run.State)
}

func TestAnObjectThatComesLateIsWaitedFor(t *testing.T) {
	r := newRig(t)
	run := r.run(modeltest.Options{Seed: 1})
	data, err := artifact.ReadAll(t.Context(), r.store, artifact.Digest(run.Artifacts[0].Digest), 1<<30)
	require.NoError(t, err)
	r.remove(run.Artifacts[0].Digest)
	s := r.start(func(c *Config) { c.Grace = time.Minute })
	r.publish(run.RunID, run)
	bustest.Eventually(t, func() bool {
		require.NoError(t, s.work.lock(t.Context()))
		defer s.work.unlock()

		return s.missed[run.Artifacts[0].Digest] > 0
	}, "a first look in vain")
	r.put(events.ArtifactBundle, data)
	r.production(1)
	require.Empty(t, r.deadLetters())
}

func TestVerdictsThatTheServiceReaches(t *testing.T) {
	for _, c := range []struct {
		name    string
		spec    func(*rig)
		change  func(*rig, *events.RunCompleted)
		verdict events.Verdict
		reason  string
	}{
		{"threshold", func(r *rig) { r.spec.Gates.Staging[0].Min = 0.999 }, nil, events.VerdictRejected, ReasonBelowThreshold},
		{"threshold out of reach", func(r *rig) { r.spec.Gates.Staging[0].Min = 1 }, nil, events.VerdictRejected, ReasonBelowThreshold},
		{"staging asked", nil, func(_ *rig, run *events.RunCompleted) {
			run.TargetStage = events.StageStaging
		}, events.VerdictStaged, ReasonTargetStaging},
		{"manual", func(r *rig) { r.spec.Promotion = "manual" }, nil, events.VerdictStaged, ReasonManual},
		{"no holdout", nil, func(_ *rig, run *events.RunCompleted) {
			run.Artifacts = run.Artifacts[:1]
		}, events.VerdictStaged, ReasonNoHoldout},
		{"no holdout and no figures", nil, func(_ *rig, run *events.RunCompleted) {
			run.Artifacts, run.Metrics = run.Artifacts[:1], nil
		}, events.VerdictRejected, ReasonBelowThreshold},
		{"holdout is not in the store", nil, func(_ *rig, run *events.RunCompleted) {
			run.Artifacts[1].Digest = digest(7)
		}, events.VerdictRejected, ReasonUnusable},
		{"holdout is damaged in the store", nil, func(r *rig, run *events.RunCompleted) {
			run.Artifacts[1] = r.put(events.ArtifactHoldout, bytes.Repeat([]byte("1,2\n"), 100_000))
			r.damage(run.Artifacts[1])
		}, events.VerdictRejected, ReasonUnusable},
		{"holdout is no table", nil, func(r *rig, run *events.RunCompleted) {
			run.Artifacts[1] = r.put(events.ArtifactHoldout, []byte("a,b\n1,2\n"))
		}, events.VerdictRejected, ReasonUnusable},
		{"holdout is empty", nil, func(r *rig, run *events.RunCompleted) {
			run.Artifacts[1] = r.put(events.ArtifactHoldout, nil)
		}, events.VerdictRejected, ReasonUnusable},
		{"metrics in the event are not believed", nil, func(_ *rig, run *events.RunCompleted) {
			run.Metrics = map[string]float64{"roc_auc": 0.01}
		}, events.VerdictPromotable, ReasonFirst},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			if c.spec != nil {
				c.spec(r)
			}
			r.start()
			r.complete(modeltest.Options{Seed: 1}, func(run *events.RunCompleted) {
				if c.change != nil {
					c.change(r, run)
				}
			})
			v := r.judged(1)
			require.Equal(t, c.verdict, v.Gate.Verdict, "%+v", v.Gate)
			require.Equal(t, c.reason, v.Gate.Reason)
			require.Empty(t, r.deadLetters())
		})
	}
}

func TestARunOfAnotherSpecIsStagedAtMost(t *testing.T) {
	r := newRig(t)
	theirs := r.spec.Clone()
	theirs.Gates.Staging[0].Min = 0.4
	r.start()
	r.complete(modeltest.Options{Spec: theirs, Seed: 1})
	v := r.judged(1)
	require.Equal(t, events.VerdictStaged, v.Gate.Verdict)
	require.Equal(t, ReasonSpecDiffers, v.Gate.Reason)
}

func TestJunkIsDeadLetteredOnceAndProductionRestated(t *testing.T) {
	r := newRig(t)
	s := r.start()
	r.complete(modeltest.Options{Seed: 1})
	before := r.production(1)
	junk := map[uint64]bool{}
	for _, k := range events.KindsOn(events.Lifecycle) {
		junk[r.junk(k.Type)] = true
	}
	contradiction := r.publish("bogus", &events.ModelRegistered{
		Version: 44, RunID: "nobody", Bundle: bundleOf(1), TargetStage: events.StageProduction,
	})
	junk[contradiction] = true
	c := r.wait("repair", func(c *Catalog) bool {
		p, _ := c.Promotion(churn)
		return p.Cause == events.PromotionRepair
	})
	p, _ := c.Promotion(churn)
	was, _ := before.Promotion(churn)
	require.Equal(t, was.Version, p.Version)
	require.Equal(t, was.Bundle, p.Bundle)
	bustest.Eventually(t, func() bool { return len(r.deadLetters()) == len(junk) }, "a letter for each")
	for seq := range r.deadLetters() {
		require.True(t, junk[seq], "sequence %d", seq)
	}

	// Life goes on behind the junk, and a restart finds nothing to do.
	r.complete(modeltest.Options{Seed: 2, Relation: 7})
	r.production(2)
	s.stop()
	last, err := r.bus.LastSequence(t.Context(), events.Lifecycle)
	require.NoError(t, err)
	r.start()
	r.settle()
	again, err := r.bus.LastSequence(t.Context(), events.Lifecycle)
	require.NoError(t, err)
	require.Equal(t, last, again)
}

// settle returns after every consumer of the registry handled all of LIFECYCLE.
func (r *rig) settle() {
	r.t.Helper()
	for _, durable := range []string{"registry", refusedBy + churn} {
		r.settleOne(durable)
	}
}
