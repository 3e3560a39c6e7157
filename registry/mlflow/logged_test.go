package mlflow

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/registry/fault"
)

const logged20 = api20 + "logged-models"

// newLogged creates a logged model and returns its id.
func (s *running) newLogged(name string, more fields) string {
	s.t.Helper()
	in := fields{"experiment_id": "0", "name": name}
	for k, v := range more {
		in[k] = v
	}
	id := s.call("POST", logged20, in)["model"].(fields)["info"].(fields)["model_id"].(string)
	require.Regexp(s.t, "^m-[0-9a-f]{32}$", id)
	return id
}

func TestRefusalsOfLoggedModels(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	id := s.newLogged("model", fields{"params": []fields{{"key": "depth", "value": "6"}}})
	unknown := "m-" + strings.Repeat("0", 32)
	const (
		invalid = string(fault.Invalid)
		missing = string(fault.NotFound)
	)
	for _, test := range []struct {
		name, method, path string
		body               any
		status             int
		code               string
	}{
		{"create in no experiment", "POST", logged20, fields{"name": "m"}, 400, invalid},
		{"create in an unknown experiment", "POST", logged20, fields{"experiment_id": "77", "name": "m"}, 404, missing},
		{"create with a parameter without a key", "POST", logged20, fields{"experiment_id": "0", "params": []fields{{"value": "v"}}}, 400, invalid},
		{"get an unknown model", "GET", logged20 + "/" + unknown, nil, 404, missing},
		{"get what is no id", "GET", logged20 + "/model", nil, 404, missing},
		{"finish an unknown model", "PATCH", logged20 + "/" + unknown, fields{"status": "LOGGED_MODEL_READY"}, 404, missing},
		{"finish without a status", "PATCH", logged20 + "/" + id, fields{}, 400, invalid},
		{"finish as pending", "PATCH", logged20 + "/" + id, fields{"status": "LOGGED_MODEL_PENDING"}, 400, invalid},
		{"finish as a number", "PATCH", logged20 + "/" + id, fields{"status": 2}, 400, invalid},
		{"delete an unknown model", "DELETE", logged20 + "/" + unknown, nil, 404, missing},
		{"tag an unknown model", "PATCH", logged20 + "/" + unknown + "/tags", fields{"tags": []fields{{"key": "k", "value": "v"}}}, 404, missing},
		{"tag without a key", "PATCH", logged20 + "/" + id + "/tags", fields{"tags": []fields{{"value": "v"}}}, 400, invalid},
		{"untag what has no such tag", "DELETE", logged20 + "/" + id + "/tags/none", nil, 404, missing},
		{"another value of a parameter", "POST", logged20 + "/" + id + "/params", fields{"params": []fields{{"key": "depth", "value": "7"}}}, 400, invalid},
		{"search with OR", "POST", logged20 + "/search", fields{"experiment_ids": []string{"0"}, "filter": "name = 'a' OR name = 'b'"}, 400, invalid},
		{"search by data set", "POST", logged20 + "/search",
			fields{"experiment_ids": []string{"0"}, "datasets": []fields{{"dataset_name": "d"}}}, 501, string(fault.Unimplemented)},
		{"order by nothing", "POST", logged20 + "/search", fields{"experiment_ids": []string{"0"}, "order_by": []fields{{"ascending": true}}}, 400, invalid},
		{"order by a data set's metric", "POST", logged20 + "/search",
			fields{"experiment_ids": []string{"0"}, "order_by": []fields{{"field_name": "metrics.a", "dataset_name": "d"}}}, 400, invalid},
		{"too many", "POST", logged20 + "/search", fields{"experiment_ids": []string{"0"}, "max_results": 1001}, 400, invalid},
		{"list above the model", "GET", logged20 + "/" + id + "/artifacts/directories" + query("artifact_directory_path", "../.."), nil, 400, invalid},
		{"list an unknown model", "GET", logged20 + "/" + unknown + "/artifacts/directories", nil, 404, missing},
	} {
		t.Run(test.name, func(t *testing.T) {
			(&running{Service: s.Service, t: t, base: s.base}).refused(test.method, test.path, test.body, test.status, test.code)
		})
	}
	got := s.call("GET", logged20+"/"+id, nil)["model"].(fields)
	require.Equal(t, "LOGGED_MODEL_PENDING", got["info"].(fields)["status"])
	require.Equal(t, map[string]string{"depth": "6"}, keyedValues(got["data"].(fields)["params"]), "a refused call changes nothing")
}

func TestLoggedModelsAreSearchedInPages(t *testing.T) {
	t.Parallel()
	s := newRig(t).start()
	run := s.newRun("0")
	const models = 7
	for i := range models {
		id := s.newLogged(fmt.Sprintf("model-%d", i), fields{"source_run_id": run, "model_type": "Classifier", "tags": []fields{{"key": "team/a b", "value": "x"}}})
		s.call("POST", api20+"runs/log-metric", fields{"run_id": run, "key": "auc", "value": float64(i) / 10, "timestamp": 1700000000000, "model_id": id})
		s.call("DELETE", logged20+"/"+id+"/tags/team/a%20b", nil)
	}
	var names []string
	for page := ""; ; {
		answer := s.call("POST", logged20+"/search", fields{
			"experiment_ids": []string{"0"}, "filter": "metrics.auc >= 0.2 AND attributes.model_type = 'Classifier'", "max_results": 2,
			"order_by": []fields{{"field_name": "metrics.auc", "ascending": false}}, "page_token": page,
		})
		for _, m := range answer["models"].([]any) {
			info := m.(fields)["info"].(fields)
			require.NotContains(t, info, "tags")
			names = append(names, info["name"].(string))
		}
		next, more := answer["next_page_token"].(string)
		if !more {
			break
		}
		page = next
	}
	require.Equal(t, []string{"model-6", "model-5", "model-4", "model-3", "model-2"}, names)

	gone := s.newLogged("gone", nil)
	s.call("DELETE", logged20+"/"+gone, nil)
	s.refused("GET", logged20+"/"+gone, nil, 404, string(fault.NotFound))
}
