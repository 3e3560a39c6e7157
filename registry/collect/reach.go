package collect

import (
	"regexp"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
)

// life is whether something is deleted, and since when.
type life struct {
	deleted bool
	since   time.Time // of the last change of deleted
}

func (l *life) set(deleted bool, at time.Time) {
	if l.deleted != deleted {
		l.deleted, l.since = deleted, at
	}
}

// gone reports whether it was deleted by the given time and is still.
func (l *life) gone(by time.Time) bool { return l.deleted && !l.since.After(by) }

// run is a run or logged model of TRACKING.
type run struct {
	life
	experiment string
}

type file struct {
	ref   artifact.Ref
	owner string // the subject's last token: an id, or "shared"
}

// version is a version of a registered model.
type version struct {
	life
	run     string
	objects []artifact.Digest
	aliases map[string]bool
	// unaliased is when it last lost an alias.
	unaliased time.Time
	// serving is true while it is in Production; ungated says by whose rules. Left is when it last was.
	serving, ungated bool
	promoted         bool
	left             time.Time
}

// reach is the fold of all that points to objects. It holds more than what is in force: what pointed to an object once, and until when.
type reach struct {
	files       map[string]file
	owners      map[string]*run // runs and logged models by id
	experiments map[string]*life
	versions    map[string]map[int]*version // by the model's key
	completed   map[string][]artifact.Digest
	released    map[artifact.Digest]time.Time // when a file last stopped pointing to it
	unread      map[artifact.Digest]bool
}

func newReach() *reach {
	return &reach{
		files: map[string]file{}, owners: map[string]*run{}, experiments: map[string]*life{}, versions: map[string]map[int]*version{},
		completed: map[string][]artifact.Digest{}, released: map[artifact.Digest]time.Time{}, unread: map[artifact.Digest]bool{},
	}
}

var digestPattern = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// apply folds a message of LIFECYCLE or TRACKING, each in its own order. Junk keeps whatever objects its text names, as a newer version of this
// program may have written it. Contradictions that the registry leaves out keep what they name, too.
func (r *reach) apply(m bus.Message) {
	if m.Err != nil {
		for _, d := range digestPattern.FindAll(m.Data, -1) {
			r.unread[artifact.Digest(d)] = true
		}
		return
	}
	switch p := m.Event.Payload.(type) {
	case *events.ExperimentChanged:
		r.experiment(p.ExperimentID).set(p.Lifecycle == events.StageDeleted, m.Time)
	case *events.RunTracked:
		r.runTracked(p, m.Time)
	case *events.ModelLogged:
		o := r.owner(p.ModelID)
		if p.Created != nil {
			o.experiment = p.Created.ExperimentID
		}
		o.set(p.Deleted, m.Time)
	case *events.ArtifactStored:
		r.stored(m.Event.Model, p, m.Time)
	case *events.RunCompleted:
		r.completed[p.RunID] = append(r.completed[p.RunID], digests(p.Artifacts)...)
	case *events.ModelRegistered:
		v := r.version(m.Event.Model, p.Version)
		v.run = p.RunID
		v.objects = append(v.objects, digests(append(p.Artifacts[:len(p.Artifacts):len(p.Artifacts)], p.Bundle))...)
	case *events.ModelPromoted:
		r.promoted(m.Event.Model, p, m.Time)
	case *events.ModelChanged:
		r.changed(m.Event.Model, p, m.Time)
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

func (r *reach) experiment(id string) *life {
	e := r.experiments[id]
	if e == nil {
		e = &life{}
		r.experiments[id] = e
	}
	return e
}

func (r *reach) owner(id string) *run {
	o := r.owners[id]
	if o == nil {
		o = &run{}
		r.owners[id] = o
	}
	return o
}

func (r *reach) runTracked(p *events.RunTracked, at time.Time) {
	if p.Created == nil && r.owners[p.RunID] == nil {
		return // tags of a run of the trainer, which can't be deleted
	}
	o := r.owner(p.RunID)
	if p.Created != nil {
		o.experiment = p.Created.ExperimentID
	}
	if p.Lifecycle != "" {
		o.set(p.Lifecycle == events.StageDeleted, at)
	}
}

func (r *reach) stored(owner string, p *events.ArtifactStored, at time.Time) {
	old, ok := r.files[p.Path]
	if ok {
		r.released[old.ref.Digest] = at
	}
	if p.Removed {
		delete(r.files, p.Path)
		if !ok {
			r.removedFolder(p.Path+"/", at)
		}
		return
	}
	r.files[p.Path] = file{ref: artifact.Ref{Digest: artifact.Digest(p.Digest), Size: p.SizeBytes}, owner: owner}
}

// removedFolder takes away what was stored below a folder.
func (r *reach) removedFolder(prefix string, at time.Time) {
	for path, f := range r.files {
		if strings.HasPrefix(path, prefix) {
			r.released[f.ref.Digest] = at
			delete(r.files, path)
		}
	}
}

func (r *reach) version(model string, n int) *version {
	all := r.versions[model]
	if all == nil {
		all = map[int]*version{}
		r.versions[model] = all
	}
	v := all[n]
	if v == nil {
		v = &version{aliases: map[string]bool{}}
		all[n] = v
	}
	return v
}

func (r *reach) promoted(model string, p *events.ModelPromoted, at time.Time) {
	for n, v := range r.versions[model] {
		if v.serving && n != p.Version && (!p.Ungated || p.ArchiveExisting || n == p.Demoted) {
			v.serving, v.left = false, at
		}
	}
	if p.Version == 0 {
		return
	}
	v := r.version(model, p.Version)
	v.serving, v.promoted, v.ungated = true, true, p.Ungated
	if p.Bundle.Digest != "" {
		v.objects = append(v.objects, artifact.Digest(p.Bundle.Digest))
	}
}

func (r *reach) changed(model string, p *events.ModelChanged, at time.Time) {
	switch p.Change {
	case events.ChangeDelete:
		for n, v := range r.versions[model] {
			if p.Version != 0 && p.Version != n {
				continue
			}
			v.set(!p.Remove, at)
			if v.deleted && len(v.aliases) > 0 { // deleting takes the aliases away
				clear(v.aliases)
				v.unaliased = at
			}
			if v.deleted && v.serving && (v.ungated || p.Version == 0) {
				v.serving, v.left = false, at
			}
		}
	case events.ChangeAlias:
		for _, v := range r.versions[model] {
			if v.aliases[p.Key] {
				delete(v.aliases, p.Key)
				v.unaliased = at
			}
		}
		if !p.Remove && p.Version != 0 {
			r.version(model, p.Version).aliases[p.Key] = true
		}
	}
}

// deleted reports whether a file's owner, or its experiment, was deleted by the given time. What has no known owner is not.
func (r *reach) deleted(owner string, by time.Time) bool {
	o := r.owners[owner]
	if o == nil {
		return false
	}
	e := r.experiments[o.experiment]
	return o.gone(by) || (e != nil && e.gone(by))
}
