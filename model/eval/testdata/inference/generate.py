"""Writes cases.json: two models' scores of the same rows, with what pROC (R) and a definition written out in numpy say of their areas, and folds'
figures with scipy's t distribution. Run: python3 generate.py > cases.json"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import scipy
from scipy import stats

R = """
suppressMessages(library(pROC))
d <- read.csv(commandArgs(TRUE)[1])
a <- roc(d$label, d$a, levels=c(0,1), direction="<", quiet=TRUE)
b <- roc(d$label, d$b, levels=c(0,1), direction="<", quiet=TRUE)
t <- roc.test(a, b, method="delong", paired=TRUE)
ci <- ci.auc(a, method="delong")
options(digits=17)
cat(auc(a), auc(b), var(a, method="delong"), var(b, method="delong"), cov(a, b, method="delong"), t$statistic, t$p.value, ci[1], ci[3], as.character(packageVersion("pROC")))
"""


def proc(a, b, y):
    with tempfile.TemporaryDirectory() as folder:
        script, data = os.path.join(folder, "t.R"), os.path.join(folder, "t.csv")
        open(script, "w").write(R)
        with open(data, "w") as f:
            f.write("a,b,label\n" + "".join(f"{float(p)!r},{float(q)!r},{v}\n" for p, q, v in zip(a, b, y)))
        out = subprocess.run(["Rscript", script, data], check=True, capture_output=True, text=True).stdout.split()
    names = ["auc_a", "auc_b", "var_a", "var_b", "cov", "z", "p", "wald_low", "wald_high"]
    return {**dict(zip(names, map(float, out))), "proc": out[-1]}


def shares(s, y, w):
    pos, neg = s[y == 1], s[y == 0]
    kernel = (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])
    wp, wn = w[y == 1] / w[y == 1].sum(), w[y == 0] / w[y == 0].sum()
    return kernel @ wn, kernel.T @ wp, wp, wn


def weighted(a, b, y, w):
    """The weighted estimator by its definition over all pairs."""
    keep = w > 0
    a, b, y, w = a[keep], b[keep], y[keep], w[keep]
    pa, na, wp, wn = shares(a, y, w)
    pb, nb, _, _ = shares(b, y, w)
    auc_a, auc_b = float(wp @ pa), float(wp @ pb)

    def cov(p, q, auc_p, auc_q, weight):
        e = 1 / (weight**2).sum()
        return float((weight**2 * (p - auc_p) * (q - auc_q)).sum() * e / (e - 1))

    va = cov(pa, pa, auc_a, auc_a, wp) + cov(na, na, auc_a, auc_a, wn)
    vb = cov(pb, pb, auc_b, auc_b, wp) + cov(nb, nb, auc_b, auc_b, wn)
    c = cov(pa, pb, auc_a, auc_b, wp) + cov(na, nb, auc_a, auc_b, wn)
    z = (auc_a - auc_b) / np.sqrt(va + vb - 2 * c)
    lo, hi = (np.log(auc_a / (1 - auc_a)) + s * stats.norm.ppf(0.975) * np.sqrt(va) / (auc_a * (1 - auc_a)) for s in (-1, 1))
    return {"auc_a": auc_a, "auc_b": auc_b, "var_a": va, "var_b": vb, "cov": c, "z": float(z), "p": float(2 * stats.norm.sf(abs(z))),
            "logit_low": float(1 / (1 + np.exp(-lo))), "logit_high": float(1 / (1 + np.exp(-hi)))}


def folds(r, k, repeats, effect):
    hard = r.normal(0, 0.01, k * repeats)
    a, b = 0.85 + hard + r.normal(effect, 0.002, k * repeats), 0.85 + hard + r.normal(0, 0.002, k * repeats)
    d = a - b
    j = len(d)
    se = np.sqrt((1 / j + 1 / (k - 1)) * d.var(ddof=1))
    t = d.mean() / se
    half = stats.t.ppf(0.975, j - 1) * se
    return {"k": k, "a": a.tolist(), "b": b.tolist(), "mean": d.mean(), "sd": d.std(ddof=1), "se": se, "t": t,
            "p": 2 * stats.t.sf(abs(t), j - 1), "low": d.mean() - half, "high": d.mean() + half}


def main():
    r = np.random.RandomState(3)
    cases = []
    for n, digits, rate in ((40, 6, 0.5), (60, 1, 0.4), (150, 2, 0.2), (300, 5, 0.27)):
        y = (r.rand(n) < rate).astype(int)
        x = r.normal(0, 1, n) + y
        a, b = np.round(x + r.normal(0, 0.7, n), digits), np.round(x + r.normal(0, 1.0, n), digits)
        w = np.round(r.gamma(1.5, 1.0, n), 2)
        w[r.rand(n) < 0.1] = 0
        cases.append({"name": f"{n} rows, {digits} digits", "a": a.tolist(), "b": b.tolist(), "label": y.tolist(), "weight": w.tolist(),
                      "plain": {**weighted(a, b, y, np.ones(n)), **proc(a, b, y)}, "weighted": weighted(a, b, y, w)})
    json.dump({"scipy": scipy.__version__, "cases": cases, "folds": [folds(r, 5, 5, 0.001), folds(r, 10, 1, 0), folds(r, 2, 5, -0.002)]},
              sys.stdout, separators=(",", ":"))
    print()


main()
