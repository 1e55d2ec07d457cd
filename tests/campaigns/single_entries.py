"""One wrong entry of 400,000:   python -m tests.campaigns.single_entries --models 50

In a network of 784 × 400 + 400 × 250 weights and its biases, one random entry of the gradient is 1 % too large. It must
be found, and located, with at most 900 evaluations of the loss. An entry whose own gradient is 0, of a dead unit, cannot
be 1 % wrong, and is not chosen.
"""
import time

import numpy as np
from tqdm import tqdm

from tests.campaigns.gradients import run
from tinyvae import check_gradient

WIDTHS, ROWS, MOST = (784, 400, 250), 32, 900


class Network:
    """f = Σ out · c / ROWS of two dense layers; `wrong` is (block, entry), 1 % too large."""

    def __init__(self, rng, activation):
        self.relu, self.wrong = activation == "relu", None
        self.x, self.c = rng.standard_normal((ROWS, WIDTHS[0])), rng.standard_normal((ROWS, WIDTHS[2])) / ROWS
        self.theta = {"W1": rng.standard_normal(WIDTHS[:2]) / WIDTHS[0] ** 0.5, "b1": rng.standard_normal(WIDTHS[1]),
                      "W2": rng.standard_normal(WIDTHS[1:]) / WIDTHS[1] ** 0.5, "b2": rng.standard_normal(WIDTHS[2])}

    def forward(self, P):
        a = self.x @ P["W1"] + P["b1"]
        h = np.where(a.real > 0, a, 0) if self.relu else np.tanh(a)
        return h, np.tanh(h @ P["W2"] + P["b2"])

    def f(self, P):
        return np.sum(self.forward(P)[1] * self.c)

    def grad(self, P):
        h, out = self.forward(P)
        d_out = self.c * (1 - out**2)
        da = d_out @ P["W2"].T * ((h > 0) if self.relu else 1 - h**2)
        G = {"W1": self.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ d_out, "b2": d_out.sum(axis=0)}
        if self.wrong:
            G[self.wrong[0]].flat[self.wrong[1]] *= 1.01
        return G


def attempt(seed, activation):
    """(whether it was found in its block, whether it was located, evaluations, seconds)"""
    rng = np.random.default_rng(seed)
    network = Network(rng, activation)
    G = network.grad(network.theta)
    sizes = np.array([g.size for g in G.values()])
    block = list(G)[rng.choice(4, p=sizes / sizes.sum())]
    network.wrong = block, rng.choice(np.flatnonzero(G[block]))
    began = time.perf_counter()
    report = check_gradient(network.f, network.grad, network.theta, rng=rng)
    found = [check.block for check in report.blocks if check.verdict != "ok"] == [block]
    place = report.findings[0].location if report.findings else None
    index = tuple(int(i) for i in np.unravel_index(network.wrong[1], G[block].shape))
    return found, place is not None and place.indices == (index,), report.n_evaluations, time.perf_counter() - began


def main(n_models, seed):
    results = [attempt([seed, i], ("tanh", "relu")[i % 2]) for i in tqdm(range(n_models), disable=None)]
    found, located, evaluations, seconds = map(np.array, zip(*results))
    print(f"{n_models} networks of {sum(w.size for w in Network(np.random.default_rng(0), 'tanh').theta.values())} "
          f"parameters: found {found.sum()}, located {located.sum()}; evaluations: median "
          f"{np.median(evaluations):.0f}, at most {evaluations.max()}; seconds: median {np.median(seconds):.1f}")
    return not (found.all() and located.all() and evaluations.max() <= MOST)


if __name__ == "__main__":
    run(main, __doc__.splitlines()[0])
