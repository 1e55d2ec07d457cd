"""The proof of every gradient, at any size:   python -m tests.campaigns.gradients --models 2000

Models are drawn at random (widths, depth, batch, activation, loss or likelihood, tied or not, β), with random weights and biases, and
each block of each gradient is held against two derivatives that share nothing with backpropagation:

    complex step      Im f(θ + i h e_k) / h, entry by entry
    Ridders           along a random direction, within its own error bar (`tinyvae.check_gradient`)

The suite runs a small sample of `prove`; this module runs as many as it is asked for and prints the worst residual of every block.
"""
import argparse
from typing import NamedTuple

import numpy as np

from tinyvae import VAE, Autoencoder, check_gradient
from tinyvae.ops import ACTIVATIONS
from tinyvae.params import size, slices, views
from tinyvae.vae import LIKELIHOODS

# Both derivatives are exact but for rounding, so a residual is a few eps = 2.2e-16 times what is added up in a block. 1e-13 leaves a
# factor of 450 for that; an error of 1 % in one row of one entry shows as 1e-3.
TOL = 1e-13


class Problem(NamedTuple):
    """An untrained model with random θ, and what its forward pass takes: (x,) or (x, eps)."""
    model: object
    args: tuple


def random_problem(rng):
    return (random_autoencoder if rng.random() < 0.4 else random_vae)(rng)


def random_autoencoder(rng, **fixed):
    loss = pick(rng, ["squared", "bernoulli"])
    output = pick(rng, ACTIVATIONS) if loss == "squared" else "identity"
    options = {**_any_network(rng), "loss": loss, "output_activation": output, "tied": bool(rng.integers(2)), **fixed}
    model, x = _untrained(Autoencoder(**options), rng, binary=options["loss"] == "bernoulli")
    return Problem(model, (x,))


def random_vae(rng, **fixed):
    likelihood = fixed.get("likelihood", pick(rng, LIKELIHOODS))
    sd = rng.uniform(0.3, 2) if likelihood == "gaussian" and rng.random() < 0.5 else None
    options = {**_any_network(rng), "likelihood": likelihood, "sd": sd, "beta": pick(rng, [0.0, 1.0, rng.uniform(0.1, 4)]), **fixed}
    model, x = _untrained(VAE(**options), rng, binary=likelihood == "bernoulli")
    return Problem(model, (x, rng.standard_normal((len(x), model.n_components))))


def pick(rng, choices):
    choices = list(choices)
    return choices[rng.integers(len(choices))]


def _any_network(rng):
    hidden = tuple(int(width) for width in rng.integers(1, 7, size=rng.integers(4)))
    return {"n_components": int(rng.integers(1, 5)), "hidden": hidden, "activation": pick(rng, ACTIVATIONS)}


def _untrained(model, rng, binary):
    """The model with random weights *and biases*, since zeros would hide a bias that is lost on the way; and a batch for it."""
    B, D = rng.integers(1, 9, size=2)
    x = (rng.random((B, D)) < 0.5).astype(float) if binary else rng.standard_normal((B, D))
    model.set_params(n_epochs=0).fit(x)
    for view in model.parameters_.values():
        view[:] = rng.standard_normal(view.shape) / np.sqrt(len(view) if view.ndim == 2 else 2)
    return Problem(model, x)


# ---- the loss and its gradient as functions of the flat vector ----------------------------------------------------------


def loss(model, args, theta):
    P = model.params(theta)
    return model.mean_loss(P, model.forward(P, *args))


def gradient(model, args, theta=None):
    """By backpropagation; what it left unwritten would be NaN."""
    theta = model.theta_ if theta is None else theta
    P, grad = model.params(theta), np.full_like(theta, np.nan)
    model.backward(P, model.forward(P, *args), model.params(grad))
    return grad


def complex_gradient(f, theta, h=1e-30):
    """Im f(θ + i h e_k) / h for every k: nothing is subtracted, so h may be tiny and the result exact to rounding."""
    result, nudged = np.empty(theta.size), theta.astype(complex)
    for k in range(theta.size):
        nudged[k] += 1j * h
        result[k] = np.imag(f(nudged)) / h
        nudged[k] = theta[k]
    return result


# ---- the proof ----------------------------------------------------------------------------------------------------------


def blocks(model):
    return slices(model._shapes(model.n_features_in_))


def residuals(problem):
    """{block: largest |backpropagation − complex step|, relative to the block's largest entry}; a block of zeros must be zeros."""
    model, args = problem
    analytic = gradient(model, args)
    exact = complex_gradient(lambda theta: loss(model, args, theta), model.theta_)
    return {name: _relative(analytic[place], exact[place]) for name, place in blocks(model).items()}


def _relative(a, b):
    error, scale = np.max(np.abs(a - b)), np.max(np.abs(b))
    return error / scale if scale else np.inf * error if error else 0.0


def report_by_ridders(problem, rng):
    """`check_gradient` on every block along a random direction."""
    model, args = problem
    return check_gradient(lambda theta: loss(model, args, theta), lambda theta: gradient(model, args, theta), model.theta_,
                          blocks(model), rng)
