package inference

import (
	"context"
	"net/http"
	"strings"

	"telco-churn-mlops/inference/openapi"
	"telco-churn-mlops/inference/openinference"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/model/explain"
)

// oip answers the Open Inference Protocol with the engine that answers /predict: the same scores, counts and log.
type oip struct{ s *Service }

var _ openinference.Engine = oip{}

// handler returns the routes of the protocol.
func (o oip) handler() http.Handler {
	return openinference.Handler(o, openinference.Options{Server: microName, Version: app.Version(), MaxBody: o.s.cfg.MaxBody, MaxRows: o.s.cfg.MaxRecords})
}

// Served implements openinference.Engine.
func (o oip) Served() openinference.Served {
	served := openinference.Served{Model: o.s.cfg.Model}
	now, err := o.s.slot.take()
	if err != nil {
		served.Reason = err.Text
		return served
	}
	for _, h := range now.named {
		served.Versions = append(served.Versions, openinference.Version{Number: h.predictor.promotion.Version, Bundle: h.predictor.bundle, Digest: h.predictor.promotion.Digest})
	}
	return served
}

// Admit implements openinference.Engine.
func (o oip) Admit(ctx context.Context) (release func(), err error) {
	deadline, _ := ctx.Deadline()
	if err := o.s.admit(deadline); err != nil {
		return nil, oipError(err)
	}
	return o.s.gate.leave, nil
}

// Infer implements openinference.Engine.
func (o oip) Infer(ctx context.Context, c openinference.Call) ([]openinference.Result, error) {
	if err := badRequestID(c.RequestID); err != nil {
		return nil, oipError(err)
	}
	rq := request{strict: c.Strict, explain: c.Explain, version: c.Version, transport: transportHTTP,
		id: strings.Clone(c.RequestID)} // the header's memory is the connection's, and the log keeps the id
	rq.deadline, _ = ctx.Deadline()
	w := works.Get().(*work)
	defer w.release()
	w.began = o.s.cfg.Now()
	w.records, w.list = append(w.records[:0], c.Records...), true
	out := collected{results: make([]openinference.Result, 0, len(c.Records))}
	err := o.s.work(&rq, w, &out)
	o.s.account(&rq, w, err)
	if err != nil {
		return nil, oipError(err)
	}
	for i := range out.results {
		out.results[i].Revision = w.serving.revision
	}
	return out.results, nil
}

// collected takes the answers as the protocol wants them.
type collected struct{ results []openinference.Result }

var _ sink = (*collected)(nil)

func (*collected) begin(bool) {}

func (c *collected) row(r *scored, x *explain.Explanation) {
	res := openinference.Result{PredictionID: string(r.id[:]), Version: r.by.promotion.Version, Probability: r.probability, Label: r.by.label(r.positive)}
	for _, p := range r.warnings {
		res.Warnings = append(res.Warnings, warningOf(p))
	}
	if x != nil {
		res.Explanation = x.Clone()
	}
	c.results = append(c.results, res)
}

// fault is not called: such requests are answered whole or not at all.
func (*collected) fault([]Problem) {}

// label returns the target's own word.
func (p *Predictor) label(positive bool) string {
	if positive {
		return p.bundle.Schema.Positive()
	}
	return p.bundle.Schema.Negative()
}

// warningOf is a sentence that names the column that it is about.
func warningOf(p Problem) string {
	f := faultOf(p)
	if f.Column == "" || strings.HasPrefix(f.Message, f.Column+": ") {
		return f.Message
	}
	return f.Column + ": " + f.Message
}

// faultOf finds row and column in where a problem is.
func faultOf(p Problem) openinference.Fault {
	f := openinference.Fault{Message: p.Msg}
	for _, l := range p.Loc[min(1, len(p.Loc)):] {
		switch l := l.(type) {
		case int:
			f.Row = l
		case string:
			f.Column = l
		}
	}
	return f
}

// oipError says what is wrong with a request: by row and column, or by the header or the option that can't be read.
func oipError(err *RequestError) *openinference.Error {
	e := &openinference.Error{Code: err.Code, Text: err.Text}
	if e.Code == http.StatusUnprocessableEntity {
		e.Code = http.StatusBadRequest // the protocol's word for a bad input
	}
	for _, p := range err.Problems {
		f := faultOf(p)
		if len(p.Loc) > 0 && p.Loc[0] != "body" {
			e.Text = f.Column + ": " + f.Message
			return e
		}
		e.Faults = append(e.Faults, f)
	}
	e.More = err.More
	return e
}

// describe answers with the OpenAPI document of what is in Production.
func (s *Service) describe(w http.ResponseWriter, _ *http.Request) {
	o := openapi.Options{Model: s.cfg.Model, MaxRecords: s.cfg.MaxRecords, MaxBody: s.cfg.MaxBody}
	p := s.slot.predictor()
	doc := []byte(nil)
	if p == nil {
		doc = openapi.Document(nil, o)
	} else {
		o.Version = p.promotion.Version
		doc = openapi.Document(p.bundle, o)
	}
	w.Header().Set("Content-Type", contentJSON)
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(doc) // the client has gone: nobody is left to tell
}
