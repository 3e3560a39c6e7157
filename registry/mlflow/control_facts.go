package mlflow

import (
	"cmp"
	"net/url"
	"path"
	"strconv"
	"time"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

// Sizes of a page of the audit log.
const (
	auditPage    = 100
	auditPageMax = 1000
)

// audit returns what was done to a model and its versions, the newest first. A page token is where the page before it ended, so it stays good
// while facts are added.
func audit(c *call) (any, error) {
	var in struct {
		MaxResults *integer `json:"max_results"`
		PageToken  string   `json:"page_token"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	size, err := pageSize(in.MaxResults, auditPage, auditPageMax)
	if err != nil {
		return nil, err
	}
	before := uint64(1<<64 - 1)
	if in.PageToken != "" {
		if before, err = strconv.ParseUint(in.PageToken, 36, 64); err != nil {
			return nil, fault.New(fault.Invalid, "page_token is not one that was given out for this query")
		}
	}
	m, err := c.s.Model(c.ctx, c.path("name"))
	if err != nil {
		return nil, err
	}
	out := struct {
		Model   string            `json:"model"`
		Changes []registry.Change `json:"changes"`
		Next    string            `json:"next_page_token,omitempty"`
	}{Model: m.Name, Changes: []registry.Change{}}
	c.s.View(func(cat *registry.Catalog, _ *registry.Fleet) {
		for _, ch := range cat.Audit(m.Key) {
			switch {
			case ch.Sequence >= before:
			case len(out.Changes) == size:
				out.Next = strconv.FormatUint(out.Changes[size-1].Sequence, 36)
				return
			default:
				out.Changes = append(out.Changes, ch)
			}
		}
	})
	return out, nil
}

// versionAsked is the version that a query of the model in the path names.
type versionAsked struct {
	Version versionText `json:"version"`
}

func (c *call) askedVersion() (registry.Version, error) {
	var in versionAsked
	if err := c.decode(&in); err != nil {
		return registry.Version{}, err
	}
	return c.version(versionNamed{modelNamed{c.path("name")}, in.Version})
}

// lineage says what a version came from and who serves it.
func lineage(c *call) (any, error) {
	var in versionAsked
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	name, version, err := versionNamed{modelNamed{c.path("name")}, in.Version}.key()
	if err != nil {
		return nil, err
	}
	return c.s.Lineage(c.ctx, name, version)
}

// diff says in what two versions of a model differ.
func diff(c *call) (any, error) {
	var in struct {
		A versionText `json:"a"`
		B versionText `json:"b"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := required("a", string(in.A), "b", string(in.B)); err != nil {
		return nil, err
	}
	a, aerr := in.A.number()
	b, berr := in.B.number()
	if err := cmp.Or(aerr, berr); err != nil {
		return nil, err
	}
	return c.s.Diff(c.ctx, c.path("name"), a, b)
}

// wireVersionFile is a file of a version as it was registered.
type wireVersionFile struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
	Size   int64  `json:"size_bytes"`
	// URL is where to download it. With ExpiresAt it is a presigned one of the store, which needs no credentials and works until then; without, it is
	// a path on this server.
	URL       string     `json:"url"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// versionFiles lists the files of a version by its manifest, with where to download them.
func versionFiles(c *call) (any, error) {
	v, err := c.askedVersion()
	if err != nil {
		return nil, err
	}
	out := struct {
		Model   string            `json:"model"`
		Version string            `json:"version"`
		Files   []wireVersionFile `json:"files"`
	}{v.ModelName, strconv.Itoa(v.Version), []wireVersionFile{}}
	link, presigns := c.s.Store().(artifact.Presigner)
	expires := c.s.Now().Add(presignTime).UTC()
	for _, f := range v.Artifacts {
		w := wireVersionFile{Path: f.Name, Digest: f.Digest, Size: f.SizeBytes}
		if presigns {
			w.ExpiresAt = &expires
			if w.URL, err = link.Presign(c.ctx, artifact.Digest(f.Digest), path.Base(f.Name), presignTime); err != nil {
				return nil, storeFault(err, f.Name)
			}
		} else {
			q := url.Values{"name": {v.ModelName}, "version": {out.Version}, "path": {f.Name}}
			w.URL = "/model-versions/get-artifact?" + q.Encode()
		}
		out.Files = append(out.Files, w)
	}
	return out, nil
}
