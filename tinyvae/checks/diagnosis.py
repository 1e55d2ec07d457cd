"""What is wrong with a gradient?   Every wrong block is explained, or searched; what the blocks tell together is said.

Mistakes travel down, from the output to the input. So the wrong block nearest to the output is explained first, and the
experiments are made with it.
"""
import numpy as np

from .evidence import Diagnosis, Witness
from .experiments import experiment
from .hypotheses import explain
from .layout import partner
from .locate import BUDGET, locate

TOTAL = 2 * BUDGET                # evaluations for all searches together
LEAST = 160                       # evaluations without which no search for the wrong entries is begun
MEANS = {"sum for mean", "mean for sum"}


def diagnose(case, wrong, rng):
    """{name: (Diagnosis, Location or None)} of every wrong block, whose names come from the input to the output."""
    results, spent = {}, 0
    witnesses = {name: Witness(case, case.blocks[name], rng) for name in reversed(wrong)}
    for name, witness in witnesses.items():
        found, place = explain(witness, name), None
        if found is None and TOTAL - spent >= LEAST:
            place = locate(case.value, case.theta, case.gradient, witness.where, witness.where.shape, name, rng,
                           min(BUDGET, TOTAL - spent))
            spent += place.n_evaluations
            if (part := _part(place, witness.where)) is not None:
                found = explain(Witness(case, part, rng), name)
        results[name] = _in_its_layer(case, name, wrong, found, place), place
    if not any(found for found, _ in results.values()):
        parts = {name: _part(place, case.blocks[name]) for name, (_, place) in results.items()}
        suspects = {name: case.blocks[name] if part is None else part for name, part in parts.items()}
        for name, found in experiment(case, suspects, rng).items():
            results[name] = found, results[name][1]
    known = [name for name, (found, _) in results.items() if found]
    first = (known or list(results))[0]                                          # from the output
    return {name: (found or _unexplained(case, name, first), place) for name, (found, place) in results.items()}


def _part(place, where):
    """The rows, columns or entries that are wrong, as places in θ; None where it is the whole block."""
    if place is None or place.kind not in ("rows", "columns", "entries", "one entry"):
        return None
    indices = tuple(np.array(place.indices).T)
    return where[..., indices[0]] if place.kind == "columns" else where[indices]


def _in_its_layer(case, name, wrong, found, place):
    """What it tells that only the weight, or only the bias, of a layer is wrong."""
    other = partner(case, name)
    scattered = place is not None and (place.kind == "one entry" or not place.complete)
    if other is None or other in wrong or scattered or found and found.key not in MEANS:
        return found
    if case.blocks[name].ndim == 1:
        words = f"{found.sentence} The" if found else "is wrong, though the"
        return Diagnosis("bias sum", f"{words} gradient of its weight {other!r} is right, so that what comes down to "
                         "this layer is right: the sum over the rows is not (one row, a mean, another axis).")
    return found or Diagnosis("wrong array", f"is wrong, though the gradient of its bias {other!r} is right, so that "
                              "what comes down to this layer is right: it is multiplied by another array than the "
                              "layer's input, or by its rows in another order.")


def _unexplained(case, name, first):
    """Where nothing is known: what it is not; and where to look instead."""
    if name != first:
        return Diagnosis("other", f"is not explained by itself: it may follow from what is wrong at {first!r}.")
    terms = f", of the whole or of {', '.join(map(repr, case.terms))}" if case.terms else ""
    others = ", exchanged with another block" if len(case.blocks) > 1 else ""
    return Diagnosis("other", f"is no known mistake: it is not the derivative times any number{terms}, nor transposed, "
                     f"permuted{others} or added up, nor is a slope left out that shows.")
