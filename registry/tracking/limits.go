package tracking

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"telco-churn-mlops/events"
)

// Limits are MLflow's. Lengths are in characters.
const (
	MaxKey            = 250
	MaxParamValue     = 6000
	MaxTagValue       = 8000
	MaxExperimentName = 500
	MaxRunName        = 250
	MaxBatch          = 1000 // metrics, parameters and tags of one call together
	MaxBatchMetrics   = 1000
	MaxBatchParams    = 100
	MaxBatchTags      = 100
	MaxDatasetDigest  = 36
	MaxDatasetName    = 500
	MaxDatasetType    = 36
	MaxDatasetSource  = 65535
	MaxDatasetSchema  = 1048575
	MaxDatasets       = 100 // of one call
	MaxOutputs        = 100 // of one call
	maxPath           = 4096
	maxURI            = 2000
	maxUser           = 256
)

// longTags are written by the client itself, and grow with each model that a run logs; the size of a message bounds them.
var longTags = []string{"mlflow.log-model.history", "mlflow.loggedArtifacts", "mlflow.loggedImages"}

// checkLength refuses a text that is too long, or no UTF-8: the stream's JSON would change it.
func checkLength(what, s string, limit int) error {
	if !utf8.ValidString(s) {
		return invalid("%s is not UTF-8", what)
	}
	if n := utf8.RuneCountInString(s); n > limit {
		return invalid("%s has %d characters, at most %d", what, n, limit)
	}
	return nil
}

// checkKey refuses what MLflow refuses as the name of a metric, parameter or tag: only letters and digits of any script, underscores, dashes, periods,
// spaces, colons and slashes, and as a path it must say itself.
func checkKey(what, key string) error {
	if key == "" {
		return invalid("%s has no key", what)
	}
	if err := checkLength(what+" "+quote(key)+": the key", key, MaxKey); err != nil {
		return err
	}
	for _, r := range key {
		if !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r) && !strings.ContainsRune("_-. :/", r) {
			return invalid("%s %s: a key has letters, digits, underscores, dashes, periods, spaces, colons and slashes, not %q", what, quote(key), r)
		}
	}
	if path.Clean(key) != key || key == "." || key == ".." || strings.HasPrefix(key, "/") || strings.HasPrefix(key, "../") {
		return invalid("%s %s: a key is taken as a path, and this one means another", what, quote(key))
	}
	return nil
}

// quote returns a key for a message, cut to a bearable length.
func quote(s string) string {
	if utf8.RuneCountInString(s) > 60 {
		s = string([]rune(s)[:60]) + "..."
	}
	return `"` + s + `"`
}

func checkTag(t events.Pair) error {
	if err := checkKey("tag", t.Key); err != nil {
		return err
	}
	if slices.Contains(longTags, t.Key) {
		return checkLength("tag "+quote(t.Key)+": the value", t.Value, 1<<20)
	}
	return checkLength("tag "+quote(t.Key)+": the value", t.Value, MaxTagValue)
}

func checkTags(tags []events.Pair) error {
	for _, t := range tags {
		if err := checkTag(t); err != nil {
			return err
		}
	}
	return nil
}

func checkParam(p events.Pair) error {
	if err := checkKey("param", p.Key); err != nil {
		return err
	}
	return checkLength("param "+quote(p.Key)+": the value", p.Value, MaxParamValue)
}

func checkMetric(m events.MetricPoint) error {
	if err := checkKey("metric", m.Key); err != nil {
		return err
	}
	for _, s := range []string{m.ModelID, m.DatasetName, m.DatasetDigest} {
		if err := checkLength("metric "+quote(m.Key)+": model id, dataset name or digest", s, MaxDatasetName); err != nil {
			return err
		}
	}
	return nil
}

// check refuses a batch that no run may take.
func (batch Batch) check() error {
	sizes := []struct {
		what     string
		n, limit int
	}{
		{"metrics", len(batch.Metrics), MaxBatchMetrics}, {"params", len(batch.Params), MaxBatchParams}, {"tags", len(batch.Tags), MaxBatchTags},
		{"metrics, params and tags together", len(batch.Metrics) + len(batch.Params) + len(batch.Tags), MaxBatch},
	}
	for _, s := range sizes {
		if s.n > s.limit {
			return invalid("a batch has at most %d %s, this one has %d", s.limit, s.what, s.n)
		}
	}
	for _, m := range batch.Metrics {
		if err := checkMetric(m); err != nil {
			return err
		}
	}
	for _, p := range batch.Params {
		if err := checkParam(p); err != nil {
			return err
		}
	}
	return checkTags(batch.Tags)
}

// checkPath refuses a path of a file that is not plain: relative, with slashes, no part of it empty, "." or "..".
func checkPath(p string) error {
	switch {
	case p == "":
		return invalid("path is empty")
	case len(p) > maxPath:
		return invalid("path has %d bytes, at most %d", len(p), maxPath)
	case !utf8.ValidString(p):
		return invalid("path is not UTF-8")
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return invalid("path %s: a part is empty, . or ..", quote(p))
		}
	}
	if strings.IndexFunc(p, unicode.IsControl) >= 0 || strings.Contains(p, "\\") {
		return invalid("path %s has control characters or backslashes", quote(p))
	}
	return nil
}

func checkInputs(inputs []events.DatasetInput) error {
	if len(inputs) > MaxDatasets {
		return invalid("a call has at most %d datasets, this one has %d", MaxDatasets, len(inputs))
	}
	for _, in := range inputs {
		if in.Name == "" || in.Digest == "" {
			return invalid("a dataset needs a name and a digest")
		}
		for _, f := range []struct {
			what, text string
			limit      int
		}{
			{"name", in.Name, MaxDatasetName}, {"digest", in.Digest, MaxDatasetDigest}, {"source type", in.SourceType, MaxDatasetType},
			{"source", in.Source, MaxDatasetSource}, {"schema", in.Schema, MaxDatasetSchema}, {"profile", in.Profile, MaxDatasetSchema},
		} {
			if err := checkLength("dataset "+quote(in.Name)+": the "+f.what, f.text, f.limit); err != nil {
				return err
			}
		}
		if err := checkTags(in.Tags); err != nil {
			return err
		}
	}
	return nil
}
