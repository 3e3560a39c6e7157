package registry

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/events"
)

// modelFold is the fold of one model.
type modelFold struct {
	key, name  string
	runs       map[string]*Run
	runOrder   []string
	versions   []*Version // version n at n-1
	promotions []Promotion
	history    []int // versions that were Production, the present one last; a rollback takes off what it goes back over
	byRun      map[string]int
	refuted    map[string]bool // digests
	// last holds the last sequence of each subject, junk included: what a compare-and-set expects.
	last map[events.Type]uint64
	// junk is true while the last message on model.promoted could not be decoded.
	junk bool
	// rollouts are the changes of rollouts, open the last one of one that did not end, nil if none runs, and begun its first.
	rollouts    []Rollout
	open, begun *Rollout
	// astray is why the last promotion does not stand, nil if it does; firm is the version of the last one that did, 0 for none.
	astray error
	firm   int

	// exists is true once the model was created or has a version; deleted while it is deleted. trained is true if a trainer follows its spec.
	exists, deleted, trained bool
	created, updated         time.Time
	user, description        string
	tags                     map[string]string
	aliases                  map[string]int
	gates                    *Gates
	freed                    bool // gates were taken away: who registers for them could not know yet
	audit                    []Change
}

func newModelFold(key string) *modelFold {
	return &modelFold{
		key: key, runs: map[string]*Run{}, byRun: map[string]int{}, refuted: map[string]bool{}, last: map[events.Type]uint64{},
		tags: map[string]string{}, aliases: map[string]int{},
	}
}

// gated reports whether the model has gates.
func (m *modelFold) gated() bool { return m.trained || m.gates != nil }

// isRefuted reports whether a rollback refuted these bytes; what has no bundle was never loaded, and never refuted.
func (m *modelFold) isRefuted(digest string) bool { return digest != "" && m.refuted[digest] }

// production returns the version that model.promoted names, 0 for none.
func (m *modelFold) production() int {
	if n := len(m.promotions); n > 0 {
		return m.promotions[n-1].Version
	}
	return 0
}

// pointers returns the aliases with what they point at.
func (m *modelFold) pointers(champion string) map[string]int {
	out := maps.Clone(m.aliases)
	if m.gated() {
		delete(out, champion)
		if v := m.version(m.production()); v != nil && !v.Deleted && !m.deleted {
			out[champion] = v.Version
		}
	}
	return out
}

func (m *modelFold) version(n int) *Version {
	if n < 1 || n > len(m.versions) {
		return nil
	}
	return m.versions[n-1]
}

// touch notes when a version, and with it its model, changed last.
func (m *modelFold) touch(at time.Time, vs ...*Version) {
	m.updated = at
	for _, v := range vs {
		v.UpdatedAt = at
	}
}

// appear gives a model that the stream speaks of for the first time its name, which is its key, and one that comes back after it was deleted the
// name it had. If that is another model's now, a number tells the two apart.
func (c *Catalog) appear(m *modelFold) {
	name := m.name
	if name == "" {
		name = m.key
	}
	plain := name
	for n := 2; c.names[name] != "" && c.names[name] != m.key; n++ {
		name = fmt.Sprintf("%s (%d)", plain, n)
	}
	m.name, m.deleted = name, false
	c.names[name] = m.key
}

// claim gives a model a name that nobody else has.
func (c *Catalog) claim(m *modelFold, name string) error {
	if other, taken := c.names[name]; taken && other != m.key {
		return fmt.Errorf("the name %q is that of another model", name)
	}
	if c.names[m.name] == m.key {
		delete(c.names, m.name)
	}
	m.name = name
	c.names[name] = m.key
	return nil
}

// free gives a deleted model's name back.
func (c *Catalog) free(m *modelFold) {
	if c.names[m.name] == m.key {
		delete(c.names, m.name)
	}
}

// keyFor returns the key for a model that is created under a free name: that of the deleted model that had the name last, so that its numbers
// go on; else the name itself; else, if that is taken or too long for a subject, one made of both and a digest.
func (c *Catalog) keyFor(name string) string {
	best, at := "", uint64(0)
	for key, m := range c.models {
		if m.deleted && m.name == name && m.last[events.TypeModelChanged] > at {
			best, at = key, m.last[events.TypeModelChanged]
		}
	}
	if best != "" {
		return best
	}
	if len(name) <= events.MaxModelName && c.models[name] == nil {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	stem := strings.ToValidUTF8(name[:min(len(name), 100)], "")
	for n := 1; ; n++ {
		key := fmt.Sprintf("%s~%x", stem, sum[:6])
		if n > 1 {
			key = fmt.Sprintf("%s.%d", key, n)
		}
		if c.models[key] == nil {
			return key
		}
	}
}

// remaining returns the version that stays in Production when one leaves it: of the others the one promoted last, 0 for none.
func (m *modelFold) remaining(leaving int) int {
	best, at := 0, uint64(0)
	for _, v := range m.versions {
		if v.Version == leaving || v.Stage != events.StageProduction || len(v.Promoted) == 0 {
			continue
		}
		if last := v.Promoted[len(v.Promoted)-1]; last > at {
			best, at = v.Version, last
		}
	}
	return best
}

// inProduction returns the numbers of the versions in Production, ascending: one at most in a model with gates.
func (m *modelFold) inProduction() []int {
	var out []int
	for _, v := range m.versions {
		if v.Stage == events.StageProduction {
			out = append(out, v.Version)
		}
	}
	slices.Sort(out)
	return out
}
