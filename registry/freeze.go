package registry

import (
	"strings"
	"sync"

	"telco-churn-mlops/registry/tracking"
)

// holds are the folders that this registry is registering versions from: nothing is stored there between the listing of their files and the
// version's event. Another registry holds nothing still for this one; the files are listed twice for that.
type holds struct {
	mu      sync.Mutex
	folders map[string]int
}

// hold holds a folder until release is called.
func (h *holds) hold(folder string) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.folders == nil {
		h.folders = map[string]int{}
	}
	h.folders[folder]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.folders[folder]--; h.folders[folder] == 0 {
			delete(h.folders, folder)
		}
	}
}

func (h *holds) covers(path string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return anyAbove(path, func(folder string) bool { return h.folders[folder] > 0 })
}

// frozen reports whether the files of a path below the artifact root are part of a registered version, or of one that is being registered.
func (s *Service) frozen(path string) (yes bool) {
	if s.held.covers(path) {
		return true
	}
	s.View(func(c *Catalog, _ *Fleet) { yes = c.Frozen(path) })
	return yes
}

// Frozen reports whether the file at a path below the artifact root belongs to a version that is not deleted: it is the folder that one was
// registered from, or below it.
func (c *Catalog) Frozen(path string) bool {
	return anyAbove(path, func(folder string) bool { return c.sources[folder] > 0 })
}

// anyAbove reports whether is is true of a path or of a folder that it lies in. A folder of nobody in particular, above those of runs and logged
// models, says nothing of theirs.
func anyAbove(path string, is func(folder string) bool) bool {
	owner, _ := tracking.OwnerOf(path)
	for {
		if above, _ := tracking.OwnerOf(path); above != owner {
			return false
		}
		if is(path) {
			return true
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return false
		}
		path = path[:i]
	}
}
