"""Writes golden.json: quantile edges, PSI and chi-squared quantiles by NumPy, SciPy and scikit-learn.
Run: python3 generate.py Telco-Customer-Churn.csv > golden.json"""
import csv
import json
import sys

import numpy as np
import scipy
import scipy.stats
import sklearn
from sklearn.model_selection import train_test_split

FLOOR = 1e-4


def shares(x, edges, right):
    """right: bins (a, b], else [a, b); the outer bins are open."""
    n = np.bincount(np.digitize(x, edges, right=right), minlength=len(edges) + 1)
    return np.clip(n / len(x), FLOOR, None)


def psi(ref, cur, edges, right):
    p, q = shares(ref, edges, right), shares(cur, edges, right)
    return float(np.sum((p - q) * np.log(p / q)))


def edges_of(ref, bins, right=True):
    q = np.unique(np.quantile(ref, np.arange(1, bins) / bins))
    return q[q < ref.max()] if right else q[q > ref.min()]


def synthetic():
    r = np.random.RandomState(11)
    out = []
    for name, ref, cur, bins in (
        ("normal", r.normal(size=101), r.normal(0.4, 1.2, 60), 10),
        ("lognormal", r.lognormal(3, 1, 250), r.lognormal(3.2, 1, 80), 7),
        ("tied", r.poisson(1.5, 90).astype(float), r.poisson(2.5, 50).astype(float), 10),
        ("mostly one value", np.where(r.rand(80) < 0.85, 0.0, r.rand(80)), np.where(r.rand(40) < 0.5, 0.0, r.rand(40)), 10),
        ("two values", np.repeat([0.0, 1.0], [84, 16]), np.repeat([0.0, 1.0], [30, 30]), 10),
        ("fewer values than bins", np.array([3.0, 1.0, 2.0]), np.array([1.5, 2.0, 9.0, -4.0]), 10),
    ):
        e = edges_of(ref, bins)
        out.append({"name": name, "reference": ref.tolist(), "current": cur.tolist(), "bins": bins, "edges": e.tolist(),
                    "psi": psi(ref, cur, e, True)})
    return out


def telco(path):
    rows = list(csv.DictReader(open(path)))
    y = [r["Churn"] for r in rows]
    train, test = train_test_split(np.arange(len(rows)), test_size=0.2, stratify=y, random_state=42)
    out = []
    for column, shifts in (
        ("MonthlyCharges", [("none", lambda v: v), ("x1.05", lambda v: v * 1.05), ("x1.1", lambda v: v * 1.1), ("x1.3", lambda v: v * 1.3)]),
        ("tenure", [("none", lambda v: v), ("-12", lambda v: np.maximum(v - 12, 0))]),
        ("TotalCharges", [("none", lambda v: v)]),
    ):
        v = np.array([float(r[column].strip() or 0) for r in rows])
        for name, shift in shifts:
            out.append({"column": column, "shift": name,
                        "psi": psi(v[train], shift(v[test]), edges_of(v[train], 10), True),
                        "psi_left_closed": psi(v[train], shift(v[test]), edges_of(v[train], 10, False), False)})
    return {"test_rows": sorted(int(i) for i in test), "psi": out}


def main():
    chi2 = [{"p": p, "df": df, "quantile": float(scipy.stats.chi2.ppf(p, df))} for p in (0.5, 0.95, 0.999, 0.99999) for df in (1, 2, 9, 19, 60)]
    json.dump({"numpy": np.__version__, "scipy": scipy.__version__, "scikit_learn": sklearn.__version__,
               "synthetic": synthetic(), "chi2": chi2, "telco": telco(sys.argv[1])}, sys.stdout, separators=(",", ":"))
    print()


main()
