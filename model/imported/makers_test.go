package imported_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model/imported"
)

// TestEveryXGBoostModelOfTheTrees takes the models that the trees' own reader is tested with, through a schema.json, records and all: values on thresholds,
// codes that training never saw, missing values to either side, dart, forests.
func TestEveryXGBoostModelOfTheTrees(t *testing.T) {
	root := filepath.Join("..", "gbdt", "testdata", "xgboost")
	paths, err := filepath.Glob(filepath.Join(root, "*.scores.json"))
	require.NoError(t, err)
	require.Len(t, paths, 13)
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".scores.json")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			var scores struct {
				Rows       [][]*float64
				Prediction []float64
			}
			require.NoError(t, json.Unmarshal(data, &scores))
			model, err := os.ReadFile(filepath.Join(root, name+".json"))
			require.NoError(t, err)
			var head struct {
				Learner struct {
					Names []string `json:"feature_names"`
				}
			}
			require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(string(model), "NaN", "null")), &head))
			names := head.Learner.Names
			for i := len(names); i < len(scores.Rows[0]); i++ {
				names = append(names, fmt.Sprintf("no %d", i))
			}
			var inputs []object
			for i := range names { // the file's names stand in another order than the columns, if it has any
				k := i
				if len(head.Learner.Names) > 0 {
					k = len(names) - 1 - i
				}
				inputs = append(inputs, object{"name": names[k], "type": "double"})
			}
			records := make([]object, len(scores.Rows))
			for r, row := range scores.Rows {
				records[r] = object{}
				for i, v := range row {
					records[r][names[i]] = v
				}
			}
			schema, err := json.Marshal(object{"inputs": inputs, "example": records})
			require.NoError(t, err)
			s := files{"model.json": string(model), "schema.json": string(schema)}.source()
			if name == "logitraw" || name == "reg-logistic" {
				_, _, err := imported.FromFiles(s)
				require.ErrorContains(t, err, "only binary:logistic can be served")
				return
			}
			b, _ := bundleOf(t, s)
			for r, record := range records {
				text, err := json.Marshal(record)
				require.NoError(t, err)
				require.InDelta(t, scores.Prediction[r], score(t, b, string(text)).Probability, 1e-6, "row %d", r)
			}
		})
	}
}

// object is a JSON object to be written.
type object map[string]any
