"""Claims: sentences of the ledger, each held against numbers at the place where it is taught.

A claim prints one line (tag, statement, two numbers, error < tolerance, ✓ or ✗), appends a record to RECORDS, and
raises ClaimFailed when it does not hold, so that a lesson run by itself ends with a non-zero exit status. A record has
only JSON's types:

    tag, lesson, claim      the ledger's tag, the running script's name without .py, the whole statement
    lhs, rhs, error, tol    numbers, those of the worst entry if arrays were compared; one that is not finite is the
                            string "nan", "inf" or "-inf", which float() reads back. For a claim_true lhs is the text
                            shown, the others are null
    ok                      true or false
"""
import math
import sys
import unicodedata
from pathlib import Path

import numpy as np

from ..validation import check_bool, check_number
from .ledger import TAGS

RECORDS = []                # every claim of this process, in the order in which they were made
Z_LIMIT = 5                 # a correct normal mean fails once in 1.7 million claims


class ClaimFailed(AssertionError):
    """A claim does not hold. Its line is printed and its record kept before this is raised."""


def claim_equal(tag, statement, lhs, rhs, tol, *, relative=False):
    """Two computations agree:   max |lhs − rhs| < tol

    lhs, rhs : numbers or arrays of one shape        tol : positive and finite
    relative : divide the error by the largest |rhs|
    NaN never passes, nor do two infinities: claim those with claim_true.
    Raises ClaimFailed; ValueError for an unknown tag, different shapes or a bad tol; TypeError for what is not real.
    """
    _check_claim(tag, statement)
    lhs, rhs = _same_shape(lhs=lhs, rhs=rhs)
    tol = check_number("tol", tol, low=0, open_low=True)
    scale = np.max(np.abs(rhs)) if relative else 1.0
    if scale == 0:
        raise ValueError("rhs must have an entry other than 0 for a relative error, got zeros; leave out relative=True")
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(lhs - rhs) / scale
    _compare(tag, statement, lhs, rhs, error, tol, "rel " if relative else "")


def claim_mean(tag, statement, samples_mean, standard_error, exact):
    """A Monte Carlo mean agrees with the exact value:   |z| < 5,  z = (mean − exact) / standard error

    samples_mean, standard_error, exact : numbers or arrays of one shape; the largest |z| decides
    Raises ClaimFailed; ValueError as claim_equal does, and for a standard error that is not positive and finite.
    """
    _check_claim(tag, statement)
    mean, se, exact = _same_shape(samples_mean=samples_mean, standard_error=standard_error, exact=exact)
    if not np.all((se > 0) & (se < np.inf)):
        raise ValueError(f"standard_error must be positive and finite, got {standard_error}; "
                         "samples without any spread prove nothing")
    with np.errstate(invalid="ignore", over="ignore"):
        z = np.abs(mean - exact) / se
    _compare(tag, statement, mean, exact, z, float(Z_LIMIT), "|z| ")


def claim_true(tag, statement, condition, shown):
    """A strict statement, such as an inequality, is true.

    condition : bool        shown : the string, number or numbers that the line displays as evidence
    A NaN among the numbers shown refutes the claim: a condition written as `not a <= b` would let it through.
    Raises ClaimFailed; ValueError for an unknown tag; TypeError for a condition that is not one truth value.
    """
    _check_claim(tag, statement)
    ok = check_bool("condition", condition)
    if not isinstance(shown, str):
        numbers = _reals("shown", shown).ravel()
        ok = ok and not np.isnan(numbers).any()
        shown = ", ".join(f"{number:.5g}" for number in numbers)
    _enter(tag, statement, shown, None, None, None, ok, columns=_fit(shown, 46, ">"), why=f"shown: {shown}")


def _compare(tag, statement, lhs, rhs, error, tol, label):
    """Settle a claim by the worst entry of `error`."""
    worst = np.argmax(error)                                            # a NaN counts as the largest
    place = f" at entry {list(map(int, np.unravel_index(worst, error.shape)))}" if error.ndim else ""
    lhs, rhs, error = (float(array.flat[worst]) for array in (lhs, rhs, error))
    columns = f"{lhs:>11.5g}  {rhs:>11.5g}  {f'{label}{error:.2g} < {tol:.2g}':>20}"
    why = f"{lhs!r} against {rhs!r}{place}; {label}error {error:.3g} is not below {tol:.3g}"
    _enter(tag, statement, lhs, rhs, error, tol, error < tol, columns, why)


def _enter(tag, statement, lhs, rhs, error, tol, ok, columns, why):
    """Record the claim, print its line, and raise if it does not hold."""
    statement = " ".join(statement.split())
    RECORDS.append({"tag": tag, "lesson": Path(sys.argv[0]).stem, "claim": statement,
                    "lhs": _plain(lhs), "rhs": _plain(rhs), "error": _plain(error), "tol": _plain(tol), "ok": ok})
    _print(f"{tag:<5}  {_fit(statement, 37, '<')}  {columns}", ok)
    if not ok:
        raise ClaimFailed(f"[{tag}] {statement}: {why}")


def _print(line, ok):
    """One line on stdout, in whatever encoding stdout has."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        "✓✗".encode(encoding)
        mark = "✓" if ok else "✗"
    except UnicodeEncodeError:
        mark = "ok" if ok else "FAILED"
    print(f"{line}  {mark}".encode(encoding, "replace").decode(encoding), flush=True)


def _fit(text, width, align):
    """`text` in exactly `width` columns, cut if need be; a combining accent, as in x̂, takes no column."""
    accents = sum(map(bool, map(unicodedata.combining, text)))
    if len(text) - accents > width:
        return _fit(text[:width - 1] + "…", width, align)
    return f"{text:{align}{width + accents}}"


def _plain(value):
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _check_claim(tag, statement):
    if tag not in TAGS:
        raise ValueError(f"tag must be one of the ledger's, such as 'PCA.2', got {tag!r}; "
                         "tinyvae/checks/ledger.py lists them")
    if not isinstance(statement, str) or not statement.strip():
        raise ValueError(f"statement must be a sentence or a formula, got {statement!r}")


def _same_shape(**values):
    arrays = {name: _reals(name, value) for name, value in values.items()}
    if len({array.shape for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"a claim compares arrays of one shape, got {shapes}; broadcasting would hide a mistake")
    return arrays.values()


def _reals(name, value):
    """`value` as float64, so that differences of uint8 or float32 neither wrap nor round."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be a real number or an array of them, got dtype {array.dtype}")
    if array.size == 0:
        raise ValueError(f"{name} must have at least one entry, got shape {array.shape}; an empty claim proves nothing")
    return array.astype(np.float64)
