package mlflow

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry/fault"
)

// TestRegisteredBytesStay lets a write come that another registry took before it knew that the folder was registered.
func TestRegisteredBytesStay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start()
	s.newModel("m")
	run := s.logFiles(map[string]string{"model/MLmodel": "registered", "model/data/a": "registered too", "model/one": "alone", "beside": "before"})
	root := "0/" + run + "/artifacts/"
	require.Equal(t, "1", s.newVersion("m", "mlflow-artifacts:/"+root+"model"))
	require.Equal(t, "2", s.newVersion("m", "mlflow-artifacts:/"+root+"model/one"))

	for _, path := range []string{"model/MLmodel", "model/data/a", "model/data", "model/new", "model"} {
		s.refused("PUT", proxy+root+path, "other", 400, string(fault.Invalid))
		s.refused("DELETE", proxy+root+path, nil, 400, string(fault.Invalid))
	}
	s.refused("DELETE", proxy+"0/"+run, nil, 400, string(fault.Invalid))
	s.call("PUT", proxy+root+"beside", "after")

	other, err := artifact.PutBytes(t.Context(), r.store, []byte("changed"))
	require.NoError(t, err)
	for i, path := range []string{"model/MLmodel", "model/data/a", "model/one", "beside"} {
		e := &events.ArtifactStored{Path: root + path, Digest: string(other.Digest), SizeBytes: other.Size}
		_, err := r.bus.Publish(t.Context(), events.New(run, "registry/other", "late-"+string(rune('a'+i)), time.Now(), e))
		require.NoError(t, err)
	}
	for path, want := range map[string]string{"model/MLmodel": "registered", "model/data/a": "registered too", "model/one": "alone", "beside": "changed"} {
		status, body := s.do("GET", proxy+root+path, nil)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, want, string(body), path)
	}
	for path, want := range map[string]string{"MLmodel": "registered", "/data/a": "registered too"} {
		status, body := s.do("GET", "/model-versions/get-artifact"+query("name", "m", "version", "1", "path", path), nil)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, want, string(body), path)
	}
	_, body := s.do("GET", "/model-versions/get-artifact"+query("name", "m", "version", "2", "path", "one"), nil)
	require.Equal(t, "alone", string(body), "a source that is a file")
	s.refused("GET", "/model-versions/get-artifact"+query("name", "m", "version", "1", "path", "../beside"), nil, 404, string(fault.NotFound))

	for _, version := range []string{"1", "2"} {
		s.call("DELETE", versions20+"delete", fields{"name": "m", "version": version})
	}
	s.call("PUT", proxy+root+"model/MLmodel", "free again")
	_, body = s.do("GET", proxy+root+"model/MLmodel", nil)
	require.Equal(t, "free again", string(body))
}

func TestVersionNumbersAreWrittenInOneWay(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	s.newModel("m")
	s.newVersion("m", "s3://bucket/1")
	s.call("GET", versions20+"get"+query("name", "m", "version", "1"), nil)
	for _, text := range []string{"+1", "01", " 1", "1.0", "0x1", "-0"} {
		s.refused("GET", versions20+"get"+query("name", "m", "version", text), nil, 400, string(fault.Invalid))
		s.refused("POST", versions20+"create", fields{"name": "m", "source": "models:/m/" + text}, 400, string(fault.Invalid))
	}
}

func TestExpectedVersionsOfAModelWithoutGates(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	s.newModel("m")
	s.newVersion("m", "s3://bucket/1")
	s.newVersion("m", "s3://bucket/2")
	move := func(version string, expected any) (int, []byte) {
		return s.do("POST", versions20+"transition-stage", fields{"name": "m", "version": version, "stage": "Production", "expected_version": expected,
			"archive_existing_versions": true})
	}
	status, body := move("1", 1)
	require.Equal(t, http.StatusConflict, status, "%s", body)
	require.Contains(t, string(body), string(fault.Conflict))
	status, body = move("1", 0)
	require.Equal(t, http.StatusOK, status, "%s", body)
	status, body = move("2", "0")
	require.Equal(t, http.StatusConflict, status, "%s", body)
	require.Contains(t, string(body), "version 1", "the version found")
	status, body = move("2", "1")
	require.Equal(t, http.StatusOK, status, "%s", body)
	status, body = move("2", "1")
	require.Equal(t, http.StatusOK, status, "asked again after a lost answer: %s", body)
	require.Equal(t, map[string]string{"1": "Archived", "2": "Production"}, s.stages("m"))
}
