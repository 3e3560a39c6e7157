package mlflow

import (
	"context"
	"net/http"
	"strings"
	"unicode/utf8"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// Limits of a path of the artifact proxy, in bytes. A segment is a file's name where the client stores it.
const (
	maxPath    = 2048
	maxSegment = 255
)

// artifacts registers the artifact proxy and the calls that list and show a run's files.
func (a *api) artifacts() {
	const proxy = "/mlflow-artifacts/artifacts"
	a.handle(http.MethodGet, "/mlflow/artifacts/list", access.Read, listRunFiles)
	a.handle(http.MethodGet, proxy, access.Read, listFolder)
	a.handleRaw(http.MethodGet, proxy+"/{path...}", access.Read, downloadFile)
	a.handleRaw(http.MethodPut, proxy+"/{path...}", access.Log, uploadFile)
	a.handle(http.MethodDelete, proxy+"/{path...}", access.Log, removeFiles)
	for _, step := range []string{"create", "complete", "abort"} {
		a.handle(http.MethodPost, "/mlflow-artifacts/mpu/"+step+"/{path...}", access.Log, noMultipart)
	}
	a.router.add(http.MethodGet, "/get-artifact", "/get-artifact", route{role: access.Read, op: getArtifact})
	a.router.add(http.MethodGet, "/version", "/version", route{role: access.Read, op: version, limit: a.callTime})
}

// compatible is the release of MLflow whose clients this API is made for, the newest of them; what asks for the version decides by it what to call.
const compatible = "3.6.0"

func version(c *call) (any, error) {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = c.w.Write([]byte(compatible)) // the client has gone: nobody is left to tell
	return sent, nil
}

// noMultipart refuses uploads in parts, which clients use only where they are told to: a plain PUT has no limit of size that they would help with.
func noMultipart(*call) (any, error) {
	return nil, fault.New(fault.Unimplemented, "uploads in parts are not supported; PUT the file to mlflow-artifacts/artifacts")
}

// cleanPath checks the path of a file or, if a folder may be meant, of a folder: the root is empty then, and one slash may end it.
func cleanPath(path string, folder bool) (string, error) {
	if folder {
		path = strings.TrimSuffix(path, "/")
		if path == "" || path == "." {
			return "", nil
		}
	}
	bad := func(why string) (string, error) {
		return "", fault.New(fault.Invalid, "Invalid path %q: %s", cut(path), why)
	}
	switch {
	case path == "":
		return bad("it is empty")
	case len(path) > maxPath:
		return bad("it is longer than 2048 bytes")
	case !utf8.ValidString(path):
		return bad("it is not UTF-8")
	case strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return bad("it holds a control character")
	case strings.Contains(path, `\`):
		return bad("folders are separated by /")
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case segment == "":
			return bad("a folder's or file's name is empty")
		case segment == "." || segment == "..":
			return bad("names may not be . or ..")
		case len(segment) > maxSegment:
			return bad("a folder's or file's name is longer than 255 bytes")
		}
	}
	return path, nil
}

// under joins a checked folder and a checked path below it.
func under(folder, path string) string {
	switch {
	case path == "":
		return folder
	case folder == "":
		return path
	}
	return folder + "/" + path
}

// fileInfo is a file or folder on the wire.
type fileInfo struct {
	Path  string `json:"path"`
	IsDir bool   `json:"is_dir"`
	Size  *int64 `json:"file_size,omitempty"` // of files
}

// list returns what is in a folder, each path with a prefix. An unknown folder is empty.
func (c *call) list(folder, prefix string) ([]fileInfo, error) {
	entries, err := c.book.List(c.ctx, folder)
	if err != nil {
		return nil, err
	}
	files := make([]fileInfo, len(entries))
	for i, e := range entries {
		files[i] = fileInfo{Path: prefix + e.Name, IsDir: e.Dir}
		if !e.Dir {
			files[i].Size = &e.Size
		}
	}
	return files, nil
}

// runFiles returns a run's root: as the client knows it, and as a path of the proxy.
func (c *call) runFiles(id string) (uri, root string, err error) {
	r, err := c.book.RunByID(c.ctx, id)
	if err != nil {
		return "", "", err
	}
	root, ok := tracking.PathOf(r.ArtifactURI)
	if !ok {
		return "", "", fault.New(fault.Invalid, "the files of run %s are not in this registry but in %s", cut(id), cut(r.ArtifactURI))
	}
	return r.ArtifactURI, root, nil
}

func listRunFiles(c *call) (any, error) {
	var in struct {
		runKey
		Path string `json:"path"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("run_id", in.id()); err != nil {
		return nil, err
	}
	path, err := cleanPath(in.Path, true)
	if err != nil {
		return nil, err
	}
	uri, root, err := c.runFiles(in.id())
	if err != nil {
		return nil, err
	}
	prefix := ""
	if path != "" {
		prefix = path + "/"
	}
	files, err := c.list(under(root, path), prefix)
	if err != nil {
		return nil, err
	}
	return struct {
		Root  string     `json:"root_uri"`
		Files []fileInfo `json:"files,omitempty"`
	}{uri, files}, nil
}

func listFolder(c *call) (any, error) {
	var in struct {
		Path string `json:"path"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	path, err := cleanPath(in.Path, true)
	if err != nil {
		return nil, err
	}
	files, err := c.list(path, "")
	if err != nil {
		return nil, err
	}
	return struct {
		Files []fileInfo `json:"files,omitempty"`
	}{files}, nil
}

func removeFiles(c *call) (any, error) {
	path, err := cleanPath(strings.TrimSuffix(c.path("path"), "/"), false)
	if err != nil {
		return nil, err
	}
	return nil, c.book.RemoveFiles(c.ctx, path, c.actor())
}

// file finds a file within the time of a call, and leaves the context of the request to the transfer that follows. What belongs to a registered version
// is as it was registered.
func (c *call) file(path string) (tracking.File, error) {
	if f, ok := c.registered(path); ok {
		return f, nil
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.callTime)
	defer cancel()
	return c.book.File(ctx, path)
}

func downloadFile(c *call) (any, error) {
	path, err := cleanPath(c.path("path"), false)
	if err != nil {
		return nil, err
	}
	f, err := c.file(path)
	if err != nil {
		return nil, err
	}
	return c.send(f)
}

// getArtifact shows a run's file to pages.
func getArtifact(c *call) (any, error) {
	var in struct {
		runKey
		Path string `json:"path"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("run_id", in.id(), "path", in.Path); err != nil {
		return nil, err
	}
	path, err := cleanPath(in.Path, false)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.callTime)
	defer cancel()
	c.ctx = ctx
	_, root, err := c.runFiles(in.id())
	if err != nil {
		return nil, err
	}
	f, err := c.file(under(root, path))
	if err != nil {
		return nil, err
	}
	return c.send(f)
}
