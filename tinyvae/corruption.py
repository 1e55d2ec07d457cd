"""Noise that a denoising autoencoder is trained to undo: x̃ = corrupt(x).   [DN.1]

`draw(x, rng)` draws the noise for a batch, `apply(x, noise)` corrupts it: with the noise kept, a check can repeat it.
Source: Vincent, Larochelle, Lajoie, Bengio and Manzagol 2010, section 3.3, for all three.
"""
from dataclasses import dataclass

import numpy as np

from .validation import check_number


@dataclass(frozen=True)
class GaussianNoise:
    """x̃ = x + sd ε, ε ~ N(0, I)"""
    sd: float

    def __post_init__(self):
        check_number("sd", self.sd, 0, open_low=True)

    def draw(self, x, rng):
        """sd ε, of the shape and dtype of x."""
        return x.dtype.type(self.sd) * rng.standard_normal(x.shape, x.dtype)

    def apply(self, x, noise):
        """x + noise"""
        return x + noise


@dataclass(frozen=True)
class MaskingNoise:
    """Every entry of x is set to 0 with probability p."""
    p: float

    def __post_init__(self):
        check_number("p", self.p, 0, 1)

    def draw(self, x, rng):
        """Which entries are lost: bool, of the shape of x."""
        return rng.random(x.shape, np.float32) < self.p

    def apply(self, x, noise):
        """x where nothing was lost, else 0"""
        return np.where(noise, x.dtype.type(0), x)


@dataclass(frozen=True)
class SaltAndPepper:
    """Every entry of x is set to 0 or to 1 with probability p / 2 each."""
    p: float

    def __post_init__(self):
        check_number("p", self.p, 0, 1)

    def draw(self, x, rng):
        """−1 where an entry is set to 0, 1 where it is set to 1, 0 where it is kept: int8, of the shape of x."""
        u = rng.random(x.shape, np.float32)
        return (u >= 1 - self.p / 2).astype(np.int8) - (u < self.p / 2).astype(np.int8)

    def apply(self, x, noise):
        """x where the noise is 0, else 0 or 1"""
        return np.where(noise == 0, x, (noise > 0).astype(x.dtype))


CORRUPTIONS = GaussianNoise, MaskingNoise, SaltAndPepper
