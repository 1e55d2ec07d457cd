"""Dense layers, x W + b: the transposes, the sums over rows, the mean that is taken once.

    h = tanh(x W1 + b1),   out = h W2 + b2,   f = 1 / 2B Σ (out − y)²        x, h, out, y (B, D), W (D, D), b (D,)

All layers are square: there a transposed or exchanged array has a shape that fits, and no error tells.
"""
from functools import partial
from types import SimpleNamespace

import numpy as np

from .planted import Problem, planted, sizes


def setup(grad, rng):
    """Two dense layers, and the gradients that an earlier minibatch left in memory."""
    B, D = sizes(rng, 2)
    P = {"W1": rng.normal(size=(D, D)) / 2, "b1": rng.normal(size=D),
         "W2": rng.normal(size=(D, D)), "b2": rng.normal(size=D)}
    s = SimpleNamespace(x=rng.normal(size=(B, D)), y=rng.normal(size=(B, D)), B=B)
    s.left = right(SimpleNamespace(x=rng.normal(size=(B, D)), y=s.y, B=B), P)
    return Problem(partial(loss, s), partial(grad, s), partial(right, s), P,
                   {}, {"B": B, "D": D})


def forward(s, P):
    """h, out"""
    h = np.tanh(s.x @ P["W1"] + P["b1"])
    return h, h @ P["W2"] + P["b2"]


def loss(s, P):
    """f = 1 / 2B Σ (out − y)²"""
    return np.sum((forward(s, P)[1] - s.y) ** 2) / (2 * s.B)


def right(s, P):
    """out = h W2 + b2, h = tanh(a), a = x W1 + b1, in reverse."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}


# ---- the weights -----------------------------------------------------------------------------------------------------


def weight_transposed(s, P):
    """dW is xᵀ dy; dyᵀ x is its transpose, and fits only because W is square."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "b2": dout.sum(axis=0),
            "W2": dout.T @ h}                                                                       # wrong


def first_weight_transposed(s, P):
    """dW is filled column by column: NumPy's order="F" lays a square matrix down transposed."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    dW1 = (s.x.T @ da).ravel().reshape(P["W1"].shape, order="F")                                    # wrong
    return {"W1": dW1, "b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}


def inputs_reversed(s, P):
    """The backward pass reads the input's features from the last to the first: the rows of dW are permuted."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    return {"b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0),
            "W1": s.x[:, ::-1].T @ da}                                                              # wrong


def units_rolled(s, P):
    """An index of the units that starts at 1: every column of dW stands one place too far."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "b2": dout.sum(axis=0),
            "W2": h.T @ np.roll(dout, 1, axis=1)}                                                   # wrong


def examples_shuffled(s, P):
    """The batch is shuffled again before the backward pass: xᵀ dy pairs one example's input with another's error."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    return {"b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0),
            "W1": np.roll(s.x, 1, axis=0).T @ da}                                                   # wrong


def other_layers_input(s, P):
    """The second layer's input is h, not the x that the first one saw."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "b2": dout.sum(axis=0),
            "W2": s.x.T @ dout}                                                                     # wrong


def cache_edited(s, P):
    """The slope is computed in place: h is overwritten, and then read again for dW2."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    slope = np.subtract(1, h**2, out=h)                                                             # wrong
    da = dout @ P["W2"].T * slope
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}


def accumulated(s, P):
    """dW is added to what the last minibatch left there; nobody has set it to zero."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    s.left["W2"] += h.T @ dout                                                                      # wrong
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": s.left["W2"], "b2": dout.sum(axis=0)}


# ---- the input -------------------------------------------------------------------------------------------------------


def weight_not_transposed(s, P):
    """dx is dy Wᵀ; dy W fits only because W is square."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"] * (1 - h**2)                                                                # wrong
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}


def weight_already_updated(s, P):
    """The layer takes its step before it hands dx on: the error comes back through a W that no forward pass saw."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    W2 = P["W2"] - 0.1 * h.T @ dout
    da = dout @ W2.T * (1 - h**2)                                                                   # wrong
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}


def result_thrown_away(s, P):
    """np.multiply returns its result, which nobody takes: da stays zero, and with it the whole first layer."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = np.zeros_like(h)
    np.multiply(dout @ P["W2"].T, 1 - h**2)                                                         # wrong
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}


# ---- the biases ------------------------------------------------------------------------------------------------------


def bias_forgotten(s, P):
    """The gradient of b1 is made as zeros and never written: b1 keeps its first value for ever."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "W2": h.T @ dout, "b2": dout.sum(axis=0),
            "b1": np.zeros_like(P["b1"])}                                                           # wrong


def bias_of_one_row(s, P):
    """The sum over rows is forgotten: b1 gets the error of the first example alone."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "W2": h.T @ dout, "b2": dout.sum(axis=0),
            "b1": da[0]}                                                                            # wrong


def bias_mean(s, P):
    """db is the sum over rows; 1/B stands in dout already."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dout,
            "b2": dout.mean(axis=0)}                                                                # wrong


def bias_summed_over_units(s, P):
    """The sum runs over units instead of rows, and every unit gets the same number."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "W2": h.T @ dout, "b2": dout.sum(axis=0),
            "b1": np.full_like(P["b1"], da.sum(axis=1)[0])}                                         # wrong


def biases_exchanged(s, P):
    """The two biases' gradients are exchanged: their shapes are the same."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "W2": h.T @ dout,
            "b1": dout.sum(axis=0), "b2": da.sum(axis=0)}                                           # wrong


# ---- the mean over rows ----------------------------------------------------------------------------------------------


def mean_forgotten(s, P):
    """The loss is a mean over rows, the gradient a sum: 1/B is nowhere."""
    h, out = forward(s, P)
    dout = out - s.y                                                                                # wrong
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}


def mean_twice(s, P):
    """The loss has brought 1/B into dout; the first layer divides by B once more."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = dout @ P["W2"].T * (1 - h**2) / s.B                                                        # wrong
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}


def last_row_dropped(s, P):
    """A loop over the rows that ends one too early, where the loss counts all of them."""
    h, out = forward(s, P)
    dout = (out - s.y) / s.B
    dout[-1] = 0                                                                                    # wrong
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}


MISTAKES = planted("dense", [(setup, *row) for row in [
    (weight_transposed,       "transpose",    "W2"),
    (first_weight_transposed, "transpose",    "W1"),
    (inputs_reversed,         "permuted",     "W1"),
    (units_rolled,            "permuted",     "W2"),
    (examples_shuffled,       "wrong array",  "W1"),
    (other_layers_input,      "wrong array",  "W2"),
    (cache_edited,            "wrong array",  "W2"),
    (accumulated,             "accumulated",  "W2"),
    (weight_not_transposed,   "transpose",    "W1", "b1"),
    (weight_already_updated,  "other",        "W1", "b1"),
    (result_thrown_away,      "zero",         "W1", "b1"),
    (bias_forgotten,          "zero",         "b1"),
    (bias_of_one_row,         "bias sum",     "b1"),
    (bias_mean,               "bias sum",     "b2"),
    (bias_summed_over_units,  "bias sum",     "b1"),
    (biases_exchanged,        "permuted",     "b1", "b2"),
    (mean_forgotten,          "sum for mean", "W1", "b1", "W2", "b2"),
    (mean_twice,              "mean for sum", "W1", "b1"),
    (last_row_dropped,        "other",        "W1", "b1", "W2", "b2"),
]])
