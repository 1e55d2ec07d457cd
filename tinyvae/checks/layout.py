"""Which weight and which bias belong together: told by their names, else by their order."""
import numpy as np


def partner(case, name):
    """The bias that belongs to a weight, or the weight that belongs to a bias; None where there is none."""
    if (by_name := _partner_by_name(case, name)) is not None:
        return by_name
    alone = [other for other in case.blocks if _partner_by_name(case, other) is None]
    i = alone.index(name)
    neighbours = alone[i + 1:i + 2] if case.blocks[name].ndim == 2 else alone[max(i - 1, 0):i]
    return next((other for other in neighbours if _belong(case.blocks[name], case.blocks[other])), None)


def _partner_by_name(case, name):
    """The other of W1 and b1, encoder.0.W and encoder.0.b, weight and bias, …"""
    for a, b in ("W", "b"), ("w", "b"), ("weight", "bias"), ("V", "c"):
        for other in (name.replace(a, b), name.replace(b, a)):
            if other != name and other in case.blocks and _belong(case.blocks[name], case.blocks[other]):
                return other
    return None


def _belong(one, other):
    """Whether one is a matrix, and the other a vector as long as one of its sides."""
    return {one.ndim, other.ndim} == {1, 2} and min(one, other, key=np.ndim).size in max(one, other, key=np.ndim).shape
