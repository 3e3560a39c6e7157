package console

import (
	"context"
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

// diffTime bounds the comparison of two versions, for which their bundles are read.
const diffTime = 10 * time.Second

// versionFile is a file of a version with its address.
type versionFile struct {
	events.Artifact
	Href string
}

type versionView struct {
	frame
	Model     registry.Model
	Version   versionRow
	Files     []versionFile
	Instances []instanceRow // that serve it now, be it to a share, or failed to
	Causes    []events.Cause
	Lineage   registry.Lineage
	Others    []int // versions to compare with
	Stages    []events.Stage
	Serve     string // the command that starts an instance of it; empty if it can't be served
	Rollout   *rolloutView
	Trying    bool   // a rollout of the model runs, so that no other can begin
	Link      string // of the run that the client named, if it is one to follow
}

func (p *site) version(r *request) (view, error) {
	p.live(r)
	found, err := p.findVersion(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return view{}, err
	}
	v := versionView{frame: r.frame, Files: filesOf(found), Link: found.RunLink}
	now := p.s.Now()
	p.s.View(func(c *registry.Catalog, f *registry.Fleet) {
		v.Model, _ = c.Model(found.Model)
		v.Version = versionRow{found, c.Overtaken(found)}
		if run, ok := c.Run(found.RunID); ok {
			v.Causes = causesOf(run)
		}
		for _, i := range instancesOf(c, f, found.Model, now) {
			if i.Serving.Version == found.Version || i.Candidate == found.Version || i.Failure != nil && i.Failure.Version == found.Version {
				v.Instances = append(v.Instances, i)
			}
		}
		if o, ok := c.Rollout(found.Model); ok {
			v.Trying = c.InForce(found.Model, o)
		}
		for _, other := range c.Versions(found.Model) {
			if other.Version != found.Version && !other.Deleted {
				v.Others = append(v.Others, other.Version)
			}
		}
	})
	if ok, _ := found.Servable(); ok {
		v.Serve = serveCommand(v.Model.Name)
	}
	v.Rollout = p.rollout(r, found.Model, found.Version)
	p.lineage(r, &v)
	for _, s := range []events.Stage{events.StageProduction, events.StageStaging, events.StageArchived, events.StageNone} {
		if s != found.Stage {
			v.Stages = append(v.Stages, s)
		}
	}
	v.Title, v.Area = fmt.Sprintf("%s version %d", v.Model.Name, found.Version), "models"
	v.Crumbs = []link{{Words: "Models", Href: "/models"}, {Words: v.Model.Name, Href: modelPath(v.Model.Name)}}
	return view{template: "version", data: v}, nil
}

// lineage adds what the book and FLEET know of the version's origin and way, if they can be asked.
func (p *site) lineage(r *request, v *versionView) {
	if v.Lineage.GitCommit = v.Version.GitCommit; v.Stale != "" {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pageRefresh)
	defer cancel()
	l, err := p.s.Lineage(ctx, v.Model.Name, v.Version.Version.Version)
	switch {
	case err == nil:
		v.Lineage = l
	case !v.Version.Deleted:
		v.Stale = err.Error()
	}
}

type diffView struct {
	frame
	A, B     versionRow
	Tables   []differences
	NoInputs string
}

// differences are the rows of one kind in which two versions differ.
type differences struct {
	Words   string
	Numbers bool
	A, B    versionRow
	Rows    []registry.Difference
}

// side is one value of a difference.
type side struct {
	Text   string
	Number bool
}

// sideOf shows a value that may be absent.
func sideOf(v *string, number bool) side {
	if v == nil {
		return side{Number: number}
	}
	return side{*v, number}
}

// diff compares two versions of a model.
func (p *site) diff(r *request) (view, error) {
	q := r.URL.Query()
	a, err := p.findVersion(r.PathValue("model"), q.Get("a"))
	if err != nil {
		return view{}, err
	}
	b, err := p.findVersion(r.PathValue("model"), q.Get("b"))
	if err != nil {
		return view{}, err
	}
	v := diffView{frame: r.frame, A: versionRow{Version: a}, B: versionRow{Version: b}}
	v.Title, v.Area = fmt.Sprintf("Versions %d and %d", a.Version, b.Version), "models"
	v.Crumbs = []link{{Words: "Models", Href: "/models"}, {Words: a.ModelName, Href: modelPath(a.ModelName)}}
	if v.Stale != "" {
		return view{}, fault.New(fault.Unavailable, "versions can't be compared at the moment: %s", v.Stale)
	}
	ctx, cancel := context.WithTimeout(r.Context(), diffTime)
	defer cancel()
	d, err := p.s.Diff(ctx, a.ModelName, a.Version, b.Version)
	if err != nil {
		return view{}, err
	}
	v.NoInputs = d.NoInputs
	for _, t := range []differences{
		{Words: "Facts", Rows: d.Facts}, {Words: "Parameters", Rows: d.Params}, {Words: "Metrics", Rows: d.Metrics, Numbers: true},
		{Words: "Inputs", Rows: d.Inputs}, {Words: "Gates", Rows: d.Gates}, {Words: "Files by digest", Rows: d.Artifacts},
	} {
		if len(t.Rows) > 0 {
			t.A, t.B = v.A, v.B
			v.Tables = append(v.Tables, t)
		}
	}
	return view{template: "diff", data: v}, nil
}
