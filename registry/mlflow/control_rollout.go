package mlflow

import (
	"encoding/json"
	"strconv"

	"telco-churn-mlops/events"
	"telco-churn-mlops/model/spec"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

// wireRollout is one change of a rollout, as it stands on rollout.changed, with its place there.
type wireRollout struct {
	registry.Rollout
	// PlanText is the plan as a spec writes it; absent where there is none.
	PlanText spec.Plan `json:"plan_text,omitempty"`
}

func describeRollout(r registry.Rollout) wireRollout {
	w := wireRollout{Rollout: r}
	if r.At = r.At.UTC(); len(r.Plan) > 0 {
		w.PlanText = spec.PlanOf(r.Plan)
	}
	return w
}

type rolloutAnswer struct {
	Model string `json:"model"`
	// Running is the one in force, null while there is none. Evidence is what its watch, or that of a fresh Production, sees at the moment.
	Running *wireRollout            `json:"running"`
	Now     *registry.RolloutStatus `json:"now,omitempty"`
	// Instances are the live ones with the revision that each of them uses.
	Instances []registry.RolloutInstance `json:"instances"`
	// Changes are all there were, the newest first.
	Changes []wireRollout `json:"changes"`
}

// getRollout says what is tried of a model, what is seen of it, and what was tried before.
func getRollout(c *call) (any, error) {
	if err := c.decode(&struct{}{}); err != nil {
		return nil, err
	}
	m, err := c.s.Model(c.ctx, c.path("name"))
	if err != nil {
		return nil, err
	}
	out := rolloutAnswer{Model: m.Name, Changes: []wireRollout{}}
	out.Now, out.Instances = c.s.RolloutStatus(m.Key)
	c.s.View(func(cat *registry.Catalog, _ *registry.Fleet) {
		if r, ok := cat.Rollout(m.Key); ok && cat.InForce(m.Key, r) {
			w := describeRollout(r)
			out.Running = &w
		}
		for _, r := range cat.Rollouts(m.Key) {
			out.Changes = append(out.Changes, describeRollout(r))
		}
	})
	return out, nil
}

// postRollout begins one.
func postRollout(c *call) (any, error) {
	var in struct {
		Version  integer                    `json:"version"`
		Mode     events.RolloutMode         `json:"mode"`
		Plan     spec.Plan                  `json:"plan"`
		Watch    map[string]json.RawMessage `json:"watch"`
		Expected *integer                   `json:"expected_version"`
		Override bool                       `json:"override"`
		Reason   string                     `json:"reason"`
	}
	if err := c.decodeStrictly(&in); err != nil {
		return nil, err
	}
	expected, err := expectedVersion(in.Expected)
	if err != nil {
		return nil, err
	}
	if in.Version < 1 || in.Version > 1<<31-1 {
		return nil, fault.New(fault.Invalid, "Missing value for required parameter 'version': the number of the version to try")
	}
	o := registry.RolloutStart{
		Version: int(in.Version), Mode: in.Mode, Plan: in.Plan, Expected: expected, Override: in.Override, Reason: in.Reason, Actor: c.actor(),
		Watch: map[string]string{},
	}
	for key, value := range in.Watch {
		o.Watch[key] = unquote(value)
	}
	r, err := c.s.StartRollout(c.ctx, c.path("name"), o)
	if err != nil {
		return nil, err
	}
	return map[string]wireRollout{"rollout": describeRollout(r)}, nil
}

// rolloutAct is what a call gives that ends a rollout.
type rolloutAct struct {
	Revision *integer `json:"expected_revision"`
	Reason   string   `json:"reason"`
}

func (c *call) rolloutAct() (registry.RolloutAct, error) {
	var in rolloutAct
	if err := c.decodeStrictly(&in); err != nil {
		return registry.RolloutAct{}, err
	}
	a := registry.RolloutAct{Reason: in.Reason, Actor: c.actor()}
	if n := in.Revision; n != nil {
		if *n < 1 || *n > 1<<31-1 {
			return a, fault.New(fault.Invalid, "Invalid value %s for parameter 'expected_revision': it is a revision's number", strconv.FormatInt(int64(*n), 10))
		}
		a.Revision = int(*n)
	}
	return a, nil
}

func promoteRollout(c *call) (any, error) {
	a, err := c.rolloutAct()
	if err != nil {
		return nil, err
	}
	p, err := c.s.PromoteRollout(c.ctx, c.path("name"), a)
	if err != nil {
		return nil, err
	}
	return promotionAnswer{describePromotion(p)}, nil
}

func abortRollout(c *call) (any, error) {
	a, err := c.rolloutAct()
	if err != nil {
		return nil, err
	}
	r, err := c.s.AbortRollout(c.ctx, c.path("name"), a)
	if err != nil {
		return nil, err
	}
	return map[string]wireRollout{"rollout": describeRollout(r)}, nil
}
