package inference

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

const (
	fleetQueue = 256             // loads that wait to be announced
	fleetFlush = 2 * time.Second // for them when the service stops
)

// fleet publishes what this instance serves to FLEET: loads and failed loads in their order, until they are stored, and signs of life, which
// may be lost: every so often, and when the split in force has changed.
type fleet struct {
	model    string
	source   string
	instance string
	boot     string
	every    time.Duration
	log      *slog.Logger
	now      func() time.Time

	queue chan events.Event
	soon  chan struct{} // a sign of life is due now
	n     atomic.Uint64 // events of this boot; part of their ids
	// alive returns the content of a sign of life.
	alive func() events.InstanceAlive
	// snapshot returns what answers.
	snapshot func() *serving
}

// key returns what makes an event of this boot unique.
func (f *fleet) key(sequence uint64) string {
	return fmt.Sprintf("%s/%s/%d/%d", f.instance, f.boot, sequence, f.n.Add(1))
}

// serving states p, and the split in force.
func (f *fleet) serving(p Promotion) events.Serving {
	s := events.Serving{Instance: f.instance, Boot: f.boot, Version: p.Version, Digest: p.Digest, PromotionSequence: p.Sequence}
	if v := f.snapshot(); v.candidate != nil {
		s.RolloutRevision, s.Candidate = v.revision, v.candidate.promotion.Version
	}
	return s
}

// loaded announces that p answers from now on; rollout is the revision whose candidate it is, 0 for Production.
func (f *fleet) loaded(p Promotion, took time.Duration, fromDisk bool, rollout int) {
	f.enqueue(p, &events.ModelLoaded{Serving: f.serving(p), DurationMS: float64(took) / float64(time.Millisecond), FromDisk: fromDisk, Rollout: rollout})
}

// failed announces that p could not be loaded and still is what goes on answering; rollout is as in loaded.
func (f *fleet) failed(p Promotion, class events.LoadClass, cause error, still, rollout int) {
	f.enqueue(p, &events.ModelLoadFailed{Serving: f.serving(p), Class: class, Reason: cause.Error(), StillServing: still, Rollout: rollout})
}

// hurry has a sign of life published now: what it says has changed.
func (f *fleet) hurry() {
	select {
	case f.soon <- struct{}{}:
	default:
	}
}

func (f *fleet) enqueue(p Promotion, payload events.Payload) {
	select {
	case f.queue <- events.New(f.model, f.source, f.key(p.Sequence), f.now(), payload):
	default:
		f.log.Error("load not announced: too many wait for NATS", "model", f.model, "version", p.Version)
	}
}

// run publishes until ctx ends, then for up to fleetFlush what is queued.
func (f *fleet) run(ctx context.Context, ln *link) error {
	b, _, err := ln.wait(ctx)
	if err != nil {
		return nil
	}
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	f.sign(ctx, b)
	for {
		select {
		case ev := <-f.queue:
			f.publish(ctx, b, ev)
		case <-tick.C:
			f.sign(ctx, b)
		case <-f.soon:
			f.sign(ctx, b)
		case <-ctx.Done():
			f.flush(ctx, b)
			return nil
		}
	}
}

// publish stores one event. What ctx interrupts goes back to the queue for the flush.
func (f *fleet) publish(ctx context.Context, b *bus.Bus, ev events.Event) {
	_, err := b.Publish(ctx, ev)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		select {
		case f.queue <- ev:
		default:
		}
	default:
		f.log.Error("publish what is served", "model", f.model, "err", err)
	}
}

func (f *fleet) sign(ctx context.Context, b *bus.Bus) {
	one, cancel := context.WithTimeout(ctx, min(f.every, 5*time.Second))
	defer cancel()
	alive := f.alive()
	ev := events.New(f.model, f.source, fmt.Sprintf("%s/%s/%d", f.instance, f.boot, f.n.Add(1)), f.now(), &alive)
	if _, err := b.Publish(one, ev); err != nil && ctx.Err() == nil {
		f.log.Warn("sign of life not published", "model", f.model, "err", err)
	}
}

// flush announces what is queued, if NATS is there: where it is not, what this process has loaded is of no use to anyone by the time it is.
func (f *fleet) flush(ctx context.Context, b *bus.Bus) {
	if !b.Connected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fleetFlush)
	defer cancel()
	for {
		select {
		case ev := <-f.queue:
			if _, err := b.Publish(ctx, ev); err != nil {
				f.log.Warn("load not announced at the stop", "model", f.model, "err", err)
				return
			}
		default:
			return
		}
	}
}
