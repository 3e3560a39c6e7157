package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Defaults of Config.
const (
	DefaultEndpoint = "s3.amazonaws.com"
	DefaultRegion   = "us-east-1"
)

// Config says which bucket a Store uses and how to reach it. Bucket, AccessKey and SecretKey are required.
type Config struct {
	// Endpoint is host or host:port, without a scheme; DefaultEndpoint when empty.
	Endpoint string
	Bucket   string
	// Prefix comes before every key, without slashes at its ends; empty means the bucket's root.
	Prefix string
	// Region is DefaultRegion when empty.
	Region string
	// AccessKey, SecretKey and, for temporary ones, SessionToken are the credentials. They are in no log, error or String.
	AccessKey, SecretKey, SessionToken string
	// Secure says whether to speak TLS. The zero value does not; ParseURL sets it unless told otherwise.
	Secure bool
	// CreateBucket makes the bucket if it isn't there.
	CreateBucket bool
}

// ParseURL reads s3://bucket/prefix?endpoint=HOST:PORT&region=R&create=true. The endpoint may have a scheme, http:// or
// https://; without one, and without an endpoint, TLS is used. The keys are not read from anywhere: the caller adds them. A URL with
// credentials in it, or with a parameter not named here, is refused.
func ParseURL(raw string) (Config, error) {
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
	case c.AccessKey == "" || c.SecretKey == "":
		return errors.New("s3 access key and secret key are required")
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
	return c
}
