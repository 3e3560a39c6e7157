package tracking

import (
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

// Remains is the fold of TRACKING as garbage collection needs it: the files, whose they are, and since when those are deleted. It is the fold of
// [Book] itself, so that both leave out the same, without what no file hangs on, and by the time at which the server stored each message. It is not
// safe for concurrent use.
type Remains struct {
	s        *state
	released func(d artifact.Digest, at time.Time)
	now      time.Time // of the message that is folded
}

// NewRemains returns an empty fold. released is called with the content of each file that is removed or replaced, and when that was.
func NewRemains(released func(d artifact.Digest, at time.Time)) *Remains {
	r := &Remains{s: newState(DefaultArtifactRoot), released: released}
	r.s.files.dropped = func(l leaf) { r.released(unpackDigest(l.digest), r.now) }
	return r
}

// Apply folds a message of TRACKING, each in its turn, and reports whether it was taken: junk and contradictions are left out.
func (r *Remains) Apply(m bus.Message) bool {
	f := fact{stream: events.Tracking, seq: m.Sequence, at: m.Time.UnixMilli()}
	kind, subject, err := events.ParseSubject(m.Subject)
	if err != nil {
		return false
	}
	f.typ, f.subject = kind.Type, subject
	if m.Err == nil {
		f.payload = m.Event.Payload
	}
	if p, ok := f.payload.(*events.RunTracked); ok {
		f.payload = bare(p)
	}
	r.now = m.Time
	left := r.s.junk + r.s.contradictions
	r.s.follow(f)
	return r.s.junk+r.s.contradictions == left
}

// bare is an event of a run without what takes room and no file hangs on; it is taken or left out as the whole one is.
func bare(p *events.RunTracked) *events.RunTracked {
	b := &events.RunTracked{RunID: p.RunID, Created: p.Created, Lifecycle: p.Lifecycle, Tags: p.Tags, RemovedTags: p.RemovedTags}
	if !tagsAlone(p) {
		b.Status = events.StatusRunning
	}
	return b
}

// Owned reports whether an id is that of a run or logged model that a client created.
func (r *Remains) Owned(owner string) bool {
	own, _ := r.s.livesOf(owner)
	return len(own) > 0
}

// Gone reports whether an owner of files, or its experiment, was deleted by a time and is still. What was never created is not.
func (r *Remains) Gone(owner string, by time.Time) bool {
	own, above := r.s.livesOf(owner)
	return own.gone(by) || len(own) > 0 && above.gone(by)
}

func (l lives) gone(by time.Time) bool {
	if len(l) == 0 {
		return false
	}
	last := l[len(l)-1]
	return last.deleted && last.at <= by.UnixMilli()
}

// Files calls fn with each file, ordered by path.
func (r *Remains) Files(fn func(File)) {
	r.s.files.root.walk("", func(path string, l leaf) bool {
		fn(showFile(path, l))
		return true
	})
}
