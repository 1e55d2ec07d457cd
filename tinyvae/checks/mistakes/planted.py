"""What a planted mistake is: a gradient with one wrong line, beside the loss that it should be the gradient of.

A topic (dense layers, losses, the KL term, …) has a setup or several, which draw a problem of random size and random
values, biases included. A mistake is a function of a setup's arrays that returns the gradient as a dict, with the wrong
line in it; its docstring is the reason, in one line.
"""
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

DIAGNOSES = {
    "factor":         "all of a block times −1, 2, ½ or another number that is not a count, as a fixed σ²",
    "sum for mean":   "times n ≥ 3, the number of rows, draws, pixels, classes or units, in all or in one term",
    "mean for sum":   "divided by such an n, in all or in one term",
    "transpose":      "a square matrix, the gradient or one on the way to it, is transposed, or is not and should be",
    "permuted":       "rows, columns, entries, halves in another order, or two blocks exchanged, in all or in one term",
    "missing slope":  "φ', or a factor of it, is left out: the derivative by φ(a) is handed on as the one by a",
    "extra slope":    "φ', or a factor of it, where there is no activation, or a second time",
    "wrong slope":    "for φ' stands that of another activation, or at another argument, or one with a slip in it",
    "bias sum":       "the bias takes one row, a mean, or a sum over the wrong axis, instead of the sum over rows",
    "wrong array":    "the product for a weight takes another array than the layer's input; its bias is right",
    "term forgotten": "the gradient of one term of the loss is missing",
    "term twice":     "the gradient of one term of the loss is there twice: added again, or without its ½",
    "term scaled":    "the gradient of one term times −1, ½, β, λ or another number that is not a count",
    "decay":          "λ θ too much or too little: a weight decay that the loss has not, or has elsewhere",
    "noise":          "the gradient belongs to other noise than the loss: redrawn, stale, another row's or draw's",
    "accumulated":    "the gradient is added to what an earlier call left",
    "zero":           "a block stays zero: the path into it is cut",
    "other":          "none of these",
}


class Problem(NamedTuple):
    """A loss and a gradient to be checked. Where there is noise, all functions take it after theta: f(theta, noise)."""
    f: Callable                    # theta → float
    grad: Callable                 # theta → dict of arrays: with the mistake
    right: Callable                # theta → dict of arrays: without it
    theta: dict                    # name → float64 array
    terms: dict                    # name → function as f; they sum to f at theta. Empty where the loss has one term
    numbers: dict                  # sizes and weights by name: {"B": 4, "K": 3, "beta": 1.5}
    noise: np.ndarray | None = None


class Mistake(NamedTuple):
    """One planted mistake."""
    name: str                      # of the function, unique
    topic: str
    reason: str                    # one line
    diagnosis: str                 # a key of DIAGNOSES
    blocks: tuple                  # the names in theta whose gradient is wrong
    make: Callable                 # rng → Problem, of random size
    wrong: Callable                # the function itself, for inspect.getsource


def planted(topic, rows):
    """A topic's mistakes, of rows (setup, wrong, diagnosis, *blocks)."""
    return [Mistake(wrong.__name__, topic, wrong.__doc__, diagnosis, tuple(blocks), partial(setup, wrong), wrong)
            for setup, wrong, diagnosis, *blocks in rows]


def sizes(rng, n):
    """n different sizes without a common divisor: products and ratios of them differ, too, and name what they are."""
    return rng.choice([3, 4, 5, 7, 11], n, replace=False).tolist()


def ways(f, held, *names):
    """Terms of a loss that reads theta in several places: f as seen from one place, theta held in the others.

    f takes theta once for every place, and then the noise, if any. The terms and their gradients sum to f's at `held`.
    """
    n, at_held = len(names), {}

    def way(place, P, *noise):
        key = tuple(part.tobytes() for part in noise)
        if key not in at_held:                         # once for every noise: a checker calls this a thousand times
            at_held[key] = f(*[held] * n, *noise)
        at = [P if i == place else held for i in range(n)]
        return f(*at, *noise) - (1 - 1 / n) * at_held[key]

    return {name: partial(way, place) for place, name in enumerate(names)}
