"""Writes cases.json: scores with labels, and what scikit-learn and scipy fit to them. Run: python3 generate.py > cases.json"""
import json
import sys

import numpy as np
import scipy
import sklearn
from scipy.optimize import minimize
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression


def log_odds(s):
    s = np.clip(s, 2.0**-52, 1 - 2.0**-52)
    return np.log(s / (1 - s))


def platt(s, y, w):
    """The same likelihood by a general minimiser run to the end, for scikit-learn stops its own early."""
    z, w = log_odds(s), np.ones(len(y)) if w is None else w
    pos, neg = w[y == 1].sum(), w[y == 0].sum()
    t = np.where(y == 1, (pos + 1) / (pos + 2), 1 / (neg + 2))

    def loss(p):
        m = p[0] * z + p[1]
        g = w * (scipy.special.expit(m) - t)
        return (w * (np.logaddexp(0, m) - t * m)).sum() / w.sum(), np.array([(g * z).sum(), g.sum()]) / w.sum()

    def hessian(p):
        q = scipy.special.expit(p[0] * z + p[1])
        h = w * q * (1 - q) / w.sum()
        return np.array([[(h * z * z).sum(), (h * z).sum()], [(h * z).sum(), h.sum()]])

    r = minimize(loss, [1.0, 0.0], jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-12})
    return r.x.tolist()


def case(name, s, y, w):
    s, y = np.asarray(s, float), np.asarray(y, int)
    probe = np.unique(np.concatenate([np.linspace(0, 1, 41), s[:20]]))
    sk = _SigmoidCalibration().fit(log_odds(s), y, w)
    iso = IsotonicRegression(out_of_bounds="clip").fit(s, y, w)
    return {
        "name": name, "score": s.tolist(), "label": y.tolist(), "weight": None if w is None else w.tolist(),
        "platt": platt(s, y, w), "scikit_learn_platt": [-float(sk.a_), -float(sk.b_)], "probe": probe.tolist(),
        "sigmoid": sk.predict(log_odds(probe)).tolist(), "isotonic": iso.predict(probe).tolist(),
        "isotonic_x": iso.X_thresholds_.tolist(), "isotonic_y": iso.y_thresholds_.tolist(),
    }


def main():
    r = np.random.RandomState(11)
    cases = []
    for n, digits, slope, shift in ((60, 2, 0.6, -0.5), (200, 3, 1.7, 0.4), (400, 2, 1.0, 0.0), (300, 1, 0.4, 1.0)):
        s = np.round(r.beta(1.2, 2.5, n), digits)
        y = (r.rand(n) < 1 / (1 + np.exp(-(slope * log_odds(np.clip(s, 0.01, 0.99)) + shift)))).astype(int)
        y[:2] = [0, 1]
        cases.append(case(f"{n} rows, {digits} digits", s, y, None))
        w = np.round(r.gamma(2.0, 0.5, n), 2) + 0.01
        cases.append(case(f"{n} rows, {digits} digits, weighted", s, y, w))
    s = np.round(r.rand(80), 6)
    cases.append(case("separated", s, (s > 0.4).astype(int), None))
    json.dump({"scikit_learn": sklearn.__version__, "scipy": scipy.__version__, "cases": cases}, sys.stdout, separators=(",", ":"))
    print()


main()
