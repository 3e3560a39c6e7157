package mlflow

import (
	"net/http"
	"strconv"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

// controlPrefix is where our own interface stands, beside MLflow's and with the same errors.
const controlPrefix = "/api/v1"

// control registers what MLflow's interface has no call for. A model's name is one segment of the path, encoded where it needs to be.
func (a *api) control() {
	const model = "/models/{name}"
	a.own(http.MethodGet, model+"/history", access.Read, history)
	a.own(http.MethodPost, model+"/rollback", access.Promote, rollback)
	a.own(http.MethodPost, model+"/withdraw", access.Promote, withdraw)
	a.own(http.MethodGet, model+"/rollout", access.Read, getRollout)
	a.own(http.MethodPost, model+"/rollout", access.Promote, postRollout)
	a.own(http.MethodPost, model+"/rollout/promote", access.Promote, promoteRollout)
	a.own(http.MethodPost, model+"/rollout/abort", access.Promote, abortRollout)
	a.own(http.MethodGet, model+"/gates", access.Read, getGates)
	a.own(http.MethodPut, model+"/gates", access.Promote, putGates)
	a.own(http.MethodDelete, model+"/gates", access.Promote, deleteGates)
	a.own(http.MethodGet, model+"/audit", access.Read, audit)
	a.own(http.MethodGet, model+"/lineage", access.Read, lineage)
	a.own(http.MethodGet, model+"/diff", access.Read, diff)
	a.own(http.MethodGet, model+"/files", access.Read, versionFiles)
	a.router.add(http.MethodPost, controlPrefix+"/gc", "v1/gc", route{role: access.Admin, op: a.gc}) // which may take long
}

// own registers an operation below controlPrefix.
func (a *api) own(method, path string, role access.Role, op operation) {
	a.router.add(method, controlPrefix+path, "v1"+path, route{role: role, op: op, limit: a.callTime})
}

// wirePromotion is one promotion, rollback or withdrawal. Version is 0 if it left the model without a Production.
type wirePromotion struct {
	Version         int                   `json:"version"`
	PreviousVersion int                   `json:"previous_version"`
	Cause           events.PromotionCause `json:"cause"`
	Reason          string                `json:"reason,omitempty"`
	Actor           string                `json:"actor,omitempty"`
	Override        bool                  `json:"override,omitempty"`
	Unservable      string                `json:"unservable,omitempty"`
	RunID           string                `json:"run_id,omitempty"`
	// Sequence is the promotion's place in the stream LIFECYCLE.
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"`
}

func describePromotion(p registry.Promotion) wirePromotion {
	return wirePromotion{
		Version: p.Version, PreviousVersion: p.PreviousVersion, Cause: p.Cause, Reason: p.Reason, Actor: p.Actor, Override: p.Override,
		Unservable: p.Unservable, RunID: p.RunID, Sequence: p.Sequence, At: p.At.UTC(),
	}
}

// history says which versions were Production, the newest first, or with at which one was at that time.
func history(c *call) (any, error) {
	var in struct {
		At string `json:"at"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	at, err := instant(in.At)
	if err != nil {
		return nil, err
	}
	m, err := c.s.Model(c.ctx, c.path("name"))
	if err != nil {
		return nil, err
	}
	var out struct {
		Model      string          `json:"model"`
		At         *time.Time      `json:"at,omitempty"`
		Production *wireVersion    `json:"production"`
		Promotions []wirePromotion `json:"promotions"`
	}
	out.Model, out.Promotions = m.Name, []wirePromotion{}
	c.s.View(func(cat *registry.Catalog, _ *registry.Fleet) {
		v, ok := cat.Production(m.Key)
		if !at.IsZero() {
			out.At = &at
			v, ok = cat.ProductionAt(m.Key, at)
		}
		if ok {
			w := describeVersion(v)
			out.Production = &w
		}
		for _, p := range cat.History(m.Key) {
			if at.IsZero() || !p.At.After(at) {
				out.Promotions = append(out.Promotions, describePromotion(p))
			}
		}
	})
	if out.Production == nil {
		return out, nil
	}
	return out, c.locate(out.Production)
}

// instant reads a time as RFC 3339 or as milliseconds since 1970 UTC. The empty text is the zero time.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms).UTC(), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fault.New(fault.Invalid, "Invalid value for parameter 'at': want a time such as 2026-01-31T12:00:00Z or milliseconds since 1970, got %q",
			cut(text))
	}
	return at.UTC(), nil
}

// change is what a call gives that changes what is Production.
type change struct {
	// Version is where a rollback goes to, 0 for the newest earlier Production that some instance has loaded.
	Version  *integer `json:"version"`
	Expected *integer `json:"expected_version"`
	Reason   string   `json:"reason"`
}

type promotionAnswer struct {
	Promotion wirePromotion `json:"promotion"`
}

func rollback(c *call) (any, error) {
	var in change
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	expected, err := expectedVersion(in.Expected)
	if err != nil {
		return nil, err
	}
	o := registry.RollbackOptions{Actor: c.actor(), Reason: in.Reason, Expected: expected}
	if n := in.Version; n != nil {
		if *n < 1 || *n > 1<<31-1 {
			return nil, fault.New(fault.Invalid, "Invalid value %d for parameter 'version': it is the number of an earlier Production", *n)
		}
		o.Version = int(*n)
	}
	p, err := c.s.Rollback(c.ctx, c.path("name"), o)
	if err != nil {
		return nil, err
	}
	return promotionAnswer{describePromotion(p)}, nil
}

func withdraw(c *call) (any, error) {
	var in change
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	expected, err := expectedVersion(in.Expected)
	if err != nil {
		return nil, err
	}
	p, err := c.s.Withdraw(c.ctx, c.path("name"), registry.WithdrawOptions{Actor: c.actor(), Reason: in.Reason, Expected: expected})
	if err != nil {
		return nil, err
	}
	return promotionAnswer{describePromotion(p)}, nil
}
