package block

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.md")
	require.NoError(t, os.WriteFile(path, []byte("before\n\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"), 0o600))
	for range 2 {
		require.NoError(t, Rewrite(path, "bench", "new\n\n"))
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "before\n\n<!-- bench -->\nnew\n<!-- /bench -->\nafter\n", string(got))
	}
	for _, broken := range []string{"", "<!-- bench -->\n", "<!-- /bench -->\n<!-- bench -->\n"} {
		_, err := Replace(broken, "bench", "new")
		require.Error(t, err, "%q", broken)
	}
	require.Error(t, Rewrite(filepath.Join(t.TempDir(), "none.md"), "bench", "new"))
}
