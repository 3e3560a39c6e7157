package s3

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseURL(t *testing.T) {
	for _, tc := range []struct {
		name, url string
		want      Config
	}{
		{"bucket alone", "s3://models", Config{Bucket: "models", Endpoint: DefaultEndpoint, Region: DefaultRegion, Secure: true}},
		{"everything", "s3://models/a/b/?endpoint=http://127.0.0.1:9000&region=eu-central-1&create=true",
			Config{Bucket: "models", Prefix: "a/b", Endpoint: "127.0.0.1:9000", Region: "eu-central-1", CreateBucket: true}},
		{"no scheme means TLS", "s3://models?endpoint=minio:9000", Config{Bucket: "models", Endpoint: "minio:9000", Region: DefaultRegion, Secure: true}},
		{"https", "s3://models?endpoint=https://s3.example.org/", Config{Bucket: "models", Endpoint: "s3.example.org", Region: DefaultRegion, Secure: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseURL(tc.url)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestParseURLRefuses(t *testing.T) {
	for _, tc := range []struct{ url, want string }{
		{"https://models", `scheme "https": want s3`},
		{"s3://", "no bucket"},
		{"s3:///prefix", "no bucket"},
		{"s3://key:hidden@models", "credentials don't belong in it"},
		{"s3://key:hid%zzden@models", "malformed"},
		{"s3://models?endpint=x", `unknown parameter "endpint"`},
		{"s3://models?region=a&region=b", "region given 2 times"},
		{"s3://models?create=maybe", `create="maybe"`},
		{"s3://models?endpoint=ftp://x", `endpoint scheme "ftp"`},
		{"s3://models?endpoint=", "want host or host:port"},
		{"s3://models?endpoint=http://k:s@host", "want host or host:port"},
		{"s3://models?region=%zz", "malformed parameters"},
		{"s3://models#x", "fragment"},
	} {
		_, err := ParseURL(tc.url)
		require.ErrorContains(t, err, tc.want, tc.url)
		require.NotContains(t, err.Error(), "hid", tc.url)
	}
}

func TestValidate(t *testing.T) {
	good := Config{Bucket: "b", AccessKey: "a", SecretKey: "s"}
	require.NoError(t, good.Validate())
	for want, change := range map[string]func(*Config){
		"bucket is required":      func(c *Config) { c.Bucket = "" },
		"secret key are required": func(c *Config) { c.SecretKey = "" },
		"part size 5":             func(c *Config) { c.PartSize = 5 },
		"no slash at its ends":    func(c *Config) { c.Prefix = "/a" },
	} {
		c := good
		change(&c)
		_, err := Open(t.Context(), c)
		require.ErrorContains(t, err, want)
	}
}
