package console

import (
	"fmt"
	"strconv"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry"
)

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
	Instances []instanceRow // that serve it now, or failed to
	Causes    []events.Cause
	Run       *registry.Run
	Others    []int // versions to compare with
	Stages    []events.Stage
	Link      string // of the run that the client named, if it is one to follow
}

func (p *site) version(r *request) (view, error) {
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
			v.Run, v.Causes = &run, causesOf(run)
		}
		for _, i := range instancesOf(c, f, found.Model, now) {
			if i.Serving.Version == found.Version || i.Failure != nil && i.Failure.Version == found.Version {
				v.Instances = append(v.Instances, i)
			}
		}
		for _, other := range c.Versions(found.Model) {
			if other.Version != found.Version && !other.Deleted {
				v.Others = append(v.Others, other.Version)
			}
		}
	})
	for _, s := range []events.Stage{events.StageProduction, events.StageStaging, events.StageArchived, events.StageNone} {
		if s != found.Stage {
			v.Stages = append(v.Stages, s)
		}
	}
	v.Title, v.Area = fmt.Sprintf("%s version %d", v.Model.Name, found.Version), "models"
	v.Crumbs = []link{{Words: "Models", Href: "/models"}, {Words: v.Model.Name, Href: modelPath(v.Model.Name)}}
	return view{template: "version", data: v}, nil
}

type diffView struct {
	frame
	A, B        versionRow
	Columns     []runRow // the two as columns of the tables
	Tables      []compareTable
	Differences bool
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
	v := diffView{frame: r.frame, A: versionRow{Version: a}, B: versionRow{Version: b}, Differences: q.Get("all") == ""}
	v.Title, v.Area = fmt.Sprintf("Versions %d and %d", a.Version, b.Version), "models"
	two := []registry.Version{a, b}
	params := make([]map[string]string, len(two))
	p.s.View(func(c *registry.Catalog, _ *registry.Fleet) {
		if m, ok := c.Model(a.Model); ok {
			v.Crumbs = []link{{Words: "Models", Href: "/models"}, {Words: m.Name, Href: modelPath(m.Name)}}
		}
		for i, version := range two {
			if run, ok := c.Run(version.RunID); ok && run.Completed != nil {
				params[i] = run.Completed.Params
			}
		}
	})
	for i, version := range two {
		v.Columns = append(v.Columns, runRow{Href: versionPath(version.ModelName, version.Version)})
		v.Columns[i].Name = "version " + strconv.Itoa(version.Version)
		if params[i] == nil && version.RunID != "" {
			if run, err := p.book.RunByID(r.Context(), version.RunID); err == nil {
				params[i] = pairs(run.Params)
			}
		}
	}
	table := func(words string, numbers bool, of func(registry.Version) map[string]string) {
		v.Tables = append(v.Tables, compared(words, len(two), func(i int) map[string]string { return of(two[i]) }, v.Differences, numbers))
	}
	table("Version", false, versionFacts)
	v.Tables = append(v.Tables, compared("Parameters", len(two), func(i int) map[string]string { return params[i] }, v.Differences, false))
	table("Metrics measured by the registry", true, func(o registry.Version) map[string]string {
		out := map[string]string{}
		if o.Gate != nil {
			for k, n := range o.Gate.Metrics {
				out[k] = number(n)
			}
		}
		return out
	})
	table("Gates", false, func(o registry.Version) map[string]string {
		out := map[string]string{}
		if o.Gate != nil {
			for _, rule := range o.Gate.Rules {
				out[rule.Rule] = fmt.Sprintf("%s against %s: %s", pointer(rule.Value), pointer(rule.Against), passedWords(rule.Passed))
			}
		}
		return out
	})
	table("Files by digest", false, func(o registry.Version) map[string]string {
		out := map[string]string{}
		for _, f := range o.Artifacts {
			out[f.Name] = cut(f.Digest, 19)
		}
		return out
	})
	return view{template: "diff", data: v}, nil
}

func passedWords(passed bool) string {
	if passed {
		return "passed"
	}
	return "not passed"
}

func versionFacts(v registry.Version) map[string]string {
	out := map[string]string{"stage": string(v.Stage), "registered": utc(v.At), "run": v.RunID}
	for k, value := range map[string]string{
		"dataset": v.DatasetFingerprint, "spec": v.SpecDigest, "git commit": v.GitCommit, "source": v.Source, "bundle": v.Bundle.Digest,
		"description": v.Description, "unservable": v.Unservable,
	} {
		if value != "" {
			out[k] = value
		}
	}
	if v.Gate != nil {
		out["verdict"] = string(v.Gate.Verdict) + " (" + v.Gate.Reason + ")"
	}
	return out
}
