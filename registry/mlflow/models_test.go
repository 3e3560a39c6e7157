package mlflow

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/registry/fault"
)

const (
	models20   = api20 + "registered-models/"
	versions20 = api20 + "model-versions/"
)

// newModel creates a registered model without gates.
func (s *running) newModel(name string) {
	s.t.Helper()
	s.call("POST", models20+"create", fields{"name": name})
}

// newVersion registers a version of a model and returns its number.
func (s *running) newVersion(name, source string) string {
	s.t.Helper()
	answer := s.call("POST", versions20+"create", fields{"name": name, "source": source})
	return answer["model_version"].(fields)["version"].(string)
}

// query encodes names and values in turn.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return "?" + q.Encode()
}

// stages returns the stage of each version of a model.
func (s *running) stages(name string) map[string]string {
	s.t.Helper()
	answer := s.call("GET", versions20+"search"+query("filter", "name = '"+name+"'"), nil)
	out := map[string]string{}
	versions, _ := answer["model_versions"].([]any)
	for _, v := range versions {
		out[v.(fields)["version"].(string)] = v.(fields)["current_stage"].(string)
	}
	return out
}

func TestRefusalsOfModels(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	s.newModel("taken")
	s.newModel("other")
	require.Equal(t, "1", s.newVersion("taken", "s3://bucket/a"))
	const (
		invalid = string(fault.Invalid)
		missing = string(fault.NotFound)
		exists  = string(fault.Exists)
	)
	long := strings.Repeat("x", 5001)
	for _, test := range []struct {
		name, method, path string
		body               any
		status             int
		code               string
	}{
		{"create without a name", "POST", models20 + "create", fields{}, 400, invalid},
		{"create with an empty name", "POST", models20 + "create", fields{"name": ""}, 400, invalid},
		{"create a taken name", "POST", models20 + "create", fields{"name": "taken"}, 400, exists},
		{"create with a tag without a key", "POST", models20 + "create", fields{"name": "n", "tags": []fields{{"value": "v"}}}, 400, invalid},
		{"create with a control character", "POST", models20 + "create", fields{"name": "a\x00b"}, 400, invalid},
		{"get without a name", "GET", models20 + "get", nil, 400, invalid},
		{"get an unknown model", "GET", models20 + "get?name=none", nil, 404, missing},
		{"rename an unknown model", "POST", models20 + "rename", fields{"name": "none", "new_name": "n"}, 404, missing},
		{"rename to nothing", "POST", models20 + "rename", fields{"name": "taken"}, 400, invalid},
		{"rename to a taken name", "POST", models20 + "rename", fields{"name": "other", "new_name": "taken"}, 400, exists},
		{"update an unknown model", "PATCH", models20 + "update", fields{"name": "none", "description": "d"}, 404, missing},
		{"update to nothing", "PATCH", models20 + "update", fields{"name": "taken"}, 400, invalid},
		{"delete an unknown model", "DELETE", models20 + "delete", fields{"name": "none"}, 404, missing},
		{"tag an unknown model", "POST", models20 + "set-tag", fields{"name": "none", "key": "k", "value": "v"}, 404, missing},
		{"tag without a key", "POST", models20 + "set-tag", fields{"name": "taken", "value": "v"}, 400, invalid},
		{"tag without a value", "POST", models20 + "set-tag", fields{"name": "taken", "key": "k"}, 400, invalid},
		{"untag an unknown model", "DELETE", models20 + "delete-tag", fields{"name": "none", "key": "k"}, 404, missing},
		{"alias on an unknown model", "POST", models20 + "alias", fields{"name": "none", "alias": "a", "version": "1"}, 404, missing},
		{"alias on an unknown version", "POST", models20 + "alias", fields{"name": "taken", "alias": "a", "version": "2"}, 404, missing},
		{"alias on no number", "POST", models20 + "alias", fields{"name": "taken", "alias": "a", "version": "one"}, 400, invalid},
		{"alias latest", "POST", models20 + "alias", fields{"name": "taken", "alias": "latest", "version": "1"}, 400, invalid},
		{"alias like a version", "POST", models20 + "alias", fields{"name": "taken", "alias": "v12", "version": "1"}, 400, invalid},
		{"alias with a dot", "POST", models20 + "alias", fields{"name": "taken", "alias": "a.b", "version": "1"}, 400, invalid},
		{"unknown alias", "GET", models20 + "alias?name=taken&alias=none", nil, 400, invalid},
		{"alias of an unknown model", "GET", models20 + "alias?name=none&alias=a", nil, 404, missing},
		{"latest of an unknown model", "POST", models20 + "get-latest-versions", fields{"name": "none"}, 404, missing},
		{"latest of an unknown stage", "POST", models20 + "get-latest-versions", fields{"name": "taken", "stages": []string{"Prod"}}, 400, invalid},
		{"search with OR", "GET", models20 + "search" + query("filter", "name = 'a' OR name = 'b'"), nil, 400, invalid},
		{"search for what models lack", "GET", models20 + "search" + query("filter", "metrics.auc > 1"), nil, 400, invalid},
		{"search for too many", "GET", models20 + "search?max_results=1001", nil, 400, invalid},
		{"search for none", "GET", models20 + "search?max_results=0", nil, 400, invalid},
		{"search in no order", "GET", models20 + "search" + query("order_by", "weight"), nil, 400, invalid},
		{"search with a bad token", "GET", models20 + "search?page_token=abc", nil, 400, invalid},

		{"version without a source", "POST", versions20 + "create", fields{"name": "taken"}, 400, invalid},
		{"version of an unknown model", "POST", versions20 + "create", fields{"name": "none", "source": "s3://b/a"}, 404, missing},
		{"version from a local path", "POST", versions20 + "create", fields{"name": "taken", "source": "/etc"}, 400, invalid},
		{"version from a file", "POST", versions20 + "create", fields{"name": "taken", "source": "file:///etc"}, 400, invalid},
		{"version from above the proxy", "POST", versions20 + "create", fields{"name": "taken", "source": "mlflow-artifacts:/0/../../etc"}, 400, invalid},
		{"version from above, encoded", "POST", versions20 + "create", fields{"name": "taken", "source": "mlflow-artifacts:/0/%2e%2e/etc"}, 400, invalid},
		{"version from above an address", "POST", versions20 + "create", fields{"name": "taken", "source": "http://h/a/../b"}, 400, invalid},
		{"version copied from an unknown one", "POST", versions20 + "create", fields{"name": "taken", "source": "models:/none/1"}, 404, missing},
		{"get without a version", "GET", versions20 + "get?name=taken", nil, 400, invalid},
		{"get no number", "GET", versions20 + "get?name=taken&version=one", nil, 400, invalid},
		{"get an unknown version", "GET", versions20 + "get?name=taken&version=2", nil, 404, missing},
		{"get version 0", "GET", versions20 + "get?name=taken&version=0", nil, 404, missing},
		{"get a negative version", "GET", versions20 + "get?name=taken&version=-1", nil, 404, missing},
		{"get a version of an unknown model", "GET", versions20 + "get?name=none&version=1", nil, 404, missing},
		{"update an unknown version", "PATCH", versions20 + "update", fields{"name": "taken", "version": "2", "description": "d"}, 404, missing},
		{"delete an unknown version", "DELETE", versions20 + "delete", fields{"name": "taken", "version": "2"}, 404, missing},
		{"download an unknown version", "GET", versions20 + "get-download-uri?name=taken&version=2", nil, 404, missing},
		{"tag an unknown version", "POST", versions20 + "set-tag", fields{"name": "taken", "version": "2", "key": "k", "value": "v"}, 404, missing},
		{"unknown stage", "POST", versions20 + "transition-stage", fields{"name": "taken", "version": "1", "stage": "Live"}, 400, invalid},
		{"no stage", "POST", versions20 + "transition-stage", fields{"name": "taken", "version": "1"}, 400, invalid},
		{"move an unknown version", "POST", versions20 + "transition-stage", fields{"name": "taken", "version": "9", "stage": "Staging"}, 404, missing},
		{"archive into None", "POST", versions20 + "transition-stage",
			fields{"name": "taken", "version": "1", "stage": "None", "archive_existing_versions": true}, 400, invalid},
		{"archive into Archived", "POST", versions20 + "transition-stage",
			fields{"name": "taken", "version": "1", "stage": "Archived", "archive_existing_versions": true}, 400, invalid},
		{"expect no number", "POST", versions20 + "transition-stage",
			fields{"name": "taken", "version": "1", "stage": "Production", "expected_version": "one"}, 400, invalid},
		{"expect a negative version", "POST", versions20 + "transition-stage",
			fields{"name": "taken", "version": "1", "stage": "Production", "expected_version": -1}, 400, invalid},
		{"a file of a version without files", "GET", "/model-versions/get-artifact?name=taken&version=1&path=MLmodel", nil, 404, missing},
		{"a tag value over the limit", "POST", models20 + "set-tag", fields{"name": "taken", "key": "k", "value": strings.Repeat("v", 1<<20)}, 400, invalid},
		{"a name over the limit", "POST", models20 + "create", fields{"name": long}, 400, invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			(&running{Service: s.Service, t: t, base: s.base}).refused(test.method, test.path, test.body, test.status, test.code)
		})
	}
	require.Equal(t, map[string]string{"1": "None"}, s.stages("taken"), "a refused call changes nothing")
}

func TestModelNamesOfEveryScript(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	names := []string{
		"plain", "with space", "a/b", "a//b/", "a.b", "..", "a:b*c>d", "=YQ", "Kündigung", "解約予測", "إلغاء", "модель", "🤖", "a%2Fb", "a\"b'c`d", "%", "_", "?&=#",
	}
	for _, name := range names {
		s.newModel(name)
		require.Equal(t, "1", s.newVersion(name, "s3://bucket/a"), name)
		s.call("POST", models20+"alias", fields{"name": name, "alias": "best", "version": "1"})
		s.call("POST", versions20+"transition-stage", fields{"name": name, "version": "1", "stage": "Production"})
	}
	for _, name := range names {
		m := s.call("GET", models20+"get"+query("name", name), nil)["registered_model"].(fields)
		require.Equal(t, name, m["name"])
		v := s.call("GET", models20+"alias"+query("name", name, "alias", "best"), nil)["model_version"].(fields)
		require.Equal(t, []any{name, "Production"}, []any{v["name"], v["current_stage"]})
		h := s.call("GET", "/api/v1/models/"+strings.ReplaceAll(url.PathEscape(name), ".", "%2E")+"/history", nil)
		require.Equal(t, name, h["model"])
		require.Len(t, h["promotions"], 1, name)
		if !strings.Contains(name, "'") {
			found := s.call("GET", models20+"search"+query("filter", "name = '"+name+"'"), nil)["registered_models"].([]any)
			require.Len(t, found, 1, name)
			require.Equal(t, name, found[0].(fields)["name"])
		}
	}
}

func TestWhatTheDocsLeaveOut(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	for _, path := range []string{"webhooks", "traces", "registered-models/unknown", "prompts/search"} {
		s.refused("POST", api20+path, fields{}, 404, string(fault.Endpoint))
	}
	s.refused("POST", "/api/2.0/mlflow-artifacts/mpu/create/0/a", fields{"path": "a", "num_parts": 2}, 501, string(fault.Unimplemented))

	longest := strings.Repeat("界", 256)
	s.refused("POST", models20+"create", fields{"name": longest + "界"}, 400, string(fault.Invalid))
	s.newModel(longest)
	require.Equal(t, "1", s.newVersion(longest, "s3://bucket/1"))
	s.call("POST", versions20+"transition-stage", fields{"name": longest, "version": "1", "stage": "Production"})
	require.Equal(t, map[string]string{"1": "Production"}, s.stages(longest))
	s.call("POST", models20+"rename", fields{"name": longest, "new_name": "short"})
	require.Equal(t, map[string]string{"1": "Production"}, s.stages("short"))
}

func TestSearchesOfModelsInPages(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	const models, perPage = 11, 3
	for i := range models {
		s.call("POST", models20+"create", fields{
			"name": fmt.Sprintf("model-%02d", i), "tags": []fields{{"key": "parity", "value": []string{"even", "odd"}[i%2]}},
		})
	}
	s.call("POST", models20+"create", fields{"name": "a prompt", "tags": []fields{{"key": promptTag, "value": "true"}}})
	late := 0
	pages := func(path, list string, q ...string) (names []string) {
		t.Helper()
		token := ""
		for {
			answer := s.call("GET", path+query(append(q, "max_results", fmt.Sprint(perPage), "page_token", token)...), nil)
			items, _ := answer[list].([]any)
			require.LessOrEqual(t, len(items), perPage)
			for _, it := range items {
				name := it.(fields)["name"].(string)
				if v, ok := it.(fields)["version"].(string); ok {
					name += "/" + v
				}
				names = append(names, name)
			}
			next, more := answer["next_page_token"].(string)
			if !more {
				return names
			}
			require.NotEqual(t, token, next)
			token = next
			// What comes while a client turns the pages neither hides nor repeats what was there.
			late++
			s.newModel(fmt.Sprintf("model-00-late-%d", late))
		}
	}
	var want []string
	for i := range models {
		want = append(want, fmt.Sprintf("model-%02d", models-1-i))
	}
	got := pages(models20+"search", "registered_models", "order_by", "name DESC", "filter", "name LIKE 'model-__'")
	require.Equal(t, want, got)
	got = pages(models20+"search", "registered_models", "filter", "tags.parity = 'odd' AND name ILIKE 'MODEL%'")
	require.Equal(t, []string{"model-01", "model-03", "model-05", "model-07", "model-09"}, got)
	require.Equal(t, []string{"a prompt"}, pages(models20+"search", "registered_models", "filter", "tag.`"+promptTag+"` = 'true'"))
	require.NotContains(t, pages(models20+"search", "registered_models", "filter", "tags.`"+promptTag+"` != 'true'"), "a prompt")
	require.NotContains(t, pages(models20+"search", "registered_models"), "a prompt", "a search that asks for none shows none")

	for i := range 7 {
		s.newVersion(fmt.Sprintf("model-%02d", i%2), fmt.Sprintf("s3://bucket/%d", i))
	}
	require.Equal(t, []string{"model-00/4", "model-00/3", "model-00/2", "model-00/1", "model-01/3", "model-01/2", "model-01/1"},
		pages(versions20+"search", "model_versions", "order_by", "name"), "by number from the highest where the order leaves it open")
	require.Equal(t, []string{"model-00/4", "model-01/3", "model-00/3"}, pages(versions20+"search", "model_versions",
		"filter", "version_number >= 3", "order_by", "version_number DESC", "order_by", "name DESC"))
	answer := s.call("GET", models20+"search?max_results=1", nil)
	s.refused("GET", models20+"search"+query("max_results", "1", "order_by", "name DESC", "page_token", answer["next_page_token"].(string)), nil,
		http.StatusBadRequest, string(fault.Invalid))
}

// TestSimultaneousTransitionsLeaveOneProduction asks two registries for what MLflow does not do in one step.
func TestSimultaneousTransitionsLeaveOneProduction(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, second := r.start(), r.start()
	const versions, rounds = 8, 5
	s.newModel("m")
	for i := range versions {
		s.newVersion("m", fmt.Sprintf("s3://bucket/%d", i))
	}
	for round := range rounds {
		var all sync.WaitGroup
		statuses := make([]int, versions)
		for i := range versions {
			all.Go(func() {
				at := s
				if i%2 == 1 {
					at = second
				}
				statuses[i], _ = at.do("POST", versions20+"transition-stage", fields{
					"name": "m", "version": fmt.Sprint(i + 1), "stage": "Production", "archive_existing_versions": true,
				})
			})
		}
		all.Wait()
		for i, status := range statuses {
			require.Contains(t, []int{200, 409}, status, "round %d: version %d", round, i+1)
		}
		require.Contains(t, statuses, 200, "round %d", round)
		in := 0
		for _, stage := range s.stages("m") {
			if stage == "Production" {
				in++
			}
		}
		require.Equal(t, 1, in, "round %d: %v", round, s.stages("m"))
		require.Equal(t, s.stages("m"), second.stages("m"))
	}
}
