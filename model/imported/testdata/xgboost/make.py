#!/usr/bin/python3
"""Makes the XGBoost model folders of this folder, and what XGBoost itself predicts with them. See ../README.md."""
import json
import os

import numpy as np
import pandas as pd
import xgboost as xgb
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, TEST = 800, 60
PLANS = ["Fiber optic", "DSL", "None at all", "10 Mbit"]


def data(seed):
    """Customers: numbers, a count, a yes or no, and two categories; in part missing."""
    rng = np.random.default_rng(seed)
    n = ROWS + TEST
    plan, region = rng.integers(0, len(PLANS), n), rng.integers(0, 30, n)
    frame = pd.DataFrame({
        "monthly": np.round(20 + 90 * rng.random(n), 2),
        "plan": pd.Categorical.from_codes(plan, PLANS),
        "tenure months": rng.integers(0, 73, n),
        "paperless": rng.random(n) < 0.6,
        "region": pd.Categorical.from_codes(region, list(range(100, 130))),
        "usage": np.exp(rng.normal(size=n)),
    })
    margin = 0.03 * (frame["monthly"] - 65) - 0.05 * frame["tenure months"] + 0.8 * frame["paperless"] + np.sin(2 * region) + (plan == 0) * 1.2
    frame["usage"] = frame["usage"].where(rng.random(n) > 0.15)
    frame.loc[rng.random(n) < 0.1, "monthly"] = np.nan
    frame.loc[rng.random(n) < 0.1, "plan"] = np.nan
    label = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(int)
    return frame, label


def example(frame):
    """A DataFrame as MLflow writes an example: columns and data, missing values as null."""
    return {"columns": list(frame.columns), "data": [[plain(v) for v in row] for row in frame.astype(object).to_numpy()]}


def plain(v):
    if v is None or (isinstance(v, float) and np.isnan(v)):
        return None
    return v.item() if hasattr(v, "item") else v


def write(name, booster, frame, types, model_class, metadata=None, prediction=None):
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    booster.save_model(os.path.join(folder, "model.json"))
    shown = frame.iloc[ROWS:]
    inputs = [{"type": types[c], "name": c, "required": c != "usage"} for c in frame.columns]
    mlmodel = {
        "artifact_path": "model",
        "flavors": {
            "python_function": {"data": "model.json", "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                                "loader_module": "mlflow.xgboost", "python_version": "3.11.2"},
            "xgboost": {"code": None, "data": "model.json", "model_class": model_class, "model_format": "json", "xgb_version": xgb.__version__},
        },
        "mlflow_version": "2.9.2",
        "model_uuid": "5b1c3f1e6d0a4c7f9a4e2f8d7c6b5a49",
        "run_id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "saved_input_example_info": {"artifact_path": "input_example.json", "pandas_orient": "split", "type": "dataframe"},
        "signature": {"inputs": json.dumps(inputs), "outputs": json.dumps([{"type": "float", "required": True}]), "params": None},
        "utc_time_created": "2026-01-05 10:00:00.000000",
    }
    if metadata:
        mlmodel["metadata"] = metadata
    with open(os.path.join(folder, "MLmodel"), "w") as f:
        yaml.safe_dump(mlmodel, f, default_flow_style=False)
    with open(os.path.join(folder, "input_example.json"), "w") as f:
        json.dump(example(shown.iloc[:12]), f)
    rows = example(shown)
    with open(os.path.join(HERE, name + ".scores.json"), "w") as f:
        json.dump({"records": [dict(zip(rows["columns"], r)) for r in rows["data"]], "prediction": [float(p) for p in prediction]}, f)
        f.write("\n")


PARAMS = {"max_depth": 4, "eta": 0.3, "nthread": 1, "objective": "binary:logistic", "tree_method": "hist"}

# Categories as pandas has them: the model's file holds codes alone, so the words are logged as metadata.
frame, label = data(1)
d = xgb.DMatrix(frame[:ROWS], label=label[:ROWS], enable_categorical=True)
booster = xgb.train(PARAMS, d, 12)
shown = frame.iloc[ROWS:]
write("categories", booster, frame,
      {"monthly": "double", "plan": "string", "tenure months": "long", "paperless": "boolean", "region": "long", "usage": "double"},
      "xgboost.core.Booster", {"categories": {"plan": PLANS, "region": list(range(100, 130))}, "threshold": 0.42},
      booster.predict(xgb.DMatrix(shown, enable_categorical=True)))

# Categories as codes: whoever asks sends the code.
codes = frame.assign(plan=frame["plan"].cat.codes.astype(float).replace(-1, np.nan), region=frame["region"].cat.codes.astype(int))
kinds = ["q", "c", "int", "i", "c", "q"]
train = xgb.DMatrix(codes[:ROWS].astype(float), label=label[:ROWS], feature_types=kinds, enable_categorical=True)
booster = xgb.train(PARAMS, train, 12)
shown = codes.iloc[ROWS:]
write("codes", booster, codes,
      {"monthly": "double", "plan": "double", "tenure months": "long", "paperless": "boolean", "region": "long", "usage": "double"},
      "xgboost.core.Booster", None,
      booster.predict(xgb.DMatrix(shown.astype(float), feature_types=kinds, enable_categorical=True)))

# scikit-learn's class with early stopping predicts with the trees up to the best iteration.
numbers = codes.drop(columns=["plan", "region"])
model = xgb.XGBClassifier(n_estimators=80, max_depth=5, learning_rate=0.6, early_stopping_rounds=5, eval_metric="logloss", n_jobs=1)
cut = ROWS // 2
model.fit(numbers[:cut], label[:cut], eval_set=[(numbers[cut:ROWS], label[cut:ROWS])], verbose=False)
assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
write("early", model, numbers, {"monthly": "double", "tenure months": "long", "paperless": "boolean", "usage": "double"},
      "xgboost.sklearn.XGBClassifier", None, model.predict_proba(numbers.iloc[ROWS:])[:, 1])
