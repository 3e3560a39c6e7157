"""Writes cases.json: small inputs and the metrics scikit-learn gives for them. Run: python3 generate.py > cases.json"""
import json
import sys

import numpy as np
import sklearn
from sklearn import metrics as m


def case(name, score, label, weight, threshold):
    w = None if weight is None else np.asarray(weight, float)
    s, y = np.asarray(score, float), np.asarray(label, int)
    hat = (s >= threshold).astype(int)
    tn, fp, fn, tp = (int(v) for v in m.confusion_matrix(y, hat, labels=[0, 1]).ravel())
    # the best threshold by trying every distinct score, highest first, keeping the first of equals
    best_score, best_f1 = None, -1.0
    for t in np.unique(s)[::-1]:
        f = m.f1_score(y, (s >= t).astype(int), sample_weight=w, zero_division=0)
        if f > best_f1 + 1e-13:
            best_score, best_f1 = float(t), float(f)
    return {
        "name": name, "score": s.tolist(), "label": y.tolist(), "weight": None if w is None else w.tolist(),
        "threshold": threshold,
        "roc_auc": m.roc_auc_score(y, s, sample_weight=w),
        "pr_auc": m.average_precision_score(y, s, sample_weight=w),
        "f1_churn": m.f1_score(y, hat, sample_weight=w, zero_division=0),
        "f1_at_half": m.f1_score(y, (s >= 0.5).astype(int), sample_weight=w, zero_division=0),
        "precision": m.precision_score(y, hat, sample_weight=w, zero_division=0),
        "recall": m.recall_score(y, hat, sample_weight=w, zero_division=0),
        "accuracy": m.accuracy_score(y, hat, sample_weight=w),
        "log_loss": m.log_loss(y, s, sample_weight=w, labels=[0, 1]),
        "brier": m.brier_score_loss(y, s, sample_weight=w),
        "tp": tp, "fp": fp, "tn": tn, "fn": fn,
        "best_f1": best_f1, "best_f1_lowest_positive": best_score,
    }


def main():
    r = np.random.RandomState(7)
    cases = [
        case("two rows", [0.9, 0.1], [1, 0], None, 0.5),
        case("all wrong and certain", [0.0, 1.0, 0.0], [1, 0, 1], None, 0.5),
        case("all scores equal", [0.3] * 7, [1, 0, 0, 1, 0, 0, 0], None, 0.3),
        case("nothing predicted positive", [0.1, 0.2, 0.3, 0.2], [0, 1, 1, 0], None, 0.9),
        case("threshold equals a score", [0.2, 0.5, 0.5, 0.7], [0, 1, 0, 1], None, 0.5),
    ]
    for n, digits, rate in ((40, 1, 0.5), (120, 2, 0.27), (150, 6, 0.05)):
        s = np.round(r.beta(2, 3, n), digits)
        y = (r.rand(n) < np.clip(s * rate / 0.4, 0, 1)).astype(int)
        y[:2] = [0, 1]
        cases.append(case(f"{n} rows, {digits} digits", s, y, None, 0.4))
        w = np.round(r.gamma(1.0, 1.0, n), 2) + 0.01
        cases.append(case(f"{n} rows, {digits} digits, weighted", s, y, w, 0.4))
        w[r.rand(n) < 0.3] = 0
        cases.append(case(f"{n} rows, {digits} digits, some weights 0", s, y, w, 0.4))
    json.dump({"scikit_learn": sklearn.__version__, "numpy": np.__version__, "cases": cases}, sys.stdout, indent=None, separators=(",", ":"))
    print()


main()
