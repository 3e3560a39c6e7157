package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/events"
)

// Provision makes all streams exist as stated in the table of streams.go. It is idempotent, and any number of processes may call it at once. It
// retries what is transient (a cluster that elects, a server that starts) until ctx ends.
//
// LIFECYCLE is read back, and a difference in anything that protects it is [ErrStreamDiffers]; it is given nothing but the subjects that came with later versions. On the other streams missing
// subjects, flags, republishing or another dedupe window are put right, while limits of size and age and the number of replicas, once a stream exists, are the
// operator's: they are left alone, save an age limit of TRACKING, which is kept for ever. So are the size limits of LIFECYCLE and TRACKING, which refuse messages when full and lose none.
func (b *Bus) Provision(ctx context.Context) error {
	replicas := b.replicas()
	for _, s := range streamSpecs(b.cfg.PredictionsMaxAge) {
		crowded := time.Now().Add(crowdWait)
		err := b.retry(ctx, func(ctx context.Context) error {
			err := b.provision(ctx, s, replicas)
			if noStorage(err) && time.Now().Before(crowded) {
				return fmt.Errorf("%w: %v", errRaced, err) // not a cause, which would be final
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("provision stream %s: %w", s.stream, hint(err))
		}
	}
	// Made here and not when the first suspect comes, when the store may have no room left.
	if err := b.retry(ctx, b.provisionSuspects); err != nil {
		return fmt.Errorf("provision bucket %s: %w", suspects, hint(err))
	}
	return nil
}

// crowdWait is how long a store without room for a stream is asked again. Of several that create the same stream at once, each has its limit set
// aside by the server until it is seen that one was first, so that a store with room for all streams may have none for a moment.
const crowdWait = 2 * time.Second

func noStorage(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeNoStorage
}

// hint says what to do where the server's words do not.
func hint(err error) error {
	if noStorage(err) {
		return fmt.Errorf("%w: the server's store is smaller than the limits of the streams need; give it more, or the services a smaller store size", err)
	}
	return err
}

// replicas returns the configured number of replicas or the one that the server's cluster allows.
func (b *Bus) replicas() int {
	if b.cfg.Replicas > 0 {
		return b.cfg.Replicas
	}
	// The server's list of its cluster's addresses holds itself; Servers adds what we were configured with, maybe by other names.
	if b.nc.ConnectedClusterName() != "" && max(len(b.nc.DiscoveredServers())+1, len(b.nc.Servers())) >= 3 {
		return 3
	}
	return 1
}

var errRaced = errors.New("another write came in between")

func (b *Bus) provision(ctx context.Context, s streamSpec, replicas int) error {
	want := s.config(b.cfg.StoreBytes, replicas)
	stream, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = b.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return errRaced // with other limits: look at it on the next try
		}
		if err != nil {
			return err
		}
		b.log.Info("stream created", "stream", want.Name, "replicas", want.Replicas, "max_bytes", want.MaxBytes)
		stream, err = b.js.Stream(ctx, want.Name)
	}
	if err != nil {
		return err
	}
	have := stream.CachedInfo().Config
	diff := differences(have, want)
	if len(diff) == 0 {
		return nil
	}
	right := mend(have, want)
	if s.locked {
		right = have
		right.Subjects = withLater(have.Subjects, s.later)
		if diff := differences(right, want); len(diff) > 0 {
			return Permanent(fmt.Errorf("%w: %s", ErrStreamDiffers, strings.Join(diff, "; ")))
		}
	}
	if _, err := b.js.UpdateStream(ctx, right); err != nil {
		return fmt.Errorf("put right %s: %w", strings.Join(diff, "; "), err)
	}
	b.log.Warn("stream put right", "stream", want.Name, "differences", strings.Join(diff, "; "))
	return nil
}

// withLater returns the subjects and those of later that they lack, in a slice of its own.
func withLater(subjects, later []string) []string {
	all := slices.Clone(subjects)
	for _, subject := range later {
		if !slices.Contains(all, subject) {
			all = append(all, subject)
		}
	}
	return all
}

// differences names each field of have that is not as wanted, leaving out what an operator may change.
func differences(have, want jetstream.StreamConfig) []string {
	var diff []string
	field := func(name string, have, want any) {
		if have != want {
			diff = append(diff, fmt.Sprintf("%s is %v, must be %v", name, have, want))
		}
	}
	for _, subject := range want.Subjects {
		if !slices.Contains(have.Subjects, subject) {
			diff = append(diff, "subjects lack "+subject)
		}
	}
	field("retention", have.Retention, want.Retention)
	field("storage", have.Storage, want.Storage)
	field("discard", have.Discard, want.Discard)
	field("discard_new_per_subject", have.DiscardNewPerSubject, false)
	field("duplicate_window", have.Duplicates, want.Duplicates)
	field("deny_delete", have.DenyDelete, want.DenyDelete)
	field("deny_purge", have.DenyPurge, want.DenyPurge)
	field("allow_rollup_hdrs", have.AllowRollup, want.AllowRollup)
	field("allow_msg_ttl", have.AllowMsgTTL, false)
	field("allow_msg_schedules", have.AllowMsgSchedules, want.AllowMsgSchedules)
	field("allow_msg_counter", have.AllowMsgCounter, false)
	field("allow_direct", have.AllowDirect, false)
	field("no_ack", have.NoAck, false)
	field("sealed", have.Sealed, false)
	field("persist_mode", have.PersistMode, want.PersistMode)
	field("subject_transform", have.SubjectTransform != nil, false)
	field("mirror", have.Mirror != nil, false)
	field("sources", len(have.Sources) > 0, false)
	field("republish", republish(have), republish(want))
	if want.Discard == jetstream.DiscardNew { // kept for ever
		field("max_age", have.MaxAge, want.MaxAge)
		field("max_msgs", have.MaxMsgs, want.MaxMsgs)
		field("max_msgs_per_subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
		field("subject_delete_marker_ttl", have.SubjectDeleteMarkerTTL, want.SubjectDeleteMarkerTTL)
	}
	return diff
}

func republish(c jetstream.StreamConfig) string {
	if c.RePublish == nil {
		return "none"
	}
	s := c.RePublish.Source + " to " + c.RePublish.Destination
	if c.RePublish.HeadersOnly {
		s += " (headers only)"
	}
	return s
}

// mend returns have with everything that differences finds put right where the server lets it be changed.
func mend(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	have.Subjects = withLater(have.Subjects, want.Subjects)
	have.Retention, have.Storage, have.Discard = want.Retention, want.Storage, want.Discard
	have.DiscardNewPerSubject = false
	have.Duplicates = want.Duplicates
	if have.MaxAge > 0 && have.MaxAge < have.Duplicates {
		have.Duplicates = have.MaxAge // the server refuses a window longer than the stream's life
	}
	have.DenyDelete, have.DenyPurge = want.DenyDelete, want.DenyPurge
	have.AllowMsgTTL, have.AllowMsgCounter, have.AllowDirect, have.NoAck = false, false, false, false
	have.AllowMsgSchedules, have.AllowRollup = want.AllowMsgSchedules, want.AllowRollup
	have.SubjectTransform, have.RePublish = nil, want.RePublish
	if want.Discard == jetstream.DiscardNew { // a fold of what is kept for ever must find its beginnings
		have.MaxAge, have.MaxMsgs, have.MaxMsgsPerSubject, have.SubjectDeleteMarkerTTL = want.MaxAge, want.MaxMsgs, want.MaxMsgsPerSubject, want.SubjectDeleteMarkerTTL
	}
	return have
}

// wildcards returns the subjects of a stream, for a reader without filters.
func wildcards(s events.Stream) []string {
	if s == events.Dead {
		return []string{events.DeadPrefix + ".>", "$JS.EVENT.ADVISORY.CONSUMER.>"}
	}
	var subjects []string
	for _, k := range events.KindsOn(s) {
		subjects = append(subjects, k.Wildcard())
	}
	return subjects
}
