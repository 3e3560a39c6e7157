"""Writes cases.json: reliability tables, ROC and precision-recall curves, gains and KS by scikit-learn, scipy and numpy. Run: python3 generate.py > cases.json"""
import json
import sys

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn import metrics as m
from sklearn.calibration import calibration_curve


def table(s, y, w, bin_of):
    out = []
    for b in np.unique(bin_of):
        k = bin_of == b
        share = w[k].sum() / w.sum()
        out.append([float(s[k].min()), float(s[k].max()), int(k.sum()), float(share),
                    float(np.average(s[k], weights=w[k])), float(np.average(y[k], weights=w[k]))])
    gaps = np.array([abs(b[5] - b[4]) for b in out])
    return {"bins": out, "ece": float((gaps * [b[3] for b in out]).sum()), "mce": float(gaps.max())}


def gains(s, y, w, n):
    """The gain curve through every distinct score, read off at n equal shares."""
    x, g = [0.0], [0.0]
    for t in np.unique(s)[::-1]:
        x.append(w[s >= t].sum() / w.sum())
        g.append(w[(s >= t) & (y == 1)].sum() / w[y == 1].sum())
    return np.interp(np.arange(1, n + 1) / n, x, g).tolist()


def case(name, s, y, w):
    s, y = np.asarray(s, float), np.asarray(y, int)
    one = np.ones(len(s)) if w is None else w
    keep = one > 0
    s1, y1, w1 = s[keep], y[keep], one[keep]
    width = np.searchsorted(np.linspace(0, 1, 11)[1:-1], s1)
    levels, inverse = np.unique(s1, return_inverse=True)
    own = np.bincount(inverse, w1)
    middle = (own.cumsum() - own / 2) / w1.sum()
    count = np.minimum((5 * middle).astype(int), 4)[inverse]
    fpr, tpr, at = m.roc_curve(y, s, sample_weight=w)
    precision, recall, thresholds = m.precision_recall_curve(y, s, sample_weight=w)
    out = {
        "name": name, "score": s.tolist(), "label": y.tolist(), "weight": None if w is None else w.tolist(),
        "width": table(s1, y1, w1, width), "count": table(s1, y1, w1, count),
        "fpr": fpr.tolist(), "tpr": tpr.tolist(), "roc_thresholds": at[1:].tolist(),
        "precision": precision[:-1].tolist(), "recall": recall[:-1].tolist(), "pr_thresholds": thresholds.tolist(),
        "gains": gains(s1, y1, w1, 10),
    }
    if w is None:
        observed, mean = calibration_curve(y, s, n_bins=10, strategy="uniform")
        assert np.allclose(observed, [b[5] for b in out["width"]["bins"]]) and np.allclose(mean, [b[4] for b in out["width"]["bins"]])
        out["ks"] = float(stats.ks_2samp(s[y == 1], s[y == 0]).statistic)
        out["wilson"] = []
        for b, of in zip(out["count"]["bins"], np.unique(count)):
            ci = stats.binomtest(int(y1[count == of].sum()), b[2]).proportion_ci(method="wilson")
            out["wilson"].append([ci.low, ci.high])
        h = sum(b[2] * (b[5] - b[4]) ** 2 / (b[4] * (1 - b[4])) for b in out["count"]["bins"])
        out["hosmer_lemeshow"] = [h, len(out["count"]["bins"]), float(stats.chi2.sf(h, len(out["count"]["bins"])))]
    return out


def main():
    r = np.random.RandomState(13)
    cases = []
    for n, digits, rate in ((50, 1, 0.4), (160, 2, 0.25), (120, 6, 0.5)):
        s = np.round(r.beta(1.5, 2.5, n), digits)
        y = (r.rand(n) < np.clip(s * rate / 0.4, 0.02, 0.98)).astype(int)
        w = np.round(r.gamma(1.5, 1.0, n), 2) + 0.01
        w[r.rand(n) < 0.1] = 0
        cases.append(case(f"{n} rows, {digits} digits", s, y, None))
        cases.append(case(f"{n} rows, {digits} digits, weighted", s, y, w))
    json.dump({"scikit_learn": sklearn.__version__, "scipy": scipy.__version__, "cases": cases}, sys.stdout, separators=(",", ":"))
    print()


main()
