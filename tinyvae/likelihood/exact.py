"""The exact twin of a model with 1 to 3 latent dimensions: every integral over z by the trapezoid rule, to rounding.

    quadrature         log p(x) = log ∫ p(x|z) p(z) dz                                                        [CV.1]
    true_posterior     p(z|x) of one row, as points with weights
    posterior_grid     the same on a regular grid, for a figure
    exact_elbo         E_q log p(x|z) − KL(q ‖ p(z)), with no draw in it                                      [EL.1]

Every row is computed by itself, in float64 whatever the model's dtype, and comes with an estimate of its error.
"""
import functools
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np

from ..distributions import PRIOR
from ..validation import check_int, check_matrix, check_number, check_rng
from .lattice import box, halving_errors, integrate, zoom
from .tasks import ordered_map, without_training

AT_ONCE = 2048                     # points z that are decoded together
FAR_OUT = np.errstate(over="ignore", invalid="ignore")        # a decoder may overflow where it was never trained
NOISE_RADIUS = 8.5                 # N(ε; 0, I) has fallen to e^−36 of its peak there
NOISE_STEP = 0.35                  # at twice this step Σ N(ε; 0, I) step^K is 1 to 1e-17


class Integral(NamedTuple):
    """A value for every row and its error, as far as a coarser grid can tell: float64 (N,) each, nats."""
    value: np.ndarray
    error: np.ndarray


class Posterior(NamedTuple):
    """p(z|x) of one row x: E[g(z)|x] is weights @ g(points)."""
    points: np.ndarray         # (M, K)
    weights: np.ndarray        # (M,), with sum 1
    mean: np.ndarray           # (K,)
    covariance: np.ndarray     # (K, K)
    log_px: float              # log p(x), nats
    error: float               # of log_px


class Grid(NamedTuple):
    """The density p(z|x) on a regular grid: plot(*axes, density) for K = 1, contour(*axes, density.T) for K = 2."""
    axes: tuple                # K arrays (n,)
    density: np.ndarray        # (n, …, n), z_1 along the first axis


# ---- log p(x) and the true posterior ---------------------------------------------------------------------------------


def quadrature(model, X, *, tol=1e-10, n_points=None, rng=None, workers=None):
    """log p(x) of every row, exactly, for 1 to 3 latent dimensions.   [CV.1]

        log ∫ p(x|z) p(z) dz,   by the trapezoid rule on a lattice that finds the posterior: its place, modes and shape

    tol, n_points : a row is refined until its error is below `tol` nats, or would need more than `n_points` points z
                    (None: 2^(9 + 3K)). These decide where the decoder has kinks (relu): there the error falls only
                    like the square of the step. An error of inf says that they were too few to see the posterior
    rng           : draws a binarising model's thresholds, as in the other estimates
    workers       : None, a number of threads, an Executor, or a function called as map(function, tasks)
    X (N, D)   returns an Integral, (N,) each.   Raises ValueError for more than 3 latent dimensions.
    """
    return Integral(*each_row(_log_px, model, X, None, tol, n_points, rng, workers))


def true_posterior(model, x, *, tol=1e-10, n_points=None, rng=None):
    """p(z|x) = p(x|z) p(z) / p(x) of one row, and its moments.        x (D,)   returns a Posterior"""
    lattice, error = joint(_one_row(model, x, rng), *_check_effort(model, tol, n_points))
    return Posterior(lattice.points, lattice.weights, *lattice.moments(), lattice.log_integral(), error)


def posterior_grid(model, x, n=101, *, rng=None):
    """p(z|x) of one row at n points along each axis of z.        x (D,)   returns a Grid

    As wide as where the density is above e^−12.5 of its peak: five standard deviations of a Gaussian to either side.
    """
    check_int("n", n, minimum=2)
    row = _one_row(model, x, rng)
    lattice, _ = joint(row, *_check_effort(model, 1e-6, None))
    seen = lattice.points[lattice.log_f > np.max(lattice.log_f) - 12.5]
    axes = tuple(np.linspace(low, high, n) for low, high in zip(np.min(seen, axis=0), np.max(seen, axis=0)))
    density = np.exp(row.log_joint(box(axes)) - lattice.log_integral())
    return Grid(axes, density.reshape([n] * len(axes)))


def joint(row, tol, n_points):
    """p(x|z) p(z) of one row on a Lattice over z, and the error of its integral's logarithm, log p(x)."""
    return integrate(row.log_joint, *zoom(row.log_joint, row.K), tol, n_points)


def _log_px(row, tol, n_points):
    lattice, error = joint(row, tol, n_points)
    return lattice.log_integral(), error


# ---- the bound -------------------------------------------------------------------------------------------------------


def exact_elbo(model, X, out=None, *, tol=1e-10, n_points=None, rng=None, workers=None):
    """The ELBO of every row with its expectation over ε exact.   [EL.1]

        ∫ N(ε; 0, I) log p(x|draw(out, ε)) dε − KL(q ‖ p(z))

    out (N, n_outputs) : the parameters of each row's q; None takes the encoder's output
    X (N, D), the rest as in `quadrature`   returns an Integral, (N,) each
    """
    return Integral(*each_row(elbo, model, X, out, tol, n_points, rng, workers))


def elbo(row, tol, n_points):
    """The ELBO of one row, and its error."""
    step, spent = NOISE_STEP, 0
    while True:
        index, w = noise(row.K, step)
        terms = w * row.log_px_z(row.posterior.draw(np.tile(row.out, (len(w), 1)), step * index))
        rounding = 4 * np.finfo(float).eps * np.sum(np.abs(terms))
        error = np.sum(halving_errors(index, terms)) + rounding
        spent += len(w)
        if error <= max(tol, 2 * rounding) or spent + 2**row.K * len(w) > n_points:
            return np.sum(terms) - row.posterior.kl(row.out[None])[0], error
        step /= 2


@functools.lru_cache(maxsize=8)
def noise(K, step):
    """A lattice step · index of ε, as index (M, K), and its weights N(ε; 0, I) step^K, (M,)."""
    ticks = np.arange(-(NOISE_RADIUS // step), NOISE_RADIUS // step + 1, dtype=int)
    index = box([ticks] * K)
    index = index[np.linalg.norm(step * index, axis=1) <= NOISE_RADIUS]
    return index, np.exp(PRIOR.log_prob(step * index)) * step**K


# ---- one row after the other -----------------------------------------------------------------------------------------


class Row:
    """One x, with what its integrals are made of, in float64: `out` are the parameters of its q, the encoder's if None.

    log_px_z, log_joint : functions of any number of points z (M, K)   return (M,), nats
    """

    def __init__(self, model, x, out=None):
        self.model, self.posterior, self.K = model, model._posterior, model.n_components
        self.P = model.params(model.theta_.astype(np.float64))
        self.x = np.tile(x.astype(np.float64), (AT_ONCE, 1))
        self.out = model.encoded(self.P, self.x[:1])[0] if out is None else out

    @FAR_OUT
    def log_px_z(self, z):
        """log p(x|z)"""
        return np.concatenate([self.model.log_px_z(self.P, x, z) for x, z in self._blocks(z)])

    @FAR_OUT
    def log_px_z_dz(self, z):
        """log p(x|z), and its derivative by z, (M, K)"""
        values, slopes = zip(*[self.model.log_px_z_dz(self.P, x, z) for x, z in self._blocks(z)])
        return np.concatenate(values), np.concatenate(slopes)

    def log_joint(self, z):
        """log p(x|z) p(z)"""
        return self.log_px_z(z) + PRIOR.log_prob(z)

    def _blocks(self, z):
        for start in range(0, len(z), AT_ONCE):
            block = z[start:start + AT_ONCE]
            yield self.x[:len(block)], block


def each_row(function, model, X, out, tol, n_points, rng, workers):
    """What function(Row, tol, n_points) returns for every row of X: its numbers in columns, (N,) each."""
    tol, n_points = _check_effort(model, tol, n_points)
    with ordered_map(workers) as mapping:
        rows = chain.from_iterable(_observed(model, X, rng))
        if out is None:
            outs = repeat(None)
        else:
            outs = check_matrix("out", out, model._posterior.n_outputs(model.n_components), "q").astype(np.float64)
            if len(outs) != len(X):
                raise ValueError(f"out must have a row for each row of X: expected {len(X)}, got {len(outs)}")
        call = functools.partial(_call, function, without_training(model), tol, n_points)
        return np.array(list(mapping(call, zip(rows, outs)))).T


def _call(function, model, tol, n_points, task):
    return function(Row(model, *task), tol, n_points)


def _check_effort(model, tol, n_points):
    K = model.n_components
    return check_number("tol", tol, 0), 2 ** (9 + 3 * K) if n_points is None else check_int("n_points", n_points)


def _one_row(model, x, rng):
    x = np.asarray(x)
    if x.ndim != 1:
        raise ValueError(f"x must be one row, (D,), got shape {x.shape}")
    [[x]] = _observed(model, x[None], rng)
    return Row(model, x)


def _observed(model, X, rng):
    if model.n_components > 3:
        raise ValueError(f"a grid over z needs n_components of 1 to 3, got {model.n_components}; use "
                         "importance_sampling or annealed_importance_sampling")
    return model.observed(X, check_rng(rng))
