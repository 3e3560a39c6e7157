package collect

import (
	"regexp"
	"slices"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/tracking"
)

// version is what points to the objects of a version of a registered model, by the catalog, and since when it does no more.
type version struct {
	run     string
	objects []artifact.Digest
	// deleted says whether the version is, and since when.
	deleted bool
	since   time.Time
	// aliased is true while an alias points to it; unaliased is when the last one went.
	aliased   bool
	unaliased time.Time
	// serving is true while it is in Production, promoted once it was; left is when it last left.
	serving, promoted bool
	left              time.Time
}

// gone reports whether it was deleted by the given time and is still.
func (v *version) gone(by time.Time) bool { return v.deleted && !v.since.After(by) }

// model is what the last message said of a model.
type model struct {
	versions map[int]*version
	aliases  map[string]int
	serving  []int
}

// reach is all that points to objects. What counts and what is left out, the folds of the registry say; it adds what pointed to an object once, and
// until when.
type reach struct {
	catalog   *registry.Catalog
	remains   *tracking.Remains
	models    map[string]*model // by key
	completed map[string][]artifact.Digest
	released  map[artifact.Digest]time.Time // when a file last stopped pointing to it
	unread    map[artifact.Digest]bool
}

func newReach() *reach {
	r := &reach{
		catalog: registry.NewCatalog(), models: map[string]*model{}, completed: map[string][]artifact.Digest{}, released: map[artifact.Digest]time.Time{},
		unread: map[artifact.Digest]bool{},
	}
	r.remains = tracking.NewRemains(func(d artifact.Digest, at time.Time) { r.released[d] = at })
	return r
}

var digestPattern = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// apply folds a message of LIFECYCLE or TRACKING, each in its own order. Junk keeps whatever objects its text names, as a newer version of this
// program may have written it. Contradictions, which the registry leaves out, keep what they name, too, and change nothing.
func (r *reach) apply(m bus.Message) {
	taken := false
	switch m.Stream {
	case events.Tracking:
		taken = r.remains.Apply(m)
	case events.Lifecycle:
		err := r.catalog.Apply(registry.Record{Sequence: m.Sequence, Time: m.Time, Subject: m.Subject, Event: m.Event, Err: m.Err})
		if taken = err == nil && m.Err == nil; m.Err == nil {
			r.lifecycle(m, taken)
		}
	}
	if taken {
		return
	}
	for _, d := range digestPattern.FindAll(m.Data, -1) {
		r.unread[artifact.Digest(d)] = true
	}
}

// lifecycle notes what a message of LIFECYCLE, which the catalog has folded or left out, changed.
func (r *reach) lifecycle(m bus.Message, taken bool) {
	key := m.Event.Model
	switch p := m.Event.Payload.(type) {
	case *events.RunCompleted:
		r.completed[p.RunID] = append(r.completed[p.RunID], digests(p.Artifacts)...)
	case *events.ModelRegistered:
		if taken {
			v := r.version(key, p.Version)
			v.run = p.RunID
			v.objects = append(v.objects, digests(append(p.Artifacts[:len(p.Artifacts):len(p.Artifacts)], p.Bundle))...)
			r.look(key, m.Time, p.Version)
		}
	case *events.ModelPromoted: // Production is what it names, also where the catalog has something against it
		if p.Version > 0 {
			r.version(key, p.Version).objects = append(r.version(key, p.Version).objects, digests([]events.Artifact{p.Bundle})...)
		}
		r.lookAtProduction(key, m.Time)
	case *events.ModelChanged:
		if taken {
			r.changed(key, p, m.Time)
		}
	}
}

func digests(as []events.Artifact) []artifact.Digest {
	var out []artifact.Digest
	for _, a := range as {
		if a.Digest != "" {
			out = append(out, artifact.Digest(a.Digest))
		}
	}
	return out
}

func (r *reach) model(key string) *model {
	m := r.models[key]
	if m == nil {
		m = &model{versions: map[int]*version{}, aliases: map[string]int{}}
		r.models[key] = m
	}
	return m
}

func (r *reach) version(key string, n int) *version {
	of := r.model(key).versions
	v := of[n]
	if v == nil {
		v = &version{}
		of[n] = v
	}
	return v
}

// changed looks at all that a change of a model or version may have touched.
func (r *reach) changed(key string, p *events.ModelChanged, at time.Time) {
	m := r.model(key)
	switch p.Change {
	case events.ChangeAlias:
		had := m.aliases[p.Key]
		if m.aliases[p.Key] = p.Version; p.Remove {
			delete(m.aliases, p.Key)
		}
		if r.look(key, at, p.Version); had != 0 {
			r.look(key, at, had)
		}
	case events.ChangeCreate, events.ChangeDelete, events.ChangeGates, events.ChangeStage:
		if p.Version != 0 {
			r.look(key, at, p.Version)
		} else {
			for n := range m.versions {
				r.look(key, at, n)
			}
		}
		r.lookAtProduction(key, at)
	}
}

// look notes what the catalog says of a version now.
func (r *reach) look(key string, at time.Time, n int) {
	now, registered := r.catalog.Version(key, n)
	v := r.version(key, n)
	if deleted := registered && now.Deleted; deleted != v.deleted {
		v.deleted, v.since = deleted, at
	}
	aliased := slices.ContainsFunc(now.Aliases, func(a string) bool { return !v.serving || a != r.catalog.Champion })
	if v.aliased && !aliased {
		v.unaliased = at
	}
	v.aliased = aliased
}

// lookAtProduction notes what is in Production now.
func (r *reach) lookAtProduction(key string, at time.Time) {
	m := r.model(key)
	was, now := m.serving, r.catalog.InProduction(key)
	m.serving = now
	for _, n := range was {
		if _, still := slices.BinarySearch(now, n); !still {
			v := r.version(key, n)
			v.serving, v.left = false, at
			r.look(key, at, n) // the champion's alias goes with Production
		}
	}
	for _, n := range now {
		if _, before := slices.BinarySearch(was, n); !before {
			v := r.version(key, n)
			v.serving, v.promoted = true, true
			r.look(key, at, n)
		}
	}
}
