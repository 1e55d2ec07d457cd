"""Is this gradient the derivative of this function?   One random direction a block, two independent derivatives.

Along a direction v a function of many numbers is a function of one, and its slope must be the analytic ⟨grad, v⟩:

    d/dt f(θ + t v) at t = 0   =   Σ_i grad_i v_i

so a block of a million entries needs about twenty evaluations. The slope is measured by Ridders' extrapolation, which
knows its own error, and, where that is proved safe, by the complex step, which is exact to rounding. What is wrong is
then named (`hypotheses`, `experiments`) and searched for (`locate`).
"""
from collections.abc import Mapping

import numpy as np

from ..validation import check_rng
from .diagnosis import diagnose
from .evidence import Case
from .report import Check, GradientReport
from .slopes import BARS, EPS, complex_step, measured_slope, one_sided

BLURRED, ULPS = 1e-4, 500              # bar / slope too large to decide; tolerated roundings of the complex step
NEARBY = (1e-2, 1e-3, 1e-4)            # relative distances of other points, tried where f has a kink
SMALL_STEPS = (1e-2, 1e-3, 1e-4)       # at which a wrong slope shows in Taylor's remainder


def check_gradient(f, grad, theta, blocks=None, terms=None, rng=None, noise=None):
    """Holds grad against the derivative of f at theta, along one random unit direction a block: a GradientReport.

        accepted where   |⟨grad, v⟩ − Ridders| ≤ 10 × Ridders' own bar
        and, where the complex step is proved safe,   |⟨grad, v⟩ − complex step| ≤ 500 eps × the block's norm, or 1 bar

    f      : theta → one real number, the same at every call (freeze the noise)
    grad   : theta → its gradient, float64, in the form of theta
    theta  : a flat vector, or a dict of named arrays of any shapes (then the names are the blocks), best from the input
             to the output. Converted to float64, since differences in float32 reject correct gradients; every call gets
             a fresh copy.
    blocks : for a flat theta, a dict from names to slices, index arrays or masks; default one block, "theta". Every
             entry must be in exactly one block, so that nothing stays unchecked unseen. An index array's shape is the
             block's.
    terms  : a dict from names to functions like f whose sum is f, such as reconstruction and KL: then the report can
             say that one of them is forgotten, counted twice, or scaled
    rng    : Generator or seed for the directions. Default: seed 0, so that a report repeats itself.
    noise  : an array that f, grad and terms take as their second argument, so that it can be frozen and changed

    A block that is wrong is explained by the simplest of the known mistakes, `mistakes.DIAGNOSES`, that fits five
    slopes; where none fits the whole block, its wrong entries are searched for. Where f has a kink at theta, a point
    nearby is taken; where it is not smooth there either, down to the smallest steps, the block is not decided. One
    entry of n that is wrong by δ moves the slope by about δ/√n. The complex step is proved safe for a block where it
    agrees with Ridders within 10 sharp bars.

    What is wrong with f or grad is a finding, but the wrong form (names, shapes, dtype) of an argument or a result
    raises TypeError or ValueError. Evaluations of f: at most 20 a block, 77 beside a kink, some hundreds at a kink or
    where a block is wrong, whatever its size.
    """
    if isinstance(theta, Mapping):
        if blocks is not None:
            raise ValueError("blocks is for a flat theta; the names of a dict are its blocks: leave blocks out")
        theta, blocks, unpack, pack = _flatten(theta)
        f, grad, terms = _on_flat(f, unpack), _on_flat(grad, unpack, pack), {
            name: _on_flat(term, unpack) for name, term in _terms(terms).items()}
    theta, rng = _double("theta", theta), check_rng(0 if rng is None else rng)
    if theta.ndim != 1 or not theta.size or not np.isfinite(theta).all():
        raise ValueError("theta must be a flat vector, or a dict of named arrays, of finite numbers; got shape "
                         f"{theta.shape} with {np.count_nonzero(~np.isfinite(theta))} nan or infinite")
    blocks = _indices({"theta": slice(None)} if blocks is None else blocks, theta.size)
    noise = () if noise is None else (_double("noise", noise),)
    f, terms = _Counted(f, 2), {name: _Counted(term, 1) for name, term in _terms(terms).items()}

    findings = []
    f0, f1 = _call_twice("f", f, theta, noise, (), findings)
    gradient, again = _call_twice("grad", grad, theta, noise, theta.shape, findings)
    if not np.isfinite(f0):
        findings.append(Check(None, 0, "unfit", f"f is {f0} at theta: there is nothing to compare."))
    if not np.isfinite(f0) or not _equal(f0, f1):
        return GradientReport((), tuple(findings), f.n_calls)
    case = Case(f, grad, theta, gradient, again, blocks, terms, noise)
    _check_sum(case, f0)
    checks, cases = zip(*[_check_block(case, name, rng) for name in blocks])
    if wrong := {check.block: where for check, where in zip(checks, cases) if check.verdict == "wrong"}:
        nearby = next((moved for moved in wrong.values() if moved is not case), case)          # no kink disturbs there
        with np.errstate(over="ignore"):                                # a wrong gradient may be of any size
            explained = diagnose(nearby, list(wrong), rng)
        checks = [check._replace(diagnosis=explained[check.block][0], location=explained[check.block][1])
                  if check.block in explained else check for check in checks]
    return GradientReport(tuple(checks), tuple(findings + [check for check in checks if check.message]), f.n_calls)


class _Counted:
    """f, counting its calls. After those at θ it may raise: elsewhere it need not be defined, and is nan."""

    def __init__(self, f, n_at_theta):
        self.f, self.n_calls, self.n_at_theta = f, 0, n_at_theta

    def __call__(self, *arguments):
        self.n_calls += 1
        try:
            return self.f(*arguments)
        except Exception:
            if self.n_calls <= self.n_at_theta:
                raise
            return np.nan


# ---- one block -------------------------------------------------------------------------------------------------------

def _check_block(case, name, rng):
    """One block, compared at θ, or at a point nearby where f has a kink: its Check, and the case at that point."""
    where, began = case.blocks[name], case.f.n_calls
    v = np.zeros_like(case.theta)
    v[where] = rng.standard_normal(where.shape)
    v /= np.linalg.norm(v)
    for here in _points(case, rng):
        check = _compare(here, name, v)
        kink = _kink(here, v) if check.verdict in ("wrong", "undecided") else ()
        if here is case:
            at_theta = check, kink
        if check.verdict != "undecided" and not kink:
            return check._replace(n_evaluations=case.f.n_calls - began, kink=at_theta[1]), here
    check, kink = at_theta
    return check._replace(n_evaluations=case.f.n_calls - began, kink=kink, verdict="undecided", message=(
        f"not decided: kink or noise. However small the step, the numeric slope {check.numeric:.6g} is uncertain by "
        f"{check.bar:.2g}, so f is not smooth here. Move theta a little, or freeze the noise.")), case


def _points(case, rng):
    """The case at θ, then at points nearby at which f and grad are defined, each ten times nearer."""
    yield case
    scale = np.abs(case.theta)
    scale[scale == 0] = scale.mean() or 1.0
    for distance in NEARBY:
        try:
            moved = case.moved(case.theta + distance * scale * rng.standard_normal(scale.shape))
        except Exception:                                    # grad need not be defined away from θ
            continue
        if np.isfinite(moved.gradient).all() and np.isfinite(moved.value(moved.theta)):
            yield moved


def _compare(case, name, v):
    """One block along one direction, at the point of the case."""
    where, values = case.blocks[name], {}
    gradient, again = case.gradient[where], case.again[where]
    if n_bad := np.count_nonzero(~np.isfinite(gradient)):
        return Check(name, where.size, "not finite", f"{n_bad} entries of the gradient are nan or infinite.")

    def along(t):
        value = case.f(case.theta + t * v, *case.noise)
        if np.isrealobj(t):
            values[t] = float(value)
        return value

    with np.errstate(over="ignore"):
        analytic, norm = float(np.sum(gradient * v[where])), float(np.linalg.norm(gradient))
        noise = EPS * np.linalg.norm(gradient * case.theta[where])            # theta + t v is rounded, too
    slope = measured_slope(along, analytic, noise)
    exact = _complex_slope(along, slope) if slope.is_sharp(analytic) else np.nan
    error, exact_error = abs(analytic - slope.value), abs(analytic - exact)

    verdict, message = "ok", ""
    typical = norm / where.size**0.5                          # of a slope along v, which may be near 0 by chance
    if not slope.is_rounded and not slope.bar <= BLURRED * max(abs(analytic), abs(slope.value), typical):
        verdict = "undecided"
    elif error > BARS * slope.bar:
        verdict = "wrong"
        message = f"analytic slope {analytic:.6g}, numeric {slope.value:.6g}: {error:.2g} apart, bar {slope.bar:.2g}."
    elif exact_error > max(ULPS * EPS * norm, slope.bar):
        verdict, message = "wrong", (
            f"within 10 bars of Ridders, but {exact_error:.1e} away from the complex step, more than rounding. A small "
            "term is wrong in the gradient; or it is right, and in f not complex-safe (abs, norm).")
    elif not _equal(gradient, again):
        verdict, message = "wrong", "two calls at the same theta give different gradients."
    if verdict == "wrong":
        for t in SMALL_STEPS:
            along(t)
    return Check(name, where.size, verdict, message, analytic, slope.value, error, slope.bar, exact,
                 exact_error / (norm or np.nan), len(values) + bool(np.isfinite(exact)),
                 taylor=_remainders(values, analytic))


def _complex_slope(along, slope):
    """The slope by the complex step, where that is proved safe; or nan."""
    try:
        exact = complex_step(along, 0.0, 1.0)
    except Exception:            # whatever f raises on complex numbers says only that its path is not complex-safe
        return np.nan
    return exact if abs(exact - slope.value) <= BARS * slope.bar else np.nan


def _kink(case, v):
    """The slopes on the left and on the right of θ, where both are sharp and differ; or ()."""
    def along(t):
        return case.value(case.theta + t * v)

    left, right = one_sided(along, -1), one_sided(along, 1)
    sharp = max(left.bar, right.bar) <= BLURRED * max(abs(left.value), abs(right.value))
    return (left.value, right.value) if sharp and abs(left.value - right.value) > BARS * (left.bar + right.bar) else ()


def _remainders(values, analytic):
    """Taylor's remainders of order 0 and 1 at the steps that were taken: the second falls as t² where grad is right."""
    steps = sorted(t for t in values if t > 0)
    return tuple((t, abs(values[t] - values[0.0]), abs(values[t] - values[0.0] - t * analytic)) for t in steps)


# ---- the arguments, and what the functions return --------------------------------------------------------------------

def _on_flat(function, unpack, pack=lambda value: value):
    """A function of a dict as one of a flat vector."""
    return lambda theta, *noise: pack(function(unpack(theta), *noise))


def _terms(terms):
    """The terms as a dict of functions."""
    terms = {} if terms is None else terms
    if not isinstance(terms, Mapping) or not all(callable(term) for term in terms.values()):
        raise TypeError(f"terms must be a dict from names to functions like f, got {terms!r:.80}")
    return dict(terms)


def _check_sum(case, f0):
    """The terms must sum to f, or what is said of them is wrong."""
    values = [float(term(case.theta.copy(), *case.noise)) for term in case.terms.values()]
    if values and not abs(sum(values) - f0) <= 1e-6 * max(1e-3, abs(f0), *map(abs, values)):
        raise ValueError(f"terms must sum to f: at theta they give {dict(zip(case.terms, values))}, f is {f0:.6g}")


def _equal(first, second):
    """Whether two results are the same, but for rounding."""
    size = np.max(np.abs(first), initial=0.0, where=np.isfinite(first))
    return np.allclose(first, second, rtol=0, atol=ULPS * EPS * size, equal_nan=True)


def _call_twice(name, function, theta, noise, shape, findings):
    """What function returns at theta, twice. It is found out if it changes its argument, or its result."""
    argument = theta.copy()
    first, second = (_double(f"what {name} returns", function(th, *(n.copy() for n in noise)), shape)
                     for th in (argument, theta.copy()))
    if not np.array_equal(argument, theta):
        findings.append(Check(None, 0, "wrong", f"{name} changes its argument in place: let it work on a copy."))
    if not _equal(first, second):
        findings.append(Check(None, 0, "unfit", f"{name} is random, or remembers: two calls at the same theta differ. "
                              "Draw the noise once, outside, or take it as noise=; set to 0 what is added to."))
    return first, second


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
        raise TypeError(f"{name} must be float64, got {array.dtype} in a {type(value).__name__}; compute in float64")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return array.astype(np.float64)


def _indices(blocks, n):
    """{name: places in theta}, each place exactly once."""
    try:
        indices = {name: np.arange(n)[where] for name, where in blocks.items()}
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise TypeError(f"blocks must be a dict from names to slices, index arrays or masks of {n} entries, got "
                        f"{blocks!r:.80} ({error})") from error
    counts = np.bincount(np.concatenate([np.arange(0), *(index.ravel() for index in indices.values())]), minlength=n)
    n_empty = sum(index.size == 0 for index in indices.values())
    if n_empty or np.any(counts != 1):
        raise ValueError(f"every entry of theta must be in one block, but {np.sum(counts == 0)} of {n} are in none and "
                         f"{np.sum(counts > 1)} in several; {n_empty} block(s) are empty")
    return indices
