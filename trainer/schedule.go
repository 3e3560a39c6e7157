package trainer

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// Headers of the server's message schedules.
const (
	headerSchedule       = "Nats-Schedule"
	headerScheduleZone   = "Nats-Schedule-Time-Zone"
	headerScheduleTarget = "Nats-Schedule-Target"
)

// scheduledBySpec is the actor of a schedule that the spec states.
const scheduledBySpec = "spec"

// scheduleActor is the actor of a request that stands for a tick that never came.
const scheduleActor = "schedule"

// keepSchedule makes the stored schedule the spec's, and asks for a run whose tick a killed server lost. A schedule that somebody else stored
// stays as long as the spec states none.
func (s *Service) keepSchedule(ctx context.Context) error {
	last, ok, err := s.cfg.Bus.LastValid(ctx, events.TypeScheduleRetrain, s.cfg.Spec.Name)
	if err != nil {
		return fmt.Errorf("read schedule: %w", err)
	}
	if want := s.cfg.Spec.Retrain.Schedule; want != nil {
		have, _ := last.Event.Payload.(*events.ScheduleRetrain)
		next := events.ScheduleRetrain{Cron: want.Cron, TimeZone: want.TimeZone, TargetStage: stageOf(want.TargetStage), Actor: scheduledBySpec, Reason: "schedule"}
		if !ok || have == nil || *have != next {
			if err := PublishSchedule(ctx, s.cfg.Bus, s.cfg.Spec.Name, next, s.cfg.Now()); err != nil {
				return err
			}
			s.log.Info("schedule stored", "cron", next.Cron, "time_zone", next.TimeZone)
		}
	} else if have, isSchedule := last.Event.Payload.(*events.ScheduleRetrain); ok && isSchedule && have.Actor == scheduledBySpec {
		if err := RemoveSchedule(ctx, s.cfg.Bus, s.cfg.Spec.Name); err != nil {
			return err
		}
		s.log.Info("schedule removed, the spec states none any more")
		return nil
	}
	if err := s.restoreSchedule(ctx); err != nil {
		return err
	}
	return s.askForLostTick(ctx)
}

// askForLostTick publishes a request for the tick that a killed server lost, once, with the stage of the schedule that is stored now; without
// one nothing was due. When a tick is due is known from the one before it: the first tick of a schedule can be lost unnoticed.
func (s *Service) askForLostTick(ctx context.Context) error {
	last, _, err := s.cfg.Bus.LastValid(ctx, events.TypeScheduleRetrain, s.cfg.Spec.Name)
	if err != nil {
		return fmt.Errorf("read schedule: %w", err)
	}
	stored, scheduled := last.Event.Payload.(*events.ScheduleRetrain)
	due, missed := s.fold.missedTick(s.cfg.Now(), s.cfg.TickGrace)
	if !scheduled || !missed {
		return nil
	}
	at := due.UTC().Format(time.RFC3339)
	ev := events.New(s.cfg.Spec.Name, s.cfg.Bus.Source(), "missed@"+at, s.cfg.Now(),
		&events.RetrainRequested{Actor: scheduleActor, Reason: "the tick due at " + at + " was lost", TargetStage: stored.TargetStage})
	if s.fold.asked(ev.ID) {
		return nil
	}
	s.log.Warn("a scheduled tick never came, asking for its run", "due", at)
	_, err = s.cfg.Bus.Publish(ctx, ev)
	return err
}

// restoreSchedule stores the last valid schedule again if junk has taken its place, once for each junk.
func (s *Service) restoreSchedule(ctx context.Context) error {
	junk := s.fold.unscheduled()
	if junk <= s.restored {
		return nil
	}
	last, _, err := s.cfg.Bus.LastValid(ctx, events.TypeScheduleRetrain, s.cfg.Spec.Name)
	if err != nil {
		return fmt.Errorf("read schedule: %w", err)
	}
	if have, ok := last.Event.Payload.(*events.ScheduleRetrain); ok && last.Sequence < junk {
		if err := PublishSchedule(ctx, s.cfg.Bus, s.cfg.Spec.Name, *have, s.cfg.Now()); err != nil {
			return err
		}
		s.log.Error("junk on the schedule's subject had ended it, stored again", "sequence", junk, "cron", have.Cron)
	}
	s.restored = junk
	return nil
}

// PublishSchedule stores the schedule of a model; it replaces the former one. The server publishes a retrain.requested at each tick.
func PublishSchedule(ctx context.Context, b *bus.Bus, model string, sched events.ScheduleRetrain, now time.Time) error {
	target, err := events.SubjectOf(events.TypeRetrainRequested, model)
	if err != nil {
		return err
	}
	opts := []bus.PublishOption{bus.WithHeader(headerSchedule, sched.Cron), bus.WithHeader(headerScheduleTarget, target)}
	if sched.TimeZone != "" {
		opts = append(opts, bus.WithHeader(headerScheduleZone, sched.TimeZone))
	}
	ev := events.New(model, b.Source(), fmt.Sprintf("%d", now.UnixNano()), now, &sched)
	if _, err := b.Publish(ctx, ev, opts...); err != nil {
		return fmt.Errorf("store schedule %q: %w", sched.Cron, err)
	}
	return nil
}

// RemoveSchedule takes the stored schedule of a model away. It is no error if there is none.
func RemoveSchedule(ctx context.Context, b *bus.Bus, model string) error {
	subject, err := events.SubjectOf(events.TypeScheduleRetrain, model)
	if err != nil {
		return err
	}
	stream, err := b.JetStream().Stream(ctx, string(events.Causes))
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		return fmt.Errorf("remove schedule: %w", err)
	}
	return nil
}

// stageOf returns the stage that a spec's word means.
func stageOf(word string) events.Stage {
	if word == "staging" {
		return events.StageStaging
	}
	return events.StageProduction
}
