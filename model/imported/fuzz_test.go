package imported_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/imported"
)

// requireVerdict imports what strangers wrote: it gives a bundle that an instance would take, or a reason.
func requireVerdict(t *testing.T, f files) {
	b, _, err := imported.FromFiles(f.source())
	if err != nil {
		var unservable *imported.Unservable
		require.True(t, errors.As(err, &unservable), "%v", err)
		require.NotEmpty(t, unservable.Reason)
		text, err := json.Marshal(unservable.Error())
		require.NoError(t, err)
		require.Less(t, len(text), 8192)
		return
	}
	data, err := b.Encode()
	require.NoError(t, err)
	again, err := model.Decode(data)
	require.NoError(t, err)
	require.NoError(t, again.Verify())
}

func FuzzMLmodel(f *testing.F) {
	base := customersFolder()
	f.Add(base["MLmodel"])
	f.Add(folder(f, "xgboost/categories")["MLmodel"])
	f.Add("flavors: &a\n  lightgbm: {data: model.lgb}\nmetadata: *a\n")
	f.Add("a: [[[[{b: c}]]]]\n? x\n: y\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := base.without("MLmodel")
		c["MLmodel"] = text
		requireVerdict(t, c)
	})
}

func FuzzSignature(f *testing.F) {
	base := schemaFolder(f)
	f.Add(base["schema.json"])
	f.Add(`{"inputs": [{"name": "a", "type": "tensor", "tensor-spec": {"shape": [-1]}}], "threshold": "0.5", "model": "../x"}`)
	f.Fuzz(func(t *testing.T, text string) {
		c := base.without("schema.json")
		c["schema.json"] = text
		requireVerdict(t, c)
	})
}

func FuzzExample(f *testing.F) {
	base := customersFolder()
	f.Add(base["input_example.json"])
	f.Add(`{"inputs": {"tenure": [1, 2], "monthly charges": [NaN, 1e400]}, "params": 1}`)
	f.Add(`[{"tenure": 1, "monthly charges": 70.35, "plan": "Fiber", "region": 10, "paperless": true}, [1]]`)
	f.Fuzz(func(t *testing.T, text string) {
		c := base.without("input_example.json")
		c["input_example.json"] = text
		requireVerdict(t, c)
	})
}

func FuzzFromFiles(f *testing.F) {
	base := customersFolder()
	f.Add(base["MLmodel"], base["model.lgb"], base["input_example.json"])
	xgb := folder(f, "xgboost/early")
	f.Add(xgb["MLmodel"], xgb["model.json"], xgb["input_example.json"])
	f.Fuzz(func(t *testing.T, mlmodel, trees, example string) {
		requireVerdict(t, files{"MLmodel": mlmodel, "model.lgb": trees, "model.json": trees, "input_example.json": example})
	})
}
