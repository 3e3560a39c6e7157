package inference_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

// failures waits until n failed loads are stored and returns them.
func failures(t testing.TB, w *world, n int) []*events.ModelLoadFailed {
	t.Helper()
	var got []*events.ModelLoadFailed
	bustest.Eventually(t, func() bool {
		got = read[*events.ModelLoadFailed](t, w, events.Fleet)
		return len(got) >= n
	}, "the failed load is published")
	return got
}

func TestBadBundlesChangeNothingAndSayWhy(t *testing.T) {
	junk := []byte("this is no archive")
	missing := artifact.DigestOf([]byte("never uploaded"))
	for _, tc := range []struct {
		name   string
		bundle func(t *testing.T, w *world) events.Artifact
		class  []events.LoadClass
		reason string
	}{
		{"golden rows differ", func(t *testing.T, w *world) events.Artifact { return w.put(t, forged(t, 2)) },
			[]events.LoadClass{events.LoadPermanent}, "golden row 0: probability"},
		{"not a bundle", func(t *testing.T, w *world) events.Artifact { return w.put(t, junk) },
			[]events.LoadClass{events.LoadPermanent}, "decode bundle"},
		{"flipped byte", func(t *testing.T, w *world) events.Artifact {
			data := append([]byte(nil), encoded(t, 2)...)
			data[len(data)/2] ^= 1
			return w.put(t, data)
		}, []events.LoadClass{events.LoadPermanent}, "decode bundle"},
		{"never uploaded", func(*testing.T, *world) events.Artifact {
			return events.Artifact{Name: "bundle.tar", Digest: string(missing)}
		}, []events.LoadClass{events.LoadTransient, events.LoadPermanent}, "artifact not found"},
		{"other bytes under the digest", func(t *testing.T, w *world) events.Artifact {
			damage(t, w, artifact.DigestOf(encoded(t, 2)))
			return events.Artifact{Name: "bundle.tar", Digest: string(artifact.DigestOf(encoded(t, 2)))}
		}, []events.LoadClass{events.LoadPermanent}, "artifact corrupt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			i := run(t, w.config(t, "one"))
			record := records(t)[0]
			w.promote(t, w.upload(t, 1))
			i.serves(t, 1, record)
			before := i.predict(t, record)

			w.promote(t, tc.bundle(t, w))
			got := failures(t, w, len(tc.class))
			require.Len(t, got, len(tc.class))
			for k, f := range got {
				require.Equal(t, tc.class[k], f.Class)
				require.Contains(t, f.Reason, tc.reason)
				require.Equal(t, 2, f.Version)
				require.Equal(t, w.last, f.PromotionSequence)
				require.Equal(t, 1, f.StillServing)
			}
			after := i.predict(t, record)
			require.Equal(t, 1, after.Version)
			require.Equal(t, before.Probability, after.Probability)
			code, health := i.get(t, "/health")
			require.Equal(t, http.StatusOK, code)
			require.Contains(t, health, "load_failed")

			w.promote(t, w.upload(t, 3))
			i.serves(t, 3, record)
			_, health = i.get(t, "/health")
			require.NotContains(t, health, "load_failed")
		})
	}
}

// damage stores other bytes in the object of a digest, as a failing disk would.
func damage(t testing.TB, w *world, d artifact.Digest) {
	t.Helper()
	bucket, err := w.bus.JetStream().ObjectStore(t.Context(), objstore.DefaultBucket)
	require.NoError(t, err)
	_, err = bucket.PutBytes(t.Context(), d.Hex(), []byte("rotten"))
	require.NoError(t, err)
}

func TestDamagedObjectIsLoadedOnceItIsRepaired(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	c.ReloadEvery = 50 * time.Millisecond
	i := run(t, c)
	d := artifact.DigestOf(encoded(t, 1))
	damage(t, w, d)
	w.promote(t, events.Artifact{Name: "bundle.tar", Digest: string(d)})
	require.Equal(t, events.LoadPermanent, failures(t, w, 1)[0].Class)
	code, _ := i.get(t, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)

	w.upload(t, 1)
	i.serves(t, 1, records(t)[0])
	require.Len(t, read[*events.ModelLoadFailed](t, w, events.Fleet), 1, "one failure is told once, however often it is tried")
}

// away is a store that can be taken away.
type away struct {
	artifact.Store
	down atomic.Bool
}

func (a *away) Open(ctx context.Context, d artifact.Digest) (io.ReadCloser, error) {
	if a.down.Load() {
		return nil, nats.ErrTimeout
	}
	return a.Store.Open(ctx, d)
}

func TestStoreAwayIsTransientAndANewerPromotionSupersedes(t *testing.T) {
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
	record := records(t)[0]
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, record)

	store.down.Store(true)
	w.promote(t, w.upload(t, 2))
	got := failures(t, w, 1)
	require.Equal(t, events.LoadTransient, got[0].Class)
	w.promote(t, w.upload(t, 3))
	require.Equal(t, 3, failures(t, w, 2)[1].Version)
	require.Equal(t, 1, i.predict(t, record).Version)

	store.down.Store(false)
	i.serves(t, 3, record)
	for _, l := range read[*events.ModelLoaded](t, w, events.Fleet) {
		require.NotEqual(t, 2, l.Version, "superseded while it was retried")
	}
}

func TestJunkPromotionsAreSkipped(t *testing.T) {
	w := newWorld(t)
	junk := func(data string) {
		ack, err := w.bus.JetStream().Publish(t.Context(), "model.promoted."+modelName, []byte(data))
		require.NoError(t, err)
		w.last = ack.Sequence
	}
	junk("{not json")
	w.promote(t, w.upload(t, 1))
	junk(`{"version":-3}`)
	i := run(t, w.config(t, "one"))
	record := records(t)[0]
	i.serves(t, 1, record) // the newest valid one, with a junk tail

	junk("")
	w.promote(t, w.upload(t, 2))
	i.serves(t, 2, record)
	_, metrics := i.get(t, "/metrics")
	require.Contains(t, metrics, "\nchurn_promotion_junk_total 3\n")
	require.Contains(t, metrics, `churn_model_info{digest="`+string(artifact.DigestOf(encoded(t, 2)))+`",model="telco-churn",version="2"} 1`)
	require.NotContains(t, metrics, `,model="telco-churn",version="1"} 1`)
}

func TestOnlyTheNewestPromotionIsLoadedAtStart(t *testing.T) {
	w := newWorld(t)
	for seed := range uint64(4) {
		w.promote(t, w.upload(t, seed+1))
	}
	i := run(t, w.config(t, "one"))
	i.serves(t, 4, records(t)[0])
	i.stop()
	loaded := read[*events.ModelLoaded](t, w, events.Fleet)
	require.Len(t, loaded, 1)
	require.Equal(t, 4, loaded[0].Version)
}

func TestWithdrawnModelAnswers503AndLeavesTheQueueGroup(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	c.CacheDir = t.TempDir()
	i := run(t, c)
	record := records(t)[0]
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, record)
	answersNATS(t, w, record)

	w.withdraw(t)
	withdrawn := func(i *instance) bool {
		code, _, body := i.post(t, "/predict", record)
		return code == http.StatusServiceUnavailable && strings.Contains(string(body), "withdrawn")
	}
	bustest.Eventually(t, func() bool { return withdrawn(i) }, "503 after the withdrawal")
	bustest.Eventually(t, func() bool {
		_, err := w.bus.Conn().Request("predict."+modelName, record, time.Second)
		return err == nats.ErrNoResponders
	}, "nobody is left in the queue group")
	code, _ := i.get(t, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	i.stop()

	w.server.Stop(t)
	again := w.config(t, "one")
	again.CacheDir = c.CacheDir
	j := run(t, again)
	bustest.Eventually(t, func() bool { return withdrawn(j) }, "the withdrawal holds over a restart without NATS")
	w.server.Resume(t)
	w.promote(t, w.upload(t, 1)) // the same bundle as another version
	j.serves(t, 2, record)
	answersNATS(t, w, record)
}

// answersNATS waits until a request over NATS is answered.
func answersNATS(t testing.TB, w *world, record []byte) {
	t.Helper()
	bustest.Eventually(t, func() bool {
		msg, err := w.bus.Conn().Request("predict."+modelName, record, time.Second)
		return err == nil && msg.Header.Get("Nats-Service-Error") == ""
	}, "an instance answers over NATS")
}

func TestServingOutlivesNATSAndARestart(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	c.CacheDir = t.TempDir()
	i := run(t, c)
	record := records(t)[0]
	w.promote(t, w.upload(t, 1))
	i.serves(t, 1, record)
	before := i.predict(t, record)
	bundle := filepath.Join(c.CacheDir, modelName, "current.json")
	bustest.Eventually(t, func() bool { _, err := os.Stat(bundle); return err == nil }, "the bundle is kept")

	w.server.Stop(t)
	require.Equal(t, before.Probability, i.predict(t, record).Probability)
	bustest.Eventually(t, func() bool {
		code, health := i.get(t, "/health")
		return code == http.StatusOK && strings.Contains(health, `"nats":"down"`)
	}, "ready with NATS down")
	require.Zero(t, metric(t, i, "churn_inference_nats_connected"))
	i.stop()

	c2 := w.config(t, "one")
	c2.CacheDir = c.CacheDir
	j := run(t, c2)
	j.serves(t, 1, record)
	require.Equal(t, before.Probability, j.predict(t, record).Probability)

	w.server.Resume(t)
	w.promote(t, w.upload(t, 2))
	j.serves(t, 2, record)
	require.Equal(t, 1, metric(t, j, "churn_inference_nats_connected"))
	j.stop()
	loaded := read[*events.ModelLoaded](t, w, events.Fleet)
	last := loaded[len(loaded)-2:]
	require.True(t, last[0].FromDisk)
	require.Equal(t, j.Boot(), last[0].Boot)
	require.Equal(t, 1, last[0].Version)
	require.Equal(t, 2, last[1].Version)
}

func TestDamagedCacheIsNotServed(t *testing.T) {
	w := newWorld(t)
	w.promote(t, w.upload(t, 1))
	c := w.config(t, "one")
	c.CacheDir = t.TempDir()
	i := run(t, c)
	i.serves(t, 1, records(t)[0])
	dir := filepath.Join(c.CacheDir, modelName)
	bustest.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, "current.json")); return err == nil }, "the bundle is kept")
	i.stop()
	files, err := filepath.Glob(filepath.Join(dir, "bundle-*.tar"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.NoError(t, os.WriteFile(files[0], []byte("rotten"), 0o600))

	c2 := w.config(t, "one")
	c2.CacheDir = c.CacheDir
	j := run(t, c2)
	j.serves(t, 1, records(t)[0]) // from the store
	bustest.Eventually(t, func() bool {
		b, err := os.ReadFile(files[0])
		return err == nil && artifact.DigestOf(b) == artifact.DigestOf(encoded(t, 1))
	}, "the damaged file is replaced")
}

// TestABundlePromotedAgainIsKept cannot write to its folder when the bundle is loaded, and can when the same one is promoted again.
func TestABundlePromotedAgainIsKept(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	c.CacheDir = filepath.Join(t.TempDir(), "cache")
	require.NoError(t, os.WriteFile(c.CacheDir, []byte("in the way of the folder"), 0o600))
	i := run(t, c)
	record := records(t)[0]
	bundle := w.upload(t, 1)
	w.promote(t, bundle)
	i.serves(t, 1, record)
	bustest.Eventually(t, func() bool { return metric(t, i, "churn_bundle_cache_errors_total") > 0 }, "the bundle could not be kept")
	require.NoError(t, os.Remove(c.CacheDir))
	w.promote(t, bundle)
	i.serves(t, 2, record)
	note := filepath.Join(c.CacheDir, modelName, "current.json")
	bustest.Eventually(t, func() bool { _, err := os.Stat(note); return err == nil }, "the bundle is kept")
	i.stop()

	w.server.Stop(t)
	c2 := w.config(t, "one")
	c2.CacheDir = c.CacheDir
	j := run(t, c2)
	j.serves(t, 2, record) // without NATS
}

func TestRecreatedStreamIsReadFromItsFirstMessage(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	record := records(t)[0]
	bundle := w.upload(t, 1)
	w.promote(t, bundle)
	w.promote(t, w.upload(t, 2))
	i.serves(t, 2, record)

	require.NoError(t, w.bus.JetStream().DeleteStream(t.Context(), string(events.Lifecycle)))
	require.NoError(t, w.bus.Provision(t.Context()))
	require.Equal(t, 2, i.predict(t, record).Version, "the model in memory goes on")
	w.last = 0
	third := w.promote(t, bundle)
	w.server.Restart(t) // a reconnect has the tail looked at, which otherwise happens every 30 s
	i.serves(t, third, record)
}
