"""The derivative of a function of one real variable, measured: by Ridders' extrapolation, which knows its own error
bar, and by the complex step, which is exact to rounding where every operation is analytic."""
import warnings
from typing import NamedTuple

import numpy as np

RATIO, N_STEPS = (3 + 5**0.5) / 2, 9                 # of a step to the next; a simple fraction would repeat roundings
FIRST_STEPS = (1.0, 1e-2, 1e-4, 1e-6)                # each is tried only while the bar before it is not sharp
SHARP, BARS = 1e-6, 10                               # bar / slope that is good enough; so many bars are tolerated
EPS = np.finfo(float).eps


class Slope(NamedTuple):
    """A measured derivative with its error bar."""
    value: float = np.nan
    bar: float = np.inf       # the error to expect, at most a few times this
    floor: float = 0.0        # the part of the bar that is rounding
    reach: float = 0.0        # the steeper of |f(t ± s) - f(t)| / s at the step s that was used

    def is_sharp(self, slope):
        """Whether the bar is small beside this slope, or beside the value."""
        return self.bar <= SHARP * max(abs(slope), abs(self.value))

    @property
    def is_rounded(self):
        """Whether the bar is rounding, so that no other step is better."""
        return self.bar <= 100 * self.floor


def ridders(f, t=0.0, h=1.0, noise=0.0):
    """Derivative of f, a function of one real variable, at t, with its error bar: a Slope.

        D(s) = (f(t+s) − f(t−s)) / 2s         =  f'(t) + a s² + b s⁴ + …
        M(s) = (f(t+s) + f(t−s)) / 2 − f(t)   =    0   + c s² + d s⁴ + …
        A_ij = A_i,j−1 + (A_i,j−1 − A_i−1,j−1) / (r^2j − 1)        for A = D and A = M, steps s_i = h / r^i

    Each column of the tableau removes one power of s². The bar of D_ij is the largest of its distances from its two
    parents and of what is left there of M, whose limit is known, per step; the entry with the smallest bar is returned.
    D alone is blind to an even kink: of |t| at 0 every D is exactly 0, but M/s is 1. Differences may vanish by luck, so
    no bar is below its floor, (eps max|f| + eps |t D| + noise) / s, and the steps end where f stands still.

    h     : the first and largest step, about the length over which f bends
    noise : uncertainty of f's values that their size does not show, such as that of a rounded argument
    At most 19 evaluations. Values that are not finite are passed over; warnings of f far from t are silenced.
    Source: Ridders 1982, Advances in Engineering Software 4(2); the tableau also in Numerical Recipes, section 5.7.
    """
    with np.errstate(all="ignore"):
        f0 = float(f(t))
        best, above = Slope(), []
        for i in range(N_STEPS):
            s = h / RATIO**i
            up, down = float(f(t + s)), float(f(t - s))
            row = [np.array([(up - down) / (2 * s), (up - f0) / 2 + (down - f0) / 2])]
            floor = float(EPS * (max(abs(f0), abs(up), abs(down)) or 1.0) + EPS * abs(t * row[0][0]) + noise) / s
            reach = max(abs(up - f0), abs(down - f0)) / s
            if reach == 0 and best.reach > 0:                                # now s is below the grain of f's values
                break
            for j, parent in enumerate(above, start=1):
                row.append(row[-1] + (row[-1] - parent) / (RATIO ** (2 * j) - 1))
                (D, M), D_left, (D_parent, M_parent) = row[j], row[j - 1][0], parent
                bar = np.max([floor, abs(D - D_left), abs(D - D_parent), abs(M) / s, abs(M_parent) / s])
                if bar < best.bar:                                           # false for nan
                    best = Slope(float(D), float(bar), floor, reach)
            if best.bar <= floor:
                break
            above = row
    return best


def measured_slope(along, expected=0.0, noise=0.0):
    """Derivative of `along` at 0 from the first step that is sharp enough: a Slope, by at most 77 evaluations.

    A smooth function needs one step, a function with kinks one that is shorter than the way to the nearest kink.
    expected : the slope that is to be proved; a step at which f moves in grains coarser than that is not believed
    """
    best = Slope()
    for h in FIRST_STEPS:
        finer = ridders(along, h=h, noise=noise)
        too_fine = finer.reach == 0 < best.reach and abs(expected) > BARS * finer.bar
        if finer.bar < best.bar and not too_fine:
            best = finer
        if best.is_sharp(expected) or best.is_rounded:
            break
    return best


def one_sided(f, side):
    """Derivative of f at 0 from the right (side 1) or from the left (side −1), with its error bar: a Slope.

        D(s) = (f(s) − f(0)) / s = f'(0±) + a s + b s² + …,   s = side × h / r^i, extrapolated as in `ridders`

    Where f has a kink at 0 the two differ. At most 36 evaluations beside f(0).
    """
    best = Slope()
    with np.errstate(all="ignore"):
        f0 = float(f(0.0))
        for h in FIRST_STEPS:
            above = []
            for i in range(N_STEPS):
                s = side * h / RATIO**i
                value = float(f(s))
                floor, row = EPS * (max(abs(f0), abs(value)) or 1.0) / abs(s), [(value - f0) / s]
                for j, parent in enumerate(above, start=1):
                    row.append(row[-1] + (row[-1] - parent) / (RATIO**j - 1))
                    bar = max(floor, abs(row[j] - row[j - 1]), abs(row[j] - parent))
                    if bar < best.bar:
                        best = Slope(row[j], bar, floor, abs(row[0]))
                above = row
            if best.is_sharp(0.0) or best.is_rounded:
                break
    return best


def complex_step(f, theta, direction, h=1e-30):
    """Derivative of f at theta along a direction, from one evaluation.

        f(θ + i h v) = f(θ) + i h ⟨∇f, v⟩ − …        so   Im f(θ + i h v) / h = ⟨∇f, v⟩

    Nothing is subtracted, so h can be tiny and the result exact to rounding, if every operation in f is analytic. abs,
    norm and conj are not, and give a wrong number without a word: compare with `ridders` before you believe it.

    theta, direction : arrays of one shape         returns : float
    Raises TypeError if f returns a real number, ComplexWarning if it writes complex numbers into a real array.
    Source: Squire and Trapp 1998, SIAM Review 40(1).
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        value = f(theta + 1j * h * direction)
    if not np.iscomplexobj(value):
        raise TypeError("f returned a real number for complex theta: it is not complex-safe")
    return float(np.imag(value)) / h
