"""The work of an estimate, cut into small tasks that any ordered `map` can do, and the mean of their weights.

A task is a tuple of rows and seeds; log_weights(model, *task) → (S, B), S log-weights for each of B rows. All its noise
comes from its seeds, so that the result is the same whoever does it. Only log Σ w and log Σ w² come back, two numbers a
row, however many weights there are.
"""
import copy
import functools
import numbers
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..ops import log_sum_exp
from ..validation import check_int


class Estimate(NamedTuple):
    """log p(x) of every row and its standard error (NaN where one draw cannot tell): float64 (N,) each, nats."""
    value: np.ndarray
    standard_error: np.ndarray


@contextmanager
def ordered_map(workers):
    """The map(function, tasks) that `workers` stands for; threads that it starts have ended when the block is left."""
    if workers is None:
        yield map
    elif isinstance(workers, Executor):
        yield workers.map
    elif callable(workers):
        yield workers
    elif isinstance(workers, numbers.Integral):
        with ThreadPoolExecutor(check_int("workers", workers)) as threads:
            yield threads.map
    else:
        raise TypeError("workers must be None, an integer of at least 1, a concurrent.futures.Executor or a function "
                        f"that is called as map(function, tasks), got {workers!r} ({type(workers).__name__})")


def spawn(rng, n):
    """n independent seeds; rng advances by the same amount for every n."""
    return np.random.SeedSequence(rng.integers(2**32, size=4).tolist()).spawn(n)


def estimate(mapping, log_weights, model, tasks, *, n_weights, n_rows, blocks=1, verbose=0):
    """log w̄, the mean over S = n_weights weights of every row; each `blocks` tasks in turn are about the same rows.

        s.e. = √((S Σw² / (Σw)² − 1) / (S − 1)),   the s.e. of w̄ divided by w̄ (the delta method)

    Returns an Estimate: −inf where all weights of a row are 0, NaN where one of them is NaN.
    """
    from tqdm import tqdm                               # here, because `import tinyvae` should not pay for it

    results, rows = iter(mapping(functools.partial(_log_sums, log_weights, without_training(model)), tasks)), []
    with tqdm(total=n_rows, unit="row", disable=None if verbose else True) as bar:
        while block := list(islice(results, blocks)):
            with np.errstate(invalid="ignore"):                     # of NaN
                rows.append(functools.reduce(np.logaddexp, block))
            bar.update(rows[-1].shape[1])
    log_sum, log_sum_of_squares = np.concatenate(rows, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):            # of weights that are all 0, of one draw
        relative_variance = (n_weights * np.exp(log_sum_of_squares - 2 * log_sum) - 1) / np.float64(n_weights - 1)
    return Estimate(log_sum - np.log(n_weights), np.sqrt(np.maximum(relative_variance, 0)))


def _log_sums(log_weights, model, task):
    """log Σ w and log Σ w² of a task's rows, (2, B)."""
    log_w = log_weights(model, *task)
    return np.stack([log_sum_exp(log_w, axis=0), log_sum_exp(2 * log_w, axis=0)])


def without_training(model):
    """The model without what only training needs: a callback is often a lambda, which no process can be sent."""
    model = copy.copy(model)
    vars(model).update(callback=None, _optimizer_state=None)
    return model
