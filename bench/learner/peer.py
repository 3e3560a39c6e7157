"""One task for one peer, in a process of its own: python3 peer.py '{"task": ...}' prints one line of JSON.

The request and the result are those of protocol.go. Imports and the reading of data are outside of what is timed; what the
learner does with the data, its binning among it, is inside. Needs Debian's python3-sklearn, python3-xgboost, python3-pandas.
"""
import json
import resource
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")

SCALED = ["tenure", "MonthlyCharges", "TotalCharges"]
FLAGS = {"gender": "Male", "SeniorCitizen": "1", "Partner": "Yes", "Dependents": "Yes", "PhoneService": "Yes", "PaperlessBilling": "Yes"}
LEVELS = ["MultipleLines", "InternetService", "OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV",
          "StreamingMovies", "Contract", "PaymentMethod"]
ADDONS = ["OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies"]


def status(field):
    """Kilobytes of a field of /proc/self/status, in bytes; 0 where there is no such file."""
    try:
        with open("/proc/self/status") as lines:
            for line in lines:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def forget_peak():
    """Sets the peak of the resident memory to its present value."""
    try:
        with open("/proc/self/clear_refs", "w") as out:
            out.write("5")
    except OSError:
        pass


def timed(result, repeat, job):
    """Runs job repeat times; the last value is returned, times and memory go to the result."""
    result["seconds"], result["cpu_seconds"] = [], []
    value = None
    forget_peak()
    result["before_bytes"] = status("VmRSS")
    for _ in range(repeat):
        value = None
        wall, cpu = time.perf_counter(), time.process_time()
        value = job()
        result["seconds"].append(time.perf_counter() - wall)
        result["cpu_seconds"].append(time.process_time() - cpu)
    result["peak_bytes"] = status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return value


def load(prefix, dtype=np.float32):
    return np.load(prefix + ".x.npy").astype(dtype, copy=False), np.load(prefix + ".y.npy")


def log_loss(p, y):
    p = np.clip(p.astype(np.float64), 1e-15, 1 - 1e-15)
    return float(-np.mean(np.where(y > 0.5, np.log(p), np.log1p(-p))))


def xgboost_parameters(q, y):
    """XGBoost's names for the request's parameters. It bounds a leaf by the sum of second derivatives, not by rows: rows_in_leaf rows
    of the data's own share of positives have the sum asked for here, at the first tree; later trees may have smaller leaves."""
    share = float(y.mean())
    p = dict(objective="binary:logistic", tree_method="hist", eta=q["rate"], max_bin=q["bins"], nthread=q["threads"], base_score=share,
             reg_lambda=q["l2"], subsample=q.get("subsample", 1.0), colsample_bytree=q.get("column_sample", 1.0), seed=42,
             min_child_weight=q.get("weight_in_leaf") or q["rows_in_leaf"] * share * (1 - share))
    if q.get("leaves"):
        p.update(grow_policy="lossguide", max_leaves=q["leaves"], max_depth=0)
    else:
        p.update(max_depth=q["depth"])
    return p


def fitter(q, x, y):
    """A function that fits, and one that gives the probabilities of rows."""
    if q["learner"] == "xgboost":
        import xgboost
        parameters = xgboost_parameters(q, y)

        def fit():
            data = xgboost.QuantileDMatrix(x, y, max_bin=q["bins"], nthread=q["threads"])
            return xgboost.train(parameters, data, q["trees"])
        return fit, lambda model, rows: model.inplace_predict(rows)
    if q["learner"] == "sklearn":
        from sklearn.ensemble import GradientBoostingClassifier as Learner
        new = lambda: Learner(n_estimators=q["trees"], max_depth=q.get("depth") or None, max_leaf_nodes=q.get("leaves") or None,
                              learning_rate=q["rate"], min_samples_leaf=q["rows_in_leaf"], random_state=42)
    elif q["learner"] == "histgb":
        from sklearn.ensemble import HistGradientBoostingClassifier as Learner
        new = lambda: Learner(max_iter=q["trees"], max_leaf_nodes=q.get("leaves") or None, max_depth=q.get("depth") or None,
                              learning_rate=q["rate"], min_samples_leaf=q["rows_in_leaf"], l2_regularization=q["l2"], max_bins=q["bins"],
                              early_stopping=False, random_state=42)
    else:
        raise ValueError("unknown learner " + q["learner"])
    return (lambda: new().fit(x, y)), (lambda model, rows: model.predict_proba(rows)[:, 1])


def fit(q, result):
    x, y = load(q["train"], np.float32 if q["learner"] == "xgboost" else np.float64)
    job, probabilities = fitter(q, x, y)
    model = timed(result, q["repeat"], job)
    if not q.get("losses"):
        return
    result["train_loss"] = log_loss(probabilities(model, x), y)
    if q.get("holdout"):
        held, label = load(q["holdout"], x.dtype)
        result["holdout_loss"] = log_loss(probabilities(model, held), label)


def read_telco(path):
    import pandas
    frame = pandas.read_csv(path, dtype={"SeniorCitizen": str})
    frame["TotalCharges"] = pandas.to_numeric(frame["TotalCharges"], errors="coerce").fillna(0.0)
    return frame, (frame["Churn"] == "Yes").to_numpy().astype(np.float64)


class Features:
    """What a Python pipeline makes of the file: standardised numbers, a flag for a bill above the median one, two-valued columns as 0
    and 1, the others one-hot. Fitted on the rows it is given, as ours is."""

    def fit(self, frame):
        numbers = frame[SCALED].to_numpy(np.float64)
        self.mean, self.scale = numbers.mean(0), numbers.std(0)
        self.median = np.median(numbers[:, 1])
        self.levels = {c: sorted(frame[c].unique()) for c in LEVELS}
        return self

    def transform(self, frame):
        numbers = frame[SCALED].to_numpy(np.float64)
        parts = [(numbers - self.mean) / self.scale, (numbers[:, 1:2] > self.median).astype(np.float64)]
        parts += [(frame[c].to_numpy(object) == v).astype(np.float64)[:, None] for c, v in FLAGS.items()]
        for c, levels in self.levels.items():
            words = frame[c].to_numpy(object)
            parts += [(words == v).astype(np.float64)[:, None] for v in levels]
        return np.hstack(parts)


def telco(q, result):
    frame, y = read_telco(q["file"])

    def job():
        x = Features().fit(frame).transform(frame)
        return fitter(q, x, y)[0]()
    job()
    timed(result, q["repeat"], job)


def batch(q, result):
    """Scores rows one batch after another with a model that was fitted here and saved where the request says."""
    import xgboost
    x, y = load(q["train"])
    model = xgboost.train(xgboost_parameters(q, y), xgboost.QuantileDMatrix(x, y, max_bin=q["bins"], nthread=q["threads"]), q["trees"])
    model.save_model(q["model"])
    model.set_param({"nthread": q["threads"]})
    size = q["batch"]
    rows = np.ascontiguousarray(x[:size])
    np.save(q["model"] + ".scores.npy", model.inplace_predict(rows, predict_type="margin").astype(np.float32))

    def job():
        for _ in range(q["rounds"]):
            model.inplace_predict(rows, predict_type="margin")
    job()
    timed(result, q["repeat"], job)


def csv(q, result):
    import pandas
    timed(result, q["repeat"], lambda: pandas.read_csv(q["file"]))


def ingest(q, result):
    """From a file to quantized rows, categories as ordinal codes, with the same three derived features as ours."""
    import pandas
    import xgboost

    def job():
        frame, y = read_telco(q["file"])
        words = [c for c in frame.columns if frame[c].dtype == object and c not in ("customerID", "Churn")]
        parts = [frame[SCALED].to_numpy(np.float32)]
        parts += [pandas.factorize(frame[c], sort=True)[0].astype(np.float32)[:, None] for c in words]
        tenure = np.where(parts[0][:, :1] == 0, np.nan, parts[0][:, :1])
        parts += [(parts[0][:, 1:2] > np.median(parts[0][:, 1])).astype(np.float32), parts[0][:, 2:3] / tenure]
        parts.append((frame[ADDONS].to_numpy(object) == "Yes").sum(1).astype(np.float32)[:, None])
        xgboost.QuantileDMatrix(np.hstack(parts), y, max_bin=q["bins"], nthread=q["threads"])
    timed(result, q["repeat"], job)


def folds(q, result):
    """Scores of the rows of each fold by models that never saw them, and scikit-learn's figures of these and of the given ones."""
    import pandas
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
    import xgboost
    frame, y = read_telco(q["file"])
    fold = pandas.read_csv(q["folds"]).drop(columns="row").to_numpy()[:, :q.get("seeds") or None]
    learners = {
        "xgboost": lambda: xgboost.XGBClassifier(n_estimators=300, max_depth=3, learning_rate=0.03, subsample=0.7, colsample_bytree=0.5,
                                                 min_child_weight=5, reg_lambda=5, tree_method="hist", n_jobs=1, random_state=42),
        "sklearn": lambda: GradientBoostingClassifier(random_state=42),
    }
    scores = {"ours": np.load(q["scores"])}
    scores.update({name: np.zeros(fold.shape[::-1]) for name in learners})
    for seed in range(fold.shape[1]):
        for k in range(fold[:, seed].max() + 1):
            test = fold[:, seed] == k
            features = Features().fit(frame[~test])
            x, held = features.transform(frame[~test]), features.transform(frame[test])
            for name, new in learners.items():
                scores[name][seed, test] = new().fit(x, y[~test]).predict_proba(held)[:, 1]
    figures = {"roc_auc": roc_auc_score, "pr_auc": average_precision_score, "log_loss": lambda t, p: log_loss(t, p)}
    result["folds"] = {
        name: {figure: [float(f(y[fold[:, s] == k], p[s, fold[:, s] == k])) for s in range(fold.shape[1]) for k in range(fold[:, s].max() + 1)]
               for figure, f in figures.items()}
        for name, p in scores.items()}


def versions(q, result):
    """What is installed; a package that is not is left out."""
    found = {"python": sys.version.split()[0]}
    for name in ("numpy", "pandas", "sklearn", "xgboost"):
        try:
            found[name] = __import__(name).__version__
        except ImportError:
            pass
    if "xgboost" in found:
        import xgboost
        if xgboost.build_info().get("DEBUG"):
            found["xgboost"] += " (its build says DEBUG)"
    result["versions"] = found


if __name__ == "__main__":
    request, answer = json.loads(sys.argv[1]), {}
    {"fit": fit, "telco": telco, "batch": batch, "csv": csv, "ingest": ingest, "folds": folds, "versions": versions}[request["task"]](request, answer)
    print(json.dumps(answer))
