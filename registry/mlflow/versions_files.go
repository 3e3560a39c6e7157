package mlflow

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

func (a *api) versionFiles() {
	a.router.add(http.MethodGet, "/model-versions/get-artifact", "/model-versions/get-artifact", route{role: access.Read, op: versionFile})
}

// fileNamed returns the file of a manifest that has a path, and false if none has.
func fileNamed(files []events.Artifact, path string) (events.Artifact, bool) {
	for _, f := range files {
		if f.Name == path {
			return f, true
		}
	}
	return events.Artifact{}, false
}

// versionFile sends one file of a version by its manifest: whatever happened below its source since, these are the bytes that were registered.
func versionFile(c *call) (any, error) {
	var in struct {
		versionNamed
		Path string `json:"path"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("path", in.Path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.callTime)
	defer cancel()
	c.ctx = ctx
	v, err := c.version(in.versionNamed)
	if err != nil {
		return nil, err
	}
	f, ok := fileNamed(v.Artifacts, strings.Trim(in.Path, "/"))
	if !ok {
		return nil, fault.New(fault.NotFound, "version %d of %s has no file %s", v.Version, cut(v.ModelName), cut(in.Path))
	}
	return c.send(tracking.File{Path: f.Name, Digest: artifact.Digest(f.Digest), Size: f.SizeBytes})
}

// manifests is an index of the versions that are not deleted. It is a fold of the catalog, made anew when that has grown and somebody asks.
type manifests struct {
	mu      sync.Mutex
	through uint64
	// folders is by the folder below the artifact root that a version was registered from, logged by the id of the logged model.
	folders map[string]manifest
	logged  map[string][]wireRegistration
}

// manifest is what was first registered from a folder.
type manifest struct {
	sequence uint64
	files    []events.Artifact
}

// of returns the indexes of a catalog, which are not changed any more.
func (m *manifests) of(c *registry.Catalog) (map[string]manifest, map[string][]wireRegistration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.folders != nil && m.through == c.Through() {
		return m.folders, m.logged
	}
	folders, logged := map[string]manifest{}, map[string][]wireRegistration{}
	for it := range versionItems(viewOf(c), "", false) {
		folder, ours := tracking.PathOf(it.Source)
		if first, known := folders[folder]; ours && (!known || it.Sequence < first.sequence) {
			folders[folder] = manifest{it.Sequence, it.Artifacts}
		}
		if it.ModelID != "" {
			logged[it.ModelID] = append(logged[it.ModelID], wireRegistration{it.ModelName, strconv.Itoa(it.Version.Version)})
		}
	}
	for _, list := range logged {
		slices.Reverse(list) // ascending within a model
	}
	m.folders, m.logged, m.through = folders, logged, c.Through()
	return folders, logged
}

// registered returns the file at a path below the artifact root as it was when a version was registered from a folder above it, and false if none
// was. A write that was on its way then, at another registry perhaps, can have changed what stands at the path; what is registered it can't change.
func (a *api) registered(path string) (f tracking.File, ok bool) {
	a.s.View(func(c *registry.Catalog, _ *registry.Fleet) {
		if !c.Frozen(path) {
			return
		}
		folders, _ := a.manifests.of(c)
		name := path[strings.LastIndexByte(path, '/')+1:] // of a source that is a file
		for folder := path; folder != ""; {
			if entry, is := fileNamed(folders[folder].files, name); is {
				f, ok = tracking.File{Path: path, Digest: artifact.Digest(entry.Digest), Size: entry.SizeBytes}, true
				return
			}
			folder = folder[:max(0, strings.LastIndexByte(folder, '/'))]
			name = strings.TrimPrefix(path[len(folder):], "/")
		}
	})
	return f, ok
}

func downloadURI(c *call) (any, error) {
	var in versionNamed
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	v, err := c.version(in)
	if err != nil {
		return nil, err
	}
	w, err := c.answerVersion(v)
	if err != nil {
		return nil, err
	}
	return struct {
		URI string `json:"artifact_uri"`
	}{w.Version.Source}, nil
}
