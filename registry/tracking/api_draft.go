package tracking

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/fault"
)

type Config struct {
	Bus          *bus.Bus
	Log          *slog.Logger
	Source       string
	Now          func() time.Time
	Metrics      prometheus.Registerer
	ArtifactRoot string
}

type Book struct{}

var errDraft = fault.New(fault.Unimplemented, "draft")

func New(Config) (*Book, error)                    { return nil, errDraft }
func (b *Book) Run(ctx context.Context) error      { return errDraft } // follows the streams
func (b *Book) Ready() <-chan struct{}             { return nil }
func (b *Book) Fresh(ctx context.Context) error    { return errDraft }
func (b *Book) SetFrozen(f func(path string) bool) {}
func PathOf(uri string) (path string, ok bool)     { return "", false }

func (b *Book) CreateExperiment(ctx context.Context, n NewExperiment) (Experiment, error) {
	return Experiment{}, errDraft
}
func (b *Book) Experiment(ctx context.Context, id string) (Experiment, error) {
	return Experiment{}, errDraft
}
func (b *Book) ExperimentByName(ctx context.Context, name string) (Experiment, error) {
	return Experiment{}, errDraft
}
func (b *Book) RenameExperiment(ctx context.Context, id, name, actor string) error { return errDraft }
func (b *Book) DeleteExperiment(ctx context.Context, id, actor string) error       { return errDraft }
func (b *Book) RestoreExperiment(ctx context.Context, id, actor string) error      { return errDraft }
func (b *Book) SetExperimentTag(ctx context.Context, id string, tag events.Pair, actor string) error {
	return errDraft
}
func (b *Book) DeleteExperimentTag(ctx context.Context, id, key, actor string) error { return errDraft }
func (b *Book) SearchExperiments(ctx context.Context, q Query) (Page[Experiment], error) {
	return Page[Experiment]{}, errDraft
}

func (b *Book) CreateRun(ctx context.Context, n NewRun) (Run, error) { return Run{}, errDraft }
func (b *Book) RunByID(ctx context.Context, id string) (Run, error)  { return Run{}, errDraft }
func (b *Book) UpdateRun(ctx context.Context, id string, u RunUpdate) (Run, error) {
	return Run{}, errDraft
}
func (b *Book) Log(ctx context.Context, id string, batch Batch) error      { return errDraft }
func (b *Book) DeleteTag(ctx context.Context, id, key, actor string) error { return errDraft }
func (b *Book) DeleteRun(ctx context.Context, id, actor string) error      { return errDraft }
func (b *Book) RestoreRun(ctx context.Context, id, actor string) error     { return errDraft }
func (b *Book) LogInputs(ctx context.Context, id string, inputs []events.DatasetInput, actor string) error {
	return errDraft
}
func (b *Book) LogOutputs(ctx context.Context, id string, outputs []events.ModelOutput, actor string) error {
	return errDraft
}
func (b *Book) SearchRuns(ctx context.Context, q RunQuery) (Page[Run], error) {
	return Page[Run]{}, errDraft
}
func (b *Book) MetricHistory(ctx context.Context, id, key string) ([]events.MetricPoint, error) {
	return nil, errDraft
}
func (b *Book) MetricHistoryPage(ctx context.Context, id, key string, maxResults int, token string) (Page[events.MetricPoint], error) {
	return Page[events.MetricPoint]{}, errDraft
}
func (b *Book) Histories(ctx context.Context, id string, keys []string) (map[string][]events.MetricPoint, error) {
	return nil, errDraft
}

func (b *Book) PutFile(ctx context.Context, path string, ref artifact.Ref, actor string) error {
	return errDraft
}
func (b *Book) RemoveFiles(ctx context.Context, path, actor string) error      { return errDraft }
func (b *Book) File(ctx context.Context, path string) (File, error)            { return File{}, errDraft }
func (b *Book) List(ctx context.Context, path string) ([]Entry, error)         { return nil, errDraft }
func (b *Book) Under(ctx context.Context, path string) ([]File, error)         { return nil, errDraft }
func (b *Book) AllFiles(ctx context.Context, fn func(File, Owner) error) error { return errDraft }

func (b *Book) CreateLoggedModel(ctx context.Context, n NewLoggedModel) (LoggedModel, error) {
	return LoggedModel{}, errDraft
}
func (b *Book) LoggedModel(ctx context.Context, id string) (LoggedModel, error) {
	return LoggedModel{}, errDraft
}
func (b *Book) UpdateLoggedModel(ctx context.Context, id, status, actor string) (LoggedModel, error) {
	return LoggedModel{}, errDraft
}
func (b *Book) LogModelParams(ctx context.Context, id string, params []events.Pair, actor string) error {
	return errDraft
}
func (b *Book) SetLoggedModelTags(ctx context.Context, id string, tags []events.Pair, actor string) (LoggedModel, error) {
	return LoggedModel{}, errDraft
}
func (b *Book) DeleteLoggedModelTag(ctx context.Context, id, key, actor string) error {
	return errDraft
}
func (b *Book) DeleteLoggedModel(ctx context.Context, id, actor string) error { return errDraft }
func (b *Book) SearchLoggedModels(ctx context.Context, q ModelQuery) (Page[LoggedModel], error) {
	return Page[LoggedModel]{}, errDraft
}
