package events

// ScoreFormat is the format of a file of records.
type ScoreFormat string

const (
	ScoreCSV     ScoreFormat = "csv"
	ScoreJSONL   ScoreFormat = "jsonl"
	ScoreParquet ScoreFormat = "parquet"
)

// ScoreRequested asks for the scores of all records of a file. Published by the CLI or any program; read by the scorers, of which one does the work.
type ScoreRequested struct {
	// JobID names the work: a second request with the same one is the same work.
	JobID string `json:"job_id"`
	// Input and Output are s3://bucket/key, paths below the scorers' data folder, or of the artifact store: "sha256:..." for an input, "artifact:" for
	// an output, whose digest then names it.
	Input  string `json:"input"`
	Output string `json:"output"`
	// Format is that of the input, OutputFormat that of the output; empty means by its name.
	Format       ScoreFormat `json:"format,omitempty"`
	OutputFormat ScoreFormat `json:"output_format,omitempty"`
	// Version scores; 0 means the one that is Production when the work begins.
	Version int `json:"version"`
	// Columns of the input are copied to the output beside id and score.
	Columns []string `json:"columns,omitempty"`
	// RowID has the number of a row stand for its id.
	RowID bool `json:"row_id,omitempty"`
	// Explain adds the reasons of each score.
	Explain bool `json:"explain,omitempty"`
	// MaxFaults is how many faulty rows are tolerated; absent means any number.
	MaxFaults   *int64 `json:"max_faults,omitempty"`
	RequestedBy string `json:"requested_by,omitempty"`
}

// ScoreCompleted says that a file was scored. Published by the scorer; it holds exactly one of these and [ScoreFailed] for a job.
type ScoreCompleted struct {
	JobID   string `json:"job_id"`
	Version int    `json:"version"`
	// Digest is the bundle's.
	Digest string `json:"digest"`
	// Rows were scored, Faulty were refused and are listed beside the output.
	Rows   uint64 `json:"rows"`
	Faulty uint64 `json:"faulty"`
	Output string `json:"output"`
	// Faults is where the faulty rows are listed; empty without any.
	Faults string `json:"faults,omitempty"`
	// OutputDigest is "sha256:" and 64 hexadecimal digits, of the output's bytes.
	OutputDigest string `json:"output_digest"`
	DurationMS   int64  `json:"duration_ms"`
	Worker       string `json:"worker"`
}

// ScoreFailed says that a file cannot be scored. Published by the scorer.
type ScoreFailed struct {
	JobID  string `json:"job_id"`
	Reason string `json:"reason"`
	// Rows were scored before it failed.
	Rows   uint64 `json:"rows"`
	Worker string `json:"worker"`
}

// EventType implements [Payload].
func (*ScoreRequested) EventType() Type { return TypeScoreRequested }

// EventType implements [Payload].
func (*ScoreCompleted) EventType() Type { return TypeScoreCompleted }

// EventType implements [Payload].
func (*ScoreFailed) EventType() Type { return TypeScoreFailed }

// Validate implements [Payload].
func (p *ScoreRequested) Validate() error {
	var c check
	c.required("job_id", p.JobID)
	c.required("input", p.Input)
	c.required("output", p.Output)
	for _, f := range []ScoreFormat{p.Format, p.OutputFormat} {
		switch f {
		case "", ScoreCSV, ScoreJSONL, ScoreParquet:
		default:
			c.that(false, "format %q is unknown", f)
		}
	}
	if p.MaxFaults != nil {
		c.that(*p.MaxFaults >= 0 && *p.MaxFaults < maxExact, "max_faults is %d", *p.MaxFaults)
	}
	c.version("version", p.Version, 0)
	return c.err
}

// Validate implements [Payload].
func (p *ScoreCompleted) Validate() error {
	var c check
	c.required("job_id", p.JobID)
	c.version("version", p.Version, 1)
	c.digest("digest", p.Digest)
	c.required("output", p.Output)
	c.digest("output_digest", p.OutputDigest)
	c.count("duration_ms", p.DurationMS)
	c.required("worker", p.Worker)
	return c.err
}

// Validate implements [Payload].
func (p *ScoreFailed) Validate() error {
	var c check
	c.required("job_id", p.JobID)
	c.required("reason", p.Reason)
	c.required("worker", p.Worker)
	return c.err
}
