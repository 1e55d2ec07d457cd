"""The proof of the VAE family's gradients, at any size:   python -m tests.campaigns.vaes --models 3240

Every model is one of the product of all that can be combined,

    posterior × likelihood × bound × activation × 1, 2 or 3 layers × draws of z × β,

with random widths, weights, biases and noise, and gradient="pathwise", which is exact for the noise that it is given.
Each block of its gradient is held against the complex step, entry by entry.
"""
import itertools
from typing import NamedTuple

from tests.campaigns.gradients import prove_product, random_vae, run
from tinyvae.bounds import OBJECTIVES
from tinyvae.ops import ACTIVATIONS
from tinyvae.vae import POSTERIORS

LIKELIHOODS = {"sd fixed": {"likelihood": "gaussian", "sd": 0.7}, "sd learned": {"likelihood": "gaussian", "sd": None},
               **{name: {"likelihood": name} for name in ("bernoulli", "gaussian_diagonal", "gaussian_full")}}


class Combination(NamedTuple):
    """One of the product; `likelihood` is a key of the table above, `depth` the layers of each of the two networks."""
    posterior: str
    likelihood: str
    objective: str
    activation: str
    depth: int
    n_samples: int
    beta: float


def combinations():
    """All of them."""
    product = itertools.product(POSTERIORS, LIKELIHOODS, OBJECTIVES, ACTIVATIONS, [1, 2, 3], [1, 2, 5], [0.0, 1.0, 1.7])
    return [Combination(*c) for c in product]


def member(rng, combination, widest=5):
    """An untrained model of this combination, and a batch with its noise."""
    options = combination._asdict()
    options |= LIKELIHOODS[options.pop("likelihood")]
    K, *hidden = (int(width) for width in rng.integers(1, widest + 1, size=options.pop("depth")))
    return random_vae(rng, n_components=K, hidden=tuple(hidden), **options)


def main(n_models, seed):
    return prove_product(combinations(), member, lambda c: f"{c.objective}, {c.posterior}, {c.likelihood}", n_models,
                         seed)


if __name__ == "__main__":
    run(main, __doc__.splitlines()[0])
