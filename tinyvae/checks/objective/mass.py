"""The total mass of p(x|z) over all x: summed over corners where x takes two values, integrated where x is real.

12 pixels, or 2 real columns, are taken together; more of them one by one, once log p(x|z) proves a sum over columns. A
Gaussian of any covariance is recognised by its values at a few points.
"""
import itertools
from typing import NamedTuple

import numpy as np

from .case import TOL, near
from .integrals import LOG_2PI, log_integral

MANY = 40                                # real columns: more are not looked at in pairs, nor integrated one by one


class Mass(NamedTuple):
    """log of the sum or integral of exp f over all x, and what was found on the way; log is nan: unknown."""
    log: float
    how: str                             # it was found, or why not
    bar: float = np.nan
    top: float = np.nan                  # of a Gaussian: the largest f,
    log_det: float = np.nan              # and the log det of its covariance


def log_mass(f, x, values, scale, rng):
    """log Σ or ∫ exp f over all x, from the row x (D,) on: a Mass.        f: (n, D) → (n,)

    values : the two values that entries of x take; None: real x, whose spread is about `scale`
    """
    D = len(x)
    gaussian = None if values else _gaussian(f, x, scale, rng)
    if gaussian or not values and D > MANY:
        return gaussian or Mass(np.nan, f"log_prob is not quadratic in the {D} columns of x: try it with fewer")
    base, blocks = f(x[None])[0], list(np.arange(D)[:, None])

    def gain(block):
        def along(points):
            moved = np.tile(x, (len(points), 1))
            moved[:, block] = points
            return np.nan_to_num(f(moved) - base, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        return along

    elsewhere = rng.choice(values, (8, D)) if values else x + scale * rng.standard_normal((8, D))
    whole, parts = gain(np.arange(D))(elsewhere), sum(gain(block)(elsewhere[:, block]) for block in blocks)
    inside = np.isfinite(whole + parts)                                      # of the density's support
    if D <= 12 and values or not inside.any() or not near(parts[inside], whole[inside], 1e-4):
        blocks = [np.arange(D)]
    if len(blocks[0]) > (12 if values else 2):
        return Mass(np.nan, f"log_prob is no sum over the {D} columns of x, too many to take at once: try fewer")
    rounding = TOL * (1 + abs(base))
    if values:
        corners = np.array(list(itertools.product(values, repeat=len(blocks[0]))), dtype=float)
        how = f"summed over all 2^{D} x" if len(blocks) == 1 else f"{D} independent pixels"
        return Mass(base + sum(np.logaddexp.reduce(gain(block)(corners)) for block in blocks), how, rounding)
    logs, bars = zip(*(log_integral(gain(block), x[block], 40 * scale) for block in blocks))
    if not sum(bars) < 1e-2:
        return Mass(np.nan, f"the integral over x is only known to {sum(bars):.1e} nats")
    return Mass(base + sum(logs), "by quadrature over x", sum(bars) + rounding)


def _gaussian(f, x, scale, rng):
    """The Mass of a Gaussian, from a few values of f; None if f is not quadratic, or does not fall in all directions.

        f(x + d) = f(x) + g·d + d·H d / 2,   ∫ exp f = exp(top) (2π)^{D/2} det(−H)^{−1/2}
    """
    D, e = len(x), scale * np.eye(len(x))
    pairs = list(itertools.combinations(range(D), 2)) if D <= MANY else []         # else each column by itself
    values = f(x + np.concatenate([0 * e[:1], e, -e, *(e[[i]] + e[j] for i, j in pairs)]))
    base, up, down = values[0], values[1:D + 1], values[D + 1:2 * D + 1]
    g, H = (up - down) / (2 * scale), np.diag((up - 2 * base + down) / scale**2)
    for (i, j), both in zip(pairs, values[2 * D + 1:]):
        H[i, j] = H[j, i] = (both - up[i] - up[j] + base) / scale**2
    size = np.max(np.abs(values))
    if not np.isfinite(size) or not np.linalg.eigvalsh(H)[-1] < -1e-9 * size / scale**2:
        return None
    d = scale * rng.standard_normal((6, D)) * np.array([[0], [0.3], [0.3], [1], [1], [3]]) - np.linalg.solve(H, g)
    measured = f(x + d)
    if not near(base + d @ g + np.einsum("ni,ij,nj->n", d, H, d) / 2, measured, 1e-4):
        return None
    log_det, rounding = -np.linalg.slogdet(-H)[1], TOL * (1 + size)
    log = measured[0] + (D * LOG_2PI + log_det) / 2
    return Mass(log, "a Gaussian integral", rounding, measured[0], log_det)
