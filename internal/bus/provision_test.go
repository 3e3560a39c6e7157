package bus_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

func TestProvisionByFiveAtOnceAndAgain(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	ctx := testContext(t)
	var wg sync.WaitGroup
	errs := make([]error, 5)
	for i := range errs {
		b := s.Dial(t, bus.Config{Name: "test"})
		wg.Go(func() { errs[i] = b.Provision(ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	b := s.Connect(t)
	names := b.JetStream().StreamNames(ctx)
	var have []string
	for n := range names.Name() {
		have = append(have, n)
	}
	require.NoError(t, names.Err())
	require.Len(t, have, len(events.Streams())+1, "and the bucket of suspects: %v", have)
}

// TestACrowdFindsRoom has many provision a new server, whose store the streams nearly fill: while they create the same stream, the server sets its
// limit aside for each of them.
func TestACrowdFindsRoom(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	ctx := testContext(t)
	errs := make([]error, 12)
	crowd := make([]*bus.Bus, len(errs))
	for i := range crowd {
		crowd[i] = s.Dial(t, bus.Config{Name: "test", StoreBytes: s.StoreBytes() * 3 / 2})
	}
	var wg sync.WaitGroup
	for i, b := range crowd {
		wg.Go(func() { errs[i] = b.Provision(ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func TestStreamsAreAsDesigned(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Connect(t)
	ctx := testContext(t)
	var sum int64
	for _, name := range events.Streams() {
		st, err := b.JetStream().Stream(ctx, string(name))
		require.NoError(t, err)
		c := st.CachedInfo().Config
		require.Equal(t, jetstream.FileStorage, c.Storage, name)
		require.False(t, c.AllowDirect, name)
		require.Equal(t, 1, c.Replicas, name)
		if name == events.Lifecycle {
			require.EqualValues(t, -1, c.MaxBytes)
			require.Zero(t, c.MaxAge)
			require.Equal(t, jetstream.DiscardNew, c.Discard)
			require.True(t, c.DenyDelete && c.DenyPurge)
			require.False(t, c.AllowRollup || c.AllowMsgSchedules || c.AllowMsgTTL)
			continue
		}
		require.Positive(t, c.MaxBytes, name)
		sum += c.MaxBytes
		if name == events.Tracking {
			require.Equal(t, s.StoreBytes()/100*10, c.MaxBytes)
			require.Zero(t, c.MaxAge)
			require.EqualValues(t, -1, c.MaxMsgs)
			require.Equal(t, jetstream.DiscardNew, c.Discard)
			require.True(t, c.DenyDelete && c.DenyPurge)
			require.ElementsMatch(t, []string{"experiment.changed.*", "run.tracked.*", "artifact.stored.*", "model.logged.*"}, c.Subjects)
			continue
		}
		require.Equal(t, jetstream.DiscardOld, c.Discard, name)
	}
	sum += bus.ArtifactMaxBytes(s.StoreBytes())
	require.LessOrEqual(t, sum, s.StoreBytes()*9/10, "the streams and the artifacts must leave 10 % of the store free")
	require.Greater(t, sum, s.StoreBytes()*8/10)
	_, err := b.JetStream().CreateStream(ctx, jetstream.StreamConfig{Name: "ARTIFACTS", Subjects: []string{"x"}, MaxBytes: bus.ArtifactMaxBytes(s.StoreBytes())})
	require.NoError(t, err, "the server finds room for the artifacts")
	l, err := b.Lease(ctx, leaseConfig("a"))
	require.NoError(t, err, "and for a bucket of leases")
	require.NoError(t, l.Release(ctx))
	p, err := b.JetStream().Stream(ctx, string(events.Predictions))
	require.NoError(t, err)
	require.Equal(t, 20*time.Second, p.CachedInfo().Config.Duplicates)
	require.Equal(t, 35*24*time.Hour, p.CachedInfo().Config.MaxAge)
}

func TestProvisionSaysThatTheStoreIsTooSmall(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	b := s.Dial(t, bus.Config{Name: "test", StoreBytes: 100 << 30})
	require.ErrorContains(t, b.Provision(testContext(t)), "give it more")
}

func TestProvisionTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	s.Connect(t)
	var log bytes.Buffer
	b := s.Dial(t, bus.Config{Name: "test", Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, b.Provision(testContext(t)))
	require.Empty(t, log.String())
}

func TestLifecycleWithoutAProtectionIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*jetstream.StreamConfig)
		says   string
	}{
		"purge allowed":  {func(c *jetstream.StreamConfig) { c.DenyPurge = false }, "deny_purge is false, must be true"},
		"delete allowed": {func(c *jetstream.StreamConfig) { c.DenyDelete = false }, "deny_delete is false, must be true"},
		"forgets":        {func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max_age is 1h0m0s, must be 0s"},
		"bounded":        {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }, "max_msgs_per_subject is 1, must be -1"},
		"discards old":   {func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "discard is DiscardOld, must be DiscardNew"},
		"roll-ups":       {func(c *jetstream.StreamConfig) { c.AllowRollup, c.DenyPurge = true, false }, "allow_rollup_hdrs is true"},
		"schedules": {func(c *jetstream.StreamConfig) {
			c.AllowMsgSchedules, c.DenyPurge, c.Discard = true, false, jetstream.DiscardOld
		}, "allow_msg_schedules is true"},
		"no republish": {func(c *jetstream.StreamConfig) { c.RePublish = nil }, "republish is none"},
		"subject gone": {func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[1:] }, "subjects lack run.started.*"},
		"subject gone, and one that came later": {func(c *jetstream.StreamConfig) {
			c.Subjects = slices.DeleteFunc(c.Subjects[1:], func(s string) bool { return s == "rollout.changed.*" })
		}, "subjects lack run.started.*"},
		"direct reads": {func(c *jetstream.StreamConfig) { c.AllowDirect = true }, "allow_direct is true"},
	} {
		t.Run(name, func(t *testing.T) {
			s := bustest.Start(t)
			ctx := testContext(t)
			b := s.Dial(t, bus.Config{Name: "test"})
			config := jetstream.StreamConfig{
				Name: "LIFECYCLE", Discard: jetstream.DiscardNew, DenyDelete: true, DenyPurge: true, MaxMsgsPerSubject: -1, Duplicates: 2 * time.Minute,
				RePublish: &jetstream.RePublish{Source: "*.*.*", Destination: "{{wildcard(1)}}.{{wildcard(2)}}"},
			}
			for _, k := range events.KindsOn(events.Lifecycle) {
				config.Subjects = append(config.Subjects, k.Wildcard())
			}
			c.change(&config)
			_, err := b.JetStream().CreateStream(ctx, config)
			require.NoError(t, err)
			err = b.Provision(ctx)
			require.ErrorIs(t, err, bus.ErrStreamDiffers)
			require.ErrorContains(t, err, c.says)
			require.True(t, bus.IsPermanent(err))
		})
	}
}

func TestOtherStreamsArePutRightAndLimitsLeftAlone(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	st, err := b.JetStream().Stream(ctx, "CAUSES")
	require.NoError(t, err)
	c := st.CachedInfo().Config
	want := c
	c.Subjects, c.RePublish, c.Duplicates = c.Subjects[1:], nil, time.Second
	c.MaxBytes, c.MaxAge = 12345678, 77*time.Hour
	_, err = b.JetStream().UpdateStream(ctx, c)
	require.NoError(t, err)
	require.NoError(t, b.Provision(ctx))
	st, err = b.JetStream().Stream(ctx, "CAUSES")
	require.NoError(t, err)
	have := st.CachedInfo().Config
	require.ElementsMatch(t, want.Subjects, have.Subjects)
	require.Equal(t, want.RePublish, have.RePublish)
	require.Equal(t, want.Duplicates, have.Duplicates)
	require.EqualValues(t, 12345678, have.MaxBytes)
	require.Equal(t, 77*time.Hour, have.MaxAge)
}

// A store of an earlier version has neither the subject of rollouts nor the queue of the scorers. What it holds stays.
func TestAnOlderStoreGetsWhatCameLater(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	ctx := testContext(t)
	var log bytes.Buffer
	b := s.Connect(t)
	_, err := b.Append(ctx, started("telco", "a"), 0)
	require.NoError(t, err)
	require.NoError(t, b.JetStream().DeleteStream(ctx, "SCORING"))
	st, err := b.JetStream().Stream(ctx, "LIFECYCLE")
	require.NoError(t, err)
	c := st.CachedInfo().Config
	want := c
	c.Subjects = slices.DeleteFunc(slices.Clone(c.Subjects), func(s string) bool { return s == "rollout.changed.*" })
	_, err = b.JetStream().UpdateStream(ctx, c)
	require.NoError(t, err)

	later := s.Dial(t, bus.Config{Name: "test", Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, later.Provision(ctx))
	require.Contains(t, log.String(), "subjects lack rollout.changed.*")
	st, err = b.JetStream().Stream(ctx, "LIFECYCLE")
	require.NoError(t, err)
	have := st.CachedInfo()
	require.ElementsMatch(t, want.Subjects, have.Config.Subjects)
	want.Subjects, have.Config.Subjects = nil, nil
	require.Equal(t, want, have.Config)
	require.EqualValues(t, 1, have.State.Msgs)
	_, err = b.JetStream().Stream(ctx, "SCORING")
	require.NoError(t, err)
}

// A store from before TRACKING has larger limits for others; they are the operator's by then.
func TestAnOlderStoreFindsRoomForTracking(t *testing.T) {
	t.Parallel()
	s := bustest.Start(t)
	ctx := testContext(t)
	b := s.Dial(t, bus.Config{Name: "test"})
	percent := s.StoreBytes() / 100
	for name, share := range map[string]int64{"LABELS": 8, "TRAINING": 15, "OBJ_artifacts": 30} {
		config := jetstream.StreamConfig{Name: name, MaxBytes: share * percent, Subjects: []string{"$O." + name + ".>"}}
		for _, k := range events.KindsOn(events.Stream(name)) {
			config.Subjects = []string{k.Wildcard()}
		}
		_, err := b.JetStream().CreateStream(ctx, config)
		require.NoError(t, err)
	}
	require.NoError(t, b.Provision(ctx))
	_, err := b.JetStream().Stream(ctx, "TRACKING")
	require.NoError(t, err)
	l, err := b.Lease(ctx, leaseConfig("a"))
	require.NoError(t, err, "and for a bucket of leases")
	require.NoError(t, l.Release(ctx))
}

func TestTrackingIsKeptForEver(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	st, err := b.JetStream().Stream(ctx, "TRACKING")
	require.NoError(t, err)
	c := st.CachedInfo().Config
	c.MaxAge, c.MaxMsgs, c.MaxMsgsPerSubject, c.Discard, c.MaxBytes = time.Hour, 1000, 5, jetstream.DiscardOld, 12345678
	_, err = b.JetStream().UpdateStream(ctx, c)
	require.NoError(t, err)
	require.NoError(t, b.Provision(ctx))
	st, err = b.JetStream().Stream(ctx, "TRACKING")
	require.NoError(t, err)
	have := st.CachedInfo().Config
	require.Zero(t, have.MaxAge)
	require.EqualValues(t, -1, have.MaxMsgs)
	require.EqualValues(t, -1, have.MaxMsgsPerSubject)
	require.Equal(t, jetstream.DiscardNew, have.Discard)
	require.EqualValues(t, 12345678, have.MaxBytes, "how much it may take is the operator's to say")
}

func TestTrackingCannotBePurged(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Dial(t, bus.Config{Name: "test"})
	ctx := testContext(t)
	_, err := b.JetStream().CreateStream(ctx, jetstream.StreamConfig{Name: "TRACKING", Subjects: []string{"run.tracked.*"}}) // as an older version might have
	require.NoError(t, err)
	require.NoError(t, b.Provision(ctx))
	st, err := b.JetStream().Stream(ctx, "TRACKING")
	require.NoError(t, err)
	require.Error(t, st.Purge(ctx))
	require.Error(t, st.DeleteMsg(ctx, 1))
}

func TestLifecycleCannotBeErased(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	_, err := b.Append(ctx, started("telco", "a"), 0)
	require.NoError(t, err)
	st, err := b.JetStream().Stream(ctx, "LIFECYCLE")
	require.NoError(t, err)
	require.Error(t, st.Purge(ctx))
	require.Error(t, st.DeleteMsg(ctx, 1))
	roll, err := b.Msg(started("telco", "b"))
	require.NoError(t, err)
	roll.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupAll)
	_, err = b.JetStream().PublishMsg(ctx, roll)
	require.Error(t, err)
	_, ok, err := b.Get(ctx, events.Lifecycle, 1)
	require.NoError(t, err)
	require.True(t, ok)
}

func TestRepublishShowsStoredFactsOnce(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	sub, err := b.Conn().SubscribeSync("run.started")
	require.NoError(t, err)
	require.NoError(t, b.Conn().Flush())
	_, err = b.Append(ctx, started("telco", "won"), 0)
	require.NoError(t, err)
	_, err = b.Append(ctx, started("telco", "lost"), 0)
	require.ErrorIs(t, err, bus.ErrConflict)
	_, err = b.Append(ctx, started("other", "won"), 0)
	require.NoError(t, err)
	_, err = b.Publish(ctx, started("other", "won")) // a duplicate
	require.NoError(t, err)
	_, err = b.Append(ctx, started("telco", "last"), 1)
	require.NoError(t, err)
	var got []string
	for len(got) < 3 {
		m, err := sub.NextMsgWithContext(ctx)
		require.NoError(t, err)
		require.Equal(t, "run.started", m.Subject)
		var p events.RunStarted
		require.NoError(t, json.Unmarshal(m.Data, &p))
		got = append(got, m.Header.Get(jetstream.SubjectHeader)+" "+p.RunID)
	}
	require.Equal(t, []string{"run.started.telco won", "run.started.other won", "run.started.telco last"}, got)
	_, err = sub.NextMsg(50 * time.Millisecond)
	require.ErrorIs(t, err, nats.ErrTimeout)
}

func TestScheduleTicksAsRequest(t *testing.T) {
	t.Parallel()
	b := bustest.Start(t).Connect(t)
	ctx := testContext(t)
	sub, err := b.Conn().SubscribeSync("retrain.requested")
	require.NoError(t, err)
	ev := events.New("telco", "test/local", "v1", time.Now(), &events.ScheduleRetrain{Cron: "* * * * * *", Actor: "spec"})
	_, err = b.Publish(ctx, ev, bus.WithHeader("Nats-Schedule", "* * * * * *"), bus.WithHeader("Nats-Schedule-Time-Zone", "Europe/Berlin"),
		bus.WithHeader("Nats-Schedule-Target", "retrain.requested.telco"))
	require.NoError(t, err)
	seen := make(map[string]bool)
	for len(seen) < 2 {
		m, err := sub.NextMsgWithContext(ctx)
		require.NoError(t, err)
		require.Equal(t, "retrain.requested.telco", m.Header.Get(jetstream.SubjectHeader))
		key, ok := events.ScheduleKey(m.Header)
		require.True(t, ok)
		require.False(t, seen[key], "two ticks of one due time")
		seen[key] = true
	}
	m, ok, err := b.Last(ctx, events.TypeRetrainRequested, "telco")
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, m.Err)
	require.Equal(t, "spec", m.Event.Payload.(*events.RetrainRequested).Actor)
}
