package mlflow

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/fault"
)

func TestOurOwnCallsOnAModelWithoutGates(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	const name = "Kündigung / 2"
	path := "/api/v1/models/" + url.PathEscape(name)
	s.newModel(name)
	run := s.logFiles(map[string]string{"model/MLmodel": "flavors: {}\n", "model/data/weights": "1234", "notes.txt": "not of the model"})
	s.call("POST", api20+"runs/set-tag", fields{"run_id": run, "key": "mlflow.source.git.commit", "value": "0123abcd"})
	source := "mlflow-artifacts:/0/" + run + "/artifacts/model"
	require.Equal(t, "1", s.newVersion(name, source))
	require.Equal(t, "2", s.newVersion(name, "s3://bucket/2"))

	empty := s.call("GET", path+"/history", nil)
	require.Equal(t, fields{"model": name, "production": nil, "promotions": []any{}}, empty)

	before := time.Now().Add(-time.Hour).UTC()
	for _, version := range []string{"1", "2"} {
		s.call("POST", versions20+"transition-stage", fields{
			"name": name, "version": version, "stage": "Production", "archive_existing_versions": true, "reason": "round " + version,
		})
	}
	now := s.call("GET", path+"/history", nil)
	require.Equal(t, "2", now["production"].(fields)["version"])
	require.Len(t, now["promotions"], 2)
	first := now["promotions"].([]any)[1].(fields)
	require.Equal(t, []any{1.0, 0.0, "manual", "round 1", "anonymous"},
		[]any{first["version"], first["previous_version"], first["cause"], first["reason"], first["actor"]})
	require.NotEmpty(t, first["unservable"], "and it says why nobody can serve it")
	then := s.call("GET", path+"/history"+query("at", first["at"].(string)), nil)
	require.Equal(t, "1", then["production"].(fields)["version"])
	earlier := s.call("GET", path+"/history"+query("at", fmt.Sprint(before.UnixMilli())), nil)
	require.Equal(t, fields{"model": name, "at": before.Truncate(time.Millisecond).Format(time.RFC3339Nano), "production": nil, "promotions": []any{}}, earlier)

	back := s.call("POST", path+"/rollback", fields{"reason": "worse"})["promotion"].(fields)
	require.Equal(t, []any{1.0, 2.0, "rollback"}, []any{back["version"], back["previous_version"], back["cause"]})
	s.refused("POST", path+"/rollback", nil, 400, string(fault.Invalid))
	s.refused("POST", path+"/withdraw", fields{"expected_version": 2}, 409, string(fault.Conflict))

	var summaries []string
	for page := ""; ; {
		answer := s.call("GET", path+"/audit"+query("max_results", "2", "page_token", page), nil)
		for _, ch := range answer["changes"].([]any) {
			summaries = append(summaries, ch.(fields)["summary"].(string))
			require.Equal(t, "anonymous", ch.(fields)["actor"])
		}
		next, more := answer["next_page_token"].(string)
		if !more {
			break
		}
		page = next
	}
	require.Len(t, summaries, 6, "%v", summaries)
	require.Equal(t, "created the model", summaries[5])
	require.Contains(t, summaries[0], "rolled back from version 2 to version 1")

	files := s.call("GET", path+"/files?version=1", nil)["files"].([]any)
	require.Len(t, files, 2)
	for _, f := range files {
		f := f.(fields)
		require.NotContains(t, f, "expires_at", "this store can't presign")
		status, body := s.do("GET", f["url"].(string), nil)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, f["digest"], string(artifact.DigestOf(body)), "%s", f["path"])
		require.EqualValues(t, f["size_bytes"], len(body))
	}
	require.Empty(t, s.call("GET", path+"/files?version=2", nil)["files"])

	diff := s.call("GET", path+"/diff?a=1&b=2", nil)
	require.Equal(t, []any{name, 1.0, 2.0}, []any{diff["model"], diff["a"], diff["b"]})
	require.Contains(t, diff["facts"], fields{"name": "source", "a": source, "b": "s3://bucket/2"})
	require.Contains(t, diff["artifacts"], fields{"name": "MLmodel", "a": string(artifact.DigestOf([]byte("flavors: {}\n"))), "b": nil})
	line := s.call("GET", path+"/lineage?version=1", nil)
	require.Equal(t, []any{name, 1.0, run, "Default", source, "0123abcd", "anonymous"}, []any{
		line["model"], line["version"], line["run_id"], line["experiment"], line["source"], line["git_commit"], line["registered_by"],
	})
	require.Len(t, line["promotions"], 2, "by hand and by rollback")
	require.Empty(t, line["instances"])
}

func TestLinksToTheFilesOfAVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	s := r.start(func(c *registry.Config) {
		c.Store = linked{r.store}
		c.Now = func() time.Time { return now }
	})
	s.newModel("m")
	run := s.logFiles(map[string]string{"model/data/a b": "content"})
	s.newVersion("m", "mlflow-artifacts:/0/"+run+"/artifacts/model")
	digest := artifact.DigestOf([]byte("content"))
	require.Equal(t, fields{"model": "m", "version": "1", "files": []any{fields{
		"path": "data/a b", "digest": string(digest), "size_bytes": 7.0, "expires_at": "2026-01-31T12:15:00Z",
		"url": "https://store.invalid/" + digest.Hex() + "?name=a+b&expires=15m0s",
	}}}, s.call("GET", "/api/v1/models/m/files?version=1", nil))
}

func TestRefusalsOfOurOwnCalls(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	s.newModel("m")
	s.newVersion("m", "s3://bucket/1")
	const (
		invalid = string(fault.Invalid)
		missing = string(fault.NotFound)
	)
	for _, test := range []struct {
		name, method, path string
		body               any
		status             int
		code               string
	}{
		{"history of an unknown model", "GET", "/api/v1/models/none/history", nil, 404, missing},
		{"history at no time", "GET", "/api/v1/models/m/history?at=yesterday", nil, 400, invalid},
		{"rollback of an unknown model", "POST", "/api/v1/models/none/rollback", nil, 404, missing},
		{"rollback of what was never promoted", "POST", "/api/v1/models/m/rollback", nil, 400, invalid},
		{"rollback to version 0", "POST", "/api/v1/models/m/rollback", fields{"version": 0}, 400, invalid},
		{"rollback to what is no number", "POST", "/api/v1/models/m/rollback", fields{"version": "one"}, 400, invalid},
		{"rollback from another version", "POST", "/api/v1/models/m/rollback", fields{"expected_version": 3}, 409, string(fault.Conflict)},
		{"withdrawal of what has no Production", "POST", "/api/v1/models/m/withdraw", fields{}, 400, invalid},
		{"gates of an unknown model", "GET", "/api/v1/models/none/gates", nil, 404, missing},
		{"no gates", "PUT", "/api/v1/models/m/gates", nil, 400, invalid},
		{"gates that are a list", "PUT", "/api/v1/models/m/gates", "[]", 400, invalid},
		{"gates that are no JSON", "PUT", "/api/v1/models/m/gates", "{", 400, string(fault.BadRequest)},
		{"gates on a metric that there is not", "PUT", "/api/v1/models/m/gates", `{"staging": [{"metric": "luck", "min": 1}]}`, 400, invalid},
		{"gates with another rule for signatures", "PUT", "/api/v1/models/m/gates", `{"signature": "whatever"}`, 400, invalid},
		{"gates of the spec's model", "PUT", "/api/v1/models/telco-churn/gates", gates, 404, missing},
		{"audit of an unknown model", "GET", "/api/v1/models/none/audit", nil, 404, missing},
		{"audit with a bad token", "GET", "/api/v1/models/m/audit?page_token=%21", nil, 400, invalid},
		{"audit of too much", "GET", "/api/v1/models/m/audit?max_results=1001", nil, 400, invalid},
		{"lineage of no version", "GET", "/api/v1/models/m/lineage", nil, 400, invalid},
		{"lineage of an unknown version", "GET", "/api/v1/models/m/lineage?version=2", nil, 404, missing},
		{"diff of one version", "GET", "/api/v1/models/m/diff?a=1", nil, 400, invalid},
		{"diff with an unknown version", "GET", "/api/v1/models/m/diff?a=1&b=2", nil, 404, missing},
		{"files of an unknown version", "GET", "/api/v1/models/m/files?version=2", nil, 404, missing},
		{"an unknown call", "GET", "/api/v1/models/m/secrets", nil, 404, string(fault.Endpoint)},
		{"another method", "DELETE", "/api/v1/models/m/history", nil, 405, string(fault.Endpoint)},
	} {
		t.Run(test.name, func(t *testing.T) {
			(&running{Service: s.Service, t: t, base: s.base}).refused(test.method, test.path, test.body, test.status, test.code)
		})
	}
	require.Equal(t, fields{"model": "m", "gated": false}, s.call("GET", "/api/v1/models/m/gates", nil), "a refused call changes nothing")
}

// aged is a store whose objects were stored thirty days ago.
type aged struct {
	*objstore.Store
	mu      sync.Mutex
	deleted []artifact.Digest
}

func (a *aged) List(ctx context.Context, fn func(artifact.Ref, time.Time) error) error {
	return a.Store.List(ctx, func(ref artifact.Ref, modified time.Time) error { return fn(ref, modified.Add(-30*24*time.Hour)) })
}

func (a *aged) Delete(_ context.Context, d artifact.Digest, _ time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deleted = append(a.deleted, d)
	return nil
}

func TestGarbageIsCountedAndTakenOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old := &aged{Store: r.store.(*objstore.Store)}
	s := r.start(func(c *registry.Config) { c.Store = old })
	root := "0/" + s.newRun("0") + "/artifacts/"
	orphan, err := artifact.PutBytes(t.Context(), r.store, []byte("orphan"))
	require.NoError(t, err)
	s.call("PUT", proxy+root+"a.txt", "kept")
	out := s.call("POST", "/api/v1/gc", fields{})
	require.Equal(t, true, out["dry_run"], "by default")
	require.Equal(t, fields{"objects": 2.0, "bytes": 10.0}, out["stored"])
	require.Equal(t, fields{"objects": 1.0, "bytes": 6.0}, out["garbage"])
	require.Empty(t, old.deleted)
	out = s.call("POST", "/api/v1/gc", fields{"dry_run": false, "older_than_days": 31})
	require.Equal(t, fields{"objects": 0.0, "bytes": 0.0}, out["garbage"], "too young")
	out = s.call("POST", "/api/v1/gc", fields{"dry_run": false, "older_than_days": 29, "history_days": "1"})
	require.Equal(t, false, out["dry_run"])
	require.Equal(t, fields{"objects": 1.0, "bytes": 6.0}, out["deleted"])
	require.Equal(t, []artifact.Digest{orphan.Digest}, old.deleted)
	status, text := s.do("GET", proxy+root+"a.txt", nil)
	require.Equal(t, []any{http.StatusOK, "kept"}, []any{status, string(text)})
	for _, body := range []fields{{"older_than_days": 6}, {"older_than_days": -7}, {"older_than_days": 1 << 40}, {"history_days": 0}, {"dry_run": "perhaps"}} {
		s.refused("POST", "/api/v1/gc", body, 400, string(fault.Invalid))
	}
	s.refused("GET", "/api/v1/gc", nil, 405, string(fault.Endpoint))
}

func TestOneCollectionAtATime(t *testing.T) {
	t.Parallel()
	a := &api{collecting: make(chan struct{}, 1)}
	a.collecting <- struct{}{}
	r := httptest.NewRequest("POST", "/api/v1/gc", strings.NewReader("{}"))
	_, err := a.gc(&call{api: a, w: &recorder{ResponseWriter: httptest.NewRecorder()}, r: r, ctx: r.Context()})
	require.Equal(t, fault.Conflict, fault.CodeOf(err))
}
