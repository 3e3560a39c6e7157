package connect

import "telco-churn-mlops/internal/artifact/s3"

// Object returns how to reach s3://bucket/key?endpoint=...&region=..., with the same keys and defaults as an artifact store on S3.
func (a Artifacts) Object(uri string) (s3.Config, error) {
	cfg, err := s3.ParseURLWith(uri, s3.Defaults{Endpoint: a.S3Endpoint, Region: a.S3Region})
	if err != nil {
		return s3.Config{}, err
	}
	cfg.AccessKey, cfg.SecretKey, cfg.SessionToken = a.S3AccessKey, a.S3SecretKey, a.S3Session
	return cfg, nil
}
