package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/fault"
)

// desk is where operations are decided and written: a fold to decide by, and a bus to write to. A service has one that lives as long as itself,
// a command one for itself. It is safe for concurrent use: what is decided is written as a compare-and-set, and decided again when it is lost.
type desk struct {
	bus    *bus.Bus
	ledger *ledger
	source string
	actor  string // stands in what is written of its own accord
	now    func() time.Time
	turns  turns
	// promoted, if set, hears of each promotion that was written here, and amended of each answer to one that went astray.
	promoted, amended func(key string, p *events.ModelPromoted)
}

// openDesk folds LIFECYCLE and FLEET as they stand, for one command.
func openDesk(ctx context.Context, b *bus.Bus) (*desk, error) {
	l := newLedger(b)
	last, err := l.loads(ctx)
	if err == nil {
		err = b.Read(ctx, bus.ReadConfig{Stream: events.Fleet, From: last + 1}, l.apply)
	}
	if err != nil {
		return nil, faultOf(fmt.Errorf("read fleet: %w", err))
	}
	return &desk{bus: b, ledger: l, source: b.Source(), actor: DefaultActor, now: time.Now}, nil
}

// maxRounds bounds how often a decision is made anew. Each round was lost to a write that went through, so others got on meanwhile.
const maxRounds = 1000

// draft is what an operation decided: what to write about which model, on what it rests, and what names the occurrence in the event's id. With a
// nil payload there is nothing to do.
type draft struct {
	key      string
	payload  events.Payload
	id       string
	expected uint64
}

// draftOf returns a draft that rests on the fold as it is. The id is like no other, so that of two writers who say and expect the same one is
// told that the other was first.
func draftOf(c *Catalog, key string, p events.Payload) draft {
	expected := c.Expected(p.EventType(), key)
	return draft{key: key, payload: p, id: idKey(rand.Text(), expected), expected: expected}
}

// write folds, decides and writes until the decision stands, and returns the sequence and time of the event, 0 if there was nothing to do. Writers of
// this process take turns at a model, but each begins to look before it waits, so that it notices what the others did. What it wrote is folded when it
// returns, and took effect: an event that contradicts another one, which came first on a different subject, is decided again, so that the caller
// hears of what is there now. A promotion of that kind is answered before.
func (d *desk) write(ctx context.Context, decide func(*Catalog, *Fleet) (draft, error)) (uint64, time.Time, error) {
	w, err := d.draft(ctx, decide)
	if err != nil || w.payload == nil {
		return 0, time.Time{}, err
	}
	done, err := d.turns.take(ctx, w.key)
	if err != nil {
		return 0, time.Time{}, faultOf(err)
	}
	defer done()
	var ignored error
	for range maxRounds {
		w, err := d.draft(ctx, decide)
		if err != nil || w.payload == nil {
			return 0, time.Time{}, meanwhile(err, ignored)
		}
		at := d.now().UTC()
		seq, err := d.bus.Append(ctx, events.New(w.key, d.source, w.id, at, w.payload), w.expected)
		switch {
		case errors.Is(err, bus.ErrConflict):
			continue
		case err != nil:
			return 0, time.Time{}, faultOf(fmt.Errorf("write %s of %s: %w", w.payload.EventType(), w.key, err))
		}
		if ignored, err = d.settle(ctx, w.key, seq); err != nil {
			return 0, time.Time{}, faultOf(err)
		}
		if ignored != nil {
			continue
		}
		if p, ok := w.payload.(*events.ModelPromoted); ok && d.promoted != nil {
			d.promoted(w.key, p)
		}
		return seq, at, nil
	}
	return 0, time.Time{}, fault.New(fault.Unavailable, "too many others write at the same time")
}

// draft decides by all that was stored before.
func (d *desk) draft(ctx context.Context, decide func(*Catalog, *Fleet) (draft, error)) (w draft, err error) {
	if err := d.ledger.refresh(ctx); err != nil {
		return draft{}, faultOf(err)
	}
	d.ledger.view(func(c *Catalog, f *Fleet) { w, err = decide(c, f) })
	return w, err
}

// settle folds what was written, and returns what it contradicts, if it does. If that is a promotion, it is answered.
func (d *desk) settle(ctx context.Context, key string, seq uint64) (ignored, err error) {
	if err := d.ledger.refresh(ctx); err != nil {
		return nil, err
	}
	d.ledger.view(func(c *Catalog, _ *Fleet) { ignored = c.Fault(seq) })
	if ignored == nil {
		return nil, nil
	}
	return ignored, d.amend(ctx, key)
}

// meanwhile makes a conflict of a refusal that is due to what others wrote after the first decision, which the fold left out for it.
func meanwhile(err, ignored error) error {
	if err == nil || ignored == nil || fault.CodeOf(err) != fault.Invalid {
		return err
	}
	return &fault.Error{Code: fault.Conflict, Message: "changed by others meanwhile: " + err.Error(), Err: err}
}

// change writes a change of a model or version. decide returns nil for nothing to do.
func (d *desk) change(ctx context.Context, name string, decide func(c *Catalog, m Model) (*events.ModelChanged, error)) error {
	_, _, err := d.write(ctx, func(c *Catalog, _ *Fleet) (draft, error) {
		m, err := knownModel(c, name)
		if err != nil {
			return draft{}, err
		}
		p, err := decide(c, m)
		if err != nil || p == nil {
			return draft{}, err
		}
		return draftOf(c, m.Key, p), nil
	})
	return err
}

// changeVersion writes a change of a version.
func (d *desk) changeVersion(
	ctx context.Context, name string, version int, decide func(c *Catalog, m Model, v Version) (*events.ModelChanged, error),
) error {
	return d.change(ctx, name, func(c *Catalog, m Model) (*events.ModelChanged, error) {
		v, err := known(c, m.Key, version)
		if err != nil {
			return nil, err
		}
		p, err := decide(c, m, v)
		if p != nil {
			p.Version = version
		}
		return p, err
	})
}

func knownModel(c *Catalog, name string) (Model, error) {
	key, ok := c.Key(name)
	if ok {
		if m, exists := c.Model(key); exists && !m.Deleted {
			return m, nil
		}
	}
	return Model{}, fault.New(fault.NotFound, "Registered Model with name=%s %w", quoted(name), ErrUnknown)
}

func known(c *Catalog, key string, version int) (Version, error) {
	v, ok := c.Version(key, version)
	if !ok || v.Deleted {
		return Version{}, fault.New(fault.NotFound, "Model Version (name=%s, version=%d) %w", quoted(nameOf(c, key)), version, ErrUnknown)
	}
	return v, nil
}

// nameOf returns what people call a model.
func nameOf(c *Catalog, key string) string {
	if m, ok := c.Model(key); ok {
		return m.Name
	}
	return key
}

// quoted bounds what a message repeats of what somebody sent.
func quoted(text string) string {
	const most = 200
	runes := []rune(text)
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
