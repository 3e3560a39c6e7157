package imported

import (
	"bytes"
	"errors"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/eval"
	"telco-churn-mlops/model/spec"
)

// holdoutFile is the name of a logged holdout: CSV with the columns of the signature and the target.
const holdoutFile = "holdout.csv"

// measured adds what the parts' bundle makes of a logged holdout: its figures, and with them something that live performance can be compared with.
// It reports false where there is no holdout or it can't be scored, which makes no model unservable: a gate that needs it says so.
func measured(s *source, p *model.Parts, b *model.Bundle) (bool, error) {
	if !s.has(holdoutFile) {
		return false, nil
	}
	data, err := s.read(holdoutFile, maxHoldoutBytes)
	var unservable *Unservable
	if errors.As(err, &unservable) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	score, label, err := b.ScoreHoldout(bytes.NewReader(data))
	if err != nil {
		return false, nil
	}
	figures, err := eval.Evaluate(score, label, nil, p.Threshold)
	if err != nil {
		return false, nil
	}
	performance := spec.DefaultPerformance()
	p.Spec = p.Spec.Clone()
	p.Spec.Drift.Performance = &performance
	p.Metrics, p.Rows.Holdout = figures.Map(), len(score)
	return true, nil
}
