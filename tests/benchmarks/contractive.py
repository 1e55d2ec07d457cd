"""A deep contractive penalty and its gradient, against PyTorch's double backward.  python -m tests.benchmarks.contractive

‖∂h/∂x‖²_F of a sigmoid encoder 784-256-64, batch 100, float32, and its gradient by every parameter: ours by hand, and
PyTorch's in two ways, `torch.func.jacrev` under `vmap`, and one `autograd.grad` a code unit. Same process; medians, the
ratio of the better PyTorch to ours, and the largest difference of the gradients. PyTorch is not among the
project's requirements: `pip install torch` in an environment of its own.
"""
import argparse
import time

import numpy as np
import torch

from tinyvae.mlp import mlp_backward, mlp_forward
from tinyvae.ops import ACTIVATIONS
from tinyvae.params import initial, stack, stack_shapes, views
from tinyvae.penalties import Contractive

WIDTHS, BATCH = (784, 256, 64), 100


def ours(theta, shapes, x):
    """A function that returns the penalty's value and its flat gradient."""
    layers, phis = stack(views(theta, shapes), "encoder"), [ACTIVATIONS["sigmoid"]] * 2
    grad = np.empty_like(theta)
    grads, zero = stack(views(grad, shapes), "encoder"), np.zeros((BATCH, WIDTHS[-1]), np.float32)

    push = None

    def run():
        nonlocal push                                       # whose arrays the next call overwrites, as in training
        hs = mlp_forward(layers, phis, x)
        push = Contractive(1.0).evaluate(layers, phis, hs, out=push)
        mlp_backward(layers, phis, hs, zero, grads, need_dx=False, das_beside=push.das)
        for (dW, _), dW_of_penalty in zip(grads, push.dWs):
            dW += dW_of_penalty
        return push.value, grad
    return run


def theirs(theta, shapes, x, norm2):
    """The same of PyTorch, where norm2(encode, x) is the mean squared norm of the Jacobian."""
    named = {name: torch.tensor(view, requires_grad=True) for name, view in views(theta, shapes).items()}
    W1, b1, W2, b2 = named.values()
    x = torch.tensor(x)

    def run():
        value = norm2(lambda x: torch.sigmoid(torch.sigmoid(x @ W1 + b1) @ W2 + b2), x)
        grads = torch.autograd.grad(value, list(named.values()))
        return value.item(), np.concatenate([g.numpy().ravel() for g in grads])
    return run


def by_jacrev(encode, x):
    """vmap over rows of reverse-mode Jacobians."""
    return torch.func.vmap(torch.func.jacrev(encode))(x).square().sum() / len(x)


def by_unit(encode, x):
    """One backward pass for each unit of the code, all rows at once."""
    x = x.clone().requires_grad_()
    h = encode(x)
    rows = (torch.autograd.grad(h[:, k].sum(), x, create_graph=True)[0] for k in range(h.shape[1]))
    return sum(row.square().sum() for row in rows) / len(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="calls of each (default 15)")
    n_rounds = parser.parse_args().rounds
    rng, shapes = np.random.default_rng(0), stack_shapes("encoder", WIDTHS)
    theta, x = initial(shapes, rng, np.float32), rng.random((BATCH, WIDTHS[0]), np.float32)
    runs = {"by hand": ours(theta, shapes, x), "torch, jacrev": theirs(theta, shapes, x, by_jacrev),
            "torch, a unit at a time": theirs(theta, shapes, x, by_unit)}
    times, results = {name: [] for name in runs}, {name: run() for name, run in runs.items()}
    for name, run in runs.items():                          # one after the other: idle threads of the others spin
        for _ in range(n_rounds):
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    value, grad = results["by hand"]
    for name in runs:
        error = np.max(np.abs(results[name][1] - grad)) / np.max(np.abs(grad))
        print(f"{name:26}{np.median(times[name]):9.2f} ms   value {results[name][0]:.6f}   gradient off by {error:.1e}")
    ours_ms, *theirs_ms = (np.median(times[name]) for name in runs)
    print(f"the better PyTorch takes {min(theirs_ms) / ours_ms:.1f} times as long")


if __name__ == "__main__":
    main()
