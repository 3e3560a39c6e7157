package inference

import (
	"strconv"
	"time"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
)

// loggedRequest is what the events of a request's answers have in common.
type loggedRequest struct {
	at       time.Time
	took     time.Duration
	id       string // the caller's; "" for none
	revision int    // of the split in force, 0 for none
}

// logWords are the parts of a version's events that are the same in each, encoded once.
type logWords struct {
	head []byte    // between the entity id and the record
	tail [2][]byte // between score and latency, of the negative and the positive class
}

func newLogWords(b *model.Bundle, p Promotion) logWords {
	w := logWords{head: strconv.AppendInt([]byte(`,"version":`), int64(p.Version), 10)}
	w.head = strconv.AppendUint(append(w.head, `,"promotion_sequence":`...), p.Sequence, 10)
	w.head = append(w.head, `,"record":`...)
	for i, label := range []string{b.Schema.Negative(), b.Schema.Positive()} {
		tail := appendFloat([]byte(`,"threshold":`), b.Manifest.Threshold)
		tail = strconv.AppendBool(append(tail, `,"positive":`...), i == 1)
		tail = dataset.AppendString(append(tail, `,"label":`...), label)
		w.tail[i] = append(tail, `,"latency_us":`...)
	}
	return w
}

// appendMade appends the JSON of an answer's events.PredictionMade, as package events writes it, up to the ordinal's digits, and appendMadeEnd what
// stands behind them: the ordinal is known only once the answer has its place in the queue. origin is what origin returned.
func appendMade(dst []byte, r *scored, q *loggedRequest, origin []byte) []byte {
	dst = append(dst, `{"prediction_id":"`...)
	dst = append(dst, r.id[:]...)
	dst = append(dst, '"')
	if r.entity != "" {
		dst = dataset.AppendString(append(dst, `,"entity_id":`...), r.entity)
	}
	w := &r.by.logWords
	dst = append(dst, w.head...)
	if r.compact {
		dst = append(dst, r.record...)
	} else {
		dst = appendCompact(dst, r.record)
	}
	dst = appendFloat(append(dst, `,"score":`...), r.probability)
	if r.positive {
		dst = append(dst, w.tail[1]...)
	} else {
		dst = append(dst, w.tail[0]...)
	}
	dst = strconv.AppendInt(dst, q.took.Microseconds(), 10)
	return append(dst, origin...)
}

func appendMadeEnd(dst []byte, r *scored, q *loggedRequest) []byte {
	if q.id != "" {
		dst = dataset.AppendString(append(dst, `,"request_id":`...), q.id)
	}
	if a := r.arm.event(); r.arm != armProduction {
		dst = append(dst, `,"arm":"`...)
		dst = append(dst, a...)
		dst = append(dst, '"')
	}
	if q.revision > 0 {
		dst = strconv.AppendInt(append(dst, `,"rollout_revision":`...), int64(q.revision), 10)
	}
	return append(dst, '}')
}

// origin returns the part of every event of a boot that says whose it is.
func origin(instance, boot string) []byte {
	o := dataset.AppendString([]byte(`,"instance":`), instance)
	o = dataset.AppendString(append(o, `,"boot":`...), boot)
	return append(o, `,"ordinal":`...)
}

// appendCompact appends valid JSON without the white space between its tokens.
func appendCompact(dst, record []byte) []byte {
	from, quoted := 0, false
	for i := 0; i < len(record); i++ {
		switch c := record[i]; {
		case quoted && c == '\\':
			i++ // the escaped character, be it a quote
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t' || c == '\r' || c == '\n'):
			dst = append(dst, record[from:i]...)
			from = i + 1
		}
	}
	return append(dst, record[from:]...)
}
