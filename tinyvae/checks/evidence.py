"""What a diagnosis is made from: a function, its gradient in numbers, and slopes measured in one of its blocks."""
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np

from .slopes import BARS, EPS, measured_slope

N_DIRECTIONS = 5                  # a wrong hypothesis fits five random slopes within 1e-6 of their size by no chance
MANY_TERMS = 4                    # of more terms than these, each is tried alone
RELATIVE, SHARE = 1e-6, 1e-3      # by how much a slope may be missed: of the slopes, and of the residual


class Diagnosis(NamedTuple):
    """What a wrong gradient is, as data and in words."""
    key: str                      # one of those in `mistakes.DIAGNOSES`
    sentence: str                 # to be read after the block's name
    factor: float = np.nan        # by which a block or a term is multiplied


@dataclass(frozen=True)
class Case:
    """A function and its gradient at one point, all flat. f, grad and terms are called as f(θ, *noise)."""
    f: Callable
    grad: Callable
    theta: np.ndarray
    gradient: np.ndarray          # what the first call of grad returned
    again: np.ndarray             # and the second, at the same θ
    blocks: dict                  # name → places in θ, an array of the block's shape
    terms: dict                   # name → function, of which f is the sum
    noise: tuple = ()             # of one array or none

    def value(self, theta):
        """f at θ, on a copy."""
        return self.f(theta.copy(), *self.noise)

    def moved(self, theta=None, noise=None):
        """The same functions at another θ, or under other noise."""
        theta, noise = self.theta if theta is None else theta, self.noise if noise is None else noise
        with np.errstate(all="ignore"):
            gradient, again = (np.array(self.grad(theta.copy(), *noise), float) for _ in range(2))
        return replace(self, theta=theta, noise=noise, gradient=gradient, again=again)


class Witness:
    """Slopes of f along random unit directions in one block, or in a part of it.

    If the vector h is the derivative of f there, ⟨h, v⟩ = d/dt f(θ + t v) at t = 0 for every direction v: a handful of
    slopes decide between all hypotheses about h, whatever the block's size.
    """

    def __init__(self, case, where, rng, n_directions=N_DIRECTIONS):
        self.case, self.where = case, where
        self.gradient = case.gradient[where]
        self.directions = rng.standard_normal((min(n_directions, where.size), where.size))
        self.directions /= np.linalg.norm(self.directions, axis=1, keepdims=True)
        measured = [self._slope(case.f, where, v) for v in self.directions]
        self.slopes, self.bars = np.array([slope.value for slope in measured]), np.array([s.bar for s in measured])
        self.analytic = self.along(self.gradient)

    def along(self, h):
        """⟨h, v⟩ for every direction."""
        return self.directions @ np.ravel(h)

    def fits(self, analytic, slopes=None):
        """Whether these are the slopes of f (or those that are given). A small residual is to be explained, too."""
        slopes = self.slopes if slopes is None else slopes
        size, residual = np.max(np.abs(slopes)), np.max(np.abs(self.analytic - self.slopes))
        allowed = np.maximum(BARS * self.bars, min(RELATIVE * size, SHARE * residual) if residual else RELATIVE * size)
        return bool(np.all(np.abs(analytic - slopes) <= allowed))

    @property
    def is_right(self):
        """Whether the gradient itself fits. The share of 1e-9 is for experiments, where slopes may be huge."""
        return bool(np.all(np.abs(self.analytic - self.slopes) <= BARS * self.bars + 1e-9 * np.abs(self.slopes).max()))

    @cached_property
    def terms(self):
        """name → slopes of that term of the loss."""
        return {name: self.of(term) for name, term in self.case.terms.items()}

    @cached_property
    def acting(self):
        """The names of those terms that have a slope here; none where f is one term."""
        blur = BARS * self.bars.max()
        return [name for name, part in self.terms.items() if len(self.terms) > 1 and np.abs(part).max() > blur]

    @cached_property
    def parts(self):
        """Slopes of single terms, and of two or more of them together (not of all), by their names."""
        sizes = range(1, len(self.terms)) if len(self.acting) <= MANY_TERMS else [1]
        return {chosen: sum(self.terms[name] for name in chosen)
                for n in sizes for chosen in combinations(self.acting, n)}

    def of(self, term, where=None, reorder=None):
        """Slopes of a term along the same directions, reordered, or laid into another block."""
        where = self.where if where is None else where
        reorder = reorder or np.ravel
        return np.array([self._slope(term, where, reorder(v.reshape(self.where.shape))).value for v in self.directions])

    @cached_property
    def derivative(self):
        """The whole derivative, entry by entry: for small blocks."""
        return np.array([self._slope(self.case.f, self.where, v).value for v in np.eye(self.where.size)])

    def _slope(self, f, where, v):
        case = self.case

        def along(t):
            theta = case.theta.copy()
            theta[where.ravel()] += t * np.ravel(v)
            return f(theta, *case.noise)

        return measured_slope(along, noise=EPS * np.linalg.norm(self.gradient * case.theta[self.where]))
