package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// metadataTimeout bounds one question to the metadata service of a cloud, which elsewhere nobody answers.
const metadataTimeout = 3 * time.Second

// errNoCredentials is returned by Open when nothing gave any.
var errNoCredentials = errors.New("no s3 credentials: set CHURN_S3_ACCESS_KEY and CHURN_S3_SECRET_KEY or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, " +
	"or give a profile (AWS_PROFILE, ~/.aws/credentials) or a role (IAM)")

// keys returns the credentials: the Config's, or else what the AWS tools look at, in their order: environment, profile file, role of a web
// identity, container or machine. Temporary ones are renewed by the client.
func (c Config) keys(ctx context.Context) (*credentials.Credentials, error) {
	if c.AccessKey != "" {
		return credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken), nil
	}
	chain := credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{},
		&credentials.IAM{Client: &http.Client{Timeout: metadataTimeout}, Region: c.Region},
	})
	found := make(chan error, 1)
	go func() { // the library's call takes no context; the timeout of its requests ends it
		got, err := chain.GetWithContext(nil)
		if err == nil && (got.AccessKeyID == "" || got.SecretAccessKey == "") {
			err = errNoCredentials
		}
		found <- err
	}()
	select {
	case err := <-found:
		if err != nil && !errors.Is(err, errNoCredentials) {
			err = fmt.Errorf("find s3 credentials: %w", err)
		}
		return chain, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
