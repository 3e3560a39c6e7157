package registry

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

// maxSourceBytes bounds the URI that a version is registered from.
const maxSourceBytes = 4096

// outsideStore is why a version can't be served whose files this server does not have.
const outsideStore = "artifacts outside this server's store"

// origin is where a version comes from.
type origin struct {
	// uri is the source as the version keeps it: runs:/ and models:/ are resolved, anything else is as the client said.
	uri string
	// folder is the path below the artifact root, and inside true, if the files are this server's.
	folder string
	inside bool
	// run is the run that it belongs to, nil for none that is known. runID is what the version says, known or not.
	run     *tracking.Run
	runID   string
	modelID string
}

// sourceFolder returns the folder below the artifact root that a source names, and false if it names none.
func sourceFolder(uri string) (string, bool) {
	path, ok := tracking.PathOf(uri)
	return path, ok && path != ""
}

// resolve finds out what a source names. The rules are MLflow's: a path of this server must not lead upwards, and a local one must be in the
// artifacts of the run that the client names.
func (s *Service) resolve(ctx context.Context, n NewVersion) (origin, error) {
	o := origin{uri: n.Source, runID: n.RunID, modelID: n.ModelID}
	scheme, rest := schemeOf(n.Source)
	switch {
	case n.Source == "":
		return o, fault.New(fault.Invalid, "source is required")
	case len(n.Source) > maxSourceBytes || !utf8.ValidString(n.Source) || strings.ContainsFunc(n.Source, isControl):
		return o, fault.New(fault.Invalid, "source must be text of at most %d bytes", maxSourceBytes)
	case leadsUp(n.Source):
		return o, fault.New(fault.Invalid, "source %s must not hold \"..\"", quoted(n.Source))
	}
	if err := s.resolveRun(ctx, &o); err != nil {
		return o, err
	}
	switch scheme {
	case "runs":
		if err := s.resolveRunPath(ctx, &o, rest); err != nil {
			return o, err
		}
	case "models":
		if err := s.resolveModel(ctx, &o, rest); err != nil {
			return o, err
		}
	case "", "file":
		if o.run == nil || !within(n.Source, o.run.ArtifactURI) {
			return o, fault.New(fault.Invalid, "Invalid model version source: '%s'. To use a local path as a model version source, "+
				"the run_id request parameter has to be specified and the local path has to be contained within the artifact directory of the run "+
				"specified by the run_id", quoted(n.Source))
		}
	}
	if err := s.resolveFolder(ctx, &o); err != nil {
		return o, err
	}
	if o.inside && o.run == nil && o.runID == "" {
		if err := s.resolveOwner(ctx, &o); err != nil {
			return o, err
		}
	}
	return o, s.refuseDeleted(o)
}

// refuseDeleted refuses files that garbage collection may take away while a version is made of them: those of a deleted run or logged model, unless
// another version holds them already.
func (s *Service) refuseDeleted(o origin) error {
	if !o.inside || !s.book.Deleted(o.folder) {
		return nil
	}
	held := false
	s.View(func(c *Catalog, _ *Fleet) { held = c.Frozen(o.folder) })
	if held {
		return nil
	}
	return fault.New(fault.Invalid, "source %s is of a run or logged model that is deleted: restore it first", quoted(o.uri))
}

// resolveFolder finds the folder of this server that a source names, and brings its URI to the one form by which everyone finds the same files: without a
// host, as there is no other whose files are frozen here, and without escapes.
func (s *Service) resolveFolder(ctx context.Context, o *origin) error {
	scheme, rest := schemeOf(o.uri)
	if scheme+":" != tracking.DefaultArtifactRoot {
		return nil
	}
	if o.folder, o.inside = sourceFolder(tracking.DefaultArtifactRoot + rest); !o.inside {
		return fault.New(fault.Invalid, "source %s names no folder", quoted(o.uri))
	}
	if strings.ContainsAny(o.folder, "%?#") {
		return fault.New(fault.Invalid, "source %s must not hold %%, ? or #", quoted(o.uri))
	}
	o.uri = tracking.DefaultArtifactRoot + "/" + o.folder
	if _, owned := tracking.OwnerOf(o.folder); owned {
		return nil
	}
	files, err := s.book.Under(ctx, o.folder)
	if err != nil {
		return faultOf(err)
	}
	if len(files) == 0 {
		return fault.New(fault.Invalid, "source %s is of no run and no logged model, and holds no files", quoted(o.uri))
	}
	for _, f := range files {
		if id, owned := tracking.OwnerOf(f.Path); owned {
			return fault.New(fault.Invalid, "source %s holds files of %s: a version is made of the files of one run or logged model", quoted(o.uri), id)
		}
	}
	return nil
}

// resolveRun looks up the run that the client names. One that is not known is taken as it is, as MLflow does.
func (s *Service) resolveRun(ctx context.Context, o *origin) error {
	if o.runID == "" {
		return nil
	}
	run, err := s.book.RunByID(ctx, o.runID)
	switch {
	case err == nil:
		o.run = &run
	case fault.CodeOf(err) != fault.NotFound && fault.CodeOf(err) != fault.Invalid:
		return err
	case len(o.runID) > maxTagKeyBytes || !utf8.ValidString(o.runID):
		return fault.New(fault.Invalid, "run_id must be text of at most %d bytes", maxTagKeyBytes)
	}
	return nil
}

// resolveRunPath resolves runs:/<run id>/<path>.
func (s *Service) resolveRunPath(ctx context.Context, o *origin, rest string) error {
	id, path, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
	run, err := s.book.RunByID(ctx, id)
	if err != nil {
		return err
	}
	o.uri = strings.TrimRight(run.ArtifactURI, "/")
	if path = strings.Trim(path, "/"); path != "" {
		o.uri += "/" + path
	}
	if o.run == nil && o.runID == "" {
		o.run, o.runID = &run, run.ID
	}
	return nil
}

// resolveModel resolves models:/m-<id> of MLflow 3, models:/<name>/<version> and models:/<name>@<alias>.
func (s *Service) resolveModel(ctx context.Context, o *origin, rest string) error {
	ref := strings.Trim(rest, "/")
	if id, sub, _ := strings.Cut(ref, "/"); strings.HasPrefix(id, "m-") && !strings.Contains(sub, "/") {
		lm, err := s.book.LoggedModel(ctx, id)
		if err == nil {
			o.uri, o.modelID = strings.TrimRight(lm.ArtifactURI, "/"), id
			if sub != "" {
				o.uri += "/" + sub
			}
			if o.runID == "" {
				o.runID = lm.SourceRunID
				return s.resolveRun(ctx, o)
			}
			return nil
		}
		if fault.CodeOf(err) != fault.NotFound || sub == "" {
			return err
		}
	}
	v, err := s.referred(ctx, ref)
	if err != nil {
		return err
	}
	if o.uri = v.Source; v.Source == "" { // the trainer's: its run's files
		run, err := s.book.RunByID(ctx, v.RunID)
		if err != nil {
			return err
		}
		o.uri = run.ArtifactURI
	}
	if o.modelID == "" {
		o.modelID = v.ModelID
	}
	if o.runID == "" {
		o.runID = v.RunID
		return s.resolveRun(ctx, o)
	}
	return nil
}

// referred returns the version that <name>/<version> or <name>@<alias> names.
func (s *Service) referred(ctx context.Context, ref string) (Version, error) {
	if i := strings.LastIndexByte(ref, '@'); i > 0 && !strings.Contains(ref[i:], "/") {
		return s.ByAlias(ctx, ref[:i], ref[i+1:])
	}
	i := strings.LastIndexByte(ref, '/')
	if i <= 0 {
		return Version{}, fault.New(fault.Invalid, "source models:/%s names no version", quoted(ref))
	}
	n, err := strconv.Atoi(ref[i+1:])
	if err != nil || strconv.Itoa(n) != ref[i+1:] {
		return Version{}, fault.New(fault.Invalid, "source models:/%s names no version", quoted(ref))
	}
	m, err := s.Model(ctx, ref[:i])
	if err != nil {
		return Version{}, err
	}
	var v Version
	s.View(func(c *Catalog, _ *Fleet) { v, err = known(c, m.Key, n) })
	return v, err
}

// resolveOwner finds the run or logged model in whose files a folder lies.
func (s *Service) resolveOwner(ctx context.Context, o *origin) error {
	for part := range strings.SplitSeq(o.folder, "/") {
		switch {
		case len(part) == 34 && strings.HasPrefix(part, "m-"):
			lm, err := s.book.LoggedModel(ctx, part)
			if err != nil {
				return ignoreUnknown(err)
			}
			if o.modelID == "" {
				o.modelID = part
			}
			o.runID = lm.SourceRunID
			return s.resolveRun(ctx, o)
		case len(part) == 32:
			run, err := s.book.RunByID(ctx, part)
			if err != nil {
				return ignoreUnknown(err)
			}
			o.run, o.runID = &run, run.ID
			return nil
		}
	}
	return nil
}

func ignoreUnknown(err error) error {
	if code := fault.CodeOf(err); code == fault.NotFound || code == fault.Invalid {
		return nil
	}
	return err
}

// schemeOf splits a URI. A path, also one of Windows, has no scheme.
func schemeOf(uri string) (scheme, rest string) {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || len(scheme) < 2 || strings.ContainsAny(scheme, `/\`) {
		return "", uri
	}
	return strings.ToLower(scheme), rest
}

// leadsUp reports whether a URI has a segment "..", however often it was percent-encoded and whichever slash it has.
func leadsUp(uri string) bool {
	for range 8 {
		if slices.Contains(strings.FieldsFunc(uri, func(r rune) bool { return r == '/' || r == '\\' || r == ':' || r == '?' || r == '#' }), "..") {
			return true
		}
		plain, err := url.PathUnescape(uri)
		if err != nil || plain == uri {
			return false
		}
		uri = plain
	}
	return true // nobody encodes a path that often to be found
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// within reports whether a local path is a folder or below it.
func within(uri, folder string) bool {
	a, b := localPath(uri), localPath(folder)
	return b != "" && a != "" && (a == b || strings.HasPrefix(a, b+"/"))
}

// localPath returns the path of a local URI without a slash at its end; empty if it is not local or not absolute.
func localPath(uri string) string {
	scheme, rest := schemeOf(uri)
	switch scheme {
	case "":
	case "file":
		if host, ok := strings.CutPrefix(rest, "//"); ok {
			i := strings.IndexByte(host, '/')
			if i < 0 {
				return ""
			}
			rest = host[i:]
		}
	default:
		return ""
	}
	if !strings.HasPrefix(rest, "/") {
		return ""
	}
	return strings.TrimRight(rest, "/")
}
