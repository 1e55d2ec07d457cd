"""The proof of the autoencoder family's gradients, at any size:   python -m tests.campaigns.autoencoders --models 2000

Every model is one of the product of all that can be combined,

    loss × activation × tied or not × 1, 2 or 3 layers × penalties × corruption,

with random widths, weights, biases, strengths and noise. Each block of its gradient is held against the complex step,
entry by entry, and the worst residual of every list of penalties is printed.
"""
import itertools
from typing import NamedTuple

import numpy as np

from tests.campaigns.gradients import Problem, pick, prove_product, run
from tinyvae import Autoencoder
from tinyvae.corruption import GaussianNoise, MaskingNoise, SaltAndPepper
from tinyvae.ops import ACTIVATIONS
from tinyvae.penalties import L1, Contractive, KLSparsity

LOSSES = "squared", "bernoulli"
PENALTIES = {
    "none": lambda lam: [],
    "L1": lambda lam: [L1(lam)],
    "smooth L1": lambda lam: [L1(lam, eps=0.01)],
    "KLSparsity": lambda lam: [KLSparsity(0.2, lam)],
    "Contractive": lambda lam: [Contractive(lam)],
    "L1 + Contractive": lambda lam: [L1(lam), Contractive(lam / 2)],
    "KLSparsity + Contractive": lambda lam: [KLSparsity(0.2, lam), Contractive(lam / 2)],
    "Contractive, L1, KLSparsity": lambda lam: [Contractive(lam), L1(lam / 2), KLSparsity(0.2, lam / 3)],
    "two Contractive": lambda lam: (Contractive(lam), Contractive(lam / 2)),
}
CORRUPTIONS = {"none": None, "Gaussian": GaussianNoise(0.5), "masking": MaskingNoise(0.3),
               "salt and pepper": SaltAndPepper(0.4)}


class Combination(NamedTuple):
    """One of the product; `penalties` and `corruption` are keys of the tables above."""
    loss: str
    activation: str
    tied: bool
    depth: int
    penalties: str
    corruption: str


def combinations():
    """All that the activations allow."""
    product = itertools.product(LOSSES, ACTIVATIONS, [False, True], [1, 2, 3], PENALTIES, CORRUPTIONS)
    return [c for c in map(Combination._make, product) if c.activation == "sigmoid" or "KL" not in c.penalties]


def member(rng, combination, widest=5, most_rows=6):
    """An untrained model of this combination, and a batch with its noise, where no pre-activation lies at a kink."""
    while True:
        problem = _any_member(rng, combination, widest, most_rows)
        if distance_to_kinks(problem) > 1e-6:
            return problem


def _any_member(rng, c, widest, most_rows):
    D, K, *hidden = (int(width) for width in rng.integers(1, widest + 1, size=c.depth + 1))
    model = Autoencoder(K, hidden=tuple(hidden), activation=c.activation, tied=c.tied, loss=c.loss,
                        output_activation=pick(rng, ACTIVATIONS) if c.loss == "squared" else "identity",
                        penalties=PENALTIES[c.penalties](rng.uniform(0.05, 2)), corruption=CORRUPTIONS[c.corruption],
                        n_epochs=0)
    shape = rng.integers(1, most_rows + 1), D
    x = rng.standard_normal(shape) if c.loss == "squared" else (rng.random(shape) < 0.5).astype(float)
    model.fit(x)
    for view in model.parameters_.values():                                 # biases too: zeros would hide a lost one
        view[:] = rng.standard_normal(view.shape) * np.sqrt(2 / (sum(view.shape) + 2))
    return Problem(model, (x,) if model.corruption is None else (x, model.corruption.draw(x, rng)))


def distance_to_kinks(problem):
    """The smallest pre-activation: relu and elu'' jump where it is 0, and so does the slope of |h| for most others."""
    model, args = problem
    P = model.params()
    t = model.forward(P, *args)
    passes = zip(P.encoder + P.decoder, t.encoder[:-1] + t.decoder[:-1])
    return min(np.min(np.abs(h @ W + b)) for (W, b), h in passes)


def main(n_models, seed):
    return prove_product(combinations(), member, lambda c: c.penalties, n_models, seed)


if __name__ == "__main__":
    run(main, __doc__.splitlines()[0])
