"""What is refused at every public door, and in which words.

Each function returns the value in the form that the caller computes with, or raises before anything has changed. The
message names the argument, says what was expected and what came.
"""
import numbers

import numpy as np


def check_rng(random_state):
    """The Generator that `random_state` stands for.

    None gives fresh entropy, an int a seed; a Generator is used as it is and advances; a RandomState's next numbers are
    the seed, so that it advances too.
    """
    if random_state is None:
        return np.random.default_rng()
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31, size=4))
    if isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool):
        if random_state < 0:
            raise ValueError(f"random_state must be a non-negative integer, got {random_state}")
        return np.random.default_rng(int(random_state))
    raise TypeError("random_state must be None, an integer, a numpy Generator or a RandomState, "
                    f"got {_describe(random_state)}")


def check_int(name, value, minimum=1):
    """`value` as an int of at least `minimum`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {_describe(value)}")
    if value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value}")
    return int(value)


def check_number(name, value, low=-np.inf, high=np.inf, open_low=False, open_high=False):
    """`value` as a finite float between `low` and `high`; the ends belong to the range unless they are open."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {_describe(value)}")
    too_low = value <= low if open_low else value < low
    too_high = value >= high if open_high else value > high
    if not np.isfinite(value) or too_low or too_high:
        interval = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
        raise ValueError(f"{name} must be a finite number in {interval}, got {value}")
    return float(value)


def check_labels(name, y, n_rows=None, least=2):
    """The classes in `y`, sorted, and for each of its entries the number of its class."""
    if y is None:
        raise ValueError(f"a classifier requires {name} to be passed, but the target {name} is None")
    y = np.asarray(y)
    if y.ndim != 1 or n_rows not in (None, len(y)):
        raise ValueError(f"{name} must be a class for each row of X, ({n_rows or 'N'},), got shape {y.shape}")
    if y.dtype.kind == "f" and not np.all(np.isfinite(y) & (y == np.floor(y))):
        raise ValueError(f"{name} must be classes, got numbers that are not whole. Unknown label type: continuous")
    classes, number_of = np.unique(y, return_inverse=True)
    if len(classes) < least:
        raise ValueError(f"{name} must have at least {least} classes, got only one class: {classes}")
    return classes, number_of


def check_bool(name, value):
    """`value` as a bool; 0, 1 and words are refused."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {_describe(value)}")
    return bool(value)


def check_choice(name, value, choices):
    """`value`, one of the names in `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_dtype(name, dtype):
    """float32 or float64, as a name, a type or a dtype."""
    if dtype not in ("float32", "float64", np.float32, np.float64):
        raise ValueError(f"{name} must be 'float32' or 'float64', got {dtype!r}")
    return np.dtype(dtype)


def check_matrix(name, X, n_columns=None, owner="this model", min_rows=1):
    """`X` as a finite 2-D array of numbers, in the dtype in which it came (lists become float64).

    Integers stay integers, so that a set of uint8 images is never converted whole. Raises TypeError for sparse, object
    and string arrays; ValueError for complex ones, other ranks, no rows or columns, NaN, infinity, and for a width that
    is not `n_columns`.
    """
    if hasattr(X, "toarray"):
        raise TypeError(f"{name}: a sparse matrix was passed, but dense data is required; use {name}.toarray()")
    X = np.asarray(X)
    if X.dtype.kind == "c":
        raise ValueError(f"{name}: Complex data not supported; expected real numbers, got {X.dtype}")
    if X.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected an array of real numbers, got dtype {X.dtype}; convert it with "
                        f"{name}.astype(float). (An argument must be a string or a number to be converted.)")
    if X.ndim != 2:
        raise ValueError(f"{name}: Expected 2D array, a row for each example, got {X.ndim}D array of shape {X.shape}. "
                         f"Reshape your data: {name}.reshape(1, -1) is one example, {name}.reshape(-1, 1) one feature")
    if X.shape[0] < min_rows:
        raise ValueError(f"{name} must have at least {min_rows} row(s): Found array with {X.shape[0]} sample(s) "
                         f"(shape={X.shape}) while a minimum of {min_rows} is required.")
    if X.shape[1] == 0:
        raise ValueError(f"{name} must have at least 1 column: Found array with 0 feature(s) (shape={X.shape}) while a "
                         "minimum of 1 is required.")
    if n_columns is not None and X.shape[1] != n_columns:
        raise ValueError(f"{name} has {X.shape[1]} features, but {owner} is expecting {n_columns} features as input")
    if X.dtype.kind == "f":
        _refuse_not_finite(name, X)
    return X


def check_unit_interval(name, X, scale=1.0):
    """Refuse targets of a Bernoulli law outside [0, 1], where they are X times `scale`."""
    low, high = float(np.min(X)) * scale, float(np.max(X)) * scale
    if low < 0 or high > 1 + 1e-6:
        raise ValueError(f"{name} must lie in [0, 1] for a Bernoulli likelihood, got values from {low:g} to {high:g} "
                         f"(after input_scale = {scale:g}). Rescale it, pass input_scale=1/255 for uint8 images, or "
                         "choose a Gaussian likelihood")


def _refuse_not_finite(name, X):
    """Looks at the sum first, which is not finite if an entry is not; at the entries only where it is not."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(X)):
            return
    bad = ~np.isfinite(X)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(f"{name} contains NaN or infinity (first at row {row}, column {column}: {X[row, column]}); "
                         "expected finite numbers")


def _describe(value):
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
