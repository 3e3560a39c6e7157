package trainer

import (
	"context"
	"errors"
	"fmt"

	"telco-churn-mlops/events"
)

// ErrHorizon is returned by Run if the spec's label horizon is longer than PREDICTIONS keeps a prediction: no label could ever be joined, and
// no retraining would ever have new rows. Nothing has been started then.
var ErrHorizon = errors.New("label horizon is longer than predictions are kept")

// checkHorizon compares the spec with the limit that the stream really has, which an operator may have changed.
func (s *Service) checkHorizon(ctx context.Context) error {
	stream, err := s.cfg.Bus.JetStream().Stream(ctx, string(events.Predictions))
	if err != nil {
		return fmt.Errorf("read the limits of %s: %w", events.Predictions, err)
	}
	l, kept := s.cfg.Spec.Labels, stream.CachedInfo().Config.MaxAge
	if need := l.Horizon + l.Slack; kept > 0 && need > kept {
		return fmt.Errorf("%w: labels.horizon and slack are %s, the stream %s keeps %s", ErrHorizon, need, events.Predictions, kept)
	}
	return nil
}
