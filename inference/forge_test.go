package inference_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
)

// forged returns a bundle whose digests are all right and whose first golden row expects another probability than the trees give: what a
// trainer with other arithmetic would have uploaded.
func forged(t testing.TB, seed uint64) []byte {
	t.Helper()
	names, parts := unpack(t, encoded(t, seed))
	var golden []map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(parts[model.GoldenFile], &golden))
	golden[0]["probability"] = json.RawMessage("0.123456789")
	parts[model.GoldenFile] = plain(t, golden, "")

	var m model.Manifest
	require.NoError(t, json.Unmarshal(parts[model.ManifestFile], &m))
	m.Files[model.GoldenFile] = hexDigest(parts[model.GoldenFile])
	m.Digest = ""
	m.Digest = hexDigest(plain(t, m, "  "))
	parts[model.ManifestFile] = plain(t, m, "  ")

	data := repack(t, encoded(t, seed), names, parts)
	b, err := model.Decode(data)
	require.NoError(t, err, "the forgery is whole")
	var mismatch *model.GoldenError
	require.ErrorAs(t, b.Verify(), &mismatch)
	return data
}

func unpack(t testing.TB, data []byte) (names []string, parts map[string][]byte) {
	t.Helper()
	parts = map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names, parts
		}
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		names, parts[h.Name] = append(names, h.Name), b
	}
}

// repack writes the parts with the headers of the archive that they came from.
func repack(t testing.TB, original []byte, names []string, parts map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, r := tar.NewWriter(&out), tar.NewReader(bytes.NewReader(original))
	for _, name := range names {
		h, err := r.Next()
		require.NoError(t, err)
		h.Size = int64(len(parts[name]))
		require.NoError(t, w.WriteHeader(h))
		_, err = w.Write(parts[name])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func plain(t testing.TB, v any, indent string) []byte {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	require.NoError(t, enc.Encode(v))
	return out.Bytes()
}

func hexDigest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
