package collect

import (
	"maps"
	"slices"
	"strings"
	"time"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry/tracking"
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
	// expired are the files whose owner was deleted before the cut-off, by their owner's folder.
	expired map[string]*expiry
}

// expiry is a folder with the files of one deleted owner: those that go, and those that stay as they belong to a version. A folder of which all
// goes is taken away as one.
type expiry struct{ files, held []tracking.File }

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
	m := marks{kept: map[artifact.Digest]Class{}, expired: map[string]*expiry{}}
	var all []*version
	for _, of := range r.models {
		all = append(all, slices.Collect(maps.Values(of.versions))...)
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
	pick(KeptAlias, func(v *version) bool { return v.aliased })
	pick(KeptProduction, func(v *version) bool { return v.serving || (v.promoted && v.left.After(inHistory)) })
	r.markRuns(&m, cutoff)
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
func (r *reach) markRuns(m *marks, cutoff time.Time) {
	for id, ds := range r.completed {
		if !r.remains.Gone(id, cutoff) {
			m.keep(KeptRun, ds...)
		}
	}
	var expiring []artifact.Digest
	r.remains.Files(func(f tracking.File) {
		owner, _ := tracking.OwnerOf(f.Path)
		class := KeptRun
		switch {
		case !r.remains.Owned(owner):
			class = KeptShared
		case strings.HasPrefix(owner, "m-"):
			class = KeptModel
		}
		if !r.remains.Gone(owner, cutoff) {
			m.keep(class, f.Digest)
			return
		}
		expiring = append(expiring, f.Digest)
		folder := folderOf(f.Path, owner)
		e := m.expired[folder]
		if e == nil {
			e = &expiry{}
			m.expired[folder] = e
		}
		if r.catalog.Frozen(f.Path) {
			e.held = append(e.held, f)
		} else {
			e.files = append(e.files, f)
		}
	})
	m.keep(KeptReleased, expiring...) // released by the removal that is about to be published
}

// folderOf returns the path up to the owner's id, which is one of its parts: all files below are the owner's.
func folderOf(path, owner string) string {
	end := 0
	for part := range strings.SplitSeq(path, "/") {
		if end += len(part); part == owner {
			break
		}
		end++
	}
	return path[:end]
}

// taken returns the paths of the removals that take away an expiry's files and nothing else: the folder, or one by one.
func (e *expiry) taken(folder string) []string {
	switch {
	case len(e.files) == 0:
		return nil
	case len(e.held) == 0:
		return []string{folder}
	}
	above := map[string]bool{} // what is a file and, of clients that raced, also a folder of what stays
	for _, f := range e.held {
		for i, c := range f.Path {
			if c == '/' {
				above[f.Path[:i]] = true
			}
		}
	}
	var paths []string
	for _, f := range e.files {
		if !above[f.Path] {
			paths = append(paths, f.Path)
		}
	}
	return paths
}
