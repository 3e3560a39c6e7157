package tracking

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

const (
	// queued bounds the messages that are read and not folded yet.
	queued = 4096
	// junkReader names the reader of TRACKING in dead letters.
	junkReader = "registry-tracking"
	// buryTime bounds how long one dead letter holds up what follows it.
	buryTime = 30 * time.Second
)

// item is a message on its way to the fold, or a call that must come between two messages.
type item struct {
	msg  bus.Message
	call func()
	fact fact
	// known is true if fact was folded when it was written, by this process, and is not decoded.
	known bool
	done  chan struct{} // closed when fact is filled in
}

// feed brings the messages of one stream to the fold.
type feed struct {
	b           *Book
	stream      events.Stream
	work, order chan *item
}

// followStream reads a stream, decodes its messages on all processors and folds them in order, until ctx ends. once is for the first time that it has caught up.
func (b *Book) followStream(ctx context.Context, stream events.Stream, once *sync.Once) error {
	f := &feed{b: b, stream: stream, work: make(chan *item, queued), order: make(chan *item, queued)}
	g, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for it := range f.work {
				if it.fact, it.known = b.state.known(it.msg); !it.known {
					var err error
					if it.fact, err = decode(it.msg); err != nil && stream == events.Tracking { // LIFECYCLE has a consumer for its junk
						b.bury(ctx, it.msg, err)
					}
				}
				close(it.done)
			}
			return nil
		})
	}
	g.Go(func() error {
		for it := range f.order {
			b.fold(stream, it)
		}
		return nil
	})
	g.Go(func() error {
		defer close(f.order)
		defer close(f.work)
		return f.read(ctx, once)
	})
	return g.Wait()
}

// send puts an item in line, and gives it to a decoder; false if ctx ended before.
func (f *feed) send(ctx context.Context, it *item) bool {
	if it.call == nil {
		it.done = make(chan struct{})
		select {
		case f.work <- it:
		case <-ctx.Done():
			return false
		}
	}
	select {
	case f.order <- it:
		return true
	case <-ctx.Done():
		return false
	}
}

// read follows the stream until ctx ends.
func (f *feed) read(ctx context.Context, once *sync.Once) error {
	b := f.b
	end, err := b.bus.LastSequence(ctx, f.stream)
	if err != nil { // what is wrong with the stream, Follow says, and tries again
		b.log.Debug("end of the stream is unknown", "stream", string(f.stream), "err", err)
	}
	return b.bus.Follow(ctx, bus.FollowConfig{
		Name: "tracking", Stream: f.stream, Raw: true,
		OnCaughtUp: func() {
			through := end
			f.send(ctx, &item{call: func() {
				b.marks[f.stream].advance(through) // the stream's end, also where its last messages were deleted
				once.Do(b.caughtUp)
			}})
		},
		OnReset: func() {
			end = 0
			f.send(ctx, &item{call: func() { b.restart(f.stream) }})
		},
	}, func(_ context.Context, m bus.Message) error {
		if !f.send(ctx, &item{msg: m}) {
			return context.Cause(ctx)
		}
		return nil
	})
}

// fold folds one item.
func (b *Book) fold(stream events.Stream, it *item) {
	if it.call != nil {
		it.call()
		return
	}
	<-it.done
	defer b.marks[stream].advance(it.msg.Sequence)
	defer b.survive(it.msg)
	if it.known {
		if _, still := b.state.known(it.msg); !still {
			it.fact, _ = decode(it.msg) // the stream was created again since; the error was seen to when it was written
		}
	}
	b.state.follow(it.fact)
}

// bury sends junk to the dead letters, where one that is there already stays the one. Junk that can't be sent is sent after the next start, when the stream
// is folded again.
func (b *Book) bury(ctx context.Context, m bus.Message, why error) {
	ctx, cancel := context.WithTimeout(ctx, buryTime)
	defer cancel()
	if err := b.bus.DeadLetter(ctx, m, junkReader, why.Error()); err != nil {
		b.log.Error("junk is not among the dead letters", "subject", m.Subject, "sequence", m.Sequence, "err", err)
	}
}

// survive keeps a message that the fold can't take from ending the process, again after each restart.
func (b *Book) survive(m bus.Message) {
	if p := recover(); p != nil {
		b.log.Error("message cannot be folded", "subject", m.Subject, "sequence", m.Sequence, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// caughtUp notes that one of the followers has folded all there was.
func (b *Book) caughtUp() {
	if b.waiting.Add(-1) == 0 {
		close(b.ready)
	}
}

// restart empties the fold of a stream that was created again.
func (b *Book) restart(stream events.Stream) {
	b.log.Error("stream was created again, folding anew", "stream", string(stream))
	b.marks[stream].reset()
	b.state.reset(stream)
}

// runPrefix starts the subjects of runs' changes, by far the most messages.
const runPrefix = "run.tracked."

// known returns a fact without payload for a change of a run that is folded already.
func (s *state) known(m bus.Message) (fact, bool) {
	id, ok := strings.CutPrefix(m.Subject, runPrefix)
	if !ok {
		return fact{}, false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.runs[id]
	if r == nil || r.last < m.Sequence {
		return fact{}, false
	}
	return fact{stream: m.Stream, typ: events.TypeRunTracked, subject: id, seq: m.Sequence}, true
}

// decode turns a message into a fact. Junk, of which the error says what is wrong, has no payload, but moves what a compare-and-set expects where its
// subject is one of ours.
func decode(m bus.Message) (fact, error) {
	f := fact{stream: m.Stream, seq: m.Sequence, at: m.Time.UnixMilli()}
	kind, subject, err := events.ParseSubject(m.Subject)
	if err != nil {
		return f, err
	}
	f.typ, f.subject = kind.Type, subject
	ev, err := events.Decode(m.Subject, m.Header, m.Data)
	if err != nil {
		return f, err
	}
	f.payload, f.source = ev.Payload, ev.Source
	if !ev.Time.IsZero() {
		f.at = ev.Time.UnixMilli()
	}
	return f, nil
}
