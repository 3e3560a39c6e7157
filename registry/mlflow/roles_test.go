package mlflow

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/registry"
)

// policy is a users file with one user for each role, whose name and token are the role.
func policy(t *testing.T) *access.Policy {
	t.Helper()
	var b strings.Builder
	b.WriteString("users:\n")
	for _, role := range access.Roles() {
		fmt.Fprintf(&b, "  - {name: %s, role: %s, token_sha256: %s}\n", role, role, access.TokenDigest(string(role)))
	}
	path := filepath.Join(t.TempDir(), "users.yaml")
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	p, err := access.Load(path)
	require.NoError(t, err)
	return p
}

func TestRolesOfTheRegistryOfModels(t *testing.T) {
	t.Parallel()
	s := newRig(t).start(func(c *registry.Config) { c.Access = policy(t) })
	status := func(role access.Role, method, path, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.base+path, strings.NewReader(body))
		require.NoError(t, err)
		if role != "" {
			req.Header.Set("Authorization", "Bearer "+string(role))
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	for _, test := range []struct {
		role         access.Role
		method, path string
	}{
		{access.Read, "GET", models20 + "get"},
		{access.Read, "GET", models20 + "search"},
		{access.Read, "GET", models20 + "alias"},
		{access.Read, "POST", models20 + "get-latest-versions"},
		{access.Read, "GET", versions20 + "get"},
		{access.Read, "GET", versions20 + "search"},
		{access.Read, "GET", versions20 + "get-download-uri"},
		{access.Read, "GET", "/model-versions/get-artifact"},
		{access.Read, "GET", logged20 + "/m-1"},
		{access.Read, "POST", logged20 + "/search"},
		{access.Read, "GET", "/api/v1/models/m/history"},
		{access.Read, "GET", "/api/v1/models/m/gates"},
		{access.Read, "GET", "/api/v1/models/m/audit"},
		{access.Read, "GET", "/api/v1/models/m/lineage"},
		{access.Read, "GET", "/api/v1/models/m/diff"},
		{access.Read, "GET", "/api/v1/models/m/files"},
		{access.Log, "POST", logged20},
		{access.Log, "PATCH", logged20 + "/m-1"},
		{access.Log, "DELETE", logged20 + "/m-1"},
		{access.Log, "PATCH", logged20 + "/m-1/tags"},
		{access.Log, "DELETE", logged20 + "/m-1/tags/k"},
		{access.Log, "POST", logged20 + "/m-1/params"},
		{access.Register, "POST", models20 + "create"},
		{access.Register, "PATCH", models20 + "update"},
		{access.Register, "POST", models20 + "set-tag"},
		{access.Register, "DELETE", models20 + "delete-tag"},
		{access.Register, "POST", versions20 + "create"},
		{access.Register, "PATCH", versions20 + "update"},
		{access.Register, "POST", versions20 + "set-tag"},
		{access.Register, "DELETE", versions20 + "delete-tag"},
		{access.Promote, "POST", versions20 + "transition-stage"},
		{access.Promote, "POST", api20 + "databricks/model-versions/transition-stage"},
		{access.Promote, "POST", models20 + "alias"},
		{access.Promote, "DELETE", models20 + "alias"},
		{access.Promote, "POST", "/api/v1/models/m/rollback"},
		{access.Promote, "POST", "/api/v1/models/m/withdraw"},
		{access.Promote, "PUT", "/api/v1/models/m/gates"},
		{access.Promote, "DELETE", "/api/v1/models/m/gates"},
		{access.Admin, "POST", "/api/v1/gc"},
		{access.Admin, "POST", models20 + "rename"},
		{access.Admin, "DELETE", models20 + "delete"},
		{access.Admin, "DELETE", versions20 + "delete"},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			require.Equal(t, http.StatusUnauthorized, status("", test.method, test.path, "{}"))
			enough := false
			for _, role := range access.Roles() {
				enough = enough || role == test.role
				if got := status(role, test.method, test.path, "{}"); enough {
					require.NotContains(t, []int{401, 403}, got, "as %s", role)
				} else {
					require.Equal(t, http.StatusForbidden, got, "as %s", role)
				}
			}
		})
	}
	require.Equal(t, 200, status(access.Register, "POST", models20+"create", `{"name": "made"}`))
	require.Equal(t, 200, status(access.Register, "POST", versions20+"create", `{"name": "made", "source": "s3://b/1"}`))
	require.Equal(t, 200, status(access.Promote, "POST", versions20+"transition-stage", `{"name": "made", "version": "1", "stage": "Staging"}`))
	var actors []string
	require.NoError(t, s.Fresh(t.Context()))
	s.View(func(c *registry.Catalog, _ *registry.Fleet) {
		for _, ch := range c.Audit("made") {
			actors = append(actors, ch.Actor)
		}
	})
	require.Equal(t, []string{"promote", "register", "register"}, actors, "who did it stands in the audit log")
}
