package registry

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/tracking"
)

func TestSourcesThatLeadUp(t *testing.T) {
	for uri, want := range map[string]bool{
		"mlflow-artifacts:/0/a/artifacts/model":          false,
		"mlflow-artifacts:/0/a/../b":                     true,
		"mlflow-artifacts:/0/a/%2e%2e/b":                 true,
		"mlflow-artifacts:/0/a/%252e%252e%252fb":         true,
		"http://host/path/../../x":                       true,
		"http://host/path?x=/..":                         true,
		`file:///a\..\b`:                                 true,
		"..":                                             true,
		"s3://bucket/a..b/c..":                           false,
		"s3://bucket/%zz/..":                             true,
		"%25252525252525252525252525252525252525252e%2e": true,
	} {
		require.Equal(t, want, leadsUp(uri), uri)
	}
}

func TestLocalSourcesAreInTheirRun(t *testing.T) {
	for _, c := range []struct {
		uri, folder string
		want        bool
	}{
		{"file:///runs/1/artifacts/model", "file:///runs/1/artifacts", true},
		{"/runs/1/artifacts", "file:///runs/1/artifacts/", true},
		{"file:/runs/1/artifacts/model", "/runs/1/artifacts", true},
		{"file:///runs/1/artifactsmodel", "file:///runs/1/artifacts", false},
		{"/etc", "/runs/1/artifacts", false},
		{"model", "/runs/1/artifacts", false},
		{"file://host", "/", false},
		{"/runs/1/artifacts/model", "mlflow-artifacts:/0/1/artifacts", false},
	} {
		require.Equal(t, c.want, within(c.uri, c.folder), "%s in %s", c.uri, c.folder)
	}
	for uri, want := range map[string]string{`C:\models`: "", "C:/models": "", "S3://b": "s3", "runs:/x/y": "runs", "/a:b": "", "plain": ""} {
		scheme, _ := schemeOf(uri)
		require.Equal(t, want, scheme, uri)
	}
}

func TestWhereAVersionMayComeFrom(t *testing.T) {
	r := newRig(t)
	s := r.ready()
	ctx := t.Context()
	for _, name := range []string{"m", "copies"} {
		_, err := s.CreateModel(ctx, NewModel{Name: name})
		require.NoError(t, err)
	}
	run := r.log(s, map[string]string{"model/MLmodel": "x", "model/data/weights": "123", "other.txt": "y"})
	folder := folderOf(run) + "/model"
	create := func(n NewVersion) (Version, error) {
		if n.Model == "" {
			n.Model = "m"
		}
		return s.CreateVersion(ctx, n)
	}
	for _, bad := range []NewVersion{
		{}, {Source: "/etc/passwd"}, {Source: "model"}, {Source: "file:///etc", RunID: run.ID}, {Source: "mlflow-artifacts:/" + folder + "/../.."},
		{Source: "s3://a\x00"}, {Source: "models:/m"}, {Source: "models:/m/one"}, {Source: "models:/m@nobody"},
		{Source: "s3://x", RunID: string(make([]byte, 1000))}, {Source: "s3://x", Tags: []events.Pair{{}}},
	} {
		_, err := create(bad)
		require.Equal(t, fault.Invalid, fault.CodeOf(err), "%+v: %v", bad, err)
	}
	for _, unknown := range []NewVersion{
		{Source: "runs:/0123456789abcdef0123456789abcdef/model"}, {Source: "models:/nobody/1"}, {Source: "models:/m/9"}, {Model: "nobody", Source: "s3://x"},
	} {
		_, err := create(unknown)
		require.Equal(t, fault.NotFound, fault.CodeOf(err), "%+v: %v", unknown, err)
	}

	v, err := create(NewVersion{Source: "runs:/" + run.ID + "/model", Tags: []events.Pair{{Key: "k", Value: "v"}}, Description: "d", RunLink: "l", Actor: "ann"})
	require.NoError(t, err)
	require.Equal(t, 1, v.Version, "what was refused got no number")
	require.Equal(t, "mlflow-artifacts:/"+folder, v.Source)
	require.Equal(t, run.ID, v.RunID)
	require.Equal(t, "ann", v.User)
	require.Equal(t, map[string]string{"k": "v"}, v.Tags)
	require.Equal(t, []events.Artifact{
		{Name: "MLmodel", Digest: string(artifact.DigestOf([]byte("x"))), SizeBytes: 1},
		{Name: "data/weights", Digest: string(artifact.DigestOf([]byte("123"))), SizeBytes: 3},
	}, v.Artifacts)
	ok, why := v.Servable()
	require.False(t, ok)
	require.NotEmpty(t, why)

	// From now on nothing there changes, and what is beside it does.
	ref, err := artifact.PutBytes(ctx, r.store, []byte("z"))
	require.NoError(t, err)
	book := s.Tracking()
	for _, path := range []string{folder + "/MLmodel", folder + "/new", folder} {
		require.Error(t, book.PutFile(ctx, path, ref, ""), path)
	}
	for _, path := range []string{folder + "/MLmodel", folder, folderOf(run)} {
		require.Equal(t, fault.Invalid, fault.CodeOf(book.RemoveFiles(ctx, path, "")), path)
	}
	require.NoError(t, book.PutFile(ctx, folder+"s/MLmodel", ref, ""))

	// Copies, outside files, and a run that only the client knows.
	require.NoError(t, s.SetAlias(ctx, "m", "blue", 1, ""))
	for i, source := range []string{"models:/m/1", "models:/m@blue"} {
		c, err := create(NewVersion{Model: "copies", Source: source})
		require.NoError(t, err)
		require.Equal(t, i+1, c.Version)
		require.Equal(t, v.Artifacts, c.Artifacts)
		require.Equal(t, run.ID, c.RunID)
	}
	v, err = create(NewVersion{Source: "s3://bucket/model", RunID: "nobody's"})
	require.NoError(t, err)
	require.Equal(t, outsideStore, v.Unservable)
	require.Equal(t, "nobody's", v.RunID)
	lm, err := book.CreateLoggedModel(ctx, tracking.NewLoggedModel{ExperimentID: "0", Name: "lm", SourceRunID: run.ID})
	require.NoError(t, err)
	path, _ := tracking.PathOf(lm.ArtifactURI)
	r.file(s, path+"/MLmodel", "x")
	v, err = create(NewVersion{Source: "models:/" + lm.ID})
	require.NoError(t, err)
	require.Equal(t, lm.ID, v.ModelID)
	require.Equal(t, run.ID, v.RunID)
	require.Len(t, v.Artifacts, 1)

	// The files are free again once the last version that has them is deleted.
	for n, name := range map[int]string{1: "m", 2: "copies"} {
		require.NoError(t, s.DeleteVersion(ctx, name, n, ""))
		require.Error(t, book.PutFile(ctx, folder+"/MLmodel", ref, ""))
	}
	require.NoError(t, s.DeleteModel(ctx, "copies", ""))
	require.NoError(t, book.PutFile(ctx, folder+"/MLmodel", ref, ""))
	require.Empty(t, r.deadLetters())
}

// Two registries rename, create and register at once: names stay unique, numbers consecutive, and every call's answer is true.
func TestTwoRegistriesChangeModelsAtOnce(t *testing.T) {
	r := newRig(t)
	var s [2]*running
	for i := range s {
		s[i] = r.ready(func(c *Config) {
			c.Instance = fmt.Sprint(i)
			c.Bus = r.srv.Dial(t, bus.Config{Name: "registry", Source: fmt.Sprint("registry/", i)})
		})
	}
	const models, calls = 4, 12
	for n := range models {
		r.model(s[0], fmt.Sprint("m", n), 0)
	}
	var mu sync.Mutex
	var taken, won int
	numbers := map[int]int{}
	var all sync.WaitGroup
	for n := range calls {
		all.Go(func() {
			one := s[n%2]
			var err error
			if n < models {
				_, err = one.RenameModel(t.Context(), fmt.Sprint("m", n), "wanted", "")
			} else {
				_, err = one.CreateModel(t.Context(), NewModel{Name: "wanted"})
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case errors.Is(err, ErrTaken):
				taken++
			default:
				t.Errorf("call %d: %v", n, err)
			}
		})
		all.Go(func() {
			v, err := s[n%2].CreateVersion(t.Context(), NewVersion{Model: "m0", Source: "s3://x"})
			if err != nil { // it was renamed meanwhile
				v, err = s[n%2].CreateVersion(t.Context(), NewVersion{Model: "wanted", Source: "s3://x"})
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("call %d: %v", n, err)
				return
			}
			numbers[v.Version]++
			if err := s[n%2].SetModelTag(t.Context(), v.ModelName, events.Pair{Key: fmt.Sprint(n), Value: "x"}, ""); err != nil && !errors.Is(err, ErrUnknown) {
				t.Errorf("tag %d: %v", n, err)
			}
		})
	}
	all.Wait()
	require.Equal(t, 1, won)
	require.Equal(t, calls-1, taken)
	c := r.catalog()
	live := map[string]int{}
	for _, key := range c.Models() {
		if m, ok := c.Model(key); ok && !m.Deleted {
			live[m.Name]++
		}
	}
	require.Equal(t, 1, live["wanted"])
	for name, n := range live {
		require.Equal(t, 1, n, name)
	}
	total := 0
	for n := range numbers {
		total += numbers[n]
	}
	require.Equal(t, calls, total)
}
