package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

// rolloutView is the part of a page that tells what is tried or watched.
type rolloutView struct {
	Name string // the model's
	// Running is the rollout in force, nil while there is none, Now what its watch or that of a fresh Production sees, and Last the last change of
	// the page's version, or of the model.
	Running   *registry.Rollout
	Now       *registry.RolloutStatus
	Last      *registry.Rollout
	Instances []registry.RolloutInstance
	// Found is what a running shadow found so far, nil before its first evaluation; Unread says why it can't be shown.
	Found  *events.ShadowEvaluated
	Unread string
	May    bool // the viewer may end it
}

// rollout returns the view of a model or, with a version over 0, of what concerns that one; nil where there is nothing to tell.
func (p *site) rollout(r *request, key string, version int) *rolloutView {
	v := &rolloutView{May: r.frame.MayPromote}
	v.Now, v.Instances = p.s.RolloutStatus(key)
	p.s.View(func(c *registry.Catalog, _ *registry.Fleet) {
		m, _ := c.Model(key)
		v.Name = m.Name
		if o, ok := c.Rollout(key); ok && c.InForce(key, o) && (version == 0 || version == o.Version) {
			v.Running = &o
		}
		for _, o := range c.Rollouts(key) {
			if o.Ended() && (version == 0 || version == o.Version) {
				v.Last = &o
				break
			}
		}
	})
	if v.Now != nil && version > 0 && v.Now.Version != version {
		v.Now = nil
	}
	if v.Running == nil && v.Now == nil && v.Last == nil {
		return nil
	}
	if v.Running != nil && v.Running.Mode == events.RolloutShadow {
		v.Found, v.Unread = p.found(r, key, v.Running.Revision)
	}
	return v
}

// found returns the newest evaluation of the shadow that began with a revision.
func (p *site) found(r *request, key string, revision int) (*events.ShadowEvaluated, string) {
	ctx, cancel := context.WithTimeout(r.Context(), pageRefresh)
	defer cancel()
	last, ok, err := p.s.Bus().LastValid(ctx, events.TypeShadowEvaluated, key)
	if err != nil {
		return nil, err.Error()
	}
	if e, is := last.Event.Payload.(*events.ShadowEvaluated); ok && is && e.Revision == revision {
		return e, ""
	}
	return nil, ""
}

// Plan is the running rollout's as a spec writes it.
func (v *rolloutView) Plan() spec.Plan { return spec.PlanOf(v.Running.Plan) }

// Percent is the share that the candidate answers.
func (v *rolloutView) Percent() string {
	return strings.TrimPrefix(strings.SplitN(string(spec.PlanOf([]float64{v.Running.Share})), " ", 2)[1], " ")
}

// Ends says what ends a step.
func (v *rolloutView) Ends() string {
	return fmt.Sprintf("%d records or %s", v.Running.Watch.Requests, time.Duration(v.Running.Watch.DurationMS)*time.Millisecond)
}

// Href is where it is ended.
func (v *rolloutView) Href() string { return modelPath(v.Name) + "/rollout" }

// rolloutAct is the confirmation of what ends a rollout. Expected is its revision.
func (p *site) rolloutAct(r *request, promote bool) (actView, error) {
	key, err := p.findModel(r.PathValue("model"))
	if err != nil {
		return actView{}, err
	}
	v := p.newAct(r, key)
	var o registry.Rollout
	var running bool
	p.s.View(func(c *registry.Catalog, _ *registry.Fleet) {
		o, running = c.Rollout(key)
		running = running && c.InForce(key, o)
	})
	if !running {
		v.Title, v.Blocked = "No rollout of "+v.Model.Name+" runs", true
		v.Warnings = append(v.Warnings, "It ended meanwhile, or there was none.")
		return v, nil
	}
	v.Expected = o.Revision
	if !promote {
		v.Title, v.Button = fmt.Sprintf("Stop the %s of version %d?", o.Mode, o.Version), "Stop it"
		ends := fmt.Sprintf("Version %d answers everybody again; Production does not change.", o.Production)
		if o.Mode == events.RolloutShadow {
			ends = fmt.Sprintf("Version %d scores nothing any more; version %d answers as it did.", o.Version, o.Production)
		}
		v.Changes = append(v.Changes, ends, fmt.Sprintf("Version %d stays in its stage, and no gate tries it again.", o.Version))
		return v, nil
	}
	v.Title, v.Button = fmt.Sprintf("Promote version %d now?", o.Version), fmt.Sprintf("Promote version %d", o.Version)
	v.Changes = append(v.Changes, fmt.Sprintf("Version %d is Production, whatever steps are left, in place of version %d, which goes to Archived.", o.Version, o.Production),
		p.instances(key), "It is watched as any fresh Production.")
	return v, nil
}

func (p *site) askRolloutAbort(r *request) (view, error) {
	v, err := p.rolloutAct(r, false)
	return view{template: "act", data: v}, err
}

func (p *site) askRolloutPromote(r *request) (view, error) {
	v, err := p.rolloutAct(r, true)
	return view{template: "act", data: v}, err
}

func (p *site) doRolloutAbort(r *request) (view, error) { return p.endRollout(r, false) }

func (p *site) doRolloutPromote(r *request) (view, error) { return p.endRollout(r, true) }

func (p *site) endRollout(r *request, promote bool) (view, error) {
	v, err := p.rolloutAct(r, promote)
	if err != nil {
		return view{}, err
	}
	revision, err := expectedOf(r)
	if err != nil {
		return view{}, err
	}
	a := registry.RolloutAct{Revision: revision, Reason: v.Reason, Actor: access.From(r.Context()).Name}
	word := "unrollout"
	if promote {
		word = "rollout-promoted"
		_, err = p.s.PromoteRollout(r.Context(), v.Model.Name, a)
	} else {
		_, err = p.s.AbortRollout(r.Context(), v.Model.Name, a)
	}
	if err != nil {
		v, again := p.rolloutAct(r, promote)
		return refused(v, errors.Join(err, again))
	}
	return view{location: done(v.Back, word)}, nil
}

// startRollout is the confirmation of a canary or shadow of a version.
func (p *site) startRollout(r *request) (actView, events.RolloutMode, error) {
	found, err := p.findVersion(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		return actView{}, "", err
	}
	mode := events.RolloutMode(r.FormValue("mode"))
	if mode != events.RolloutCanary && mode != events.RolloutShadow {
		return actView{}, "", fault.New(fault.Invalid, "a rollout is a canary or a shadow, not %q", cut(string(mode), 20))
	}
	v := p.newAct(r, found.Model)
	v.Version, v.Mode = &versionRow{found, false}, mode
	v.Back = v.Version.Href()
	v.Title, v.Button = fmt.Sprintf("Begin a %s of version %d?", mode, found.Version), fmt.Sprintf("Begin the %s", mode)
	usual := p.s.RolloutOf(found.Model)
	if mode == events.RolloutShadow {
		v.Changes = append(v.Changes, fmt.Sprintf("Version %d scores what version %d answers, from the stream of predictions; it answers nobody.", found.Version, v.Expected))
		return v, mode, nil
	}
	if v.Plan = strings.TrimSpace(r.FormValue("plan")); v.Plan == "" {
		if v.Plan = string(usual.Plan); usual.Plan == spec.PlanDirect {
			v.Plan = string(spec.PlanCanary)
		}
	}
	v.Changes = append(v.Changes, fmt.Sprintf("Version %d answers a growing share of the customers beside version %d, the same ones at each step and more.", found.Version, v.Expected),
		fmt.Sprintf("Each step ends after %d records or %s; the last one makes it Production.", usual.Watch.Requests, usual.Watch.Duration),
		"A broken limit ends it at once, and Production answers everybody again.", p.instances(found.Model))
	if v.Model.Gated {
		v.gates(found)
	}
	return v, mode, nil
}

func (p *site) askRollout(r *request) (view, error) {
	v, _, err := p.startRollout(r)
	return view{template: "act", data: v}, err
}

func (p *site) doRollout(r *request) (view, error) {
	v, mode, err := p.startRollout(r)
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
	_, err = p.s.StartRollout(r.Context(), v.Model.Name, registry.RolloutStart{
		Version: v.Version.Version.Version, Mode: mode, Plan: spec.Plan(v.Plan), Expected: &expected, Override: override, Reason: v.Reason,
		Actor: access.From(r.Context()).Name,
	})
	if err != nil {
		v, _, again := p.startRollout(r)
		return refused(v, errors.Join(err, again))
	}
	return view{location: done(v.Back, "rollout")}, nil
}
