"""Integrals that no model computes, so that a model's own can be held against them.

All by the trapezoidal rule, which for what decays on both sides converges faster than any power of its step. Every
error bar is what halving the number of points changes.
"""
from typing import NamedTuple

import numpy as np

LOG_2PI = float(np.log(2 * np.pi))
POINTS = {1: 2001, 2: 129}               # an axis, in one and two dimensions; odd, so that every other one is a grid
COARSE = {1: 501, 2: 33}                 # to look where an integrand is
AT_ONCE = 1 << 20                        # numbers in one call of a model's function


def log_normal(z):
    """log N(z; 0, I) over the last axis."""
    return -np.sum(z * z + LOG_2PI, axis=-1) / 2


def grid(low, high, n):
    """A regular grid over a box: points (n^K, K), the weight of each, and the weights for every other point alone."""
    def product(axes):
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(low))

    cell = np.prod((high - low) / (n - 1))
    every_other = np.where(np.arange(n) % 2 == 0, 2.0, 0.0)
    return product(np.linspace(low, high, n).T), cell, cell * np.prod(product([every_other] * len(low)), axis=1)


def log_integral(f, centre, half):
    """log ∫ exp f in one or two dimensions, and its error bar.        f: (n, K) → (n,)

    A box, centre ± half at first, grows and shrinks to where f is within 35 of its top; then a fine grid measures.
    """
    K, low, high = len(centre), centre - half, centre + half
    for _ in range(8):
        points, _, _ = grid(low, high, COARSE[K])
        values, width = f(points), high - low
        step = width / (COARSE[K] - 1)
        there = points[values > np.max(values) - 35]
        left, right = there.min(axis=0), there.max(axis=0)
        low, high = (left - np.where(left < low + step / 2, width, step),
                     right + np.where(right > high - step / 2, width, step))
        if np.all(np.abs(np.log2((high - low) / width)) < 1):
            break
    points, fine, coarse = grid(low, high, POINTS[K])
    values = f(points)
    scaled = np.exp(values - np.max(values))
    value = np.log(fine * np.sum(scaled))
    return float(np.max(values) + value), float(abs(value - np.log(coarse @ scaled)))


class Law(NamedTuple):
    """z = mean + L eps: what a sampler makes of standard normal noise, for each of B rows."""
    mean: np.ndarray                     # (B, K)
    L: np.ndarray                        # (B, K, K)
    bend: float                          # the largest distance of z from such a law, relative to its size

    @property
    def K(self):
        """The number of latents."""
        return self.mean.shape[1]

    @property
    def sd(self):
        """The diagonal of L, (B, K)."""
        return np.abs(np.diagonal(self.L, axis1=1, axis2=2))

    def at(self, eps):
        """eps (n, K)   returns z (n, B, K)"""
        return self.mean + np.einsum("bkj,nj->nbk", self.L, eps)

    def log_density(self, z):
        """log of the density of this law.        z (n, B, K)   returns (n, B), nats"""
        white = np.linalg.solve(self.L, (z - self.mean)[..., None])[..., 0]
        return log_normal(white) - np.linalg.slogdet(self.L)[1]

    def expectation(self, g):
        """E g(z) of every row, (B,), and its error bars.        g: z (n, B, K) → (n, B)"""
        eps, fine, coarse = grid(np.full(self.K, -8.5), np.full(self.K, 8.5), POINTS[self.K])
        density, values = np.exp(log_normal(eps)), g(self.at(eps))
        value = fine * (density @ values)
        return value, np.abs(value - (coarse * density) @ values)


def sampler_law(draw, x, K, rng):
    """The Law of draw(x, eps), from its values at eps = 0, the unit vectors, and some others to confirm it."""
    mean = draw(x, np.zeros((len(x), K)))
    steps = [np.tile(unit, (len(x), 1)) for unit in np.eye(K)]
    L = np.stack([(draw(x, step) - draw(x, -step)) / 2 for step in steps], axis=2)
    noise = 2 * rng.standard_normal((4, *mean.shape))
    bend = np.max([np.abs(draw(x, eps) - mean - np.einsum("bkj,bj->bk", L, eps)) for eps in noise])
    return Law(mean, L, float(bend / (1 + np.max(np.abs(mean)) + np.max(np.abs(L)))))


def paired(f, x, z):
    """f(x_b, z_nb) of rows x (B, D) with points z (n, B, K), in parts.        returns (n, B)"""
    part = max(1, AT_ONCE // x.size)
    return np.concatenate([f(np.tile(x, (len(some), 1)), some.reshape(-1, z.shape[2])).reshape(-1, len(x))
                           for some in (z[i:i + part] for i in range(0, len(z), part))])
