"""The trapezoid rule where the mass is: a lattice that is refined and extended only around the peaks of its integrand.

For a smooth f that vanishes at infinity the trapezoid rule is the sum of f over a lattice times the volume of a cell,
and its error falls faster than any power of the step. In 2 and 3 dimensions most of a box is empty. Here a coarse
lattice over the prior finds where f is, each axis is halved until every other point would have given the same sum, and
only points near the peaks are ever computed.   Source: Trefethen and Weideman 2014, section 5.
"""
import bisect
from typing import NamedTuple

import numpy as np

from ..ops import log_sum_exp, softmax

DEPTH = 36.0                                    # nats below the peak: e^−36 = 2e-16 of it is nothing in float64
ROUGH = 2.0                                     # nats from a point to the next, in the mean: the peaks are not resolved
RADIUS = 6.0                                    # of the first lattice, in standard deviations of the prior
FIRST_STEP = {1: 0.1, 2: 0.35, 3: 0.7}          # at most
NARROW = 0.16                                   # the least variance, in steps, that a sum over a lattice can measure
LEAST = -1e300                                  # stands for log 0, so that differences stay finite


class Lattice(NamedTuple):
    """The points z = centre + frame index, and log f there. A mean under f is weights @ g(points)."""
    centre: np.ndarray     # (K,)
    frame: np.ndarray      # (K, K), the step along each axis as a column
    index: np.ndarray      # (M, K), integers
    log_f: np.ndarray      # (M,)

    @property
    def points(self):
        """z, (M, K)"""
        return self.centre + self.index @ self.frame.T

    @property
    def weights(self):
        """f at the points, made to sum to 1, (M,)"""
        f = np.exp(self.log_f - np.max(self.log_f))
        return f / np.sum(f)

    def log_integral(self):
        """log ∫ f dz ≈ log Σ f(z_m) + log |det frame|"""
        return float(log_sum_exp(self.log_f, axis=0) + np.linalg.slogdet(self.frame)[1])

    def moments(self):
        """Mean (K,) and covariance (K, K) of the density f / ∫ f."""
        return moments(self.points, self.weights)

    def peak(self):
        """The highest point (K,), and two steps along each axis as a covariance (K, K): about how wide a peak is."""
        return self.points[np.argmax(self.log_f)], 4 * self.frame @ self.frame.T


def integrate(log_f, centre, covariance, tol, n_points):
    """∫ f over R^K, K ≤ 3, by about `n_points` evaluations of log_f(z (M, K)) → (M,) at most.

    centre (K,), covariance (K, K) : roughly where f is, how wide, and along which axes
    returns a Lattice and the error of its log_integral, which is below `tol` where the points sufficed, and infinite
    where they did not even resolve the peaks
    """
    K = len(centre)
    variance, axes = np.linalg.eigh(covariance)
    sd = np.sqrt(variance)
    frame = axes * 0.4 * sd * 2 ** np.maximum(0, np.floor(np.log2(FIRST_STEP[K] / (0.4 * sd))))
    lattice, wanted, found = Lattice(centre, frame, np.zeros((0, K), int), np.zeros(0)), _first(centre, frame), None
    while found is None or _count_new(lattice, wanted) <= n_points:
        n_points -= _count_new(lattice, wanted)
        found = lattice = _moved(log_f, lattice, wanted)
        active, rough = _assess(lattice)
        wanted = _with_neighbours(lattice.index[active])
        error, halve = np.inf, rough                           # first until the peaks are resolved
        if not rough.any():
            if _count_new(lattice, wanted):
                continue                                       # then grow to where f vanishes
            rounding = 4 * np.finfo(float).eps * abs(np.max(lattice.log_f))
            errors = halving_errors(lattice.index, lattice.weights)
            error, goal = np.sum(errors) + rounding, max(tol, 2 * rounding)
            if error <= goal:
                break
            halve = errors > goal / (4 * K)                    # and then until the error is small
        if np.max(np.abs(lattice.index)) >= 2 ** (62 // K - 2):
            break                                              # _keys would no longer tell the points apart
        lattice = lattice._replace(frame=np.where(halve, lattice.frame / 2, lattice.frame),
                                   index=np.where(halve, lattice.index * 2, lattice.index))
        wanted = _with_neighbours(lattice.index[active])
    return found, float(error)


def _count_new(lattice, wanted):
    return np.sum(~_found(lattice.index, wanted)[0])


def _moved(log_f, lattice, wanted):
    """The lattice at the `wanted` points; what it knows is not computed again."""
    known, place = _found(lattice.index, wanted)
    value = np.empty(len(wanted))
    value[known] = lattice.log_f[place[known]]
    value[~known] = np.fmax(log_f(lattice.centre + wanted[~known] @ lattice.frame.T), LEAST)
    return lattice._replace(index=wanted, log_f=value)


def _assess(lattice):
    """Which points to keep, (M,), and which axes are too rough, (K,).

    A point stays if log f there, raised along each axis by half of its largest change to a neighbour, comes within
    DEPTH of the largest. A parabola rises by at most a quarter of that change between points: a peak much narrower
    than the step shows by the slopes around it.
    """
    index, value = lattice.index, lattice.log_f
    weights, may_rise, rough = lattice.weights, np.zeros(len(value)), np.zeros(index.shape[1], bool)
    for k, step in enumerate(np.eye(index.shape[1], dtype=int)):
        here, next_to = _found(index, index + step)
        next_to = next_to[here]
        change = np.abs(value[next_to] - value[here])
        largest = np.zeros(len(value))
        largest[here] = change
        largest[next_to] = np.maximum(largest[next_to], change)
        may_rise += largest / 2
        rough[k] = np.sum((weights[here] + weights[next_to]) / 2 * change) > ROUGH
    return value + may_rise >= np.max(value) - DEPTH, rough


def halving_errors(index, terms):
    """How far a sum over a lattice is from the integral along each axis, told by what it loses with every other point.

    With every other point it is off by a_2, with every fourth by a_4, whichever they start from. For a smooth integrand
    a_2 is a_4² or less, and the full sum is off by less still: a_2 is taken. At kinks every halving of the step brings
    only about a factor of 4, and a_2 may be small by accident: there a_4 / 8 is taken where it is more.
    index (M, K), terms (M,)   returns (K,), in units of the terms
    """
    scale = np.sum(np.abs(terms))

    def off(phase, every):
        return np.max(np.abs(every * np.bincount(phase % every, terms, every) - np.sum(terms))) / scale

    a2, a4 = np.array([[off(phase, every) for phase in index.T] for every in (2, 4)])
    has_kinks = np.any(a2 > np.maximum(a4**2, 1e-13))
    return scale * (np.maximum(a2, a4 / 8) if has_kinks else a2)


# ---- sets of indices: rows of integers, sorted by one key each -------------------------------------------------------


def _keys(index):
    """One integer for each row, in the order of the last column first."""
    K = index.shape[1]
    return index @ 2 ** (62 // K * np.arange(K))


def _found(index, wanted):
    """Which rows of `wanted` are among the sorted rows of `index`, and where."""
    keys, wanted = _keys(index), _keys(wanted)
    place = np.searchsorted(keys, wanted)
    here = place < len(keys)
    here[here] = keys[place[here]] == wanted[here]
    return here, place


def _with_neighbours(index):
    """The rows of index and all 3^K − 1 neighbours of each, once and sorted."""
    for step in np.eye(index.shape[1], dtype=int):
        index = np.concatenate([index, index - step, index + step])
        index = index[np.unique(_keys(index), return_index=True)[1]]
    return index


def _first(centre, frame):
    """The index of the points within RADIUS of 0, and around the centre."""
    steps = np.linalg.norm(frame, axis=0)
    middle = -(frame / steps ** 2).T @ centre
    ticks = [np.arange(m - RADIUS // s - 2, m + RADIUS // s + 3, dtype=int) for m, s in zip(np.rint(middle), steps)]
    index = box(ticks)
    inside = np.linalg.norm(centre + index @ frame.T, axis=1) <= RADIUS
    return _with_neighbours(np.concatenate([index[inside], np.zeros((1, len(steps)), int)]))


# ---- roughly where f is, and how wide --------------------------------------------------------------------------------


def zoom(log_f, K):
    """Mean (K,) and covariance (K, K) of the density ∝ f(z), roughly, for an f near 0 and no wider than N(0, I).

    Lattices of 9^K points follow each other, each around the mean and along the axes that the last one found. Where f
    is too narrow for its points, or lies beside them, it is tempered: f^(1/T), T = 2^i the least that they can measure.
    """
    u = box([np.arange(-4.0, 5.0)] * K)
    centre, frame = np.zeros(K), np.eye(K)
    for _ in range(30):
        z = centre + u @ frame.T
        value = np.fmax(log_f(z), LEAST)

        def tempered(i):
            return moments(u, softmax(0.5**i * value[None])[0])

        def is_measured(i):
            mean, covariance = tempered(i)
            return np.max(np.abs(mean)) <= 2 and np.linalg.eigvalsh(covariance)[0] >= NARROW

        i = bisect.bisect_left(range(1024), True, key=is_measured)
        mean, covariance = tempered(i)
        centre, frame = centre + frame @ mean, frame @ np.linalg.cholesky(covariance)
        if i == 0 and np.max(np.abs(covariance - np.eye(K))) < 0.1:
            break
    return centre, frame @ frame.T


def moments(z, w):
    """Mean (K,) and covariance (K, K) of points z (M, K) with weights w (M,) of sum 1."""
    mean = w @ z
    return mean, (z - mean).T @ (w[:, None] * (z - mean))


def box(axes):
    """All points whose k-th coordinate is in axes[k]: (Π_k len(axes[k]), K), the last coordinate the fastest."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
