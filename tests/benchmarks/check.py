"""How long a gradient check takes:   python -m tests.benchmarks.check

A VAE 12-8-2 with Bernoulli likelihood and 272 parameters in 8 blocks, a batch of 16 binary rows, noise frozen. Printed is
the median time of `check_gradient`, beside that of as many evaluations of the loss alone: what checking costs but for them.
"""
import time

import numpy as np

from tests.campaigns.gradients import blocks, gradient, loss, random_vae
from tinyvae import check_gradient

REPEATS = 200


def median_ms(function):
    """Median time of a call in milliseconds."""
    times = []
    for i in range(REPEATS):
        began = time.perf_counter()
        function(i)
        times.append(time.perf_counter() - began)
    return 1e3 * np.median(times)


def main():
    for activation in ("tanh", "relu"):
        rng = np.random.default_rng(0)
        model, _ = random_vae(rng, n_components=2, hidden=(8,), activation=activation, likelihood="bernoulli",
                              posterior="diagonal", objective="elbo", n_samples=1)
        x, eps = (rng.random((16, 12)) < 0.5).astype(float), rng.standard_normal((16, 2))
        model.set_params(n_epochs=0).fit(x)
        theta = rng.standard_normal(model.theta_.size) / 2
        f, grad = (lambda th: loss(model, (x, eps), th)), (lambda th: gradient(model, (x, eps), th))
        report = check_gradient(f, grad, theta, blocks(model))
        check = median_ms(lambda i: check_gradient(f, grad, theta, blocks(model), rng=i))
        alone = median_ms(lambda i: f(theta)) * report.n_evaluations
        print(f"{activation}: {theta.size} parameters, {len(report.blocks)} blocks, ok: {report.ok}; "
              f"{check:.1f} ms a check, {report.n_evaluations} evaluations of the loss alone {alone:.1f} ms, "
              f"ratio {check / alone:.2f}")


if __name__ == "__main__":
    main()
