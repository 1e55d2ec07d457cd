"""Is this gradient the derivative of this function?   One random direction a block, two independent derivatives.

Along a direction v a function of many numbers is a function of one, and its slope must be the analytic ⟨grad, v⟩:

    d/dt f(θ + t v) at t = 0   =   Σ_i grad_i v_i

so a block of a million entries needs about twenty evaluations. The slope is measured by Ridders' extrapolation, which
knows its own error, and, where that is proved safe, by the complex step, which is exact to rounding.
"""
import textwrap
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..validation import check_rng

RATIO, N_STEPS = (3 + 5**0.5) / 2, 9                 # of a step to the next; a simple fraction would repeat roundings
FIRST_STEPS = (1.0, 1e-2, 1e-4, 1e-6)                # each is tried only while the bar before it is not sharp
SHARP, BLURRED = 1e-6, 1e-4                          # bar / slope that is good enough to stop; too large to decide
EPS, BARS, ULPS = np.finfo(float).eps, 10, 500       # so many bars, or roundings of the complex step, are tolerated


class Slope(NamedTuple):
    """A measured derivative with its error bar."""
    value: float = np.nan
    bar: float = np.inf       # the error to expect, at most a few times this
    floor: float = 0.0        # the part of the bar that is rounding
    reach: float = 0.0        # the steeper of |f(t ± s) - f(t)| / s at the step s that was used


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


# ---- the report -----------------------------------------------------------------------------------------------------

class Check(NamedTuple):
    """One block along one direction v, or what is wrong with f or grad as a whole; what does not apply is nan."""
    block: str | None
    size: int = 0
    verdict: str = "ok"               # ok, wrong, undecided (kink or noise), not finite (grad), unfit (f or grad)
    message: str = ""                 # the finding as a sentence; "" when ok
    analytic: float = np.nan          # ⟨grad, v⟩
    numeric: float = np.nan           # Ridders, with its bar
    error: float = np.nan             # |analytic - numeric|
    bar: float = np.nan
    complex_step: float = np.nan      # only where it is proved safe
    complex_error: float = np.nan     # |analytic - complex step| / norm of the block's gradient
    n_evaluations: int = 0            # of f


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradient` found: `ok`, `findings` and `blocks` as data, str() as a report of at most 80 columns."""
    blocks: tuple                     # a Check for each block
    findings: tuple                   # what is found about f and grad as a whole, then the checks that are not ok

    @property
    def ok(self):
        """Whether nothing was found."""
        return not self.findings

    def __str__(self):
        row = "{:<18.18} {:>8} {:>11} {:>11} {:>8} {:>8} {}"
        lines = [row.format("block", "size", "analytic", "numeric", "error", "bar", "verdict")] if self.blocks else []
        lines += [row.format(str(b.block), b.size, f"{b.analytic:.3e}", f"{b.numeric:.3e}", f"{b.error:.1e}",
                             f"{b.bar:.1e}", b.verdict) for b in self.blocks]
        notes = [f"Block {b.block!r} is proved only to ±{BARS * b.bar:.1e}: rounding of f hides smaller errors."
                 for b in self.blocks if b.verdict == "ok" and BARS * b.bar > 0.01 * abs(b.numeric) > 0]
        exact = [b.complex_error for b in self.blocks if b.verdict == "ok" and np.isfinite(b.complex_error)]
        if exact:
            notes.append(f"Complex step proved safe in {len(exact)} ok block(s): it differs from the gradient by at "
                         f"most {max(exact):.1e} of a block's norm.")
        notes += [f"- {'' if f.block is None else f'block {f.block!r}: '}{f.message}" for f in self.findings]
        verdict = "Gradient ok" if self.ok else f"Gradient NOT ok, {len(self.findings)} finding(s)"
        notes.append(f"{verdict}; {2 + sum(b.n_evaluations for b in self.blocks)} evaluations of f.")
        return "\n".join(lines + [line for note in notes for line in textwrap.wrap(note, 80, subsequent_indent="  ")])


# ---- the check ------------------------------------------------------------------------------------------------------

def check_gradient(f, grad, theta, blocks=None, rng=None):
    """Holds grad against the derivative of f at theta, along one random unit direction a block: a GradientReport.

        accepted where   |⟨grad, v⟩ − Ridders| ≤ 10 × Ridders' own bar
        and, where the complex step is proved safe,   |⟨grad, v⟩ − complex step| ≤ 500 eps × the block's norm, or 1 bar

    f      : theta → one real number, the same at every call (freeze the noise)
    grad   : theta → its gradient, float64, in the form of theta
    theta  : a flat vector, or a dict of named arrays of any shapes (then the names are the blocks). Converted to
             float64, since differences in float32 reject correct gradients; every call gets a fresh copy.
    blocks : for a flat theta, a dict from names to slices, index arrays or masks; default one block, "theta". Every
             entry must be in exactly one block, so that nothing stays unchecked unseen.
    rng    : Generator or seed for the directions. Default: seed 0, so that a report repeats itself.

    One entry of n that is wrong by δ moves the slope by about δ/√n. A slope that stays blurred down to the smallest
    steps is not decided: a kink, or noise. The complex step is proved safe for a block where it agrees with Ridders
    within 10 sharp bars. What is wrong with f or grad is a finding, but the wrong form (names, shapes, dtype) of an
    argument or a result raises TypeError or ValueError. Evaluations of f: at most 20 a block, 77 where f is not smooth.
    """
    if isinstance(theta, Mapping):
        if blocks is not None:
            raise ValueError("blocks is for a flat theta; the names of a dict are its blocks: leave blocks out")
        flat, blocks, unpack, pack = _flatten(theta)
        return check_gradient(lambda th: f(unpack(th)), lambda th: pack(grad(unpack(th))), flat, blocks, rng)
    theta, rng = _double("theta", theta), check_rng(0 if rng is None else rng)
    if theta.ndim != 1 or not theta.size or not np.isfinite(theta).all():
        raise ValueError("theta must be a flat vector, or a dict of named arrays, of finite numbers; got shape "
                         f"{theta.shape} with {np.count_nonzero(~np.isfinite(theta))} nan or infinite")
    blocks = _indices({"theta": slice(None)} if blocks is None else blocks, theta.size)

    findings = []
    f0 = _call_twice("f", f, theta, (), findings)
    gradient = _call_twice("grad", grad, theta, theta.shape, findings)
    if not np.isfinite(f0):
        findings.append(Check(None, 0, "unfit", f"f is {f0} at theta: there is nothing to compare."))
    unfit = any(found.verdict == "unfit" for found in findings)
    checks = [_check_block(name, f, theta, where, gradient[where], rng) for name, where in blocks.items() if not unfit]
    return GradientReport(tuple(checks), tuple(findings + [check for check in checks if check.message]))


def _check_block(name, f, theta, where, gradient, rng):
    """One block along one random direction, compared."""
    v, n_calls = np.zeros_like(theta), 0
    v[where] = rng.standard_normal(where.shape)
    v /= np.linalg.norm(v)
    if n_bad := np.count_nonzero(~np.isfinite(gradient)):
        return Check(name, where.size, "not finite", f"{n_bad} entries of the gradient are nan or infinite.")

    def along(t):
        nonlocal n_calls
        n_calls += 1
        return f(theta + t * v)

    analytic, norm = float(np.sum(gradient * v[where])), float(np.linalg.norm(gradient))
    noise, slope = EPS * np.linalg.norm(gradient * theta[where]), Slope()     # theta + t v is rounded, too
    for h in FIRST_STEPS:
        finer = ridders(along, h=h, noise=noise)
        too_fine = finer.reach == 0 < slope.reach and abs(analytic) > BARS * finer.bar     # f moves in coarser grains
        if finer.bar < slope.bar and not too_fine:
            slope = finer
        size = max(abs(analytic), abs(slope.value))
        sharp, rounded = slope.bar <= SHARP * size, slope.bar <= 100 * slope.floor
        if sharp or rounded:
            break
    try:
        exact = complex_step(along, 0.0, 1.0) if sharp else np.nan
    except Exception:            # whatever f raises on complex numbers says only that its path is not complex-safe
        exact = np.nan
    if not abs(exact - slope.value) <= BARS * slope.bar:                     # nor is it where Ridders disagrees
        exact = np.nan
    error, exact_error = abs(analytic - slope.value), abs(analytic - exact)

    verdict, message = "ok", ""
    if not rounded and not slope.bar <= BLURRED * max(size, slope.reach):    # no witness against grad, either
        verdict, message = "undecided", (
            f"not decided: kink or noise. However small the step, the numeric slope {slope.value:.6g} is uncertain "
            f"by {slope.bar:.2g}, so f is not smooth here. Move theta a little, or freeze the noise.")
    elif error > BARS * slope.bar:
        verdict = "wrong"
        message = f"analytic slope {analytic:.6g}, numeric {slope.value:.6g}: {error:.2g} apart, bar {slope.bar:.2g}."
    elif exact_error > max(ULPS * EPS * norm, slope.bar):
        verdict, message = "wrong", (
            f"within 10 bars of Ridders, but {exact_error:.1e} away from the complex step, more than rounding. A small "
            "term is wrong in the gradient; or it is right, and in f not complex-safe (abs, norm).")
    return Check(name, where.size, verdict, message, analytic, slope.value, error, slope.bar, exact,
                 exact_error / (norm or np.nan), n_calls)


def _call_twice(name, function, theta, shape, findings):
    """What function returns at theta. It is found out if it changes its argument, or its result."""
    argument = theta.copy()
    first, second = (_double(f"what {name} returns", function(th), shape) for th in (argument, theta.copy()))
    if not np.array_equal(argument, theta):
        findings.append(Check(None, 0, "wrong", f"{name} changes its argument in place: let it work on a copy."))
    size = np.max(np.abs(first), initial=0.0, where=np.isfinite(first))
    if not np.allclose(first, second, rtol=0, atol=ULPS * EPS * size, equal_nan=True):
        findings.append(Check(None, 0, "unfit", f"{name} is random, or remembers: two calls at the same theta differ. "
                              "Freeze the noise (draw it once, outside); clear what is added to."))
    return first


def _flatten(theta):
    """A dict of arrays as a flat vector, its blocks, the way back (views), and the way for a gradient."""
    arrays = {name: _double(f"theta[{name!r}]", array) for name, array in theta.items()}
    flat = np.concatenate([np.zeros(0), *(array.ravel() for array in arrays.values())])

    def unpack(flat):
        parts = np.split(flat, np.cumsum([array.size for array in arrays.values()]))
        return {name: part.reshape(array.shape) for (name, array), part in zip(arrays.items(), parts)}

    def pack(gradient):
        if not isinstance(gradient, Mapping) or gradient.keys() != arrays.keys():
            raise ValueError(f"grad must return a dict with the names of theta, {list(arrays)}, got {gradient!r:.80}")
        return np.concatenate([_double(f"the gradient of {name!r}", gradient[name], array.shape).ravel()
                               for name, array in arrays.items()])

    return flat, unpack(np.arange(flat.size)), unpack, pack


def _double(name, value, shape=None):
    """value as a new float64 array. A result comes with the shape that it must have, and must be float64 already."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or shape is not None and array.dtype.itemsize < 8:
        raise TypeError(f"{name} must be float64, got {array.dtype} ({type(value).__name__})")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return array.astype(np.float64)


def _indices(blocks, n):
    """{name: places in theta}, each place exactly once."""
    try:
        indices = {name: np.arange(n)[where].ravel() for name, where in blocks.items()}
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise TypeError(f"blocks must be a dict from names to slices, index arrays or masks of {n} entries, got "
                        f"{blocks!r:.80} ({error})") from error
    counts = np.bincount(np.concatenate([np.arange(0), *indices.values()]), minlength=n)
    n_empty = sum(index.size == 0 for index in indices.values())
    if n_empty or np.any(counts != 1):
        raise ValueError(f"every entry of theta must be in one block, but {np.sum(counts == 0)} of {n} are in none and "
                         f"{np.sum(counts > 1)} in several; {n_empty} block(s) are empty")
    return indices
