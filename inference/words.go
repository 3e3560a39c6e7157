package inference

import (
	"encoding/json"
	"math"
	"strconv"

	"telco-churn-mlops/model"
)

// words are the parts of a version's answers that are the same in each, encoded once.
type words struct {
	head []byte    // between the prediction id and the probability
	tail [2][]byte // label and threshold, of the negative and the positive class
}

func newWords(name string, b *model.Bundle, version int) words {
	w := words{head: append(appendText([]byte(`","model":`), name), `,"version":`...)}
	w.head = append(strconv.AppendInt(w.head, int64(version), 10), `,"churn_probability":`...)
	for i, label := range []string{b.Schema.Negative(), b.Schema.Positive()} {
		tail := append(appendText([]byte(`,"label":`), label), `,"threshold":`...)
		w.tail[i] = appendFloat(tail, b.Manifest.Threshold)
	}
	return w
}

// appendAnswer appends the answer to one record but for its closing brace: what json.Marshal writes of an [Answer].
func (w *words) appendAnswer(dst []byte, id *predictionID, probability float64, positive bool, warnings []Problem) []byte {
	dst = append(dst, `{"prediction_id":"`...)
	dst = append(dst, id[:]...)
	dst = append(dst, w.head...)
	dst = appendFloat(dst, probability)
	label := 0
	if positive {
		label = 1
	}
	dst = append(dst, w.tail[label]...)
	if len(warnings) > 0 {
		dst = append(dst, `,"warnings":`...)
		dst = appendProblems(dst, warnings)
	}
	return dst
}

// appendProblems appends problems as json.Marshal does.
func appendProblems(dst []byte, problems []Problem) []byte {
	text, err := json.Marshal(problems)
	if err != nil {
		panic("inference: encode problems: " + err.Error()) // strings and ints always encode
	}
	return append(dst, text...)
}

// appendText appends a string as json.Marshal does.
func appendText(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic("inference: encode text: " + err.Error()) // a string always encodes
	}
	return append(dst, text...)
}

// appendFloat appends a finite number as encoding/json writes it: the shortest decimal that reads back bit-equal, with an exponent where it is
// less than 1e-6 or at least 1e21.
func appendFloat(dst []byte, v float64) []byte {
	a := math.Abs(v)
	if a == 0 || a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
	if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' { // e-09 is written e-9
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}
