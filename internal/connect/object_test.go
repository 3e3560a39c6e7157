package connect_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/connect"
)

// A name that others give reaches no other endpoint than the process's own, no artifacts, and nothing beside the places that are set up.
func TestJobObject(t *testing.T) {
	a := connect.Artifacts{Artifacts: "s3://models/churn?endpoint=http://minio:9000", S3AccessKey: "key", S3SecretKey: "secret"}
	for _, tt := range []struct {
		uri   string
		below []string
		want  string // of the error
	}{
		{"s3://lake/in.csv", nil, ""},
		{"s3://lake/in.csv?endpoint=https://s3.amazonaws.com", nil, ""},
		{"s3://lake/in.csv?endpoint=http://minio:9000", nil, ""},
		{"s3://lake/in.csv?endpoint=https://minio:9000", nil, "endpoint minio:9000"},
		{"s3://lake/in.csv?endpoint=http://169.254.169.254", nil, "endpoint 169.254.169.254"},
		{"s3://models/churn/sha256/ab?endpoint=http://minio:9000", nil, "artifacts are kept"},
		{"s3://models/x/../churn/sha256/ab?endpoint=http://minio:9000", nil, "artifacts are kept"},
		{"s3://models/churn/scores.csv?endpoint=http://minio:9000", nil, ""},
		{"s3://models/churn/sha256/ab", nil, ""}, // another store's
		{"s3://lake/scores/in.csv", []string{"s3://lake/scores/"}, ""},
		{"s3://lake/in.csv", []string{"s3://other", "s3://lake"}, ""},
		{"s3://lake/scores2/in.csv", []string{"s3://lake/scores"}, "not in the data folders"},
		{"s3://lake/scores/../in.csv", []string{"s3://lake/scores"}, "not in the data folders"},
		{"s3://lake2/scores/in.csv", []string{"s3://lake/scores", "s3://other"}, "not in the data folders"},
	} {
		cfg, err := a.JobObject(tt.below)(tt.uri)
		if tt.want != "" {
			require.ErrorContains(t, err, tt.want, tt.uri)
			continue
		}
		require.NoError(t, err, tt.uri)
		require.Equal(t, "secret", cfg.SecretKey)
	}
}
