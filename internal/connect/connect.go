// Package connect turns the connection settings of a command line into a bus and an artifact store, the same for every command. The struct
// tags declare flags and environment; only a command reads them.
package connect

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/artifact/objstore"
	"telco-churn-mlops/internal/artifact/s3"
	"telco-churn-mlops/internal/bus"
)

// DefaultURL is where an embedded or a local NATS server listens.
const DefaultURL = "nats://127.0.0.1:4222"

// Login says how to log in to NATS. All empty means without.
type Login struct {
	User     string `name:"nats-user" env:"CHURN_NATS_USER" help:"User for NATS." placeholder:"NAME"`
	Password string `name:"nats-password" env:"CHURN_NATS_PASSWORD" help:"Password for NATS." placeholder:"SECRET"`
	Token    string `name:"nats-token" env:"CHURN_NATS_TOKEN" help:"Token for NATS." placeholder:"SECRET"`
	Creds    string `name:"nats-creds" env:"CHURN_NATS_CREDS" help:"Credentials file (JWT and seed) for NATS." placeholder:"FILE"`
}

// Artifacts says where bundles and run artifacts are kept.
type Artifacts struct {
	Artifacts   string `name:"artifacts" env:"CHURN_ARTIFACTS" default:"nats" help:"Artifact store: nats (JetStream object store) or s3://bucket/prefix?endpoint=http://host:port&region=R&create=true." placeholder:"STORE"`
	S3AccessKey string `name:"s3-access-key" env:"CHURN_S3_ACCESS_KEY,AWS_ACCESS_KEY_ID" help:"S3 access key; without one the profile (AWS_PROFILE) or role (IAM) is used." placeholder:"KEY"`
	S3SecretKey string `name:"s3-secret-key" env:"CHURN_S3_SECRET_KEY,AWS_SECRET_ACCESS_KEY" help:"S3 secret key." placeholder:"SECRET"`
	S3Session   string `name:"s3-session-token" env:"CHURN_S3_SESSION_TOKEN,AWS_SESSION_TOKEN" help:"Session token of temporary S3 keys." placeholder:"SECRET"`
	S3Region    string `name:"s3-region" env:"CHURN_S3_REGION,AWS_REGION" help:"S3 region where --artifacts names none." placeholder:"REGION"`
	S3Endpoint  string `name:"s3-endpoint" env:"CHURN_S3_ENDPOINT,AWS_ENDPOINT_URL_S3" help:"S3 endpoint where --artifacts names none; Amazon's by default." placeholder:"URL"`
}

// Settings is all that a command needs to join the loop.
type Settings struct {
	Login
	Artifacts
	// URL is the server's; empty means DefaultURL.
	URL string
	// StoreBytes is the budget of all streams and the artifact bucket; 0 means the bus's default.
	StoreBytes int64
	// ExistingStore has Store refuse a bucket on NATS that isn't there instead of making it.
	ExistingStore bool
	// Name is the connection's name and the first half of ce-source.
	Name string
	// Instance is the second half of ce-source; empty means the host's name.
	Instance string
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Bus connects to NATS and waits for the first connection until ctx ends.
func (s Settings) Bus(ctx context.Context) (*bus.Bus, error) {
	if s.URL == "" {
		s.URL = DefaultURL
	}
	if s.Instance == "" {
		s.Instance, _ = os.Hostname()
	}
	return bus.Connect(ctx, bus.Config{
		URL: s.URL, User: s.User, Password: s.Password, Token: s.Token, CredsFile: s.Creds, Name: s.Name,
		Source: s.Name + "/" + s.Instance, StoreBytes: s.StoreBytes, Log: s.Log, Metrics: s.Metrics,
	})
}

// Store opens the artifact store. b is used by the store on NATS alone.
func (s Settings) Store(ctx context.Context, b *bus.Bus) (artifact.Store, error) {
	if s.Artifacts.Artifacts == "" || s.Artifacts.Artifacts == "nats" {
		store, err := objstore.Open(ctx, b.JetStream(), objstore.Config{
			MaxBytes: bus.ArtifactMaxBytes(s.StoreBytes), Replicas: b.Replicas(), Existing: s.ExistingStore,
		})
		if err != nil {
			return nil, fmt.Errorf("open artifact store: %w", err)
		}
		return store, nil
	}
	u, err := url.Parse(s.Artifacts.Artifacts)
	if err != nil || u.Scheme != "s3" {
		return nil, fmt.Errorf("artifacts %q: want nats or s3://bucket/prefix", s.Artifacts.Artifacts)
	}
	cfg, err := s3.ParseURLWith(s.Artifacts.Artifacts, s3.Defaults{Endpoint: s.S3Endpoint, Region: s.S3Region})
	if err != nil {
		return nil, fmt.Errorf("open artifact store: %w", err)
	}
	cfg.AccessKey, cfg.SecretKey, cfg.SessionToken = s.S3AccessKey, s.S3SecretKey, s.S3Session
	store, err := s3.Open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open artifact store: %w", err)
	}
	return store, nil
}
