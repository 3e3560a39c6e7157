package registry

import (
	"maps"
	"slices"
	"time"

	"telco-churn-mlops/events"
)

// Record is one message of LIFECYCLE as the fold needs it: where it stands, and what it says.
type Record struct {
	Sequence uint64
	Time     time.Time // when it was stored
	Subject  string
	Event    events.Event
	Err      error // why it could not be decoded; Event is zero then
}

// RunState says how far a run has come.
type RunState string

const (
	RunOpen      RunState = "open"      // started, not ended
	RunCompleted RunState = "completed" // made a model, or only logged one
	RunFailed    RunState = "failed"    // ended without a model
	RunRefused   RunState = "refused"   // completed, but its bundle proved unusable: no version
)

// Run is one training run. The pointers are nil while the event is missing.
type Run struct {
	Model     string               `json:"model"`
	ID        string               `json:"run_id"`
	State     RunState             `json:"state"`
	Started   *events.RunStarted   `json:"started,omitempty"`
	Completed *events.RunCompleted `json:"completed,omitempty"`
	Failed    *events.RunFailed    `json:"failed,omitempty"`
	// Began is the sequence of the run's first event. Sequence and At are those of its latest.
	Began    uint64    `json:"began"`
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"`
	// Version is the number that the run's model got, 0 for none.
	Version int `json:"version"`
	// Refused is why a completed run got no version.
	Refused string `json:"refused,omitempty"`
	// Unregistered is true of a run that an MLflow client registered, and that has no version: the registry ended between the two events, and the client
	// was told nothing, or that it failed. Registering again finishes it.
	Unregistered bool `json:"unregistered,omitempty"`
}

// Experiment returns the name under which the run is shown: its own, or the model's name for a run that has not said one yet.
func (r Run) Experiment() string {
	if r.Completed != nil {
		return r.Completed.Experiment
	}
	return r.Model + "-training"
}

// Version is one registered version with everything that happened to it.
type Version struct {
	events.ModelRegistered
	// Model is the model's key, which its subjects name, and ModelName the name that it has now.
	Model     string       `json:"model"`
	ModelName string       `json:"model_name"`
	Sequence  uint64       `json:"sequence"`
	At        time.Time    `json:"registered_at"`
	UpdatedAt time.Time    `json:"updated_at"`
	Stage     events.Stage `json:"stage"`
	// User is who registered it, empty for the trainer's.
	User string `json:"user,omitempty"`
	// Gate is the verdict, nil before there is one; GatedAt is when.
	Gate    *events.ModelGated `json:"gate,omitempty"`
	GatedAt time.Time          `json:"gated_at,omitzero"`
	// Promoted holds the sequences of the promotions of this version, repairs left out.
	Promoted []uint64 `json:"promoted,omitempty"`
	// Refuted is true once a rollback found it unloadable, or that it broke a limit of its watch.
	Refuted bool `json:"refuted,omitempty"`
	// Rollout is the last change of a rollout of this version, nil if there was none.
	Rollout *Rollout `json:"rollout,omitempty"`
	tried   bool     // was the candidate of a canary, so that no gate begins another one
	// Archived and Deleted are set by hand. Neither takes a version out of Production: only a promotion does.
	Archived    bool              `json:"archived,omitempty"`
	Deleted     bool              `json:"deleted,omitempty"`
	Description string            `json:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	// Aliases are the names that point at the version, sorted. In a model with gates the champion's is among them while it is Production.
	Aliases []string `json:"aliases,omitempty"`
}

// Servable reports whether an instance can serve the version, and why not if none can.
func (v Version) Servable() (ok bool, reason string) {
	if v.Unservable == "" && v.Bundle.Digest == "" {
		return false, "it has no bundle"
	}
	return v.Unservable == "", v.Unservable
}

// Passed reports whether the version's verdict let it into Staging.
func (v Version) Passed() bool {
	return v.Gate != nil && v.Gate.Verdict != events.VerdictRejected
}

// Promotion is one valid message on model.promoted.
type Promotion struct {
	events.ModelPromoted
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"`
	// Restates is true for a repair that says what was true before it.
	Restates bool `json:"restates,omitempty"`
}

// Catalog is the fold of LIFECYCLE: runs, versions, verdicts, stages and promotions of every model. The zero value is not usable, make one by
// [NewCatalog]. It is not safe for concurrent use; what its methods return is the caller's own, but the events that pointers lead to are
// shared and must not be changed.
type Catalog struct {
	// Champion is the alias that stands for Production in models with gates; [DefaultChampion] unless set before the first use.
	Champion string
	// Spec is the key of the model that has the gates of a spec even before a trainer said anything of it; none if empty. It is set before the
	// first use, too.
	Spec string

	models     map[string]*modelFold
	names      map[string]string // of the models that are not deleted, to their keys
	sources    map[string]int    // folders that versions were registered from, and how many
	through    uint64
	junk       uint64
	faults     map[uint64]error
	faultOrder []uint64
	refusals   map[uint64]string // by the sequence of the run.completed
}

// NewCatalog returns an empty catalog.
func NewCatalog() *Catalog {
	return &Catalog{
		Champion: DefaultChampion, models: map[string]*modelFold{}, names: map[string]string{}, sources: map[string]int{},
		faults: map[uint64]error{}, refusals: map[uint64]string{},
	}
}

// Through returns the greatest sequence applied so far.
func (c *Catalog) Through() uint64 { return c.through }

// Junk counts the messages that could not be decoded.
func (c *Catalog) Junk() uint64 { return c.junk }

// Fault returns why the valid message at a sequence of LIFECYCLE was left out of the fold: it contradicts an earlier one. The last
// 1000 are remembered.
func (c *Catalog) Fault(sequence uint64) error { return c.faults[sequence] }

// Models returns the keys of all models, sorted: also of those that have runs alone, and of deleted ones. A model's key is the name it was made
// under, unless another model had that name as its key.
func (c *Catalog) Models() []string { return slices.Sorted(maps.Keys(c.models)) }

// Expected returns the last sequence on the subject of type t for a model, which the next compare-and-set expects; 0 for none.
func (c *Catalog) Expected(t events.Type, name string) uint64 {
	if m := c.models[name]; m != nil {
		return m.last[t]
	}
	return 0
}

// NextVersion returns the number that the next registration must carry.
func (c *Catalog) NextVersion(name string) int { return len(c.versions(name)) + 1 }

func (c *Catalog) versions(name string) []*Version {
	if m := c.models[name]; m != nil {
		return m.versions
	}
	return nil
}

// Version returns version n of a model, and false if there is none.
func (c *Catalog) Version(name string, n int) (Version, bool) {
	vs := c.versions(name)
	if n < 1 || n > len(vs) {
		return Version{}, false
	}
	return c.copyVersion(name, vs[n-1], c.models[name].pointers(c.Champion)), true
}

// Versions returns the versions of a model, newest first.
func (c *Catalog) Versions(name string) []Version {
	m := c.models[name]
	if m == nil {
		return []Version{}
	}
	aliases := m.pointers(c.Champion)
	out := make([]Version, 0, len(m.versions))
	for _, v := range slices.Backward(m.versions) {
		out = append(out, c.copyVersion(name, v, aliases))
	}
	return out
}

// VersionOfRun returns the first version that a run got, and false if it has none.
func (c *Catalog) VersionOfRun(name, runID string) (Version, bool) {
	if m := c.models[name]; m != nil {
		return c.Version(name, m.byRun[runID])
	}
	return Version{}, false
}

func (c *Catalog) copyVersion(key string, v *Version, aliases map[string]int) Version {
	out := *v
	out.Promoted = slices.Clone(v.Promoted)
	out.Tags = maps.Clone(v.Tags)
	out.ModelName, out.Aliases = c.models[key].name, nil
	for alias, n := range aliases {
		if n == v.Version {
			out.Aliases = append(out.Aliases, alias)
		}
	}
	slices.Sort(out.Aliases)
	return out
}

// Runs returns the runs of a model, newest first.
func (c *Catalog) Runs(name string) []Run {
	m := c.models[name]
	if m == nil {
		return nil
	}
	out := make([]Run, 0, len(m.runOrder))
	for _, id := range slices.Backward(m.runOrder) {
		out = append(out, c.copyRun(m.runs[id]))
	}
	return out
}

func (c *Catalog) copyRun(r *Run) Run {
	out := *r
	if reason, ok := c.refusals[r.Sequence]; ok && r.State == RunCompleted && r.Version == 0 {
		out.State, out.Refused = RunRefused, reason
	}
	if r.State == RunCompleted && r.Version == 0 && r.Completed.SpecDigest == "" { // the trainer's follow a spec, and have a bundle
		_, bundled := find(r.Completed.Artifacts, events.ArtifactBundle)
		out.Unregistered = !bundled
	}
	return out
}

// Run returns a run of any model by its id, and false if there is none.
func (c *Catalog) Run(id string) (Run, bool) {
	for _, name := range c.Models() {
		if r := c.models[name].runs[id]; r != nil {
			return c.copyRun(r), true
		}
	}
	return Run{}, false
}

// RunOf returns a run of a model by its id, and false if there is none.
func (c *Catalog) RunOf(key, id string) (Run, bool) {
	if m := c.models[key]; m != nil && m.runs[id] != nil {
		return c.copyRun(m.runs[id]), true
	}
	return Run{}, false
}

// Promotions returns the valid promotions of a model, newest first.
func (c *Catalog) Promotions(name string) []Promotion {
	m := c.models[name]
	if m == nil {
		return nil
	}
	out := slices.Clone(m.promotions)
	slices.Reverse(out)
	return out
}

// Promotion returns the valid message that says what is Production, and false before there is one. Its version is 0 if the model was
// withdrawn.
func (c *Catalog) Promotion(name string) (Promotion, bool) {
	m := c.models[name]
	if m == nil || len(m.promotions) == 0 {
		return Promotion{}, false
	}
	return m.promotions[len(m.promotions)-1], true
}

// Production returns the Production version of a model, and false if there is none.
func (c *Catalog) Production(name string) (Version, bool) {
	p, ok := c.Promotion(name)
	if !ok {
		return Version{}, false
	}
	return c.Version(name, p.ModelPromoted.Version)
}

// Settled returns the promotion that set what is Production, looking through the repairs that only restate it, and false before
// there is one.
func (c *Catalog) Settled(name string) (Promotion, bool) {
	for _, p := range c.Promotions(name) {
		if !p.Restates {
			return p, true
		}
	}
	return Promotion{}, false
}

// Withdrawn returns the withdrawal because of which a model has no Production, and false if it was not withdrawn.
func (c *Catalog) Withdrawn(name string) (Promotion, bool) {
	p, ok := c.Settled(name)
	if !ok || p.Version != 0 {
		return Promotion{}, false
	}
	return p, true
}

// ChangedSince reports whether a promotion after the given sequence changed what is Production. Repairs change nothing.
func (c *Catalog) ChangedSince(name string, sequence uint64) bool {
	p, ok := c.Settled(name)
	return ok && p.Sequence > sequence
}

// JunkTail returns the promotion to restate if the last message on model.promoted is junk, and false if nothing needs repair. Junk before
// any promotion needs none: there is nothing to restate.
func (c *Catalog) JunkTail(name string) (Promotion, bool) {
	if m := c.models[name]; m == nil || !m.junk {
		return Promotion{}, false
	}
	return c.Promotion(name)
}

// Refuted reports whether a rollback refuted this digest.
func (c *Catalog) Refuted(name, digest string) bool {
	m := c.models[name]
	return m != nil && m.isRefuted(digest)
}

// Overtaken reports whether the version passed every gate, but another promotion came before its own, or before its canary began. It stays in
// Staging, to be promoted by hand.
func (c *Catalog) Overtaken(v Version) bool {
	return c.promotable(v) && !v.tried && c.ChangedSince(v.Model, v.Gate.PromotionSequence)
}

func (c *Catalog) promotable(v Version) bool {
	return v.Gate != nil && v.Gate.Verdict == events.VerdictPromotable && len(v.Promoted) == 0
}

// Unjudged returns the versions without a verdict, oldest first. A deleted one is never judged. Versions of a model without gates have none.
func (c *Catalog) Unjudged(name string) []Version {
	if !c.Gated(name) {
		return nil
	}
	return c.pick(name, func(v *Version) bool { return v.Gate == nil && !v.Deleted })
}

// Unpromoted returns the versions whose promotion is due, oldest first: promotable, never promoted nor tried
// in a canary, and not overtaken, archived or deleted.
func (c *Catalog) Unpromoted(name string) []Version {
	return c.pick(name, func(v *Version) bool { return c.due(*v) })
}

func (c *Catalog) due(v Version) bool {
	return c.promotable(v) && !v.tried && v.Stage != events.StageNone && !v.Archived && !v.Deleted && !c.ChangedSince(v.Model, v.Gate.PromotionSequence)
}

func (c *Catalog) pick(name string, due func(*Version) bool) []Version {
	var out []Version
	for _, v := range c.versions(name) {
		if due(v) {
			out = append(out, c.copyVersion(name, v, c.models[name].pointers(c.Champion)))
		}
	}
	return out
}

// Earlier returns the versions that a rollback of a model could go back to, the best first: those that were Production before the present one,
// newest first. What a rollback left behind is not among them, so that two rollbacks go back two steps. Deleted and refuted versions
// are left out.
func (c *Catalog) Earlier(name string) []Version {
	m := c.models[name]
	if m == nil || len(m.history) == 0 {
		return nil
	}
	present := m.history[len(m.history)-1]
	seen := map[int]bool{present: true}
	var out []Version
	for _, n := range slices.Backward(m.history[:len(m.history)-1]) {
		v, ok := c.Version(name, n)
		if !ok || seen[n] || v.Deleted || m.isRefuted(v.Bundle.Digest) {
			continue
		}
		seen[n] = true
		out = append(out, v)
	}
	return out
}
