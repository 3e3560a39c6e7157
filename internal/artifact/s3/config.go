package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Defaults of Config.
const (
	DefaultEndpoint = "s3.amazonaws.com"
	DefaultRegion   = "us-east-1"
	DefaultPartSize = 16 << 20
)

// minPartSize is the least that S3 takes for a part that is not the last.
const minPartSize = 5 << 20

// Config says which bucket a Store uses and how to reach it. Bucket is required.
type Config struct {
	// Endpoint is host or host:port, without a scheme; DefaultEndpoint when empty.
	Endpoint string
	Bucket   string
	// Prefix comes before every key, without slashes at its ends; empty means the bucket's root.
	Prefix string
	// Region is DefaultRegion when empty.
	Region string
	// AccessKey, SecretKey and, for temporary ones, SessionToken are the credentials; without an AccessKey those that the AWS tools would
	// find are used. They are in no log, error or String.
	AccessKey, SecretKey, SessionToken string
	// Secure says whether to speak TLS. The zero value does not; ParseURL sets it unless told otherwise.
	Secure bool
	// CreateBucket makes the bucket if it isn't there.
	CreateBucket bool
	// PartSize is the size in bytes from which on a put is multipart, and the size of its parts: at least 5 MiB, DefaultPartSize when 0. S3
	// takes up to 10,000 parts.
	PartSize int64
	// Now is the clock that an object's age is measured by; nil means time.Now.
	Now func() time.Time

	claimDead time.Duration // shorter in a test
}

// Defaults are what a URL that doesn't say it is taken to say: an endpoint as in the URL, with or without a scheme, and a region. Empty
// fields mean DefaultEndpoint and DefaultRegion.
type Defaults struct{ Endpoint, Region string }

// ParseURL reads s3://bucket/prefix?endpoint=HOST:PORT&region=R&create=true. The endpoint may have a scheme, http:// or
// https://; without one, and without an endpoint, TLS is used. The keys are not read from anywhere: the caller adds them. A URL with
// credentials in it, or with a parameter not named here, is refused.
func ParseURL(raw string) (Config, error) { return ParseURLWith(raw, Defaults{}) }

// ParseURLWith is ParseURL with other defaults.
func ParseURLWith(raw string, d Defaults) (Config, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Config{}, errors.New("artifact store URL: malformed") // the cause would quote the URL, and keys in it
	}
	switch {
	case u.User != nil:
		return Config{}, errors.New("artifact store URL: credentials don't belong in it")
	case u.Scheme != "s3":
		return Config{}, fmt.Errorf("artifact store URL: scheme %q: want s3", u.Scheme)
	case u.Host == "":
		return Config{}, errors.New("artifact store URL: no bucket: want s3://bucket/prefix")
	case u.Fragment != "":
		return Config{}, errors.New("artifact store URL: a fragment (#) means nothing")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Config{}, errors.New("artifact store URL: malformed parameters")
	}
	cfg := Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Endpoint: DefaultEndpoint, Region: DefaultRegion, Secure: true}
	if d.Endpoint != "" {
		if err := cfg.set("endpoint", d.Endpoint); err != nil {
			return Config{}, fmt.Errorf("default of the artifact store URL: %w", err)
		}
	}
	if d.Region != "" {
		cfg.Region = d.Region
	}
	for name, values := range query {
		if len(values) != 1 {
			return Config{}, fmt.Errorf("artifact store URL: %s given %d times", name, len(values))
		}
		if err := cfg.set(name, values[0]); err != nil {
			return Config{}, fmt.Errorf("artifact store URL: %w", err)
		}
	}
	return cfg, nil
}

func (c *Config) set(name, value string) error {
	switch name {
	case "endpoint":
		scheme, host, found := strings.Cut(value, "://")
		if !found {
			scheme, host = "https", value
		}
		if scheme != "http" && scheme != "https" {
			return fmt.Errorf("endpoint scheme %q: want http or https", scheme)
		}
		c.Endpoint, c.Secure = strings.TrimSuffix(host, "/"), scheme == "https"
		if c.Endpoint == "" || strings.ContainsAny(c.Endpoint, "/?#@") {
			return errors.New("endpoint: want host or host:port")
		}
	case "region":
		c.Region = value
	case "create":
		create, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("create=%q: want true or false", value)
		}
		c.CreateBucket = create
	default:
		return fmt.Errorf("unknown parameter %q: want endpoint, region or create", name)
	}
	return nil
}

// Validate checks that the required fields are there; the client and the server judge the rest.
func (c Config) Validate() error {
	switch {
	case c.Bucket == "":
		return errors.New("s3 bucket is required")
	case (c.AccessKey == "") != (c.SecretKey == ""):
		return errors.New("s3 access key and secret key are required together")
	case c.PartSize != 0 && c.PartSize < minPartSize:
		return fmt.Errorf("s3 part size %d: want at least %d", c.PartSize, minPartSize)
	case strings.Trim(c.Prefix, "/") != c.Prefix:
		return fmt.Errorf("s3 prefix %q: no slash at its ends", c.Prefix)
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Endpoint == "" {
		c.Endpoint = DefaultEndpoint
	}
	if c.Region == "" {
		c.Region = DefaultRegion
	}
	if c.PartSize == 0 {
		c.PartSize = DefaultPartSize
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.claimDead == 0 {
		c.claimDead = claimDead
	}
	return c
}
