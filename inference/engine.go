package inference

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/explain"
)

// scored is the answer to one record before anyone has written it down. Its record and entity are views of the request.
type scored struct {
	by          *Predictor
	arm         arm
	id          predictionID
	probability float64
	positive    bool
	entity      string
	record      []byte
	compact     bool // the record has no white space between its tokens
	warnings    []Problem
}

// sink takes what comes of the records, in their order.
type sink interface {
	// begin is called once, before the first record; list is false for a single record.
	begin(list bool)
	// row takes an answer; x is nil unless explanations were asked for. Neither may be kept.
	row(r *scored, x *explain.Explanation)
	// fault takes what is wrong with a record, where a list is answered in part.
	fault(problems []Problem)
}

// tally is what one version did for one request.
type tally struct {
	by       *Predictor
	records  int
	failed   bool          // it should have answered and did not
	fallback bool          // and Production did in its place
	spent    time.Duration // of the candidate, where it answers in a list or explains
	worked   time.Duration // on the records of a list that it answered
	slow     bool          // the candidate took more than its part of the time: the other records are Production's
	late     bool          // it did not come to the end of an explanation in its part
}

// work is one request on its way through the engine: what has to be known at its end, and buffers that are used again.
type work struct {
	began       time.Time
	records     [][]byte
	list        bool
	serving     *serving
	first       *Predictor // that reads every record: Production, or the version that was named
	rows        []scored
	faults      faultList
	faulty      int // records of a partial list that were not answered
	tallies     [3]tally
	current     arm        // of the version that is at work
	lapped      time.Time  // when the record of a list that is at work was begun
	lap         *tally     // of the version that answered the record before; nil for none
	scorers     [2]*scorer // of first and of the candidate; the rows are views of what they hold
	scratch     []byte
	explanation explain.Explanation
}

// keepRows is the longest list whose buffers are kept for the next request.
const keepRows = 1024

var works = sync.Pool{New: func() any { return &work{rows: make([]scored, 0, 1), records: make([][]byte, 0, 1)} }}

func (w *work) release() {
	if w.scorers[0] != nil {
		w.first.release(w.scorers[0])
	}
	if w.scorers[1] != nil {
		w.serving.candidate.release(w.scorers[1])
	}
	w.scorers = [2]*scorer{}
	if cap(w.rows) > keepRows || cap(w.records) > keepRows || cap(w.scratch) > keepAnswer {
		return
	}
	clear(w.rows) // nothing of a request is held on to
	clear(w.records)
	*w = work{records: w.records[:0], rows: w.rows[:0], scratch: w.scratch, explanation: w.explanation}
	works.Put(w)
}

// answer is the whole way from a body to a body, the same for every transport. It logs and counts, and blocks on nothing. For a single record it
// allocates nothing, unless there is something to say about the record. into must be empty.
func (s *Service) answer(rq *request, into *answer) {
	w := works.Get().(*work)
	if w.began = rq.began; w.began.IsZero() {
		w.began = s.cfg.Now()
	}
	err := s.work(rq, w, into)
	if w.serving != nil {
		into.revision = w.serving.revision
	}
	if err == nil && rq.room > 0 && len(into.body)+len("]\n") > rq.room { // nobody gets these answers: they are neither counted nor logged
		err = errAnswerTooLarge()
	}
	if err != nil {
		into.refuse(err)
	} else {
		into.end(w)
	}
	s.account(rq, w, err)
	w.release()
}

// work answers the records of a request to out. Where one is wrong with what it says the whole request is refused with every fault of every
// record, unless a part will do. A panic of our own code is a 500, over NATS too, where it would end the process.
func (s *Service) work(rq *request, w *work, out sink) (err *RequestError) {
	defer func() {
		if v := recover(); v != nil {
			w.tallies[w.current].failed = true
			err = rq.internal()
			s.cfg.Log.Error("panic while a request was answered", "model", s.cfg.Model, "request_id", rq.id, "err", v, "stack", string(debug.Stack()))
		}
	}()
	now, err := s.slot.take()
	if err != nil {
		return err
	}
	w.serving, w.first = now, now.production
	if rq.version != 0 {
		if w.first, w.current = now.version(rq.version), armNamed; w.first == nil {
			return errNoVersion(s.cfg.Model, rq.version)
		}
	}
	count := len(w.records)
	if rq.body != nil || count == 0 {
		var split error
		if w.records, count, w.list, split = splitRecords(w.records[:0], rq.body, s.cfg.MaxRecords); split != nil {
			return notJSON(split)
		}
	}
	if s.cfg.MaxRecords > 0 && count > s.cfg.MaxRecords {
		return errTooManyRecords(count, s.cfg.MaxRecords)
	}
	out.begin(w.list)
	if err := s.each(rq, w, out); err != nil {
		return err
	}
	return w.faults.err()
}

// each answers one record after the other. It is long because the order of its steps is the point: read, route, score, judge, explain, write.
func (s *Service) each(rq *request, w *work, out sink) *RequestError {
	named := w.current
	w.tallies[named].by = w.first
	sc := w.first.scorer() // left to the collector by a panic: who knows what state it is in
	var second *scorer     // of the candidate
	for i, record := range w.records {
		if w.list {
			w.next(s.cfg.Now())
		}
		if !rq.deadline.IsZero() && passed(w.deadline(rq), s.cfg.Now()) {
			w.tallies[w.current].failed = i > 0 // before the first record it was not the version's time
			return errDeadline()
		}
		index := indexIn(w.list, i)
		w.current = named
		warned, faults := w.first.read(sc, record, index, rq.strict)
		r := scored{by: w.first, arm: named, record: record, compact: sc.decoder.Compact()}
		from := sc
		var x *explain.Explanation
		if len(faults) == 0 {
			answered := false
			if named == armProduction && w.faults.none() && !w.tallies[armCanary].slow {
				if c, a := w.serving.route(sc.row.ID); a == armCanary {
					r.by, r.arm, w.current = c, a, a
					if from, x, answered = s.tryCandidate(rq, w, &r, sc, warned, index, &second); !answered {
						r.by, r.arm, from, w.current = w.first, named, sc, named
						if w.list { // its time is not Production's
							w.lapped = s.cfg.Now()
						}
					}
				}
			}
			if !answered {
				faults = w.first.score(sc, sc.row, warned, index, rq.strict, &r)
			}
		}
		switch {
		case len(faults) > 0 && rq.partial && w.list:
			w.faulty++
			out.fault(w.faults.ofRecord(faults, index))
			continue
		case len(faults) > 0:
			w.faults.add(faults)
			continue
		case !w.faults.none(): // refused already: what is still wanted are the faults of the others
			continue
		case !(r.probability >= 0 && r.probability <= 1):
			w.tallies[w.current].failed = true
			err := rq.internal()
			s.cfg.Log.Error("score is no probability", "model", s.cfg.Model, "version", r.by.promotion.Version, "request_id", rq.id, "score", r.probability)
			return err
		}
		if rq.explain && x == nil {
			var err *RequestError
			if x, err = s.explain(w, r.by, from.row, w.deadline(rq)); err != nil {
				return err
			}
		}
		w.identify(rq, &r, i)
		if r.entity = from.row.ID; w.list && r.by.bundle.Schema.ID() == "" { // a digest, which the next record would overwrite
			r.entity = strings.Clone(r.entity)
		}
		t := &w.tallies[r.arm]
		t.by = r.by
		t.records++
		w.rows = append(w.rows, r)
		out.row(&w.rows[len(w.rows)-1], x)
		w.lap = t
	}
	if w.list {
		w.next(s.cfg.Now())
	}
	w.scorers = [2]*scorer{sc, second}
	return nil
}

// next ends the time of a record of a list and begins that of the one after it.
func (w *work) next(at time.Time) {
	if w.lap != nil {
		w.lap.worked += at.Sub(w.lapped)
	}
	w.lap, w.lapped = nil, at
}

// explain explains the score of a row, until a deadline if there is one.
func (s *Service) explain(w *work, p *Predictor, row *dataset.Row, deadline time.Time) (*explain.Explanation, *RequestError) {
	e, err := p.explainer()
	if err != nil {
		return nil, unprocessable(Problem{Loc: []any{"query", "explain"}, Type: "value_error",
			Msg: fmt.Sprintf("version %d can't be explained: %v", p.promotion.Version, err)})
	}
	var stop func() bool
	if !deadline.IsZero() {
		stop = func() bool { return passed(deadline, s.cfg.Now()) }
	}
	if !e.ExplainUntil(row, &w.explanation, stop) {
		return nil, errDeadline() // asking for much in little time is nothing that a version can be blamed for
	}
	return &w.explanation, nil
}

// identify gives an answer its prediction id.
func (w *work) identify(rq *request, r *scored, i int) {
	if rq.id == "" {
		r.id = newPredictionID(w.began)
		return
	}
	r.id, w.scratch = derivedID(w.scratch, rq.id, i, r.record)
}

// account counts a request for the metrics and for its versions, and hands its answers to the prediction log.
func (s *Service) account(rq *request, w *work, err *RequestError) {
	at := s.cfg.Now()
	rq.ended = at
	took := at.Sub(w.began)
	s.metrics.took(rq.transport, took)
	if w.first == nil { // no model, or not the one that was asked for
		return
	}
	for a := range w.tallies {
		t := &w.tallies[a]
		switch {
		case t.late && !t.slow && passed(rq.deadline, at): // Production did not do it in the time either
		case t.by == nil || err == nil && t.records == 0 && !t.failed:
		case t.fallback && (err == nil || err.Code >= http.StatusInternalServerError):
			w.serving.meter(t.by, arm(a)).fallback()
		case t.failed:
			w.serving.meter(t.by, arm(a)).error()
		case err == nil:
			one := took
			if w.list { // as long as one of its records took: lists are long and short, and one can be answered by two versions
				one = t.worked / time.Duration(t.records)
			}
			w.serving.meter(t.by, arm(a)).request(t.records, one)
		}
	}
	if err != nil {
		s.metrics.of(w.first).count(rq.transport, outcomeOf(err.Code), 1)
		return
	}
	if w.faulty > 0 {
		s.metrics.of(w.first).count(rq.transport, outcomeRefused, w.faulty)
	}
	for a := range w.tallies {
		if t := &w.tallies[a]; t.records > 0 {
			s.metrics.of(t.by).count(rq.transport, outcomeOK, t.records)
		}
	}
	for i := range w.rows {
		r := &w.rows[i]
		s.metrics.of(r.by).score(r.probability)
		w.serving.meter(r.by, r.arm).score(r.probability, r.entity)
		for _, p := range r.warnings {
			s.metrics.warnings.WithLabelValues(p.Type).Inc()
		}
	}
	if !s.cfg.PredictionLog {
		return
	}
	w.scratch = s.plog.add(w.rows, loggedRequest{at: at, took: took, id: rq.id, revision: w.serving.revision}, w.scratch)
}

// begin implements sink.
func (a *answer) begin(list bool) {
	if a.list = list; list {
		a.body = append(a.body, '[')
	}
}

// next separates the elements of a list.
func (a *answer) next() {
	if a.list && len(a.body) > 1 {
		a.body = append(a.body, ',')
	}
}

// row implements sink.
func (a *answer) row(r *scored, x *explain.Explanation) {
	a.next()
	a.body = r.by.words.appendAnswer(a.body, &r.id, r.probability, r.positive, r.warnings)
	if x != nil {
		a.body = x.AppendJSON(append(a.body, `,"explanation":`...))
	}
	a.body = append(a.body, '}')
}

// fault implements sink: {"error":{"detail":[...]}} stands where the answer would.
func (a *answer) fault(problems []Problem) {
	a.next()
	a.body = append(appendProblems(append(a.body, `{"error":{"detail":`...), problems), "}}"...)
}

// end completes the answer to a request that was answered.
func (a *answer) end(w *work) {
	a.code, a.records = http.StatusOK, len(w.rows)
	a.version = w.first.promotion.Version
	if a.list {
		a.body = append(a.body, ']')
	} else {
		a.version = w.rows[0].by.promotion.Version
		a.predictionID = append(a.predictionID, w.rows[0].id[:]...)
	}
	a.body = append(a.body, '\n')
}

// internal returns the 500 of a request, and gives it an id if it has none: the log line and the answer then name the same.
func (rq *request) internal() *RequestError {
	if rq.id == "" {
		rq.id = newRequestID()
	}
	return &RequestError{Code: http.StatusInternalServerError, Text: "internal error"}
}

func errNoVersion(model string, version int) *RequestError {
	return &RequestError{Code: http.StatusNotFound, Text: fmt.Sprintf("model %s: version %d is not held here", model, version)}
}
