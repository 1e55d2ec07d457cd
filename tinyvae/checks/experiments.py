"""Which mistake is it, where no factor and no reordering explains it?   Other points θ, at which it gives itself away.

With W = 0 and b = c every preactivation of a layer is c, and a slope left out there is a factor 1/φ'(c) of the block,
at every c. With a symmetric W a forgotten transpose makes no difference; under noise that is the same in all rows, nor
does the noise of another row.
"""
import numpy as np

from .evidence import Diagnosis, Witness
from .hypotheses import SMALL
from .layout import partner
from .slopes import BARS

PREACTIVATIONS = np.array([-2.0, -0.7, 0.4, 1.3, 2.6])
FEW = 3                           # directions of a witness whose question is simple, points that show a function
MOST = 3                          # suspects that are asked
CONSTANT = 0.01                   # a factor that varies less than this is none of the preactivation


def _sigmoid(a):
    return 1 / (1 + np.exp(-a))


SLOPES = {                        # φ'(a) by the name of φ, and what is often written for it
    "tanh": lambda a: 1 - np.tanh(a) ** 2,
    "sigmoid": lambda a: _sigmoid(a) * _sigmoid(-a),
    "softplus": _sigmoid,
    "ReLU": lambda a: 1.0 * (a > 0),
    "ELU": lambda a: np.exp(np.minimum(a, 0)),
    "exp(−a)": lambda a: np.exp(-a),
    "exp(a)": np.exp,
    "exp(a/2)": lambda a: np.exp(a / 2) / 2,
    "exp(a/2), but for its ½": lambda a: np.exp(a / 2),
    "tanh, written as 1 − h²": lambda h: 1 - h**2,
    "sigmoid, written as h (1 − h)": lambda h: h * (1 - h),
}


def experiment(case, suspects, rng):
    """{name: Diagnosis} of the first suspect for which an experiment answers; empty where none does.

    suspects : name → the places in θ that are wrong, of all wrong blocks, from the output down
    """
    larger = [(name, where) for name, where in suspects.items() if where.size > 1]
    vectors = [(name, where) for name, where in larger if where.ndim == 1]
    for name, where in (vectors or larger)[:MOST]:
        try:
            found = same_noise(case, name, where, suspects, rng)
            if found is None and (where.ndim == 1 or partner(case, name) is None):     # a bias, or a layer's input
                found = activation_slope(case, name, where, rng)
            if found is None and where.ndim == 1:
                found = softmax_slope(case, name, where, rng)
            found = found or transposed_above(case, name, where, rng)
        except Exception:                            # f and grad need not be defined so far from θ
            continue
        if found:
            return {name: found}
    return {}


def activation_slope(case, name, where, rng):
    """A slope φ' left out, taken twice, or another one: at W = 0, b = c the block is a multiple of the derivative."""
    witnesses = [Witness(_same_rows(case, name, where, c, rng), where, rng, FEW) for c in PREACTIVATIONS]
    found = []
    for terms in (None, *witnesses[0].parts):
        times = np.array([_multiple(witness, terms) for witness in witnesses])
        seen = ~np.isnan(times)
        if np.count_nonzero(seen) >= FEW and not np.isneginf(times).any() and _vary(times[seen]):
            found.append(_slope_diagnosis(PREACTIVATIONS[seen], times[seen], terms))
    found.sort(key=lambda diagnosis: diagnosis.key == "wrong slope")             # a slope with a name comes first
    return next(iter(found), None)


def softmax_slope(case, name, where, rng):
    """The same for a softmax, whose slope is a matrix: at W = 0 all rows have J = diag(p) − p pᵀ, p = softmax(b)."""
    if not 2 < where.size <= SMALL:
        return None
    b = rng.standard_normal(where.size)
    witness, p = Witness(_same_rows(case, name, where, b, rng), where, rng, FEW), np.exp(b) / np.exp(b).sum()
    J, g, d = np.diag(p) - np.outer(p, p), witness.gradient, witness.derivative

    def equal(one, other):
        return np.any(np.abs(other) > 1e-9) and np.allclose(one, other, rtol=1e-6, atol=1e-7 * np.abs(other).max())

    if equal(g, J @ d) or equal(g, p * (1 - p) * d):
        return Diagnosis("extra slope", "has the slope of a softmax, diag(p) − p pᵀ or its diagonal, of which "
                         "cross-entropy has taken care: with W = 0 it is that times the derivative.")
    for key, slope, words in (("missing slope", 1, "nothing of it stands in the gradient"),
                              ("wrong slope", p * (1 - p), "only its diagonal p (1 − p) stands in the gradient"),
                              ("wrong slope", p, "only p dh stands in the gradient, the sum −p Σ p dh does not")):
        if equal(J @ (g / slope), d):
            return Diagnosis(key, f"lacks the slope J = diag(p) − p pᵀ of a softmax: with W = 0, {words}.")
    return None


def _same_rows(case, name, where, preactivation, rng):
    """The case with W = 0 and b = a, so that every row's preactivation is a. A part of a matrix stands for itself.

    Parameters that are 0, such as biases, are moved: units of layers above might lie on their kinks.
    """
    theta, weight = case.theta.copy(), partner(case, name) if case.blocks[name].ndim == 1 else None
    theta[theta == 0] = rng.standard_normal(np.count_nonzero(theta == 0)) / 10
    if weight is not None:
        theta[case.blocks[weight]] = 0
    theta[where] = preactivation
    return case.moved(theta)


def _multiple(witness, terms):
    """The m for which gradient = m × derivative, of f or some terms: nan where both are 0, −inf where there is none."""
    part = witness.slopes if terms is None else sum(witness.terms[term] for term in terms)
    analytic, blur = witness.analytic - witness.slopes + part, BARS * witness.bars
    if np.all(np.abs(part) <= blur):
        return np.inf if np.any(np.abs(analytic) > blur) else np.nan
    times = float(analytic @ part / (part @ part))
    return times if np.all(np.abs(analytic - times * part) <= np.maximum(blur, 1e-6 * np.abs(part).max())) else -np.inf


def _vary(times):
    finite = times[np.isfinite(times)]
    return finite.size > 0 and (finite.size < times.size or np.ptp(finite) > CONSTANT * np.abs(finite).max())


def _slope_diagnosis(a, times, terms):
    """Multiples of the derivative at the preactivations a, held against the slopes of the usual activations."""
    whose = "it" if terms is None else f"its part from {' and '.join(map(repr, terms))}"
    table = ", ".join(f"{m:.3g} at {c:g}" for c, m in zip(a, times))
    seen = f"With W = 0, where every row has the same preactivation a, {whose} is m(a) times the derivative: {table}"
    with np.errstate(all="ignore"):
        inverse = np.where(times == 0, np.inf, 1 / times)
    for name, slope in SLOPES.items():
        if np.allclose(inverse, slope(a), rtol=1e-3, atol=1e-9):
            return Diagnosis("missing slope", f"lacks a slope. {seen}. That is 1/φ'(a) of {name}.")
    for name, slope in SLOPES.items():
        if name != "ReLU" and np.allclose(times, slope(a), rtol=1e-3, atol=1e-9):
            return Diagnosis("extra slope", f"has a slope too many. {seen}. That is φ'(a) of {name}.")
    return Diagnosis("wrong slope", f"has the slope of another activation, or at another argument. {seen}.")


def transposed_above(case, name, where, rng):
    """A square matrix taken for its transpose on the way down: where it is symmetric, the gradient is right."""
    for other, matrix in case.blocks.items():
        if matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 1 and other not in (name, partner(case, name)):
            theta = case.theta.copy()
            theta[matrix] = (theta[matrix] + theta[matrix].T) / 2
            if Witness(case.moved(theta), where, rng, FEW).is_right:
                return Diagnosis("transpose", f"is right where {other!r} is symmetric: what comes down to this layer "
                                 f"is multiplied by {other!r} where its transpose belongs.")
    return None


def same_noise(case, name, where, wrong, rng):
    """What differs between rows or draws: where all of them have the same noise, the gradient is right."""
    if not case.noise or case.noise[0].ndim < 2:
        return None
    same = np.broadcast_to(case.noise[0].reshape(-1, case.noise[0].shape[-1])[0], case.noise[0].shape).copy()
    if not Witness(case.moved(noise=(same,)), where, rng, FEW).is_right:
        return None
    shape = case.blocks[name].shape
    if any(other not in wrong and place.shape == shape for other, place in case.blocks.items()):
        return Diagnosis("noise", "is right where all rows and draws have the same noise: it is multiplied by that of "
                         "another row or draw.")
    return Diagnosis("other", "is right where all rows and draws have the same noise: what weighs them against each "
                     "other is wrong.")


