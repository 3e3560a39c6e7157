package connect

import (
	"fmt"
	"path"
	"strings"

	"telco-churn-mlops/internal/artifact/s3"
)

// Object returns how to reach s3://bucket/key?endpoint=...&region=..., with the same keys and defaults as an artifact store on S3.
func (a Artifacts) Object(uri string) (s3.Config, error) {
	cfg, err := s3.ParseURLWith(uri, a.defaults())
	if err != nil {
		return s3.Config{}, err
	}
	cfg.AccessKey, cfg.SecretKey, cfg.SessionToken = a.S3AccessKey, a.S3SecretKey, a.S3Session
	return cfg, nil
}

func (a Artifacts) defaults() s3.Defaults {
	return s3.Defaults{Endpoint: a.S3Endpoint, Region: a.S3Region}
}

// JobObject is Object for a name that somebody else gave, who may not have the keys: it is at the endpoint of this process or of its artifact store and no other, as
// every request carries what the keys sign; it is none of the artifacts; and it is below one of the places s3://bucket/prefix, if there are any.
func (a Artifacts) JobObject(below []string) func(uri string) (s3.Config, error) {
	return func(uri string) (s3.Config, error) {
		cfg, err := a.Object(uri)
		if err != nil {
			return cfg, err
		}
		own, err := s3.ParseURLWith("s3://any", a.defaults())
		if err != nil {
			return cfg, err
		}
		there := sameEndpoint(cfg, own)
		if strings.HasPrefix(a.Artifacts, "s3://") {
			store, err := s3.ParseURLWith(a.Artifacts, a.defaults())
			if err != nil {
				return cfg, err
			}
			if sameEndpoint(cfg, store) {
				there = true
				if cfg.Bucket == store.Bucket && isBelow(cfg.Prefix, path.Join(store.Prefix, "sha256")) {
					return cfg, fmt.Errorf("s3://%s/%s is where artifacts are kept", cfg.Bucket, cfg.Prefix)
				}
			}
		}
		if !there {
			return cfg, fmt.Errorf("endpoint %s: a job is done at the endpoints of the scorer alone (--s3-endpoint, --artifacts)", cfg.Endpoint)
		}
		for _, place := range below {
			bucket, prefix, _ := strings.Cut(strings.TrimPrefix(place, "s3://"), "/")
			if cfg.Bucket == bucket && isBelow(cfg.Prefix, prefix) {
				return cfg, nil
			}
		}
		if len(below) > 0 {
			return cfg, fmt.Errorf("s3://%s/%s is not in the data folders on S3", cfg.Bucket, cfg.Prefix)
		}
		return cfg, nil
	}
}

func sameEndpoint(a, b s3.Config) bool { return a.Endpoint == b.Endpoint && a.Secure == b.Secure }

// isBelow takes a key as a store would that keeps objects as files, which finds ".." in it.
func isBelow(key, prefix string) bool {
	key, prefix = path.Clean("/"+key), path.Clean("/"+prefix)
	return prefix == "/" || strings.HasPrefix(key, prefix+"/")
}
