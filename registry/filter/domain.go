package filter

// Kind says of what kind a key is.
type Kind uint8

const (
	Attribute Kind = iota // a property that every entity of the domain has
	Metric                // a number that was logged
	Param                 // a text that was logged once
	Tag
	Dataset // "name", "digest" or "context" of the datasets that a run read; see [Many]
)

// Domain says what is searched. Attributes that are numbers are asked for with Fields.Number, the others with Fields.Text, always under the name that is listed
// here, whichever alias the client wrote.
type Domain uint8

const (
	// Runs have the attributes run_id, run_name, status, artifact_uri, user_id, lifecycle_stage and experiment_id, and the numbers start_time and end_time.
	Runs Domain = iota
	// Experiments have the attribute name, the numbers creation_time and last_update_time, and to order by experiment_id, a text (of a number's digits
	// with zeros before them, so that it orders as the number does: no float64 holds the longest).
	Experiments
	// Models are registered models: name, and to order by the numbers last_updated_timestamp and creation_timestamp.
	Models
	// Versions are model versions: name, run_id, source_path, the number version_number, and to order by the numbers creation_timestamp and
	// last_updated_timestamp.
	Versions
	// LoggedModels are those of MLflow 3: name, model_id, model_type, status, source_run_id and experiment_id, and the numbers creation_timestamp and
	// last_updated_timestamp.
	LoggedModels
)

// Fields is what is searched. The second result is false for a key that the entity does not have.
type Fields interface {
	Text(kind Kind, key string) (string, bool)
	Number(kind Kind, key string) (float64, bool)
}

// Many is implemented by entities that have several values under one key, as a run with several datasets has: a comparison is true if it is of any of them.
type Many interface {
	Texts(kind Kind, key string) []string
}

type attribute struct {
	numeric   bool
	orderOnly bool
}

// grammar is what one domain allows.
type grammar struct {
	name       string
	attributes map[string]attribute
	aliases    map[string]string // of attributes
	kinds      []Kind            // beside attributes
	// ties are added to every order, those that are not in it yet.
	ties []field
}

func text() attribute      { return attribute{} }
func number() attribute    { return attribute{numeric: true} }
func orderOnly() attribute { return attribute{numeric: true, orderOnly: true} }

// grammarOf returns the table of a domain.
func grammarOf(d Domain) grammar {
	switch d {
	case Experiments:
		return grammar{
			name:       "experiments",
			attributes: map[string]attribute{"name": text(), "creation_time": number(), "last_update_time": number(), "experiment_id": {orderOnly: true}},
			kinds:      []Kind{Tag},
			ties:       []field{{kind: Attribute, key: "creation_time", numeric: true, down: true}, {kind: Attribute, key: "experiment_id"}},
		}
	case Models:
		return grammar{
			name:       "registered models",
			attributes: map[string]attribute{"name": text(), "last_updated_timestamp": orderOnly(), "creation_timestamp": orderOnly()},
			aliases:    map[string]string{"timestamp": "last_updated_timestamp"},
			kinds:      []Kind{Tag},
			ties:       []field{{kind: Attribute, key: "name"}},
		}
	case Versions:
		return grammar{
			name: "model versions",
			attributes: map[string]attribute{"name": text(), "run_id": text(), "source_path": text(), "version_number": number(),
				"creation_timestamp": orderOnly(), "last_updated_timestamp": orderOnly()},
			aliases: map[string]string{"timestamp": "last_updated_timestamp"},
			kinds:   []Kind{Tag},
			ties: []field{{kind: Attribute, key: "last_updated_timestamp", numeric: true, down: true}, {kind: Attribute, key: "name"},
				{kind: Attribute, key: "version_number", numeric: true, down: true}},
		}
	case LoggedModels:
		return grammar{
			name: "logged models",
			attributes: map[string]attribute{"name": text(), "model_id": text(), "model_type": text(), "status": text(), "source_run_id": text(),
				"experiment_id": text(), "creation_timestamp": number(), "last_updated_timestamp": number()},
			aliases: map[string]string{"creation_time": "creation_timestamp", "creation_timestamp_ms": "creation_timestamp",
				"last_updated_timestamp_ms": "last_updated_timestamp"},
			kinds: []Kind{Metric, Param, Tag},
			ties:  []field{{kind: Attribute, key: "creation_timestamp", numeric: true, down: true}, {kind: Attribute, key: "model_id"}},
		}
	default:
		return grammar{
			name: "runs",
			attributes: map[string]attribute{"run_id": text(), "run_name": text(), "status": text(), "artifact_uri": text(), "user_id": text(),
				"lifecycle_stage": text(), "experiment_id": text(), "start_time": number(), "end_time": number()},
			aliases: map[string]string{"created": "start_time", "run name": "run_name", "run id": "run_id", "user": "user_id", "start time": "start_time",
				"end time": "end_time"},
			kinds: []Kind{Metric, Param, Tag, Dataset},
			ties:  []field{{kind: Attribute, key: "start_time", numeric: true, down: true}, {kind: Attribute, key: "run_id"}},
		}
	}
}

// kindOf returns the kind that a prefix names, in lower case and without its dot.
func (g grammar) kindOf(prefix string, d Domain) (Kind, bool) {
	var k Kind
	switch prefix {
	case "attribute", "attributes", "attr":
		return Attribute, true
	case "run":
		return Attribute, d == Runs
	case "metric", "metrics":
		k = Metric
	case "param", "params", "parameter", "parameters":
		k = Param
	case "tag", "tags":
		k = Tag
	case "dataset", "datasets":
		k = Dataset
	default:
		return 0, false
	}
	for _, has := range g.kinds {
		if has == k {
			return k, true
		}
	}
	return 0, false
}

// datasetKeys are what can be asked of a run's datasets.
func datasetKey(key string) bool { return key == "name" || key == "digest" || key == "context" }
