package inference

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

const (
	listenEvery = time.Second
	// unheardFor is how long a split goes on without NATS.
	unheardFor = time.Minute
)

// split is a canary as the stream says it: which share of the entities a candidate answers beside which Production.
type split struct {
	revision   int
	version    int // the candidate
	digest     string
	runID      string
	share      float64
	production uint64 // sequence of the promotion beside which it stands
}

// promotion is what the candidate's answers are attributed to: its own version, and the promotion that it stands beside.
func (s *split) promotion() Promotion {
	return Promotion{Version: s.version, Digest: s.digest, RunID: s.runID, Sequence: s.production}
}

// seedBuckets returns a hash that holds the salt of a split. An entity's bucket is xxhash64 of the model, a slash, the candidate's version, a zero
// byte and the entity's id. So each candidate has a draw of its own, and within it a smaller share is a subset of a greater one.
func seedBuckets(model string, version int) xxhash.Digest {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(fmt.Sprintf("%s/%d\x00", model, version)) // a hash takes everything
	return d
}

// bucketBound returns the first bucket that is not in the share: share times 2^64, and the greatest number where that does not fit.
func bucketBound(share float64) uint64 {
	switch {
	case !(share > 0):
		return 0
	case share >= 1:
		return math.MaxUint64
	}
	return uint64(math.Ldexp(share, 64))
}

// standing is the fold of rollout.changed: what its last valid message says.
type standing struct {
	revision int // 0: there was none
	unread   int // messages since then that could not be read; each may have been a revision
	state    events.RolloutState
	mode     events.RolloutMode
	split    *split // nil unless a canary runs
}

// turn takes one message of rollout.changed. Junk is skipped, and so is a revision that can't follow the last one: they are consecutive, but the
// registry gives a number twice where its first message came too late for the promotion beside which it wanted to stand. What is valid holds at once
// where it ends a split, and as soon as the candidate is loaded where it begins one.
func (l *loader) turn(m bus.Message) {
	p, ok := m.Event.Payload.(*events.RolloutChanged)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch last := l.rollout.revision; {
	case m.Err != nil || !ok:
		l.rollout.unread++
		l.metrics.rolloutJunk.Inc()
		l.log.Error("rollout skipped: it can't be read", "subject", m.Subject, "sequence", m.Sequence, "err", m.Err)
		return
	case p.Revision < last || p.Revision > last+1+l.rollout.unread:
		l.metrics.rolloutJunk.Inc()
		l.log.Error("rollout skipped: its revision can't follow the last one", "subject", m.Subject, "sequence", m.Sequence,
			"revision", p.Revision, "last", last)
		return
	}
	l.rollout = standing{revision: p.Revision, state: p.State, mode: p.Mode}
	if p.State == events.RolloutRunning && p.Mode == events.RolloutCanary {
		l.rollout.split = &split{revision: p.Revision, version: p.Version, digest: p.Bundle.Digest, runID: p.RunID, share: p.Share,
			production: p.PromotionSequence}
	}
	if l.caughtUp {
		l.stage()
	}
}

// stage has the slot follow the rollout, and its candidate loaded where there is one. The mutex is held.
func (l *loader) stage() {
	before := l.slot.cast()
	l.slot.turn(l.rollout)
	if before != nil && l.slot.held(before.digest) == nil { // it may be promoted by the next message
		l.shelf.add(*before)
	}
	l.toldSplit()
	if l.recast != nil {
		l.recast()
	}
	select {
	case l.turned <- struct{}{}:
	default:
	}
}

// toldSplit logs and announces a change of the split in force.
func (l *loader) toldSplit() {
	v := l.slot.now()
	if l.revision.Swap(int64(v.revision)) == int64(v.revision) {
		return
	}
	if v.revision == 0 {
		l.log.Info("no split in force, Production answers alone", "model", l.cfg.Model, "reason", l.slot.reason())
	} else {
		l.log.Info("split in force", "model", l.cfg.Model, "revision", v.revision, "share", v.share, "version", v.candidate.promotion.Version)
	}
	l.fleet.hurry()
}

// candidates loads the candidates of splits until ctx ends, beside Production's own loads: neither waits for the other's store or retries. Between
// loads it listens whether NATS is there.
func (l *loader) candidates(ctx context.Context, store artifact.Store) error {
	tick := time.NewTicker(l.listenEvery)
	defer tick.Stop()
	l.heard = l.now()
	for {
		select {
		case <-l.turned:
		case <-tick.C:
			l.listen()
			continue
		case <-ctx.Done():
			return nil
		}
		l.mu.Lock()
		attempts, cancel := context.WithCancel(ctx)
		l.recast = cancel
		s := l.rollout.split
		if s != nil && s.production != l.promoted { // void, and for ever: promotions don't come back
			s = nil
		}
		l.mu.Unlock()
		if s != nil {
			l.audition(attempts, store, s)
		}
		cancel()
	}
}

// listen suspends the split after a time without NATS, and resumes it: nobody sees what a candidate does on an instance that is cut off, and nobody
// could take it back.
func (l *loader) listen() {
	now := l.now()
	if l.up() {
		l.heard = now
	}
	if l.slot.suspend(now.Sub(l.heard) > l.unheard) {
		l.toldSplit()
	}
}

// audition brings the candidate of s beside Production: fetched, decoded and verified before it answers anyone. It returns when that is done, can
// never be, or ctx has ended; Production answers alone until then.
func (l *loader) audition(ctx context.Context, store artifact.Store, s *split) {
	if o := l.slot.cast(); o != nil && o.digest == s.digest {
		return // since an earlier step
	}
	began := l.now()
	l.persist(ctx, func() error {
		o, err := l.obtain(ctx, store, s.digest)
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if !l.slot.join(o) { // the rollout went on to something else
			return nil
		}
		l.shelf.remove(s.digest)
		took := l.now().Sub(began)
		l.log.Info("candidate loaded", "model", l.cfg.Model, "version", s.version, "digest", s.digest, "revision", s.revision,
			"took", took.String(), "from_disk", o.fromDisk)
		l.fleet.loaded(s.promotion(), took, o.fromDisk, s.revision)
		l.toldSplit()
		l.keepCandidate(s, o.bundle)
		return nil
	}, func(class events.LoadClass, again bool, err error) {
		l.log.Error("candidate not loaded, Production answers alone", "model", l.cfg.Model, "version", s.version, "digest", s.digest,
			"revision", s.revision, "class", class, "retry", again, "err", err)
		l.slot.miscast(s, err)
		still := 0
		if p := l.slot.predictor(); p != nil {
			still = p.promotion.Version
		}
		l.fleet.failed(s.promotion(), class, err, still, s.revision)
	})
}

// rolloutNote is the split in /health: the revision, whether its split is in force, and if not why not.
type rolloutNote struct {
	Revision  int     `json:"revision"`
	InForce   bool    `json:"in_force"`
	Candidate int     `json:"candidate,omitempty"`
	Share     float64 `json:"share,omitempty"`
	Detail    string  `json:"detail,omitempty"`
}

// show notes the split for /health, which must not ask for it: it would wait for mu while we wait for its lock. mu is held.
func (s *slot) show() {
	n := rolloutNote{Revision: s.rollout.revision, InForce: s.now().revision > 0}
	if c := s.rollout.split; c != nil {
		n.Candidate, n.Share = c.version, c.share
	}
	if !n.InForce {
		n.Detail = s.alone()
	}
	s.health.Note("rollout", n)
}

// reason says why Production answers alone.
func (s *slot) reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alone()
}

// alone says why Production answers alone. mu is held.
func (s *slot) alone() string {
	c, production := s.rollout.split, s.now().production
	switch {
	case !s.told:
		return "the rollouts were not read yet"
	case s.rollout.revision == 0:
		return "there was no rollout yet"
	case c == nil:
		return fmt.Sprintf("%s: %s", s.rollout.mode, s.rollout.state)
	case production == nil:
		return "there is no Production to stand beside"
	case production.promotion.Sequence != c.production:
		return fmt.Sprintf("it stands beside the promotion %d, and Production is by %d", c.production, production.promotion.Sequence)
	case s.suspended:
		return "NATS is away: nobody would see what the candidate does"
	case s.refusal != "":
		return fmt.Sprintf("version %d is not loaded: %s", c.version, s.refusal)
	}
	return fmt.Sprintf("version %d is being loaded", c.version)
}
