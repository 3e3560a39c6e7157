//go:build processes

package deploy

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
)

// denials are what each user must not be able to do: publish on a subject, or subscribe to one.
var denials = []struct{ user, publish, subscribe string }{
	// What MLflow clients log is the registry's alone to state, and others neither read nor end it.
	{user: "labels", publish: "run.tracked.r1"},
	{user: "app", publish: "run.tracked.r1"},
	{user: "downstream", publish: "run.tracked.r1"},
	{user: "inference", publish: "run.tracked.r1"},
	{user: "trainer", publish: "run.tracked.r1"},
	{user: "drift", publish: "run.tracked.r1"},
	{user: "operator", publish: "run.tracked.r1"},
	{user: "operator", publish: "experiment.changed.all"},
	{user: "trainer", publish: "artifact.stored.shared"},
	{user: "inference", publish: "model.logged.m-1"},
	{user: "trainer", publish: "$JS.API.STREAM.MSG.GET.TRACKING"},
	{user: "inference", publish: "$JS.API.CONSUMER.CREATE.TRACKING.spy"},
	{user: "trainer", publish: "$JS.API.STREAM.PURGE.TRACKING"},
	{user: "operator", publish: "$JS.API.STREAM.PURGE.TRACKING"},
	{user: "operator", publish: "$JS.API.STREAM.MSG.DELETE.TRACKING"},
	{user: "operator", publish: "$JS.API.STREAM.DELETE.TRACKING"},

	// Rollouts are the registry's to state, measurements the instances', shadows and scored files the scorers'.
	{user: "inference", publish: "rollout.changed." + model},
	{user: "trainer", publish: "rollout.changed." + model},
	{user: "drift", publish: "rollout.changed." + model},
	{user: "scorer", publish: "rollout.changed." + model},
	{user: "app", publish: "rollout.changed." + model},
	{user: "downstream", publish: "rollout.changed." + model},
	{user: "registry", publish: "serving.measured." + model},
	{user: "scorer", publish: "serving.measured." + model},
	{user: "operator", publish: "serving.measured." + model},
	{user: "registry", publish: "shadow.evaluated." + model},
	{user: "inference", publish: "shadow.evaluated." + model},
	{user: "drift", publish: "shadow.evaluated." + model},
	{user: "operator", publish: "shadow.evaluated." + model},
	{user: "app", publish: "score.requested." + model},
	{user: "scorer", publish: "score.requested." + model},
	{user: "operator", publish: "score.completed." + model},
	{user: "inference", publish: "score.failed." + model},
	{user: "app", subscribe: "predict." + model + ".v1"},

	{user: "scorer", publish: "model.promoted." + model},
	{user: "scorer", publish: "prediction.made." + model},
	{user: "scorer", publish: "example.joined." + model},
	{user: "scorer", publish: "drift.evaluated." + model},
	{user: "scorer", publish: "predict." + model},
	{user: "scorer", publish: "$JS.API.STREAM.UPDATE.SCORING"},
	{user: "scorer", publish: "$JS.API.STREAM.PURGE.SCORING"},
	{user: "scorer", publish: "$JS.API.CONSUMER.CREATE.LABELS.spy"},
	{user: "scorer", publish: "$JS.API.CONSUMER.CREATE.CAUSES.spy"},
	{user: "scorer", publish: "$JS.API.CONSUMER.CREATE.LIFECYCLE.registry.run.completed.*"},
	{user: "scorer", publish: "$JS.API.CONSUMER.DELETE.DRIFT.drift-evaluations"},
	{user: "scorer", publish: "$JS.API.CONSUMER.MSG.NEXT.DRIFT.drift-evaluations"},
	{user: "scorer", publish: "$KV.trainer." + model},
	{user: "scorer", subscribe: "predict." + model},
	{user: "registry", publish: "$JS.API.CONSUMER.MSG.NEXT.SCORING.scorer"},
	{user: "inference", publish: "$JS.API.CONSUMER.MSG.NEXT.SCORING.scorer"},

	{user: "labels", publish: "model.promoted." + model},
	{user: "labels", publish: "prediction.made." + model},
	{user: "labels", publish: "example.joined." + model},
	{user: "labels", publish: "predict." + model},
	{user: "labels", publish: "$JS.API.STREAM.MSG.GET.LABELS"},
	{user: "labels", publish: "$JS.API.CONSUMER.CREATE.LABELS.spy"},
	{user: "labels", subscribe: "_INBOX.>"},
	{user: "labels", subscribe: "label.observed.>"},

	{user: "app", publish: "label.observed." + model},
	{user: "app", publish: "_INBOX.someone"},
	{user: "app", publish: "$JS.API.STREAM.INFO.LIFECYCLE"},
	{user: "app", subscribe: "predict." + model},
	{user: "app", subscribe: "_INBOX.>"},

	{user: "downstream", publish: "model.promoted." + model},
	{user: "downstream", publish: "model.promoted"},
	{user: "downstream", publish: "retrain.requested." + model},
	{user: "downstream", publish: "$JS.API.CONSUMER.CREATE.LIFECYCLE.downstream"},
	{user: "downstream", publish: "$JS.API.CONSUMER.CREATE.CAUSES.spy.drift.alert.*"},
	{user: "downstream", publish: "$JS.API.CONSUMER.MSG.NEXT.LIFECYCLE.registry"},
	{user: "downstream", publish: "$JS.ACK.LIFECYCLE.registry.1.1.1.1.0"},
	{user: "downstream", subscribe: "predict.>"},
	{user: "downstream", subscribe: ">"},

	{user: "inference", publish: "model.promoted." + model},
	{user: "inference", publish: "run.completed." + model},
	{user: "inference", publish: "model.changed." + model},
	{user: "inference", publish: "drift.alert." + model},
	{user: "inference", publish: "retrain.requested." + model},
	{user: "inference", publish: "$JS.API.STREAM.UPDATE.LIFECYCLE"},
	{user: "inference", publish: "$JS.API.STREAM.DELETE.LIFECYCLE"},
	{user: "inference", publish: "$JS.API.STREAM.PURGE.LIFECYCLE"},
	{user: "inference", publish: "$JS.API.STREAM.PURGE.OBJ_artifacts"},
	{user: "inference", publish: "$JS.API.STREAM.CREATE.SPY"},
	{user: "inference", publish: "$JS.API.CONSUMER.CREATE.LABELS.spy"},
	{user: "inference", publish: "$JS.API.CONSUMER.DELETE.LIFECYCLE.registry"},
	{user: "inference", publish: "$JS.API.CONSUMER.CREATE.LIFECYCLE.registry.run.completed.*"},
	{user: "inference", publish: "$JS.API.CONSUMER.MSG.NEXT.LIFECYCLE.registry-" + model},
	{user: "inference", publish: "$JS.ACK.LIFECYCLE.registry.1.1.1.1.0"},
	{user: "inference", publish: "$KV.trainer." + model},
	{user: "inference", publish: "$O.artifacts.C.x"},
	{user: "inference", publish: "_INBOX.someone"},

	{user: "trainer", publish: "model.promoted." + model},
	{user: "trainer", publish: "model.registered." + model},
	{user: "trainer", publish: "model.gated." + model},
	{user: "trainer", publish: "label.observed." + model},
	{user: "trainer", publish: "$JS.API.STREAM.DELETE.KV_trainer"},
	{user: "trainer", publish: "$JS.API.STREAM.PURGE.LIFECYCLE"},
	{user: "trainer", publish: "$JS.API.CONSUMER.DELETE.LIFECYCLE.registry"},

	{user: "drift", publish: "model.promoted." + model},
	{user: "drift", publish: "run.started." + model},
	{user: "drift", publish: "label.observed." + model},
	{user: "drift", publish: "retrain.requested." + model},
	{user: "drift", publish: "$JS.API.CONSUMER.DELETE.CAUSES.trainer"},
	{user: "drift", publish: "$O.artifacts.C.x"},

	{user: "registry", publish: "run.started." + model},
	{user: "registry", publish: "run.failed." + model},
	{user: "registry", publish: "drift.alert." + model},
	{user: "registry", publish: "prediction.made." + model},
	{user: "registry", publish: "$JS.API.STREAM.DELETE.LIFECYCLE"},
	{user: "registry", publish: "$JS.API.STREAM.UPDATE.LIFECYCLE"},
	{user: "registry", publish: "$JS.API.STREAM.PURGE.TRACKING"},
	{user: "registry", publish: "$JS.API.STREAM.MSG.DELETE.TRACKING"},
	{user: "registry", publish: "$JS.API.STREAM.PURGE.PREDICTIONS"},
	{user: "registry", publish: "$JS.API.CONSUMER.CREATE.LABELS.spy"},
	{user: "registry", publish: "$JS.API.CONSUMER.DELETE.CAUSES.trainer"},
	{user: "registry", publish: "$JS.API.CONSUMER.CREATE.CAUSES.trainer.retrain.requested.*"},
	{user: "registry", publish: "$JS.API.CONSUMER.MSG.NEXT.DRIFT.drift-evaluations"},
	{user: "registry", publish: "$JS.ACK.CAUSES.trainer.1.1.1.1.0"},

	{user: "operator", publish: "run.completed." + model},
	{user: "operator", publish: "model.gated." + model},
	{user: "operator", publish: "model.registered." + model},
	{user: "operator", publish: "drift.evaluated." + model},
	{user: "operator", publish: "$JS.API.STREAM.DELETE.PREDICTIONS"},
	{user: "operator", publish: "$JS.API.STREAM.DELETE.LIFECYCLE"},
	{user: "operator", publish: "$JS.API.STREAM.UPDATE.LIFECYCLE"},
	{user: "operator", publish: "$JS.API.STREAM.PURGE.LIFECYCLE"},
	{user: "operator", publish: "$JS.API.STREAM.MSG.DELETE.LIFECYCLE"},
}

// nobodyDoesWhatIsAnothers tries every denial, and looks that nothing came of it.
func (s *stack) nobodyDoesWhatIsAnothers() {
	s.t.Helper()
	before := map[events.Stream]uint64{}
	for _, st := range []events.Stream{events.Lifecycle, events.Causes, events.Labels, events.Training, events.Tracking} {
		before[st] = s.last(st)
	}
	for _, d := range denials {
		s.t.Run(d.user+" may not "+d.publish+d.subscribe, func(t *testing.T) {
			nc := s.connect(d.user)
			if d.publish != "" {
				require.NoError(t, nc.PublishRequest(d.publish, nc.NewInbox(), []byte("{}")))
			} else {
				_, err := nc.SubscribeSync(d.subscribe)
				require.NoError(t, err, "the server answers later")
			}
			require.NoError(t, nc.FlushTimeout(5*time.Second))
			require.ErrorIs(t, nc.LastError(), nats.ErrPermissionViolation)
		})
	}
	for st, seq := range before {
		require.Equal(s.t, seq, s.last(st), "%s is as it was", st)
	}
	_, err := nats.Connect(s.url())
	require.ErrorIs(s.t, err, nats.ErrAuthorization, "without a login")
	_, err = nats.Connect(s.url(), nats.UserInfo("registry", s.password("labels")))
	require.ErrorIs(s.t, err, nats.ErrAuthorization, "with another's password")
}
