//go:build s3

package collect

import (
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/artifact/artifacttest"
	"telco-churn-mlops/internal/artifact/s3"
)

func TestPutDuringCollectionOnS3(t *testing.T) {
	r := newRig(t)
	g := artifacttest.StartGateway(t)
	store, err := s3.Open(t.Context(), s3.Config{
		Endpoint: g.Addr, Bucket: "artifacts", Prefix: "loop", AccessKey: g.AccessKey, SecretKey: g.SecretKey, CreateBucket: true, Now: r.now,
	})
	require.NoError(t, err)
	r.store = store
	testPutDuringCollection(t, r)
}
