package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

// action is something that changes the registry: ask shows what would change, do changes it for who has the role.
type action struct {
	pattern string
	role    access.Role
	ask, do func(*request) (view, error)
}

func (p *site) actions() []action {
	return []action{
		{"/models/{model}/versions/{version}/stage", access.Promote, p.askStage, p.doStage},
		{"/models/{model}/rollback", access.Promote, p.askRollback, p.doRollback},
		{"/models/{model}/rollout/promote", access.Promote, p.askRolloutPromote, p.doRolloutPromote},
		{"/models/{model}/rollout/abort", access.Promote, p.askRolloutAbort, p.doRolloutAbort},
		{"/models/{model}/versions/{version}/rollout", access.Promote, p.askRollout, p.doRollout},
		{"/models/{model}/versions/{version}/alias", access.Promote, p.askAlias, p.doAlias},
		{"/models/{model}/edit", access.Register, p.askEdit, p.doEdit},
		{"/models/{model}/versions/{version}/edit", access.Register, p.askEdit, p.doEdit},
	}
}

// actView is a confirmation. Expected is the version that was Production when it was made, 0 for none: what is posted is refused if another is by
// then.
type actView struct {
	frame
	Model       registry.Model
	Version     *versionRow
	Changes     []string
	Warnings    []string
	Fault       string // why what was posted was refused
	Failed      []events.RuleResult
	Override    bool // an override and its reason are asked for, since the gates refuse it
	MayOverride bool // an override is offered
	Reason      string
	Expected    int
	Button      string
	Back        string
	Allowed     bool // the viewer has the role
	Blocked     bool // nobody can do it
	Needs       access.Role
	champion    string

	Stage   events.Stage // of a change of stage
	Archive bool         // ask whether others in the stage are archived
	Targets []registry.Version
	Target  int
	Mode    events.RolloutMode // of a rollout that begins
	Plan    string
	Alias   string
	Was     int
	Remove  bool
}

func (p *site) newAct(r *request, model string) actView {
	v := actView{frame: r.frame, Needs: access.Promote, Reason: strings.TrimSpace(r.FormValue("reason"))}
	v.Area, v.Allowed = "models", r.frame.MayPromote
	p.s.View(func(c *registry.Catalog, _ *registry.Fleet) {
		v.Model, _ = c.Model(model)
		v.champion = c.Champion
		if now, ok := c.Promotion(model); ok {
			v.Expected = now.Version
		}
	})
	v.Crumbs = []link{{Words: "Models", Href: "/models"}, {Words: v.Model.Name, Href: modelPath(v.Model.Name)}}
	v.Back = modelPath(v.Model.Name)
	return v
}

// instances says in words who would load another version.
func (p *site) instances(model string) string {
	n := 0
	p.s.View(func(_ *registry.Catalog, f *registry.Fleet) { n = f.LiveCount(model, p.s.Now()) })
	if n == 0 {
		return "No instance is live now; the next one to start loads it."
	}
	return fmt.Sprintf("%d live %s will load it within a second or so; requests in flight end on what they began with.", n, plural(n, "instance", "instances"))
}

// stageView says what moving a version to a stage would change.
func (p *site) stageView(r *request, to events.Stage) (actView, error) {
	found, err := p.findVersion(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return actView{}, err
	}
	v := p.newAct(r, found.Model)
	var there []registry.Version
	p.s.View(func(c *registry.Catalog, _ *registry.Fleet) {
		v.Version = &versionRow{found, c.Overtaken(found)}
		for _, o := range c.Versions(found.Model) {
			if o.Stage == to && o.Version != found.Version && !o.Deleted {
				there = append(there, o)
			}
		}
	})
	v.Stage, v.Back = to, v.Version.Href()
	v.Title = fmt.Sprintf("Move version %d of %s to %s?", found.Version, v.Model.Name, to)
	v.Button = fmt.Sprintf("Move version %d to %s", found.Version, to)
	v.Changes = append(v.Changes, fmt.Sprintf("Version %d goes from %s to %s.", found.Version, found.Stage, to))
	switch {
	case to == events.StageProduction:
		v.Title, v.Button = fmt.Sprintf("Promote version %d of %s?", found.Version, v.Model.Name), fmt.Sprintf("Promote version %d", found.Version)
		p.promotion(&v, found, there)
	case found.Stage == events.StageProduction && v.Expected == found.Version:
		v.Warnings = append(v.Warnings, "It is Production now. Where no other version is, instances answer 503 until the next promotion.")
	}
	if v.Model.Gated && to == events.StageStaging {
		if !found.Passed() {
			v.Override = true
			v.Warnings = append(v.Warnings, "It did not pass the gates of Staging.")
		}
		for _, o := range there {
			v.Changes = append(v.Changes, fmt.Sprintf("Version %d, in Staging now, goes to Archived.", o.Version))
		}
	}
	v.Archive = !v.Model.Gated && len(there) > 0 && (to == events.StageProduction || to == events.StageStaging)
	return v, nil
}

func (p *site) promotion(v *actView, found registry.Version, there []registry.Version) {
	for _, o := range there {
		if v.Model.Gated {
			v.Changes = append(v.Changes, fmt.Sprintf("Version %d, Production now, is replaced and goes to Archived.", o.Version))
		} else {
			v.Changes = append(v.Changes, fmt.Sprintf("Version %d is Production now; it stays beside it unless existing ones are archived.", o.Version))
		}
	}
	if at, ok := v.Model.Aliases[v.champion]; v.Model.Gated && ok && at != found.Version {
		v.Changes = append(v.Changes, fmt.Sprintf("Alias %s moves from version %d to version %d, in the same write.", v.champion, at, found.Version))
	} else if v.Model.Gated && !ok {
		v.Changes = append(v.Changes, fmt.Sprintf("Alias %s points at version %d, in the same write.", v.champion, found.Version))
	}
	if ok, why := found.Servable(); !ok {
		v.Warnings = append(v.Warnings, "No instance can serve it: "+why+".")
		v.Blocked = v.Model.Gated
	} else {
		v.Changes = append(v.Changes, p.instances(found.Model))
	}
	if v.Model.Gated {
		v.gates(found)
	}
}

// gates says what the gates have against a version as Production.
func (v *actView) gates(found registry.Version) {
	switch {
	case found.Refuted:
		v.Blocked = true
		v.Warnings = append(v.Warnings, "A rollback refuted it: it could not be loaded, or broke a limit of its watch. No gate promotes it again.")
		return
	case found.Gate == nil:
		v.Warnings = append(v.Warnings, "It has no verdict yet: it is judged now, before it is promoted. With an override it is not.")
		v.MayOverride = true
		return
	case found.Gate.Verdict != events.VerdictPromotable:
		v.Warnings = append(v.Warnings, fmt.Sprintf("The gates say %s: %s%s.", found.Gate.Verdict, found.Gate.Reason, after(", ", found.Gate.Detail)))
		v.Override = found.Gate.Verdict == events.VerdictRejected
	}
	for _, rule := range found.Gate.Rules {
		if !rule.Passed {
			v.Failed = append(v.Failed, rule)
			v.Override = v.Override || rule.Value != nil && rule.Against != nil
		}
	}
}

func stageOf(text string) (events.Stage, error) {
	for _, s := range []events.Stage{events.StageNone, events.StageStaging, events.StageProduction, events.StageArchived} {
		if string(s) == text {
			return s, nil
		}
	}
	return "", fault.New(fault.Invalid, "there is no stage %q", cut(text, 20))
}

func (p *site) askStage(r *request) (view, error) {
	to, err := stageOf(r.URL.Query().Get("to"))
	if err != nil {
		return view{}, err
	}
	v, err := p.stageView(r, to)
	return view{template: "act", data: v}, err
}

func (p *site) doStage(r *request) (view, error) {
	to, err := stageOf(r.PostFormValue("to"))
	if err != nil {
		return view{}, err
	}
	v, err := p.stageView(r, to)
	if err != nil {
		return view{}, err
	}
	expected, err := expectedOf(r)
	if err != nil {
		return view{}, err
	}
	override := r.PostFormValue("override") != ""
	if override && v.Reason == "" {
		return refused(v, fault.New(fault.Invalid, "an override needs a reason"))
	}
	_, err = p.s.Transition(r.Context(), registry.Transition{
		Model: v.Model.Name, Version: v.Version.Version.Version, Stage: to, ArchiveExisting: r.PostFormValue("archive") != "",
		Expected: &expected, Override: override, Reason: v.Reason, Actor: access.From(r.Context()).Name,
	})
	if err != nil {
		v, again := p.stageView(r, to)
		return refused(v, errors.Join(err, again))
	}
	return view{location: done(v.Version.Href(), "stage")}, nil
}

// expectedOf is the version that the confirmation showed as Production.
func expectedOf(r *request) (int, error) {
	n, err := strconv.Atoi(r.PostFormValue("expected"))
	if err != nil || n < 0 {
		return 0, fault.New(fault.Invalid, "the form lacks the version that was Production when it was made; open it again")
	}
	return n, nil
}

// refused shows a confirmation again with why what was posted did not happen; it is made anew, so that it shows what would change now.
func refused(v actView, err error) (view, error) {
	v.Fault = sentence(err.Error())
	code := fault.CodeOf(err).Status()
	if code == http.StatusConflict {
		v.Fault = "Nothing was changed: the page was out of date. " + v.Fault + " Below is what would change now."
	}
	return view{template: "act", data: v, code: code}, nil
}

func (p *site) rollbackView(r *request, to int) (actView, error) {
	key, err := p.findModel(r.PathValue("model"))
	if err != nil {
		return actView{}, err
	}
	v := p.newAct(r, key)
	v.Title, v.Button = "Roll "+v.Model.Name+" back?", "Roll back"
	p.s.View(func(c *registry.Catalog, f *registry.Fleet) {
		v.Targets = c.Earlier(key)
		for _, o := range v.Targets {
			if v.Target == 0 && f.Loaded(key, o.Bundle.Digest) {
				v.Target = o.Version
			}
		}
	})
	if slices.ContainsFunc(v.Targets, func(o registry.Version) bool { return o.Version == to }) {
		v.Target = to
	}
	switch {
	case len(v.Targets) == 0:
		v.Warnings = append(v.Warnings, "There is no earlier Production to go back to.")
		v.Blocked = true
	case v.Target == 0:
		v.Target = v.Targets[0].Version
		v.Warnings = append(v.Warnings, "No instance has ever loaded an earlier Production.")
		fallthrough
	default:
		if v.Expected == 0 {
			v.Changes = append(v.Changes, fmt.Sprintf("Version %d is Production again; none is now.", v.Target))
		} else {
			v.Changes = append(v.Changes, fmt.Sprintf("Version %d is Production again, in place of version %d, which goes to Archived.", v.Target, v.Expected))
		}
		if v.Model.Gated {
			v.Changes = append(v.Changes, fmt.Sprintf("Alias %s follows in the same write.", v.champion))
		}
		v.Changes = append(v.Changes, p.instances(key), "Another rollback goes one step further back.")
		v.Button = fmt.Sprintf("Roll back to version %d", v.Target)
	}
	return v, nil
}

func (p *site) askRollback(r *request) (view, error) {
	to, _ := strconv.Atoi(r.URL.Query().Get("to")) // 0 asks for the best one
	v, err := p.rollbackView(r, to)
	return view{template: "act", data: v}, err
}

func (p *site) doRollback(r *request) (view, error) {
	to, err := strconv.Atoi(r.PostFormValue("target"))
	if err != nil {
		return view{}, fault.New(fault.Invalid, "the form lacks the version to go back to; open it again")
	}
	v, err := p.rollbackView(r, to)
	if err != nil {
		return view{}, err
	}
	expected, err := expectedOf(r)
	if err != nil {
		return view{}, err
	}
	_, err = p.s.Rollback(r.Context(), v.Model.Name, registry.RollbackOptions{
		Actor: access.From(r.Context()).Name, Reason: v.Reason, Version: to, Expected: &expected,
	})
	if err != nil {
		v, again := p.rollbackView(r, to)
		return refused(v, errors.Join(err, again))
	}
	return view{location: done(v.Back, "rollback")}, nil
}

func (p *site) aliasView(r *request, name string, remove bool) (actView, error) {
	found, err := p.findVersion(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return actView{}, err
	}
	v := p.newAct(r, found.Model)
	v.Version = &versionRow{found, false}
	v.Alias, v.Remove, v.Back = strings.TrimSpace(name), remove, v.Version.Href()
	if v.Alias == "" {
		return v, fault.New(fault.Invalid, "an alias needs a name")
	}
	v.Was = v.Model.Aliases[v.Alias]
	switch {
	case remove:
		v.Title, v.Button = fmt.Sprintf("Take alias %s away?", v.Alias), "Take it away"
		v.Changes = append(v.Changes, fmt.Sprintf("Alias %s, which points at version %d, is taken away.", v.Alias, v.Was))
	case v.Was == 0:
		v.Title, v.Button = fmt.Sprintf("Set alias %s?", v.Alias), "Set it"
		v.Changes = append(v.Changes, fmt.Sprintf("Alias %s is new and points at version %d.", v.Alias, found.Version))
	default:
		v.Title, v.Button = fmt.Sprintf("Move alias %s?", v.Alias), "Move it"
		v.Changes = append(v.Changes, fmt.Sprintf("Alias %s moves from version %d to version %d.", v.Alias, v.Was, found.Version))
	}
	return v, nil
}

func (p *site) askAlias(r *request) (view, error) {
	q := r.URL.Query()
	v, err := p.aliasView(r, q.Get("name"), q.Get("remove") != "")
	return view{template: "act", data: v}, err
}

// doAlias moves an alias unless it was moved since the confirmation was made.
func (p *site) doAlias(r *request) (view, error) {
	v, err := p.aliasView(r, r.PostFormValue("name"), r.PostFormValue("remove") != "")
	if err != nil {
		return view{}, err
	}
	if was, err := strconv.Atoi(r.PostFormValue("was")); err != nil || was != v.Was {
		return refused(v, fault.New(fault.Conflict, "alias %s points at version %d by now (0 is none)", v.Alias, v.Was))
	}
	actor, word := access.From(r.Context()).Name, "alias"
	if v.Remove {
		word = "unalias"
		err = p.s.DeleteAlias(r.Context(), v.Model.Name, v.Alias, actor)
	} else {
		err = p.s.SetAlias(r.Context(), v.Model.Name, v.Alias, v.Version.Version.Version, actor)
	}
	if err != nil {
		return refused(v, err)
	}
	return view{location: done(v.Back, word)}, nil
}
