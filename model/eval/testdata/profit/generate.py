"""Writes cases.json: campaigns' profits, by trying every threshold at each gamma and integrating over gamma numerically; and the cheapest threshold of
cost matrices. Run: python3 generate.py > cases.json"""
import json
import sys

import numpy as np
import scipy
from scipy import integrate, stats


def points(s, y, w):
    """Shares of true and false positives for nobody, then for every distinct score, highest first."""
    out, total = [(0.0, 0.0)], w.sum()
    for t in np.unique(s[w > 0])[::-1]:
        hit = s >= t
        out.append((float(w[hit & (y == 1)].sum() / total), float(w[hit & (y == 0)].sum() / total)))
    return np.array(out)


def emp(p, lifetime, incentive, contact, alpha, beta):
    def profits(g):
        return (g * (lifetime - incentive) - contact) * p[:, 0] - (incentive + contact) * p[:, 1]

    density = stats.beta(alpha, beta).pdf
    # every gamma where two thresholds are equally good is a possible kink
    kinks = set()
    for i in range(len(p)):
        d = p - p[i]
        ok = d[:, 0] > 0
        kinks.update(((incentive + contact) * d[ok, 1] / d[ok, 0] + contact) / (lifetime - incentive))
    edges = [0.0] + sorted(k for k in kinks if 0 < k < 1) + [1.0]
    # only those where the best threshold really changes, by looking at both sides
    cuts = [0.0]
    for lo, mid, hi in zip(edges, edges[1:], edges[2:]):
        if profits((lo + mid) / 2).argmax() != profits((mid + hi) / 2).argmax():
            cuts.append(mid)
    cuts.append(1.0)
    value = share = 0.0
    for lo, hi in zip(cuts, cuts[1:]):
        k = profits((lo + hi) / 2).argmax()
        value += integrate.quad(lambda g: profits(g)[k] * density(g), lo, hi, epsabs=1e-14, epsrel=1e-13)[0]
        share += p[k].sum() * integrate.quad(density, lo, hi, epsabs=1e-14, epsrel=1e-13)[0]
    return value, share


def first(values):
    """The first of the greatest, of those that are equal but for rounding."""
    return int((values >= values.max() - 1e-12).argmax())


def case(name, s, y, w, campaign, gamma, cost):
    weight = np.ones(len(s)) if w is None else w
    p = points(s, y, weight)
    value, share = emp(p, *campaign)
    lifetime, incentive, contact = campaign[:3]
    fixed = (gamma * (lifetime - incentive) - contact) * p[:, 0] - (incentive + contact) * p[:, 1]
    pos = weight[y == 1].sum() / weight.sum()
    tp, fp, tn, fn = cost
    costs = tp * p[:, 0] + fp * p[:, 1] + tn * (1 - pos - p[:, 1]) + fn * (pos - p[:, 0])
    return {"name": name, "score": s.tolist(), "label": y.tolist(), "weight": None if w is None else w.tolist(),
            "campaign": dict(zip(("lifetime", "incentive", "contact", "alpha", "beta"), campaign)), "gamma": gamma,
            "emp": value, "emp_share": share, "profit": float(fixed.max()), "profit_share": float(p[first(fixed)].sum()),
            "cost_matrix": dict(zip(("tp", "fp", "tn", "fn"), cost)), "cost": float(costs.min()), "cost_share": float(p[first(-costs)].sum())}


def main():
    r = np.random.RandomState(5)
    cases = []
    default, other = (200, 10, 1, 6, 14), (60, 20, 2, 2.5, 1.5)
    for n, digits, rate in ((30, 2, 0.4), (120, 1, 0.3), (200, 4, 0.1)):
        y = (r.rand(n) < rate).astype(int)
        y[:2] = [0, 1]
        s = np.round(np.clip(r.beta(2, 4, n) + 0.2 * y, 0, 1), digits)
        w = np.round(r.gamma(1.0, 1.0, n), 2)
        cases.append(case(f"{n} rows, default", s, y, None, default, 0.3, (0, 1, 0, 5)))
        cases.append(case(f"{n} rows, other", s, y, None, other, 0.6, (-2, 1.5, 0.25, 1)))
        cases.append(case(f"{n} rows, weighted", s, y, w, default, 0.15, (1, 2, 0, 3)))
    cases.append(case("nothing pays", s, y, None, (12, 10, 9, 1, 30), 0.1, (0.9, 50, 0, 1)))
    json.dump({"scipy": scipy.__version__, "cases": cases}, sys.stdout, separators=(",", ":"))
    print()


main()
