package events

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"
)

// plain reads the JSON that Encode writes for a RunTracked, several times as fast as encoding/json: a registry reads hundreds of thousands of
// them before it answers. It gives up on whatever Encode does not write (spaces, fields in another order, unknown or given twice, null, empty
// lists and objects), and then the data is for encoding/json to judge. So it may refuse anything, but what it reads means the same to both.
type plain struct {
	data []byte
	at   int
	bad  bool // gave up; everything read is void
}

// The fields in the order of their Go types.
var (
	plainRun = []string{"run_id", "created", "status", "end_time", "name", "lifecycle_stage", "metrics", "params", "tags", "removed_tags", "inputs", "outputs",
		"actor"}
	plainCreation = []string{"experiment_id", "user_id", "start_time", "artifact_uri"}
	plainMetric   = []string{"key", "value", "timestamp", "step", "model_id", "dataset_name", "dataset_digest"}
	plainPair     = []string{"key", "value"}
)

// readPlain fills p, which is empty, and reports whether it could; if not, p holds anything. Inputs and outputs, which few events have, it leaves
// to encoding/json.
func readPlain(data []byte, p *RunTracked) bool {
	r := plain{data: data}
	r.object(plainRun, func(field string) {
		switch field {
		case "run_id":
			p.RunID = r.text()
		case "created":
			p.Created = r.creation()
		case "status":
			p.Status = RunStatus(r.text())
		case "end_time":
			v := r.integer()
			p.EndTime = &v
		case "name":
			v := r.text()
			p.Name = &v
		case "lifecycle_stage":
			p.Lifecycle = r.text()
		case "metrics":
			p.Metrics = make([]MetricPoint, 0, r.objects())
			r.list(func() { p.Metrics = append(p.Metrics, r.metric()) })
		case "params":
			p.Params = make([]Pair, 0, r.objects())
			r.list(func() { p.Params = append(p.Params, r.pair()) })
		case "tags":
			p.Tags = make([]Pair, 0, r.objects())
			r.list(func() { p.Tags = append(p.Tags, r.pair()) })
		case "removed_tags":
			r.list(func() { p.RemovedTags = append(p.RemovedTags, r.text()) })
		case "actor":
			p.Actor = r.text()
		default:
			r.bad = true
		}
	})
	return !r.bad && r.at == len(data)
}

func (r *plain) creation() *RunCreation {
	c := new(RunCreation)
	r.object(plainCreation, func(field string) {
		switch field {
		case "experiment_id":
			c.ExperimentID = r.text()
		case "user_id":
			c.UserID = r.text()
		case "start_time":
			c.StartTime = r.integer()
		case "artifact_uri":
			c.ArtifactURI = r.text()
		}
	})
	return c
}

func (r *plain) metric() (m MetricPoint) {
	r.object(plainMetric, func(field string) {
		switch field {
		case "key":
			m.Key = r.text()
		case "value":
			m.Value = r.number()
		case "timestamp":
			m.Timestamp = r.integer()
		case "step":
			m.Step = r.integer()
		case "model_id":
			m.ModelID = r.text()
		case "dataset_name":
			m.DatasetName = r.text()
		case "dataset_digest":
			m.DatasetDigest = r.text()
		}
	})
	return m
}

func (r *plain) pair() (p Pair) {
	r.object(plainPair, func(field string) {
		switch field {
		case "key":
			p.Key = r.text()
		case "value":
			p.Value = r.text()
		}
	})
	return p
}

// object calls read at the value of each field. Names that do not stand in the order of names, each at most once, are given up on.
func (r *plain) object(names []string, read func(field string)) {
	r.take('{')
	for i := 0; !r.bad; i++ {
		name := r.quoted()
		for i < len(names) && names[i] != string(name) {
			i++
		}
		if i == len(names) {
			r.bad = true
			return
		}
		r.take(':')
		if !r.bad {
			read(names[i])
		}
		if !r.more('}') {
			return
		}
	}
}

// list calls read at each item of a list that has some.
func (r *plain) list(read func()) {
	r.take('[')
	for !r.bad {
		read()
		if !r.more(']') {
			return
		}
	}
}

// objects guesses how many objects the list that begins here has: for the room to make, so that hostile data may mislead it as long as it costs little.
func (r *plain) objects() int {
	const most = 1000 // a batch has no more
	rest := r.data[min(r.at, len(r.data)):]
	if end := bytes.IndexByte(rest, ']'); end >= 0 {
		rest = rest[:end]
	}
	return min(bytes.Count(rest, []byte{'{'}), most)
}

// more steps over a comma and reports true, or over the closing bracket.
func (r *plain) more(closing byte) bool {
	if !r.bad && r.at < len(r.data) && r.data[r.at] == ',' {
		r.at++
		return true
	}
	r.take(closing)
	return false
}

func (r *plain) take(c byte) {
	if r.bad || r.at >= len(r.data) || r.data[r.at] != c {
		r.bad = true
		return
	}
	r.at++
}

// quoted returns what stands between the next quotes: valid UTF-8 without escapes.
func (r *plain) quoted() []byte {
	r.take('"')
	if r.bad {
		return nil
	}
	var all byte
	for i := r.at; i < len(r.data); i++ {
		c := r.data[i]
		if c == '"' {
			s := r.data[r.at:i]
			r.at = i + 1
			r.bad = all >= utf8.RuneSelf && !utf8.Valid(s)
			return s
		}
		if c < ' ' || c == '\\' {
			break
		}
		all |= c
	}
	r.bad = true
	return nil
}

func (r *plain) text() string {
	start := r.at
	s := r.quoted()
	if !r.bad {
		return string(s)
	}
	return r.escaped(start)
}

// escaped reads a string that may have escapes, as encoding/json does.
func (r *plain) escaped(start int) (s string) {
	if start >= len(r.data) || r.data[start] != '"' {
		return ""
	}
	for i := start + 1; i < len(r.data); i++ {
		switch r.data[i] {
		case '\\':
			i++
		case '"':
			r.bad = json.Unmarshal(r.data[start:i+1], &s) != nil
			r.at = i + 1
			return s
		}
	}
	return ""
}

// literal returns the number that begins here, as JSON allows one.
func (r *plain) literal() []byte {
	start := r.at
	digits := func() int {
		from := r.at
		for r.at < len(r.data) && r.data[r.at] >= '0' && r.data[r.at] <= '9' {
			r.at++
		}
		return r.at - from
	}
	is := func(chars string) bool {
		if r.at < len(r.data) && slices.Contains([]byte(chars), r.data[r.at]) {
			r.at++
			return true
		}
		return false
	}
	is("-")
	zero := r.at < len(r.data) && r.data[r.at] == '0'
	if n := digits(); n == 0 || zero && n > 1 {
		r.bad = true
	}
	if is(".") && digits() == 0 {
		r.bad = true
	}
	if is("eE") {
		is("+-")
		if digits() == 0 {
			r.bad = true
		}
	}
	return r.data[start:r.at]
}

func (r *plain) integer() int64 {
	if r.bad {
		return 0
	}
	v, err := strconv.ParseInt(string(r.literal()), 10, 64)
	r.bad = r.bad || err != nil
	return v
}

func (r *plain) number() (n Number) {
	if !r.bad && r.at < len(r.data) && r.data[r.at] == '"' {
		word := r.quoted()
		if !r.bad {
			r.bad = n.word(string(word)) != nil
		}
		return n
	}
	v, err := strconv.ParseFloat(string(r.literal()), 64)
	r.bad = r.bad || err != nil
	return Number(v)
}
