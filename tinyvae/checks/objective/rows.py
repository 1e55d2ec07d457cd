"""What comes before all mathematics: functions that return what they should, and rows that do not know each other."""
import numpy as np

from .case import near, recognise
from .report import Check, wrong_shape


def check_call(name, function, arguments, shape):
    """A finding about one call, or None: its arguments stay, it repeats itself, and its result has this shape."""
    copies = [argument.copy() for argument in arguments]
    first, second = function(*copies), function(*(argument.copy() for argument in arguments))
    if first.ndim or shape[0] == 1:                       # one number for many rows: see check_rows
        if found := wrong_shape(name, first.shape, shape):
            return found
    cause, message = "", ""
    if not all(map(np.array_equal, copies, arguments)):
        cause, message = "changes its argument", "changes its argument in place: let it work on a copy."
    elif not np.all(np.isfinite(first)):
        cause, message = "not finite", "returns nan or infinity."
    elif not np.array_equal(first, second):
        cause, message = "random", (f"is random, or remembers: two calls with the same arguments differ by up to "
                                    f"{np.max(np.abs(first - second)):.2g}. Noise enters through eps alone.")
    return Check("shape", "wrong", f"{name} {message}", cause) if cause else None


def distinct(X, rng, n):
    """The places of up to n rows of X that differ: equal ones would hide that a row depends on the others."""
    some = rng.permutation(len(X))[:1000]
    _, first = np.unique(X[some], axis=0, return_index=True)
    return np.sort(some[rng.permutation(first)[:n]])


def check_rows(calls, rows, tol=1e-4):
    """No row's number depends on other rows, or on its place.        calls: {name: (function, arguments of X[rows])}"""
    B = len(rows)
    if B < 2:
        return Check("rows", "unchecked", "X has but one distinct row, which cannot show whether rows are independent")
    for name, (function, arguments) in calls.items():
        together, turned = function(*arguments), function(*(a[::-1] for a in arguments))
        alone = np.stack([function(*(a[i:i + 1] for a in arguments)).reshape(together.shape[1:]) for i in range(B)])
        if together.ndim and near(together, alone, tol) and near(together, turned[::-1], tol):
            continue
        i = np.unravel_index(np.argmax(np.abs(together - alone)), alone.shape)
        value, expected = float(np.broadcast_to(together, alone.shape)[i]), float(alone[i])
        cause, why = recognise(together, [
            ("order", alone if together.ndim else np.nan, "But it depends on its place in the batch."),
            ("mean over rows", alone.mean(axis=0), "It is the batch's mean."),
            ("sum over rows", alone.sum(axis=0), "It is the batch's sum."),
            ("divided by rows", alone / B, "It is divided by the number of rows."),
            ("times rows", alone * B, "It is multiplied by the number of rows."),
            ("batch statistics", together, "Rows share something, such as a batch's mean, variance or maximum.")], tol)
        return Check("rows", "wrong", f"{name} of X[{rows[i[0]]}] is {value:.6g} in a batch of {B}, {expected:.6g} "
                     f"alone. {why}", cause, value, expected)
    return Check("rows", "ok", f"{', '.join(calls)}: a row is the same alone, in a batch of {B}, and in another order")
