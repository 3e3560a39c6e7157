package openinference

import (
	"fmt"
	"strconv"
	"strings"

	"telco-churn-mlops/model/dataset"
)

// The outputs.
const (
	OutputProbability   = "churn_probability"
	OutputLabel         = "label"
	OutputPredictionID  = "prediction_id"
	OutputVersion       = "model_version"
	OutputRawScore      = "raw_score"
	OutputContributions = "contributions"
	OutputColumns       = "contribution_columns"
	OutputReasons       = "reasons"
)

// biasColumn is the name of the last contribution.
const biasColumn = "bias"

// output is how an output is written.
type output struct {
	name, datatype string
	explains       bool // needs an explanation
	always         bool // given where no outputs are asked for
	shape          func(rs []Result) []int
	data           func(dst []byte, rs []Result) []byte
}

// outputs are all of them, in the order of an answer.
func outputs() []output {
	one := func(rs []Result) []int { return []int{len(rs)} }
	return []output{
		{OutputProbability, typeDouble, false, true, one, each(func(dst []byte, r *Result) []byte { return dataset.AppendNumber(dst, r.Probability) })},
		{OutputLabel, typeBytes, false, true, one, each(func(dst []byte, r *Result) []byte { return dataset.AppendString(dst, r.Label) })},
		{OutputPredictionID, typeBytes, false, true, one, each(func(dst []byte, r *Result) []byte { return dataset.AppendString(dst, r.PredictionID) })},
		{OutputVersion, typeInt64, false, false, one, each(func(dst []byte, r *Result) []byte { return strconv.AppendInt(dst, int64(r.Version), 10) })},
		{OutputRawScore, typeDouble, true, true, one, each(func(dst []byte, r *Result) []byte { return dataset.AppendNumber(dst, r.Explanation.Raw) })},
		{OutputContributions, typeDouble, true, true,
			func(rs []Result) []int { return []int{len(rs), len(rs[0].Explanation.Columns) + 1} },
			each(func(dst []byte, r *Result) []byte {
				for i := range r.Explanation.Columns {
					dst = append(dataset.AppendNumber(dst, r.Explanation.Columns[i].Amount), ',')
				}
				return dataset.AppendNumber(dst, r.Explanation.Bias)
			})},
		{OutputColumns, typeBytes, true, true,
			func(rs []Result) []int { return []int{len(rs[0].Explanation.Columns) + 1} },
			func(dst []byte, rs []Result) []byte {
				for _, c := range rs[0].Explanation.Columns {
					dst = append(dataset.AppendString(dst, c.Column), ',')
				}
				return dataset.AppendString(dst, biasColumn)
			}},
		{OutputReasons, typeBytes, true, true, one, each(func(dst []byte, r *Result) []byte {
			return dataset.AppendString(dst, string(r.Explanation.AppendReasons(nil)))
		})},
	}
}

// each writes a value for each result, with commas.
func each(one func([]byte, *Result) []byte) func([]byte, []Result) []byte {
	return func(dst []byte, rs []Result) []byte {
		for i := range rs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = one(dst, &rs[i])
		}
		return dst
	}
}

// choose returns the outputs of a request: those that it asks for, in its order, or the usual ones. It sets explain where an output needs it.
func choose(rq *request) ([]output, error) {
	all := outputs()
	var chosen []output
	if rq.outputs == nil {
		for _, o := range all {
			if o.always && (!o.explains || rq.explain) {
				chosen = append(chosen, o)
			}
		}
		return chosen, nil
	}
	for _, name := range rq.outputs {
		found := false
		for _, o := range all {
			if o.name == name {
				found, rq.explain, chosen = true, rq.explain || o.explains, append(chosen, o)
			}
		}
		if !found {
			return nil, bad("the model has no output %.60q; it has %s", name, strings.Join(OutputNames(), ", "))
		}
	}
	return chosen, nil
}

// OutputNames lists all outputs that can be asked for.
func OutputNames() []string {
	var names []string
	for _, o := range outputs() {
		names = append(names, o.name)
	}
	return names
}

// oneVersion returns the version that answered all the rows, 0 where there are several.
func oneVersion(rs []Result) int {
	for i := range rs {
		if rs[i].Version != rs[0].Version {
			return 0
		}
	}
	return rs[0].Version
}

// alike reports whether the explanations of all rows are of the same columns. Those of two versions need not be, and then they are no tensor.
func alike(rs []Result) bool {
	for i := range rs {
		a, b := rs[0].Explanation, rs[i].Explanation
		if a == nil || b == nil || len(a.Columns) != len(b.Columns) {
			return false
		}
		for k := range a.Columns {
			if a.Columns[k].Column != b.Columns[k].Column {
				return false
			}
		}
	}
	return true
}

// encode writes the answer. The results are at least one, and have explanations where an output needs them.
func encode(model, id string, chosen []output, rs []Result, warnings []string) []byte {
	dst := dataset.AppendString([]byte(`{"model_name":`), model)
	version := oneVersion(rs)
	if version > 0 {
		dst = fmt.Appendf(dst, `,"model_version":"%d"`, version)
	} else {
		chosen = withVersion(chosen)
	}
	if id != "" {
		dst = dataset.AppendString(append(dst, `,"id":`...), id)
	}
	if text := allWarnings(rs, warnings); text != "" {
		dst = append(dataset.AppendString(append(dst, `,"parameters":{"warnings":`...), text), '}')
	}
	dst = append(dst, `,"outputs":[`...)
	for i, o := range chosen {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = dataset.AppendString(append(dst, `{"name":`...), o.name)
		dst = append(dst, `,"shape":[`...)
		for k, n := range o.shape(rs) {
			if k > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendInt(dst, int64(n), 10)
		}
		dst = dataset.AppendString(append(dst, `],"datatype":`...), o.datatype)
		dst = append(o.data(append(dst, `,"data":[`...), rs), "]}"...)
	}
	return append(dst, "]}\n"...)
}

// withVersion adds the output that says which version answered a row, unless it is there.
func withVersion(chosen []output) []output {
	for _, o := range chosen {
		if o.name == OutputVersion {
			return chosen
		}
	}
	for _, o := range outputs() {
		if o.name == OutputVersion {
			chosen = append(chosen, o)
		}
	}
	return chosen
}

// allWarnings joins what is to be said about the inputs and about each row; at most maxWarnings, and how many more there are.
func allWarnings(rs []Result, warnings []string) string {
	texts, n := warnings, len(warnings)
	for i := range rs {
		for _, w := range rs[i].Warnings {
			if n++; n <= maxWarnings {
				texts = append(texts, fmt.Sprintf("row %d: %s", i, w))
			}
		}
	}
	if n > maxWarnings {
		texts = append(texts, fmt.Sprintf("and %d more", n-maxWarnings))
	}
	return strings.Join(texts, "; ")
}
