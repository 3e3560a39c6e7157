package inference_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus/bustest"
)

// TestARegisteredVersionIsOpenBeforeItsPromotion damages the stored object between registration and promotion: only an instance that opened the
// bundle ahead can serve it.
func TestARegisteredVersionIsOpenBeforeItsPromotion(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	c.CacheDir = ""
	i := run(t, c)
	record := records(t)[0]
	i.serves(t, w.promote(t, w.upload(t, 1)), record)
	next := w.upload(t, 2)
	w.register(t, next)
	bustest.Eventually(t, func() bool { return i.Ready(next.Digest) }, "the registered bundle is open")
	damage(t, w, artifact.Digest(next.Digest))
	i.serves(t, w.promote(t, next), record)
	require.Empty(t, read[*events.ModelLoadFailed](t, w, events.Fleet))
}

// TestARollbackNeedsNoStore goes back to the version that was served a moment ago, whose object is damaged meanwhile.
func TestARollbackNeedsNoStore(t *testing.T) {
	w := newWorld(t)
	c := w.config(t, "one")
	c.CacheDir = ""
	i := run(t, c)
	record := records(t)[0]
	first := w.upload(t, 1)
	i.serves(t, w.promote(t, first), record)
	before := i.predict(t, record)
	i.serves(t, w.promote(t, w.upload(t, 2)), record)
	damage(t, w, artifact.Digest(first.Digest))
	back := w.promote(t, first)
	i.serves(t, back, record)
	require.Equal(t, before.Probability, i.predict(t, record).Probability)
	require.Empty(t, read[*events.ModelLoadFailed](t, w, events.Fleet))
}

// TestARegisteredVersionThatCannotBeOpenedIsToldOnlyWhenPromoted keeps quiet about a version that nobody promoted.
func TestARegisteredVersionThatCannotBeOpenedIsToldOnlyWhenPromoted(t *testing.T) {
	w := newWorld(t)
	i := run(t, w.config(t, "one"))
	record := records(t)[0]
	i.serves(t, w.promote(t, w.upload(t, 1)), record)
	bad := w.put(t, []byte("not a bundle"))
	w.register(t, bad)
	good := w.upload(t, 2)
	w.register(t, good) // looked at after the bad one
	bustest.Eventually(t, func() bool { return i.Ready(good.Digest) }, "the good bundle is open")
	require.Empty(t, read[*events.ModelLoadFailed](t, w, events.Fleet))
	w.promote(t, bad)
	require.Equal(t, events.LoadPermanent, failures(t, w, 1)[0].Class)
	require.Equal(t, 1, i.predict(t, record).Version)
}
