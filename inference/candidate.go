package inference

import (
	"net/http"
	"runtime/debug"
	"time"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/explain"
)

// candidateTime is the most that a candidate may take of one request with a list or an explanation. With a deadline it is half of the time that was
// left when the request began, if that is less.
const candidateTime = time.Second

// deadline returns until when a request is worked on: what the candidate took beyond its part is not held against Production, which answers in its place.
func (w *work) deadline(rq *request) time.Time {
	if t := &w.tallies[armCanary]; !rq.deadline.IsZero() && (t.slow || t.late) {
		return rq.deadline.Add(t.spent)
	}
	return rq.deadline
}

// candidateBudget returns how long the candidate may work on a request in all.
func (w *work) candidateBudget(rq *request) time.Duration {
	if rq.deadline.IsZero() {
		return candidateTime
	}
	return min(candidateTime, rq.deadline.Sub(w.began)/2)
}

// tryCandidate has the candidate answer a record that Production has read into sc, and explain it if that is asked for. It reports whether it did and
// which scorer holds the record as it read it. The candidate reads the record itself only where its columns are others. It may never cost a request: a
// refusal, a panic, a score that is none or an explanation that is not to be had leaves the record to Production and counts as the candidate's
// failure, and so does taking more than its part of the time, after which Production answers the other records of the list.
func (s *Service) tryCandidate(rq *request, w *work, r *scored, sc *scorer, warned []dataset.Fault, index int, second **scorer) (from *scorer, x *explain.Explanation, ok bool) {
	c := r.by
	t := &w.tallies[armCanary]
	t.by = c
	var start time.Time
	if w.list || rq.explain { // one record without more is answered, however long it took
		start = s.cfg.Now()
	}
	defer func() {
		if v := recover(); v != nil {
			*second, x, ok = nil, nil, false
			if !c.failing.quiet(w.began) {
				s.cfg.Log.Error("panic of the candidate, Production answers", "model", s.cfg.Model, "version", c.promotion.Version,
					"request_id", rq.id, "err", v, "stack", string(debug.Stack()))
			}
		}
		if !start.IsZero() {
			t.spent += s.cfg.Now().Sub(start)
			t.slow = w.list && t.spent > w.candidateBudget(rq)
		}
		if !ok || t.slow {
			t.failed, t.fallback = true, true
		}
	}()
	if *second == nil {
		*second = c.scorer()
	}
	from = sc
	if c.columns != w.first.columns {
		from = *second
		var faults []Problem
		if warned, faults = c.read(from, r.record, index, rq.strict); len(faults) > 0 {
			return from, nil, false
		}
	}
	if faults := c.score(*second, from.row, warned, index, rq.strict, r); len(faults) > 0 {
		return from, nil, false
	}
	if !(r.probability >= 0 && r.probability <= 1) {
		return from, nil, false
	}
	if rq.explain {
		var err *RequestError
		if x, err = s.explain(w, c, from.row, start.Add(w.candidateBudget(rq)-t.spent)); err != nil {
			t.late = err.Code == http.StatusGatewayTimeout
			return from, nil, false
		}
	}
	return from, x, true
}
