package collect

import (
	"maps"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/internal/artifact"
)

// Class says why an object is kept; see the package. One that several things point to counts under the first of them.
type Class string

// The classes, in the order in which they count.
const (
	KeptVersion    Class = "version"
	KeptAlias      Class = "alias"
	KeptProduction Class = "production"
	KeptRun        Class = "run"
	KeptModel      Class = "model"
	KeptShared     Class = "shared"
	KeptReleased   Class = "released"
	KeptUnread     Class = "unread"
	KeptRecent     Class = "recent"
)

// Classes returns all classes in the order in which they count. The slice is the caller's own.
func Classes() []Class {
	return []Class{KeptVersion, KeptAlias, KeptProduction, KeptRun, KeptModel, KeptShared, KeptReleased, KeptUnread, KeptRecent}
}

// marks is what a fold keeps, and what is to be taken out of what was deleted.
type marks struct {
	kept map[artifact.Digest]Class
	// expired are the paths of files whose owner was deleted before the cut-off, with the owner.
	expired map[string]file
}

func (m *marks) keep(c Class, ds ...artifact.Digest) {
	for _, d := range ds {
		if _, ok := m.kept[d]; !ok {
			m.kept[d] = c
		}
	}
}

// mark returns what the fold keeps: what is pointed to, or was until less than olderThan before now. A version in Production is pointed to until
// history after it left.
func (r *reach) mark(now time.Time, olderThan, history time.Duration) marks {
	cutoff, inHistory := now.Add(-olderThan), now.Add(-history)
	m := marks{kept: map[artifact.Digest]Class{}, expired: map[string]file{}}
	var all []*version
	for _, of := range r.versions {
		all = append(all, slices.Collect(maps.Values(of))...)
	}
	pick := func(c Class, keeps func(*version) bool) {
		for _, v := range all {
			if keeps(v) {
				m.keep(c, v.objects...)
				m.keep(c, r.completed[v.run]...)
			}
		}
	}
	pick(KeptVersion, func(v *version) bool { return !v.deleted })
	pick(KeptAlias, func(v *version) bool { return len(v.aliases) > 0 })
	pick(KeptProduction, func(v *version) bool { return v.serving || (v.promoted && v.left.After(inHistory)) })
	byVersion := maps.Clone(m.kept)
	r.markRuns(&m, byVersion, cutoff)
	pick(KeptReleased, func(v *version) bool {
		return !v.gone(cutoff) || v.unaliased.After(cutoff) || (v.promoted && v.left.After(inHistory.Add(-olderThan)))
	})
	for d, at := range r.released {
		if at.After(cutoff) {
			m.keep(KeptReleased, d)
		}
	}
	for d := range r.unread {
		m.keep(KeptUnread, d)
	}
	return m
}

// markRuns marks what runs, logged models and nobody in particular hold.
func (r *reach) markRuns(m *marks, byVersion map[artifact.Digest]Class, cutoff time.Time) {
	for id, ds := range r.completed {
		if !r.deleted(id, cutoff) {
			m.keep(KeptRun, ds...)
		}
	}
	var expiring []artifact.Digest
	for path, f := range r.files {
		class := KeptRun
		switch {
		case r.owners[f.owner] == nil:
			class = KeptShared
		case strings.HasPrefix(f.owner, "m-"):
			class = KeptModel
		}
		if !r.deleted(f.owner, cutoff) {
			m.keep(class, f.ref.Digest)
			continue
		}
		expiring = append(expiring, f.ref.Digest)
		if _, held := byVersion[f.ref.Digest]; !held {
			m.expired[path] = f
		}
	}
	m.keep(KeptReleased, expiring...) // released by the removal that is about to be published
}
