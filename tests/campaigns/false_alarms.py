"""No false alarm of `check_gradient`, at any size:   python -m tests.campaigns.false_alarms --models 2000

Right models of every kind (autoencoders with their penalties and corruptions, VAEs with every posterior, likelihood and
bound, classifiers), every activation, ReLU included, with random weights and biases and 200 to 400,000 parameters, the
logarithm of the number being uniform. One in five stands at the kinks of its units. Every block must be accepted.
"""
import numpy as np
from tqdm import tqdm

from tests.campaigns import autoencoders, vaes
from tests.campaigns.gradients import gradient, loss, pick, run
from tinyvae import LinearSVM, SoftmaxClassifier, check_gradient
from tinyvae.params import slices

SMALLEST, LARGEST = 200, 400_000


def random_model(rng):
    """(kind, f, grad, theta, blocks) of a right model, its number of parameters between the two limits."""
    wanted = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))
    while True:
        kind = pick(rng, [_autoencoder, _autoencoder, _vae, _vae, _classifier])
        found = kind(rng, int(np.sqrt(wanted)))
        if SMALLEST <= found[3].size <= LARGEST:
            return found


def _autoencoder(rng, width):
    combination = pick(rng, autoencoders.combinations())
    problem = autoencoders.member(rng, combination, widest=2 + width, most_rows=3 if width > 100 else 20)
    return _of_model(f"Autoencoder {combination}", *problem, rng)


def _vae(rng, width):
    combination = pick(rng, vaes.combinations())
    full = "full" in (combination.posterior, combination.likelihood[-4:])      # its parameters grow with the square
    problem = vaes.member(rng, combination, widest=2 + (int(width**0.7) if full else width))
    return _of_model(f"VAE {combination}", *problem, rng)


def _of_model(kind, model, args, rng):
    """In one of five models every bias is 0, and so is the first row: there ReLU has its kink."""
    if rng.random() < 0.2:
        args[0][0] = 0
        for name, view in model.parameters_.items():
            view[:] = 0 if name.endswith("b") else view
    return (kind, lambda theta: loss(model, args, theta), lambda theta: gradient(model, args, theta),
            model.theta_, _shaped(model))


def _classifier(rng, width):
    B, D, C = rng.integers(5, 40), 2 + width**2 // 10, rng.integers(2, 11)
    model = pick(rng, [SoftmaxClassifier, LinearSVM])(l2=rng.uniform(0, 0.1), n_epochs=0)
    x, y = rng.standard_normal((B, D)), np.concatenate([np.arange(C), rng.integers(0, C, B)])[:max(B, C)]
    x = rng.standard_normal((len(y), D))
    model.fit(x, y)
    theta = rng.standard_normal(model.theta_.size) / np.sqrt(D)

    def grad(theta):
        grad = np.full_like(theta, np.nan)
        model.backward(model.params(theta), x, y, model.params(grad))
        return grad

    return type(model).__name__, lambda theta: model.mean_loss(model.params(theta), x, y), grad, theta, _shaped(model)


def _shaped(model):
    """Every block as places in theta, in its shape."""
    shapes = model._shapes(model.n_features_in_)
    return {name: np.arange(model.theta_.size)[place].reshape(shapes[name]) for name, place in slices(shapes).items()}


def main(n_models, seed):
    alarms, sizes, evaluations, kinks = [], [], [], 0
    for i in tqdm(range(n_models), disable=None):
        kind, f, grad, theta, blocks = random_model(np.random.default_rng([seed, i]))
        report = check_gradient(f, grad, theta, blocks, rng=i)
        sizes.append(theta.size)
        evaluations += [check.n_evaluations for check in report.blocks]
        kinks += sum(bool(check.kink) for check in report.blocks)
        alarms += [f"model {i}, {kind}, {theta.size} parameters:\n{report}"] * (not report.ok)
    print(f"{n_models} right models of {min(sizes)} to {max(sizes)} parameters (median {np.median(sizes):.0f}), "
          f"{len(evaluations)} blocks, {np.mean(evaluations):.1f} evaluations each (at most {max(evaluations)}), "
          f"{kinks} at a kink: {len(alarms)} false alarms", *alarms, sep="\n")
    return bool(alarms)


if __name__ == "__main__":
    run(main, __doc__.splitlines()[0])
