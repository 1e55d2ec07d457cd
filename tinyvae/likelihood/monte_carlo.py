"""log p(x) from independent draws of z: from the prior, or from the encoder's q(z|x).

All rows see the same noise, a thousand draws from each seed: a row's number depends neither on its neighbours nor on
its place, and more draws continue what fewer began.
"""
import functools

import numpy as np

from ..distributions import PRIOR
from ..validation import check_int, check_rng
from .tasks import estimate, ordered_map, spawn

DRAWS, ROWS = 1000, 256         # of one task
AT_ONCE = 4096                  # pairs of x and z that are decoded together


def prior_monte_carlo(model, X, n_samples=1000, *, rng=None, workers=None, verbose=0):
    """log p(x) of every row by draws from the prior.   [LV.2, LV.8]

        log 1/S Σ_s p(x|z_s),   z_s ~ p(z)

    X (N, D), n_samples S   returns an Estimate. Its exponential is unbiased for p(x), but its variance grows
    exponentially with the dimension: soon no draw falls where p(x|z) is large, and then the standard error is too small
    as well. All other parameters as in `importance_sampling`.
    """
    return _monte_carlo(_from_prior, model, X, n_samples, rng, workers, verbose)


def importance_sampling(model, X, n_samples=1000, *, rng=None, workers=None, verbose=0):
    """log p(x) of every row by importance sampling with the encoder's q as the proposal.   [CV.1]

        log 1/S Σ_s p(x|z_s) p(z_s) / q(z_s|x),   z_s ~ q(z|x)

    X (N, D), n_samples S   returns an Estimate: below log p(x) in expectation, closer the larger S is
    rng     : None, an int, a Generator or a RandomState, which draws the noise. All rows share it, and so part of their
              errors: the mean over N rows is less certain than independent errors / √N
    workers : None, a number of threads (of use where BLAS is left one thread, as by OPENBLAS_NUM_THREADS=1), an
              Executor, or a function called as map(function, tasks) that keeps the order. The result is the same
    verbose : 1 for a progress bar on stderr where that is a terminal
    Memory does not grow with S. Source: Burda, Grosse and Salakhutdinov 2016, equation 8.
    """
    return _monte_carlo(_from_encoder, model, X, n_samples, rng, workers, verbose)


def _monte_carlo(propose, model, X, n_samples, rng, workers, verbose):
    check_int("n_samples", n_samples)
    with ordered_map(workers) as mapping:
        rng = check_rng(rng)
        chunks = model.observed(X, rng)
        sizes = [min(DRAWS, n_samples - start) for start in range(0, n_samples, DRAWS)]
        blocks = list(zip(spawn(rng, len(sizes)), sizes))
        tasks = ((x[start:start + ROWS], *block)
                 for x in chunks for start in range(0, len(x), ROWS) for block in blocks)
        return estimate(mapping, functools.partial(_log_weights, propose), model, tasks, n_weights=n_samples,
                        n_rows=len(X), blocks=len(blocks), verbose=verbose)


def _log_weights(propose, model, x, seed, n_samples):
    """log p(x|z) p(z) / q(z|x), (n_samples, B) in float64. Draws and rows are one axis inside."""
    P, B = model.params(), len(x)
    noise = np.random.default_rng(seed).standard_normal((n_samples, model.n_components)).astype(x.dtype)
    at_once = min(n_samples, max(1, AT_ONCE // B))
    x, encoded = np.tile(x, (at_once, 1)), np.tile(model.encoded(P, x), (at_once, 1))
    log_w = np.empty((n_samples, B))
    for s in range(0, n_samples, at_once):
        eps = np.repeat(noise[s:s + at_once], B, axis=0)
        z, log_ratio = propose(model, encoded[:len(eps)], eps)
        log_w[s:s + at_once] = (log_ratio + model.log_px_z(P, x[:len(z)], z)).reshape(-1, B)
    return log_w


def _from_prior(model, encoded, eps):
    """z ~ p(z), and log p(z) / p(z)."""
    return eps, np.zeros(len(eps))


def _from_encoder(model, encoded, eps):
    """z ~ q(z|x), and log p(z) / q(z|x)."""
    z = model._posterior.draw(encoded, eps)
    return z, PRIOR.log_prob(z).astype(np.float64) - model._posterior.log_prob(z, encoded)
