package registry

import (
	"maps"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry/rollout"
)

// LiveFor is how long after its last sign an instance counts as live: three beats of instance.alive.
const LiveFor = 45 * time.Second

// Failure is an instance's last failed load.
type Failure struct {
	Version           int              `json:"version"`
	Digest            string           `json:"digest,omitempty"`
	PromotionSequence uint64           `json:"promotion_sequence"`
	Class             events.LoadClass `json:"class"`
	Reason            string           `json:"reason"`
	At                time.Time        `json:"at"`
	// Rollout is the revision whose candidate it was, 0 for Production.
	Rollout int `json:"rollout,omitempty"`
}

// Instance is what the registry knows of one inference instance and one model.
type Instance struct {
	Model string `json:"model"`
	events.Serving
	// SeenAt is the time of its last event, LoadedAt of its last load, which took LoadMS milliseconds.
	SeenAt    time.Time `json:"seen_at"`
	LoadedAt  time.Time `json:"loaded_at,omitzero"`
	LoadMS    float64   `json:"load_ms,omitempty"`
	Address   string    `json:"address,omitempty"`
	StartedAt time.Time `json:"started_at,omitzero"`
	// Predictions and Dropped are those of its last sign of life.
	Predictions uint64 `json:"predictions"`
	Dropped     uint64 `json:"dropped"`
	// Failure is nil once a load succeeded after it.
	Failure *Failure `json:"failure,omitempty"`
	// CandidateFailure is the last failed load of a rollout's candidate, nil once one succeeded after it.
	CandidateFailure *Failure `json:"candidate_failure,omitempty"`
}

// Live reports whether the instance gave a sign in the last [LiveFor].
func (i Instance) Live(now time.Time) bool { return now.Sub(i.SeenAt) < LiveFor }

type instanceKey struct{ model, instance string }

type instanceState struct {
	Instance
	sequence uint64
}

// Fleet is the fold of FLEET: what each instance serves, and which versions were ever loaded. Make one by [NewFleet]. It is not safe for
// concurrent use; what its methods return is the caller's own.
type Fleet struct {
	instances map[instanceKey]*instanceState
	loaded    map[bytesKey]map[string]Load // by instance
	measured  map[string]*rollout.Measurements
}

// bytesKey is a bundle of a model.
type bytesKey struct{ model, digest string }

// Load is an instance's first sign that it serves a bundle.
type Load struct {
	Instance string    `json:"instance"`
	At       time.Time `json:"at"`
}

// NewFleet returns an empty fleet.
func NewFleet() *Fleet {
	return &Fleet{
		instances: map[instanceKey]*instanceState{}, loaded: map[bytesKey]map[string]Load{}, measured: map[string]*rollout.Measurements{},
	}
}

// Apply folds one message of FLEET. Junk is ignored; of an instance's events the one with the greatest sequence counts, so they may come
// twice or, from two readers, out of order.
func (f *Fleet) Apply(r Record) {
	if r.Err != nil {
		return
	}
	name := r.Event.Model
	switch p := r.Event.Payload.(type) {
	case *events.ModelLoaded:
		f.prove(bytesKey{name, p.Digest}, Load{p.Instance, r.Time})
		i := f.instance(r, p.Serving)
		switch {
		case i == nil:
		case p.Rollout > 0: // what it serves as Production is as it was
			i.Boot, i.CandidateFailure = p.Boot, nil
		default:
			i.Serving, i.LoadedAt, i.LoadMS, i.Failure = p.Serving, r.Time, p.DurationMS, nil
		}
	case *events.ModelLoadFailed:
		i := f.instance(r, p.Serving)
		switch {
		case i == nil:
		case p.Rollout > 0:
			i.Boot = p.Boot
			i.CandidateFailure = failureOf(p, r.Time)
		default:
			i.Boot = p.Boot
			if i.Serving.Version != p.StillServing { // its load was forgotten, or came from its disk
				i.Serving = events.Serving{Instance: p.Instance, Boot: p.Boot, Version: p.StillServing}
			}
			i.Failure = failureOf(p, r.Time)
		}
	case *events.ServingMeasured:
		if f.measured[name] == nil {
			f.measured[name] = &rollout.Measurements{}
		}
		f.measured[name].Apply(r.Sequence, p)
		if i := f.instance(r, p.Serving); i != nil {
			i.Serving = p.Serving
		}
	case *events.InstanceAlive:
		if p.Version > 0 && p.Digest != "" {
			f.prove(bytesKey{name, p.Digest}, Load{p.Instance, r.Time})
		}
		if i := f.instance(r, p.Serving); i != nil {
			i.Serving, i.StartedAt, i.Predictions, i.Dropped = p.Serving, p.StartedAt, p.Predictions, p.Dropped
			if p.Address != "" {
				i.Address = p.Address
			}
		}
	}
}

func failureOf(p *events.ModelLoadFailed, at time.Time) *Failure {
	return &Failure{Version: p.Version, Digest: p.Digest, PromotionSequence: p.PromotionSequence, Class: p.Class, Reason: p.Reason, At: at, Rollout: p.Rollout}
}

// Measured returns what the instances of a model counted. It is shared, and must not be changed; nothing counted is no error.
func (f *Fleet) Measured(name string) *rollout.Measurements {
	if m := f.measured[name]; m != nil {
		return m
	}
	return &rollout.Measurements{}
}

func (f *Fleet) instance(r Record, s events.Serving) *instanceState {
	key := instanceKey{r.Event.Model, s.Instance}
	i := f.instances[key]
	if i == nil {
		i = &instanceState{Instance: Instance{Model: key.model}}
		f.instances[key] = i
	}
	if r.Sequence <= i.sequence {
		return nil
	}
	i.sequence, i.SeenAt, i.Instance.Instance = r.Sequence, r.Time, s.Instance
	return i
}

func (f *Fleet) prove(key bytesKey, l Load) {
	if f.loaded[key] == nil {
		f.loaded[key] = map[string]Load{}
	}
	if old, ok := f.loaded[key][l.Instance]; !ok || l.At.Before(old.At) {
		f.loaded[key][l.Instance] = l
	}
}

// Loaded reports whether any instance ever served this digest.
func (f *Fleet) Loaded(name, digest string) bool { return len(f.loaded[bytesKey{name, digest}]) > 0 }

// LoadedBy returns the instances that ever served this digest, by name.
func (f *Fleet) LoadedBy(name, digest string) []Load {
	out := []Load{}
	for _, l := range f.loaded[bytesKey{name, digest}] {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Load) int { return strings.Compare(a.Instance, b.Instance) })
	return out
}

// Instances returns the instances of a model by name, or of every model for "".
func (f *Fleet) Instances(name string) []Instance {
	var out []Instance
	for _, key := range slices.SortedFunc(maps.Keys(f.instances), func(a, b instanceKey) int {
		return strings.Compare(a.model+"\x00"+a.instance, b.model+"\x00"+b.instance)
	}) {
		if name == "" || key.model == name {
			out = append(out, f.instances[key].Instance)
		}
	}
	return out
}

// CandidateFailures is [Fleet.Failures] of a rollout's candidate, since the revision that began it: that it could not be loaded for an earlier rollout says
// nothing of this one.
func (f *Fleet) CandidateFailures(name string, version int, digest string, began int) []Instance {
	var out []Instance
	for _, i := range f.Instances(name) {
		bad := i.CandidateFailure
		if bad != nil && bad.Rollout >= began && bad.Class == events.LoadPermanent && bad.Version == version && (bad.Digest == digest || bad.Digest == "") {
			out = append(out, i)
		}
	}
	return out
}

// Failures returns the instances of a model, live or not, whose last word on a version and digest is that they can never load it.
func (f *Fleet) Failures(name string, version int, digest string) []Instance {
	var out []Instance
	for _, i := range f.Instances(name) {
		bad := i.Failure
		if bad != nil && bad.Class == events.LoadPermanent && bad.Version == version && (bad.Digest == digest || bad.Digest == "") {
			out = append(out, i)
		}
	}
	return out
}

// LiveCount counts the live instances of a model.
func (f *Fleet) LiveCount(name string, now time.Time) int {
	n := 0
	for _, i := range f.Instances(name) {
		if i.Live(now) {
			n++
		}
	}
	return n
}
