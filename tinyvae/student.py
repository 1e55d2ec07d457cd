"""A student's own file: run it, find by its names what is to be checked, and check that.

    f (or loss), grad, theta; and, where there are, terms, blocks, noise                          → check_gradient
    encode, draw, kl, log_prob, X; and, where there are, log_q, loss, elbo, iwae, sample, …       → check_objective
"""
import runpy
import sys
import traceback
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from types import ModuleType

import numpy as np

from .checks import check_gradient, check_objective

# The functions of an objective, with their arguments: those that it must have, those that it may have; and its options.
PARTS = {"encode": "x", "draw": "x, eps", "kl": "x", "log_prob": "x, z"}
MORE_PARTS = {"log_q": "x, z", "loss": "x, eps", "elbo": "x, n_samples, seed", "iwae": "x, n_samples, seed",
              "sample": "n, rng"}
OPTIONS = ("reduction", "beta", "objective", "n_samples")


class StudentError(Exception):
    """What a student's code raised. str() says where and what, with a short traceback of the student's lines."""


def check_file(path, function=None, rng=None):
    """What the checkers say of a file: {"gradient": a GradientReport, "objective": an ObjectiveReport}, or one of them.

    path     : the file. All of it is run, but for what stands under `if __name__ == "__main__":`
    function : the name of a function theta → (value, gradient) in it; then that alone is checked, at the file's theta
    rng      : Generator or seed, as the checkers take it

    What is called loss stands for f where there is a grad, but no f; else it belongs to the objective. Raises TypeError
    or ValueError for names that are missing or of the wrong form, OSError for a file that cannot be read, StudentError
    for what its code raises.
    """
    with _run(path) as given:
        if function is not None:
            if missing := [name for name in (function, "theta") if name not in given]:
                raise ValueError(f"{path} must define {' and '.join(missing)}; {_names(given)}")
            return {"gradient": _gradient(given, *_halves(given, function), rng)}
        f = "loss" if {"loss", "grad"} <= given.keys() and "f" not in given else "f"
        missing = {"gradient": [name for name in (f, "grad", "theta") if name not in given],
                   "objective": [name for name in (*PARTS, "X") if name not in given]}
        if all(missing.values()):
            raise ValueError(f"{path} must define f (or loss), grad and theta, to have a gradient checked, or encode, "
                             f"draw, kl, log_prob and X, to have an objective checked; {_names(given)}. One function "
                             f"that returns the pair (value, gradient) is checked as {path}:function")
        for what, names in missing.items():
            if len(names) == 1:                             # all the others are there: was it meant to be checked?
                warnings.warn(f"no {what} is checked: {path} does not define {names[0]}", stacklevel=2)
        reports = {}
        if not missing["gradient"]:
            functions = [_function(given, name, _arguments(given)) for name in (f, "grad")]
            reports["gradient"] = _gradient(given, *functions, rng)
            given = {name: value for name, value in given.items() if name != f}
        if not missing["objective"]:
            reports["objective"] = _objective(given, rng)
        return reports


def as_data(value):
    """A report as JSON can hold it: records as dicts, tuples and arrays as lists, nan and infinity as None."""
    if is_dataclass(value):
        value = {name: getattr(value, name) for name in dir(value) if not name.startswith("_")}
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(name): as_data(part) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [as_data(part) for part in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return as_data(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value


# ---- the file --------------------------------------------------------------------------------------------------------


@contextmanager
def _run(path):
    """What a file defines, by its names. Until the block ends, it can import its neighbours; then all is as before."""
    path, folders, modules = Path(path).resolve(), sys.path.copy(), set(sys.modules)
    sys.path.insert(0, str(path.parent))
    try:
        yield runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        if place := _place(error, path):
            raise StudentError(place) from error
        raise
    finally:
        sys.path[:] = folders
        for name in set(sys.modules) - modules:
            first = name.split(".")[0]
            if first not in modules and (path.with_name(first).is_dir() or path.with_name(f"{first}.py").is_file()):
                del sys.modules[name]


def _place(error, path):
    """An exception in words, and the lines of the file's folder that it came through; "" if it came through none."""
    frames = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in frames if Path(frame.filename).parent == path.parent]
    lines = traceback.format_list(frames[-4:])
    if isinstance(error, SyntaxError):
        lines += traceback.format_exception_only(error)[:-1]
        where, text = f"{Path(error.filename or path).name}, line {error.lineno or 1}", error.msg
    elif frames:
        where, text = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}, in {frames[-1].name}", str(error)
    else:
        return ""
    message = ": ".join(filter(None, [where, type(error).__name__, " ".join(text.split())]))
    return f"{message}\n{''.join(lines)}".rstrip()


def _names(given):
    """The names that a file defines, in words."""
    names = [name for name, value in given.items() if not name.startswith("_") and not isinstance(value, ModuleType)]
    return f"it defines {', '.join(names[:12]) or 'nothing'}{', …' * (len(names) > 12)}"


# ---- what it defines -------------------------------------------------------------------------------------------------


def _gradient(given, f, grad, rng):
    options = {name: given.get(name) for name in ("blocks", "terms", "noise")}
    return check_gradient(f, grad, given["theta"], rng=rng, **options)


def _objective(given, rng):
    functions = {name: _function(given, name, arguments) for name, arguments in {**PARTS, **MORE_PARTS}.items()
                 if given.get(name) is not None}
    options = {name: given[name] for name in OPTIONS if name in given}
    return check_objective({**functions, **options}, given["X"], rng)


def _arguments(given):
    """What f, grad and terms are called with."""
    return "theta" if given.get("noise") is None else "theta, noise"


def _function(given, name, arguments):
    """The function of that name, which must take these arguments."""
    function = given[name]
    if not callable(function):
        raise TypeError(f"{name} must be a function of ({arguments}), got {function!r:.60}")
    try:
        form = signature(function)
    except ValueError:                                      # some functions written in C do not tell
        return function
    try:
        form.bind(*arguments.split(", "))
    except TypeError:
        hint = "; where the file defines noise, it is the second argument" * arguments.startswith("theta")
        raise TypeError(f"{name} must be a function of ({arguments}), got {name}{form}{hint}") from None
    return function


def _halves(given, name):
    """f and grad, the two halves of a function that returns the pair (value, gradient)."""
    function = _function(given, name, _arguments(given))

    def half(i, *arguments):
        pair = function(*arguments)
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{name} must return the pair (value, gradient), got {pair!r:.60}")
        return pair[i]

    return partial(half, 0), partial(half, 1)
