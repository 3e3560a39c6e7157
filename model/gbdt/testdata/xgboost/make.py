#!/usr/bin/python3
"""Makes the XGBoost models of this folder with their inputs and scores. See README.md."""
import json
import os

import numpy as np
import xgboost as xgb

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, TEST = 600, 40


def data(seed, categories=0, missing=True):
    """Columns: a normal, a skewed, a small whole number, a yes or no, and a category if asked for; in part missing."""
    rng = np.random.default_rng(seed)
    n = ROWS + TEST
    x = np.column_stack([
        rng.normal(size=n), np.exp(2 * rng.normal(size=n)), rng.integers(0, 7, n), rng.integers(0, 2, n),
    ]).astype(np.float64)
    margin = x[:, 0] - np.log(x[:, 1]) / 2 + (x[:, 2] == 3) + x[:, 3] - 0.5
    types = ["q", "q", "int", "i"]
    if categories:
        c = rng.integers(0, categories, n).astype(np.float64)
        margin = margin + 2 * np.sin(3 * c)
        x = np.column_stack([x, c])
        types.append("c")
    if missing:
        hole = rng.random(x.shape) < 0.08
        margin = margin + hole[:, 1] + 2 * hole[:, -1]
        x[hole] = np.nan
    y = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(float)
    return x, y, types


def numbers(values):
    """Numbers that JSON can hold, those missing as null."""
    return [None if np.isnan(v) else float(v) for v in values]


def make(name, params, rounds=8, seed=0, categories=0, named=False, missing=True):
    x, y, types = data(seed, categories, missing)
    names = ["a", "b b", "c", "d=e", "cat"][: x.shape[1]] if named else None
    args = {"feature_types": types, "enable_categorical": True} if categories else {}
    train = xgb.DMatrix(x[:ROWS], label=y[:ROWS], feature_names=names, **args)
    # Beside rows of the same kind: rows all missing, rows on thresholds and categories never seen.
    test = x[ROWS:].copy()
    test[0, :] = np.nan
    test[1, :] = 0
    if categories:
        test[2:6, 4] = [categories, categories + 40, 100000, np.nan]
    booster = xgb.train({"max_depth": 3, "eta": 0.3, "seed": seed, "nthread": 1, **params}, train, rounds)
    path = os.path.join(HERE, name + ".json")
    booster.save_model(path)
    on = [(t["split_indices"][i], c)
          for t in trees(path) for i, c in enumerate(t["split_conditions"])
          if t["left_children"][i] != -1 and not (t.get("split_type") or [0] * 10**6)[i]]
    for row, (f, c) in zip(range(10, 40), on):
        test[row, f] = np.float64(np.float32(c))  # exactly on a threshold, or one step of single precision below it
        if row % 2:
            test[row, f] = np.nextafter(np.float32(c), np.float32(-np.inf))
    d = xgb.DMatrix(test, feature_names=names, **args)
    out = {
        "rows": [numbers(r) for r in test],
        "margin": numbers(booster.predict(d, output_margin=True)),
        "prediction": numbers(booster.predict(d)),
        "contributions": [numbers(r) for r in booster.predict(d, pred_contribs=True)],
    }
    with open(os.path.join(HERE, name + ".scores.json"), "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


def trees(path):
    with open(path) as f:
        booster = json.load(f)["learner"]["gradient_booster"]
    return booster.get("gbtree", booster)["model"]["trees"]


logistic = {"objective": "binary:logistic", "tree_method": "hist"}
make("numeric", logistic, seed=1, named=True)
make("exact", {**logistic, "tree_method": "exact", "base_score": 0.3}, seed=2)
make("no-missing", logistic, seed=3, missing=False)
make("pruned", {**logistic, "tree_method": "exact", "max_depth": 4, "gamma": 4}, rounds=5, seed=4)
make("lossguide", {**logistic, "grow_policy": "lossguide", "max_depth": 0, "max_leaves": 9}, seed=5)
make("reg-logistic", {"objective": "reg:logistic", "tree_method": "approx", "base_score": 0.7}, seed=6)
make("logitraw", {"objective": "binary:logitraw", "tree_method": "hist", "base_score": 0.2}, seed=7)
make("dart", {**logistic, "booster": "dart", "rate_drop": 0.4, "one_drop": 1}, seed=8)
make("forest", {**logistic, "num_parallel_tree": 3, "subsample": 0.6, "colsample_bynode": 0.7}, rounds=3, seed=9)
make("onehot", {**logistic, "max_cat_to_onehot": 100}, seed=10, categories=6, named=True)
make("partition", {**logistic, "max_cat_to_onehot": 1, "max_depth": 4}, seed=11, categories=40)
make("partition-no-missing", {**logistic, "max_cat_to_onehot": 1}, seed=12, categories=40, missing=False)
make("stumps", {**logistic, "max_depth": 1, "gamma": 3}, rounds=30, seed=13)
# Kinds that are refused: only the models, as small as they come.
for name, params in {
    "refused-gblinear": {"booster": "gblinear", "objective": "binary:logistic"},
    "refused-multiclass": {"objective": "multi:softprob", "num_class": 2, "tree_method": "hist"},
    "refused-regression": {"objective": "reg:squarederror", "tree_method": "hist"},
    "refused-hinge": {"objective": "binary:hinge", "tree_method": "hist"},
}.items():
    x, y, _ = data(14)
    xgb.train({"max_depth": 1, "nthread": 1, **params}, xgb.DMatrix(np.nan_to_num(x), label=y), 1).save_model(
        os.path.join(HERE, name + ".json"))
