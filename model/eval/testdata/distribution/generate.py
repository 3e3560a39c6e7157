"""Writes cases.json: scipy's distribution functions. Run: python3 generate.py > cases.json"""
import json
import sys

import scipy
from scipy import special, stats



def student_quantile(p, df):
    """scipy's is off by up to 2e-9; one Newton step on its tail repairs that."""
    t = stats.t.isf(p, df)
    return float(t + (stats.t.sf(t, df) - p) / stats.t.pdf(t, df))


betas = [(0.5, 0.5), (6, 14), (7, 14), (1, 1), (0.3, 8), (40, 3), (500, 900), (12, 0.5)]
out = {
    "scipy": scipy.__version__,
    "beta": [[x, a, b, float(special.betainc(a, b, x))] for a, b in betas for x in (1e-6, 0.01, 0.1, 0.3, 0.35, 0.5, 0.9, 0.999)],
    "student": [[t, df, float(stats.t.sf(t, df))] for df in (1, 2, 4, 9, 24, 49, 500) for t in (-3.0, -0.4, 0.0, 0.1, 1.0, 2.5, 8.0, 40.0)],
    "student_quantile": [[p, df, student_quantile(p, df)] for df in (1, 2, 4, 9, 24, 49, 500) for p in (0.45, 0.1, 0.025, 0.005, 1e-6)],
    "normal_quantile": [[p, float(stats.norm.isf(p))] for p in (0.9, 0.5, 0.1, 0.025, 0.005, 1e-9)],
    "chi_square": [[x, df, float(stats.chi2.sf(x, df))] for df in (1, 2, 8, 10, 30, 200) for x in (0.0, 0.01, 1.0, 7.5, 15.0, 60.0, 220.0)],
}
json.dump(out, sys.stdout, separators=(",", ":"))
print()
