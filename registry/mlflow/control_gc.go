package mlflow

import (
	"context"
	"errors"
	"net/http"
	"time"

	"telco-churn-mlops/registry/collect"
	"telco-churn-mlops/registry/fault"
)

const (
	// gcTime bounds a collection that a client asked for. What it did not come to stays until the next one.
	gcTime = time.Hour
	day    = 24 * time.Hour
	// gcDays bounds the ages that can be asked for, in days.
	gcDays = 36500
)

// gcAnswer says what a collection found and did; see [collect.Report].
type gcAnswer struct {
	DryRun bool                            `json:"dry_run"`
	Stored collect.Count                   `json:"stored"`
	Kept   map[collect.Class]collect.Count `json:"kept"`
	// Garbage is what nothing points to, Deleted how much of it was removed, and Expired the files that were (in a dry run: would be) taken out of
	// what was deleted.
	Garbage   collect.Count `json:"garbage"`
	Deleted   collect.Count `json:"deleted"`
	Expired   collect.Count `json:"expired"`
	Lifecycle uint64        `json:"lifecycle_sequence"`
	Tracking  uint64        `json:"tracking_sequence"`
}

// gc removes what nothing points to; unless dry_run is false, it only says what that would be. One at a time: another is refused meanwhile, not queued.
func (a *api) gc(c *call) (any, error) {
	var in struct {
		DryRun    *bool    `json:"dry_run"`
		OlderThan *integer `json:"older_than_days"`
		History   *integer `json:"history_days"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	days := func(name string, asked *integer, def time.Duration, least integer) (time.Duration, error) {
		if asked == nil {
			return def, nil
		}
		if *asked < least || *asked > gcDays {
			return 0, fault.New(fault.Invalid, "Invalid value %d for parameter '%s': it must be between %d and %d", *asked, name, least, gcDays)
		}
		return time.Duration(*asked) * day, nil
	}
	older, err := days("older_than_days", in.OlderThan, collect.DefaultOlderThan, integer(collect.DefaultOlderThan/day))
	if err != nil {
		return nil, err
	}
	history, err := days("history_days", in.History, collect.DefaultHistory, 1)
	if err != nil {
		return nil, err
	}
	select {
	case a.collecting <- struct{}{}:
		defer func() { <-a.collecting }()
	default:
		return nil, fault.New(fault.Conflict, "a collection that was asked for before is at work")
	}
	ctx, cancel := context.WithTimeout(c.ctx, gcTime)
	defer cancel()
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(gcTime + a.callTime)) // a server without deadlines has none in the way
	r, err := collect.Collect(ctx, collect.Config{
		Bus: a.s.Bus(), Store: a.s.Store(), Log: a.log, OlderThan: older, History: history, DryRun: in.DryRun == nil || *in.DryRun, Actor: c.actor(),
	})
	switch {
	case errors.Is(err, collect.ErrIncomplete), errors.Is(err, collect.ErrForeign):
		return nil, fault.New(fault.Invalid, "nothing was removed: %w", err)
	case err != nil:
		return nil, fault.New(fault.CodeOf(err), "%d objects were removed, the rest stays until the next collection: %w", r.Deleted.Objects, err)
	}
	if !r.DryRun {
		a.log.Info("garbage collected", "actor", c.actor(), "objects", r.Deleted.Objects, "bytes", r.Deleted.Bytes, "expired", r.Expired.Objects)
	}
	return gcAnswer{
		DryRun: r.DryRun, Stored: r.Stored, Kept: r.Kept, Garbage: r.Size(), Deleted: r.Deleted, Expired: r.Expired, Lifecycle: r.Lifecycle, Tracking: r.Tracking,
	}, nil
}
