package bus

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/events"
)

const day = 24 * time.Hour

// Shares of the store in percent. With the streams' own they leave more than 10 % free: a full store would refuse the next promotion.
const artifactShare = 25

// ArtifactMaxBytes returns the size limit of the artifact bucket within a store of storeBytes; 0 or less means DefaultStoreBytes.
func ArtifactMaxBytes(storeBytes int64) int64 {
	if storeBytes <= 0 {
		storeBytes = DefaultStoreBytes
	}
	return storeBytes / 100 * artifactShare
}

// streamSpec states one stream. What is not said here is the same for all: file storage, limits retention, no direct reads from
// replicas (a fold must never see less than the leader has).
type streamSpec struct {
	stream events.Stream
	about  string
	// share of the store in percent; 0 means no limit, and that a full stream refuses new messages instead of forgetting old ones.
	share  int64
	maxAge time.Duration // 0: kept for ever
	dedupe time.Duration
	// refuse has a full stream refuse new messages, as one without a limit does, instead of forgetting old ones. It can neither be purged nor have a
	// message deleted: whoever folds it would go on with what is no more.
	refuse bool
	// republish gives plain subscribers each stored fact once, on its subject without the model.
	republish bool
	// locked streams can neither be purged nor have a message deleted, and one that differs is refused rather than put right.
	locked bool
	// later are subjects that a locked stream made by an earlier version may lack and is given; without any other it is refused.
	later     []string
	schedules bool
	subjects  []string
}

// streamSpecs is the one table of all streams. maxAge of PREDICTIONS is the configured one.
func streamSpecs(predictionsMaxAge time.Duration) []streamSpec {
	const dedupe = 2 * time.Minute
	specs := []streamSpec{
		{stream: events.Lifecycle, about: "The registry's truth: runs, versions, verdicts, promotions. Kept for ever, append only.",
			dedupe: dedupe, republish: true, locked: true, later: []string{events.WildcardOf(events.TypeRolloutChanged)}},
		{stream: events.Causes, about: "Why a model should be trained again, and the schedules that say so.",
			share: 3, maxAge: 365 * day, dedupe: dedupe, republish: true, schedules: true},
		{stream: events.Fleet, about: "What each inference instance serves, or could not load, and what it counts while a rollout is watched.",
			share: 4, maxAge: 90 * day, dedupe: dedupe},
		{stream: events.Predictions, about: "Every answer given. An id in the dedupe window costs 154 bytes, so the window is short.",
			share: 20, maxAge: predictionsMaxAge, dedupe: 20 * time.Second},
		{stream: events.Labels, about: "Outcomes as the systems of record report them.",
			share: 6, maxAge: 2 * 365 * day, dedupe: dedupe},
		{stream: events.Training, about: "Predictions joined with their outcomes: what retraining reads, kept past PREDICTIONS.",
			share: 12, maxAge: 2 * 365 * day, dedupe: dedupe},
		{stream: events.Drift, about: "Every evaluation of drift; the last one is the checkpoint that drift goes on from.",
			share: 4, maxAge: 90 * day, dedupe: dedupe},
		{stream: events.Scoring, about: "Files of records to score, and what became of them: the queue of the scorers.",
			share: 1, maxAge: 90 * day, dedupe: dedupe}, // some 70,000 files in a store of 10 GiB
		{stream: events.Tracking, about: "What MLflow clients log: experiments, runs, metric points, files, models. Kept for ever; a full one refuses.",
			share: 10, dedupe: 20 * time.Second, refuse: true}, // as with PREDICTIONS; what must not stand twice is a compare-and-set
		{stream: events.Dead, about: "What could not be handled, with the reason. The window spans the stream's life: the same junk is one letter.",
			share: 4, maxAge: 90 * day, dedupe: 90 * day,
			subjects: []string{events.DeadPrefix + ".>", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>", "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>"}},
	}
	for i := range specs {
		for _, k := range events.KindsOn(specs[i].stream) {
			specs[i].subjects = append(specs[i].subjects, k.Wildcard())
		}
	}
	return specs
}

// config returns the configuration to create the stream with.
func (s streamSpec) config(storeBytes int64, replicas int) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:              string(s.stream),
		Description:       s.about,
		Subjects:          s.subjects,
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardOld,
		MaxBytes:          storeBytes / 100 * s.share,
		MaxAge:            s.maxAge,
		MaxMsgs:           -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        -1,
		MaxConsumers:      -1,
		Duplicates:        s.dedupe,
		Replicas:          replicas,
		DenyDelete:        s.locked || s.refuse,
		DenyPurge:         s.locked || s.refuse,
		AllowMsgSchedules: s.schedules,
		AllowRollup:       s.schedules, // the server sets it with schedules
	}
	if c.MaxAge > 0 {
		c.Duplicates = min(c.Duplicates, c.MaxAge)
	}
	if s.share == 0 {
		c.MaxBytes = -1
	}
	if s.share == 0 || s.refuse {
		c.Discard = jetstream.DiscardNew
	}
	if s.republish {
		c.RePublish = &jetstream.RePublish{Source: "*.*.*", Destination: "{{wildcard(1)}}.{{wildcard(2)}}"}
	}
	return c
}
