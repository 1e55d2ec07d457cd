"""log p(x) by annealing: chains that walk between the prior and the posterior, through distributions that are close.

    log f_β(z) = log p(z) + β log p(x|z):   the prior at β = 0, p(x) times the posterior at β = 1

Upwards the mean weight is p(x); down from an exact posterior sample it is 1 / p(x). By Jensen's inequality the one
logarithm lies below log p(x) in expectation, the other above. The encoder has no part in it.
Source: Neal 2001; for the way back Grosse et al. 2015; for decoders Wu, Burda, Salakhutdinov and Grosse 2017.
"""
import functools
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..distributions import PRIOR
from ..validation import check_int, check_matrix, check_rng
from .tasks import Estimate, estimate, ordered_map, spawn

AT_ONCE = 2048                                          # chains of one task, all its rows together
PILOTS, ACCEPTANCE, ADAPTATION = 4, 0.65, 0.2           # chains that tune the step size of a row, and what they aim at


def annealed_importance_sampling(model, X, n_chains=16, n_temperatures=500, n_leapfrog=10, *, rng=None, workers=None,
                                 verbose=0):
    """log p(x) of every row from below, by chains from the prior to the posterior.   [CV.1]

        log 1/C Σ_c w_c,   log w = Σ_t (β_t − β_{t−1}) log p(x|z_t),   z_1 ~ p(z),   z_{t+1} from z_t by HMC at β_t

    X (N, D)   returns an Estimate, whose exponential is unbiased for p(x)
    n_chains       : C, for each row
    n_temperatures : T, the number of steps from β_0 = 0 to β_T = 1; with T = 1 this is `prior_monte_carlo`
    n_leapfrog     : gradients of log p(x|z) in each transition
    rng, workers and verbose as in `importance_sampling`: all rows share their noise, which makes a mean over rows
                     hardly more certain than one of them; each has its own step sizes.
    Source: Neal 2001.
    """
    return _annealed(model, X, None, n_chains, n_temperatures, n_leapfrog, rng, workers, verbose)


def reverse_annealed_importance_sampling(model, X, Z, n_chains=16, n_temperatures=500, n_leapfrog=10, *, rng=None,
                                         workers=None, verbose=0):
    """log p(x) of simulated rows from above, by chains from an exact posterior sample to the prior.   [CV.1]

        −log 1/C Σ_c w_c,   log w = Σ_t (β_{t−1} − β_t) log p(x|z_t),   z_T = z,   z_{t−1} from z_t by HMC at β_{t−1}

    X (N, D), Z (N, K) : pairs z ~ p(z), x ~ p(x|z), which makes z a draw from p(z|x). X is in the units of data, as for
                         every other function: a simulated x divided by input_scale
    Returns an Estimate. All chains of a row start at the same z: the standard error, that given z, is too small.
    All other parameters as in `annealed_importance_sampling`. Source: Grosse, Ghahramani and Adams 2015.
    """
    X = model._check_input(X)
    Z = check_matrix("Z", Z, model.n_components, type(model).__name__)
    if len(Z) != len(X):
        raise ValueError(f"Z must have a row for each row of X: expected {len(X)}, got {len(Z)}")
    value, standard_error = _annealed(model, X, Z, n_chains, n_temperatures, n_leapfrog, rng, workers, verbose)
    return Estimate(-value, standard_error)


def schedule(T):
    """β_0 = 0 … β_T = 1 along a sigmoid, slowest at both ends.   Source: Wu et al. 2017.        returns (T + 1,)"""
    s = 1 / (1 + np.exp(-np.linspace(-4, 4, T + 1)))
    return (s - s[0]) / (s[-1] - s[0])


def _annealed(model, X, Z, n_chains, n_temperatures, n_leapfrog, rng, workers, verbose):
    check_int("n_chains", n_chains)
    check_int("n_temperatures", n_temperatures)
    check_int("n_leapfrog", n_leapfrog)
    with ordered_map(workers) as mapping:
        rng = check_rng(rng)
        chunks = model.observed(X, rng)
        seeds = spawn(rng, 2)
        tasks = ((x, z, *seeds) for x, z in _paired(chunks, Z, max(1, AT_ONCE // n_chains)))
        log_weights = functools.partial(_log_weights, n_chains, schedule(n_temperatures), n_leapfrog)
        return estimate(mapping, log_weights, model, tasks, n_weights=n_chains, n_rows=len(X), verbose=verbose)


def _paired(chunks, Z, size):
    """Some rows of x at a time, and those of Z that belong to them, or None."""
    done = 0
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            x = chunk[start:start + size]
            yield x, None if Z is None else Z[done:done + len(x)].astype(x.dtype)
            done += len(x)


def _log_weights(n_chains, betas, n_leapfrog, model, x, z, pilot_seed, seed):
    """Of the way up from the prior, or down from z: (n_chains, B) in float64."""
    with np.errstate(over="ignore", invalid="ignore"):          # too large a step flies off to infinity: it is rejected
        step_sizes = tuned_step_sizes(Chains(model, x, PILOTS, n_leapfrog, pilot_seed), betas)
        chains = Chains(model, x, n_chains, n_leapfrog, seed)
        if z is None:
            return anneal(chains, chains.normal(), betas, step_sizes)
        return anneal(chains, np.tile(z, (n_chains, 1)), betas[::-1], step_sizes[::-1])


def anneal(chains, z, betas, step_sizes):
    """log w = Σ_t (β_{t+1} − β_t) log p(x|z_t), with a transition at every β between the first and the last.

    z (C B, K); betas (T + 1,), up or down; step_sizes (T − 1, B)   returns (C, B)
    """
    state = chains.at(z)
    log_w = (betas[1] - betas[0]) * state.log_px_z
    for (beta, next_beta), step_size in zip(pairwise(betas[1:]), step_sizes):
        state, _ = chains.transition(state, beta, step_size)
        log_w += (next_beta - beta) * state.log_px_z
    return log_w.reshape(chains.shape)


def tuned_step_sizes(pilots, betas):
    """A step size for each row at each β between 0 and 1, (T − 1, B), aiming at an acceptance of 0.65.

    For the chains that will use them they are constants, found by others with other noise: a step size that followed
    its own chain would not leave f_β invariant. The factor ½ … 1 keeps trajectories from closing after a full turn.
    """
    state, largest, step_sizes = pilots.at(pilots.normal()), np.full(pilots.shape[1], 0.5), []
    for beta in betas[1:-1]:
        step_sizes.append(pilots.rng.uniform(0.5, 1) * largest)
        state, acceptance = pilots.transition(state, beta, step_sizes[-1])
        largest = largest * np.exp(ADAPTATION * (acceptance.reshape(pilots.shape).mean(axis=0) - ACCEPTANCE))
    return np.array(step_sizes)


# ---- Hamiltonian Monte Carlo -----------------------------------------------------------------------------------------


class State(NamedTuple):
    """Where M chains are, and log p(x|z) there with its derivative by z: (M, K), (M,) in float64, (M, K)."""
    z: np.ndarray
    log_px_z: np.ndarray
    d_log_px_z: np.ndarray

    def log_f(self, beta):
        """log p(z) + β log p(x|z), (M,)"""
        return PRIOR.log_prob(self.z).astype(np.float64) + beta * self.log_px_z

    def log_f_dz(self, beta):
        """−z + β d log p(x|z) / dz, (M, K)"""
        return self.z.dtype.type(beta) * self.d_log_px_z - self.z


class Chains:
    """C chains for each row of x (B, D), M = C B in one axis; their noise knows nothing of the rows."""

    def __init__(self, model, x, n_chains, n_leapfrog, seed):
        self.model, self.P, self.x = model, model.params(), np.tile(x, (n_chains, 1))
        self.shape, self.n_leapfrog, self.rng = (n_chains, len(x)), n_leapfrog, np.random.default_rng(seed)

    def at(self, z):
        """The State at z (M, K)."""
        log_px_z, d_log_px_z = self.model.log_px_z_dz(self.P, self.x, z)
        return State(z, log_px_z.astype(np.float64), d_log_px_z)

    def normal(self):
        """(M, K) from N(0, I), the same for every row."""
        noise = self.rng.standard_normal((self.shape[0], self.model.n_components)).astype(self.x.dtype)
        return np.repeat(noise, self.shape[1], axis=0)

    def transition(self, state, beta, step_size):
        """HMC, which leaves f_β invariant: a fresh momentum p, a trajectory, accepted by Metropolis' rule.

            accept with probability min(1, f_β(z') N(p') / (f_β(z) N(p)))

        step_size (B,)   returns the State afterwards and these probabilities (M,). Source: Neal 2011, section 3.2.
        """
        momentum = self.normal()
        step = np.tile(step_size, self.shape[0]).astype(momentum.dtype)[:, None]
        end, end_momentum = leapfrog(self.at, state, momentum, beta, step, self.n_leapfrog)
        log_ratio = (end.log_f(beta) + PRIOR.log_prob(end_momentum)) - (state.log_f(beta) + PRIOR.log_prob(momentum))
        probability = np.where(np.isnan(log_ratio), 0, np.exp(np.minimum(log_ratio, 0)))
        accepted = np.repeat(self.rng.random(self.shape[0]), self.shape[1]) < probability
        return State(*(np.where(accepted if new.ndim == 1 else accepted[:, None], new, old)
                       for new, old in zip(end, state))), probability


def leapfrog(at, state, momentum, beta, step, n_steps):
    """Hamilton's equations for the energy −log f_β(z) + ½‖p‖²: half a kick, a drift, half a kick, n_steps times.

        p ← p + ½ ε d log f / dz        z ← z + ε p        p ← p + ½ ε d log f / dz

    It keeps volumes, and from (z', −p') it comes back to (z, −p). Source: Neal 2011, section 2.3.
    at : z → State        step (M, 1)   returns the last State and momentum
    """
    for _ in range(n_steps):
        momentum = momentum + step / 2 * state.log_f_dz(beta)
        state = at(state.z + step * momentum)
        momentum = momentum + step / 2 * state.log_f_dz(beta)
    return state, momentum
