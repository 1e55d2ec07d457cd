"""Which mistake is it?   A wrong block against a dictionary of mistakes, by the slopes of f along a few directions.

A hypothesis is a vector h made from the analytic gradient g: twice g, g transposed, g without one term of the loss, …
The simplest one that fits all measured slopes is the diagnosis. What no such vector explains is left to `experiments`.
"""
import math

import numpy as np

from .evidence import SHARE, Diagnosis

COUNTS = 129                      # factors up to here, and one over them, are taken for counts
RANKS = 5                         # of simple factors
SMALL = 24                        # entries of a block whose derivative is worth measuring entry by entry


def explain(witness, name):
    """The Diagnosis of a block, or of a part of it: the simplest hypothesis that fits all measured slopes; or None."""
    g, factors = witness.gradient, fitting_factors(witness)
    simple = [found for times, found in factors if _rank(times) < RANKS]
    if not np.any(g) and (len(witness.acting) != 1 or not np.any(witness.case.gradient)):
        return Diagnosis("zero", "is zero, though f is not flat: the path into it is cut, or never written.", 0.0)
    found = not_repeated(witness)
    if found is None and witness.fits(witness.analytic):
        found = Diagnosis("other", "is off by less than differences of f can resolve along other directions.")
    found = found or next(iter(simple), None)
    if found:
        return found
    if g.size == 1:
        times = _share(witness.slopes, witness.analytic)
        return Diagnosis("other", f"is {times:.6g} times the derivative; it is one number, which tells no more.", times)
    return reordered(witness) or exchanged(witness, name) or decay(witness) or (factors[0][1] if factors else None)


# ---- two calls -------------------------------------------------------------------------------------------------------

def not_repeated(witness):
    """Two calls at one θ differ: by the gradient itself, which is added up, or by noise."""
    g, again = witness.gradient, witness.case.again[witness.where]
    if np.allclose(g, again, rtol=0, atol=1e-9 * np.abs(g).max()):
        return None
    if witness.fits(witness.along(again - g)):
        return Diagnosis("accumulated", "is added to what an earlier call left there: it must be overwritten.")
    if witness.fits(witness.along(again)):
        return Diagnosis("noise", "is wrong at the first call and right at the second, at the same θ: it uses noise, "
                         "or another array, that an earlier call has kept.")
    return Diagnosis("noise", "is another at every call, f is not: its noise is drawn anew, and not that of the loss.")


# ---- factors ---------------------------------------------------------------------------------------------------------

def fitting_factors(witness):
    """(times, Diagnosis) of every factor of the whole, or of some terms, that fits; the simplest first."""
    measured, slopes, found = witness.analytic, witness.slopes, []
    times = _share(slopes, measured)
    if abs(times) > 1e-9 and witness.fits(measured, times * slopes):
        found.append((_round(times), None))
    for terms, part in witness.parts.items():
        times = 1 + _share(part, measured - slopes)
        if math.isfinite(times) and witness.fits(measured - (times - 1) * part):
            found.append((_round(times), terms))
    found.sort(key=lambda item: (_rank(item[0]), len(item[1] or ())))
    return [(times, _whole(times, witness) if terms is None else _of_terms(times, terms, witness))
            for times, terms in found]


def decay(witness):
    """λ θ too much, or too little."""
    own = witness.along(witness.case.theta[witness.where])
    times = _share(own, witness.analytic - witness.slopes)
    if math.isfinite(times) and witness.fits(witness.analytic - times * own):
        return Diagnosis("decay", f"is the derivative {times:+.6g} times the block itself: a weight decay that stands "
                         f"in the {'gradient' if times > 0 else 'loss'} alone, or not with the same λ.", times)
    return None


def _share(a, b):
    """The c for which c a is nearest to b, or nan."""
    size = np.max(np.abs(a))
    c = float((a / size) @ (b / size) / ((a / size) @ (a / size))) if size > 0 else math.nan
    return c if math.isfinite(c) else math.nan


def _round(times):
    """A measured factor as the simple number that it is, if it is one."""
    for exact in (0, 0.5, round(times), 1 / round(1 / times) if 1 / COUNTS < times < 1 else 0):
        if abs(times - exact) < 1e-6 * max(abs(times), 1e-3):
            return float(exact)
    return times


def _rank(times):
    """How simple a factor is: 0, −1, 2, ½, a count, or one over a count; RANKS for any other number."""
    if times in (0, -1, 2, 0.5):
        return (0, -1, 2, 0.5).index(times)
    return RANKS - 1 if _count_in(times) else RANKS


def _count_in(times):
    """The count n of a factor n or 1/n; or None."""
    if times > 2 and times == round(times) < COUNTS:
        return round(times)
    if 0 < times < 0.5 and 1 / round(1 / times) == times and 1 / times < COUNTS:
        return round(1 / times)
    return None


def _whole(times, witness):
    key = "factor" if _count_in(times) is None else "sum for mean" if times > 1 else "mean for sum"
    return Diagnosis(key, f"is {_words(times)} the derivative, throughout{_counted(times, witness)}.", times)


def _of_terms(times, terms, witness):
    key = {0: "term forgotten", 2: "term twice"}.get(times, "term scaled")
    if _count_in(times):
        key = "sum for mean" if times > 1 else "mean for sum"
    names = f"term{'s' * (len(terms) > 1)} {' and '.join(map(repr, terms))}"
    return Diagnosis(key, f"has {_words(times)} the gradient of the {names}; all else in it is right"
                     f"{_counted(times, witness)}.", times)


def _counted(times, witness):
    """What may have been counted."""
    n = _count_in(times)
    if n is None:
        return ""
    names = [name for name, where in witness.case.blocks.items() if n in where.shape]
    return (f" ({n} is a size of {names[0]!r}: a sum for a mean, or the reverse, along it?)" if names else
            f" ({n}: rows or draws? A sum where the loss has a mean, or the reverse)")


def _words(times):
    named = {0: "nothing of", -1: "−1 times", 1: "exactly", 2: "twice", 0.5: "half of"}
    if times in named:
        return named[times]
    return f"1/{_count_in(times)} of" if _count_in(times) and times < 1 else f"{times:.6g} times"


# ---- other orders ----------------------------------------------------------------------------------------------------

def reordered(witness):
    """The same numbers in another order."""
    g = witness.gradient
    if g.ndim == 2 and g.shape[0] == g.shape[1]:
        if witness.fits(witness.along(g.T)):
            return Diagnosis("transpose", "is the transpose of the derivative.")
        for name, term in witness.case.terms.items():
            if witness.fits(witness.analytic + witness.terms[name] - witness.of(term, reorder=np.transpose)):
                return Diagnosis("transpose", f"has the gradient of the term {name!r} transposed.")
    for words, h in _orders(g):
        if witness.fits(witness.along(h)):
            return Diagnosis("permuted", f"has the right numbers in the wrong order: {words}.")
    if 1 < g.size <= SMALL and np.ptp(g) > 0:
        d, order = witness.derivative, np.argsort(g, axis=None)
        if np.allclose(g.ravel()[order], np.sort(d), rtol=0, atol=SHARE * np.abs(g.ravel() - d).max()):
            order = order[np.argsort(np.argsort(d))]
            return Diagnosis("permuted", f"has the right numbers in the wrong order: it should be {order.tolist()}.")
    return None


def _orders(g):
    """Other orders of the same numbers, with the words for each."""
    for axis, word in enumerate(("rows", "columns") if g.ndim == 2 else ("entries",) if g.ndim == 1 else ()):
        n = g.shape[axis]
        yield f"the {word} are reversed", np.flip(g, axis)
        if n % 2 == 0:
            yield f"the two halves of the {word} are exchanged", np.roll(g, n // 2, axis)
        yield f"the {word} are shifted by one", np.roll(g, 1, axis)
        yield f"the {word} are shifted by one", np.roll(g, -1, axis)
    if g.ndim == 2:
        yield "it is read column by column", g.ravel().reshape(g.shape, order="F")
        yield "it is read column by column", g.ravel(order="F").reshape(g.shape)


def exchanged(witness, name):
    """The derivative of another block of the same size, in the whole or in one term."""
    case = witness.case
    for other, where in case.blocks.items():
        if other != name and where.size == witness.where.size:
            if witness.fits(witness.along(case.gradient[where])):
                return Diagnosis("permuted", f"is exchanged: its derivative stands in the block {other!r}.")
            for term, f in case.terms.items() if len(case.terms) > 1 and where.shape == witness.where.shape else ():
                if witness.fits(witness.analytic + witness.terms[term] - witness.of(f, where)):
                    return Diagnosis("permuted", f"has, of the term {term!r}, the gradient that belongs to {other!r}.")
    return None
