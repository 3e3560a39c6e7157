package tracking_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

func ref(content string) artifact.Ref {
	return artifact.Ref{Digest: artifact.DigestOf([]byte(content)), Size: int64(len(content))}
}

func TestFiles(t *testing.T) {
	book, b := open(t)
	ctx := within(t)
	r := newRun(t, book)
	root, _ := tracking.PathOf(r.ArtifactURI)
	put := func(path, content string) {
		t.Helper()
		require.NoError(t, book.PutFile(ctx, path, ref(content), "ann"))
	}
	put(root+"/model/MLmodel", "a")
	put(root+"/model/data/模型 1.txt", "bb")
	put(root+"/note.txt", "ccc")
	put("datasets/train.csv", "dddd")
	put(root+"/note.txt", "the last one counts")

	check := func(book *tracking.Book) {
		t.Helper()
		list := func(path string) []tracking.Entry {
			entries, err := book.List(ctx, path)
			require.NoError(t, err)
			return entries
		}
		require.Equal(t, []tracking.Entry{{Name: "0", Dir: true}, {Name: "datasets", Dir: true}}, list(""))
		require.Equal(t, []tracking.Entry{{Name: r.ID, Dir: true}}, list("0"))
		require.Equal(t, []tracking.Entry{{Name: "model", Dir: true}, {Name: "note.txt", Size: 19}}, list(root))
		require.Equal(t, []tracking.Entry{{Name: "data", Dir: true}, {Name: "MLmodel", Size: 1}}, list(root+"/model"))
		require.Empty(t, list(root+"/model/MLmodel"))
		require.Empty(t, list("nowhere"))
		file, err := book.File(ctx, root+"/note.txt")
		require.NoError(t, err)
		require.Equal(t, tracking.File{Path: root + "/note.txt", Digest: ref("the last one counts").Digest, Size: 19}, file)
		under, err := book.Under(ctx, root+"/model")
		require.NoError(t, err)
		require.Len(t, under, 2)
		all, err := book.Under(ctx, "")
		require.NoError(t, err)
		require.Len(t, all, 4)
	}
	check(book)
	again, stop := start(t, b)
	check(again)
	stop()

	for _, path := range []string{"", "/a", "a/", "a//b", "a/../b", ".", "a/.", "a\\b", "a\nb", "\xff", strings.Repeat("a", 5000)} {
		refused(t, book.PutFile(ctx, path, ref("x"), ""), fault.Invalid)
		refused(t, book.RemoveFiles(ctx, path, ""), fault.Invalid)
	}
	refused(t, book.PutFile(ctx, root+"/note.txt/below", ref("x"), ""), fault.Invalid, "no folder")
	refused(t, book.PutFile(ctx, root+"/model", ref("x"), ""), fault.Invalid, "folder")
	refused(t, book.PutFile(ctx, root+"/x", artifact.Ref{Digest: "md5:1"}, ""), fault.Invalid, "digest")
	refused(t, book.RemoveFiles(ctx, root+"/nope", ""), fault.NotFound)
	_, err := book.File(ctx, root+"/model")
	refused(t, err, fault.NotFound)

	book.SetFrozen(nil, func(path string) bool { return strings.HasPrefix(path, root+"/model/") })
	refused(t, book.PutFile(ctx, root+"/model/more", ref("x"), ""), fault.Invalid, "registered")
	refused(t, book.RemoveFiles(ctx, root+"/model/MLmodel", ""), fault.Invalid, "registered")
	refused(t, book.RemoveFiles(ctx, root, ""), fault.Invalid, "registered")
	require.NoError(t, book.RemoveFiles(ctx, root+"/note.txt", ""))
	book.SetFrozen(nil, func(string) bool { return false })
	require.NoError(t, book.RemoveFiles(ctx, root, ""))
	left, err := book.Under(ctx, "")
	require.NoError(t, err)
	require.Equal(t, []tracking.File{{Path: "datasets/train.csv", Digest: ref("dddd").Digest, Size: 4}}, left)
	put(root+"/model", "now a file")
	again, _ = start(t, b)
	left, err = again.Under(ctx, "")
	require.NoError(t, err)
	require.Len(t, left, 2)
}

func TestPathOf(t *testing.T) {
	for _, tc := range []struct {
		uri, path string
		ok        bool
	}{
		{"mlflow-artifacts:/1/run/artifacts", "1/run/artifacts", true},
		{"mlflow-artifacts://host:5000/1/run/artifacts/", "1/run/artifacts", true},
		{"mlflow-artifacts:", "", true},
		{"mlflow-artifacts://host", "", true},
		{"s3://bucket/1", "", false},
		{"/tmp/x", "", false},
		{"", "", false},
	} {
		path, ok := tracking.PathOf(tc.uri)
		require.Equal(t, tc.ok, ok, tc.uri)
		require.Equal(t, tc.path, path, tc.uri)
	}
}

func TestLoggedModels(t *testing.T) {
	book, b := open(t)
	ctx := within(t)
	r := newRun(t, book)
	m, err := book.CreateLoggedModel(ctx, tracking.NewLoggedModel{ExperimentID: "0", Name: "модель", ModelType: "lightgbm", SourceRunID: r.ID, Params: pairs("depth", "3"), Tags: pairs("a", "1")})
	require.NoError(t, err)
	require.Regexp(t, "^m-[0-9a-f]{32}$", m.ID)
	require.Equal(t, "mlflow-artifacts:/0/models/"+m.ID+"/artifacts", m.ArtifactURI)
	require.Equal(t, "LOGGED_MODEL_PENDING", m.Status)
	p := point("auc", .9, 1, 2)
	p.ModelID, p.DatasetName, p.DatasetDigest = m.ID, "telco", "d1"
	require.NoError(t, book.Log(ctx, r.ID, tracking.Batch{Metrics: []events.MetricPoint{p}}))
	require.NoError(t, book.LogModelParams(ctx, m.ID, pairs("depth", "3", "trees", "9"), ""))
	refused(t, book.LogModelParams(ctx, m.ID, pairs("depth", "4"), ""), fault.Invalid, "depth", "3", "4")
	_, err = book.UpdateLoggedModel(ctx, m.ID, "READY", "")
	refused(t, err, fault.Invalid, "READY")
	_, err = book.UpdateLoggedModel(ctx, m.ID, "LOGGED_MODEL_READY", "")
	require.NoError(t, err)
	_, err = book.SetLoggedModelTags(ctx, m.ID, pairs("a", "2", "b", "3"), "")
	require.NoError(t, err)
	require.NoError(t, book.DeleteLoggedModelTag(ctx, m.ID, "b", ""))
	refused(t, book.DeleteLoggedModelTag(ctx, m.ID, "b", ""), fault.NotFound)

	again, _ := start(t, b)
	got, err := again.LoggedModel(ctx, m.ID)
	require.NoError(t, err)
	require.Equal(t, "LOGGED_MODEL_READY", got.Status)
	require.Equal(t, pairs("depth", "3", "trees", "9"), got.Params)
	require.Equal(t, pairs("a", "2"), got.Tags)
	require.Equal(t, []tracking.ModelMetric{{MetricPoint: p, RunID: r.ID}}, got.Metrics)

	other, err := again.CreateLoggedModel(ctx, tracking.NewLoggedModel{})
	require.NoError(t, err)
	require.NotEmpty(t, other.Name)
	search := func(filter string, order ...string) (ids []string) {
		t.Helper()
		page, err := book.SearchLoggedModels(ctx, tracking.ModelQuery{ExperimentIDs: []string{"0"}, Filter: filter, OrderBy: order})
		require.NoError(t, err)
		for _, m := range page.Items {
			ids = append(ids, m.ID)
		}
		return ids
	}
	require.Equal(t, []string{m.ID}, search("name = 'модель' AND metrics.auc > 0.8 AND params.trees = '9' AND tags.a = '2'"))
	require.Equal(t, []string{m.ID, other.ID}, search("", "metrics.auc DESC"), "missing last")
	require.NoError(t, book.PutFile(ctx, fmt.Sprint("0/models/", m.ID, "/artifacts/MLmodel"), ref("x"), ""))
	require.NoError(t, book.DeleteLoggedModel(ctx, m.ID, ""))
	_, err = again.LoggedModel(ctx, m.ID)
	refused(t, err, fault.NotFound)
	require.Equal(t, []string{other.ID}, search(""))
	files, err := again.Under(ctx, "0/models/"+m.ID)
	require.NoError(t, err)
	require.Len(t, files, 1, "the files of a deleted model stay")
	_, err = book.CreateLoggedModel(ctx, tracking.NewLoggedModel{ExperimentID: "9"})
	refused(t, err, fault.NotFound)
	_, err = book.CreateLoggedModel(ctx, tracking.NewLoggedModel{SourceRunID: "nope"})
	refused(t, err, fault.NotFound)
}

func TestPlacesOfRunsTakeFiles(t *testing.T) {
	book, _ := open(t)
	for _, bad := range []string{
		"mlflow-artifacts:/../../x", "mlflow-artifacts:/0?x#y", "mlflow-artifacts:/a//b", "mlflow-artifacts:/a%2fb", "s3://bucket/\n",
		"mlflow-artifacts:/0/0123456789abcdef0123456789abcdef/artifacts",
	} {
		_, err := book.CreateExperiment(within(t), tracking.NewExperiment{Name: "e", ArtifactLocation: bad})
		require.Equal(t, fault.Invalid, fault.CodeOf(err), "%s: %v", bad, err)
	}
	for i, good := range []string{"", "mlflow-artifacts:/", "mlflow-artifacts:/team/a", "mlflow-artifacts://host/b", "s3://bucket/path", "file:///runs"} {
		_, err := book.CreateExperiment(within(t), tracking.NewExperiment{Name: fmt.Sprint("e", i), ArtifactLocation: good})
		require.NoError(t, err, good)
	}
}
