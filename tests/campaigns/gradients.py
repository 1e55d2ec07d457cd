"""The proof of every gradient, at any size:   python -m tests.campaigns.gradients --models 2000

Models are drawn at random (widths, depth, batch, activation; loss, tied or not; posterior, likelihood, bound, draws,
β), with random weights and biases, and each block of each gradient is held against two derivatives that share nothing
with backpropagation:

    complex step      Im f(θ + i h e_k) / h, entry by entry
    Ridders           along a random direction, within its own error bar (`tinyvae.check_gradient`)

The suite runs a small sample of `prove`; this module as many as it is asked for, and prints the worst residual of every
block.
"""
import argparse
import sys
from typing import NamedTuple

import numpy as np

from tinyvae import VAE, Autoencoder, check_gradient
from tinyvae.bounds import OBJECTIVES
from tinyvae.ops import ACTIVATIONS
from tinyvae.params import slices
from tinyvae.vae import LIKELIHOODS, POSTERIORS

# Both derivatives are exact but for rounding: a few eps = 2.2e-16 for every layer passed, times what cancels in a
# block. 1e-13 leaves a factor of 450 for all of it.
TOL = 1e-13


class Problem(NamedTuple):
    """An untrained model with random θ, and what its forward pass takes: (x,) or (x, eps), eps (B, K) or (S, B, K)."""
    model: object
    args: tuple


def random_problem(rng):
    return (random_autoencoder if rng.random() < 0.4 else random_vae)(rng)


def random_autoencoder(rng, **fixed):
    loss = fixed.get("loss", pick(rng, ["squared", "bernoulli"]))
    output = pick(rng, ACTIVATIONS) if loss == "squared" else "identity"
    options = {**_any_network(rng), "loss": loss, "output_activation": output, "tied": bool(rng.integers(2)), **fixed}
    model, x = _untrained(Autoencoder(**options), rng, binary=loss == "bernoulli")
    return Problem(model, (x,))


def random_vae(rng, **fixed):
    likelihood = fixed.get("likelihood", pick(rng, LIKELIHOODS))
    sd = rng.uniform(0.3, 2) if likelihood == "gaussian" and rng.random() < 0.5 else None
    beta = pick(rng, [0.0, 1.0, rng.uniform(0.1, 4)])
    options = {**_any_network(rng), "posterior": pick(rng, POSTERIORS), "likelihood": likelihood, "sd": sd,
               "objective": pick(rng, OBJECTIVES), "n_samples": int(rng.integers(1, 5)), "beta": beta, **fixed}
    model, x = _untrained(VAE(**options), rng, binary=likelihood == "bernoulli")
    S, shape = model.n_samples, (len(x), model.n_components)
    return Problem(model, (x, rng.standard_normal(shape if S == 1 else (S, *shape))))


def pick(rng, choices):
    choices = list(choices)
    return choices[rng.integers(len(choices))]


def _any_network(rng):
    hidden = tuple(int(width) for width in rng.integers(1, 7, size=rng.integers(4)))
    return {"n_components": int(rng.integers(1, 5)), "hidden": hidden, "activation": pick(rng, ACTIVATIONS)}


def _untrained(model, rng, binary):
    """The model with random weights *and biases*, since zeros would hide one that is lost; and a batch for it."""
    B, D = rng.integers(1, 9, size=2)
    x = (rng.random((B, D)) < 0.5).astype(float) if binary else rng.standard_normal((B, D))
    model.set_params(n_epochs=0).fit(x)
    for view in model.parameters_.values():
        view[:] = rng.standard_normal(view.shape) * np.sqrt(2 / (sum(view.shape) + 2))
    return model, x


# ---- the loss and its gradient as functions of the flat vector -------------------------------------------------------


def loss(model, args, theta):
    P = model.params(theta)
    return model.mean_loss(P, model.forward(P, *args))


def gradient(model, args, theta):
    """By backpropagation; what it left unwritten would be NaN."""
    P, grad = model.params(theta), np.full_like(theta, np.nan)
    model.backward(P, model.forward(P, *args), model.params(grad))
    return grad


def complex_gradient(f, theta, h=1e-30):
    """Im f(θ + i h e_k) / h for every k: nothing is subtracted, so h may be tiny and the result exact to rounding."""
    result, nudged = np.empty_like(theta), theta + 0j
    for k in range(theta.size):
        nudged[k] += 1j * h
        result[k] = np.imag(f(nudged)) / h
        nudged[k] = theta[k]
    return result


# ---- the proof -------------------------------------------------------------------------------------------------------


def blocks(model):
    return slices(model._shapes(model.n_features_in_))


def residuals(problem, dtype=np.float64):
    """{block: largest |backpropagation − complex step|, relative to the block's largest entry}; zeros must be zeros."""
    model, args = problem
    args, theta = [array.astype(dtype) for array in args], model.theta_.astype(dtype)
    analytic = gradient(model, args, theta)
    exact = complex_gradient(lambda theta: loss(model, args, theta), theta)
    return {name: float(_relative(analytic[place], exact[place])) for name, place in blocks(model).items()}


def _relative(a, b):
    error, scale = np.max(np.abs(a - b)), np.max(np.abs(b))
    return error / scale if scale else 0.0 if error == 0 else np.inf


def ridders_report(problem, rng):
    """`check_gradient` of every block along a random direction."""
    model, args = problem
    return check_gradient(lambda theta: loss(model, args, theta), lambda theta: gradient(model, args, theta),
                          model.theta_, blocks(model), rng=rng)


def against_complex_step(problem):
    """The residuals, and in words what is wrong.

    Among thousands of models there are some whose gradient is what remains of a cancellation (1 − h² where tanh is
    saturated, rows that balance), and rounding exceeds TOL. Such a model is proved again in extended precision, where
    rounding is 2000 times smaller; a mistake is not.
    """
    found = residuals(problem)
    if max(found.values()) <= TOL:
        return found, []
    extended = residuals(problem, np.longdouble)
    return found, [f"{name}: {found[name]:.1e} off the complex step, {extended[name]:.1e} in extended precision"
                   for name in found if not found[name] <= TOL and not extended[name] <= max(TOL, found[name] / 100)]


def prove(problem, rng):
    """The residuals, and in words what is wrong, by both derivatives.

    Ridders may find a kink, where there is one to find; the complex step, which takes no finite step, still decides.
    """
    found, wrong = against_complex_step(problem)
    kinks = "relu" in (problem.model.activation, getattr(problem.model, "output_activation", None))
    return found, wrong + [f"{finding.block}: {finding.message}" for finding in ridders_report(problem, rng).findings
                           if not (kinks and finding.verdict == "undecided")]


def main(n_models, seed):
    worst, above, failures = {}, 0, []
    for i in range(n_models):
        rng = np.random.default_rng([seed, i])
        problem = random_problem(rng)
        found, wrong = prove(problem, rng)
        failures += [f"model {i}, {problem.model}: {finding}" for finding in wrong]
        above += sum(not residual <= TOL for residual in found.values())
        for name, residual in found.items():
            key = f"{type(problem.model).__name__} {name}"
            worst[key] = max(worst.get(key, (0.0, i)), (residual, i))
    for key, (residual, i) in sorted(worst.items()):
        print(f"{key:<24} worst residual {residual:.1e} in model {i}")
    print(f"{n_models} models: {above} blocks above {TOL:.0e} by rounding, {len(failures)} wrong", *failures, sep="\n")
    return bool(failures)


def prove_product(combinations, member, group, n_models, seed):
    """A campaign over a product: each combination once, in random order, before any comes again.

    member(rng, combination) → Problem; the worst residual of each group(combination) is printed. Returns whether
    anything was wrong.
    """
    worst, counts, above, failures = {}, {}, 0, []
    order = np.random.default_rng(seed).permutation(len(combinations))
    for i in range(n_models):
        c = combinations[order[i % len(order)]]
        found, wrong = against_complex_step(member(np.random.default_rng([seed, i]), c))
        name = group(c)
        counts[name] = counts.get(name, 0) + 1
        worst[name] = max(worst.get(name, 0.0), *found.values())
        above += not max(found.values()) <= TOL
        failures += [f"model {i}, {c}: {finding}" for finding in wrong]
    for name in sorted(counts):
        print(f"{name:<36} {counts[name]:6} models   worst residual {worst[name]:.1e}")
    print(f"{n_models} models of {len(combinations)} combinations: {above} above {TOL:.0e} by rounding, "
          f"{len(failures)} wrong", *failures, sep="\n")
    return bool(failures)


def run(main, description):
    """The command line of a campaign: main(n_models, seed) says whether anything was wrong."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.exit(main(arguments.models, arguments.seed))


if __name__ == "__main__":
    run(main, __doc__.splitlines()[0])
