"""Activations: φ' forgotten, φ' twice, φ' of something else.

    h = φ(x W1 + b1),   out = h W2 + b2,   f = 1 / 2B Σ (out − y)²       x (B, D), h (B, K), out (B, M)

A mistake is in da, the derivative by a = x W1 + b1: of dh, a and h the right one is dh φ'(a).
"""
from functools import partial
from types import SimpleNamespace

import numpy as np

from .planted import Problem, planted, sizes


def sigmoid(a):
    """1 / (1 + e^−a)"""
    return 1 / (1 + np.exp(-a))


def softmax(a):
    """e^a_k / Σ_j e^a_j, row by row"""
    e = np.exp(a)
    return e / e.sum(axis=1, keepdims=True)


ALPHA, LEAK = 0.6, 0.1
PHI = {
    "tanh":     np.tanh,
    "sigmoid":  sigmoid,
    "relu":     lambda a: np.where(a.real > 0, a, 0),
    "leaky":    lambda a: np.where(a.real > 0, a, LEAK * a),
    "elu":      lambda a: np.where(a.real > 0, a, ALPHA * np.expm1(a)),
    "softplus": lambda a: np.log1p(np.exp(a)),
    "swish":    lambda a: a * sigmoid(a),
    "softmax":  softmax,
}
PULL = {                                                                     # da from a, h = φ(a) and dh
    "tanh":     lambda a, h, dh: dh * (1 - h**2),
    "sigmoid":  lambda a, h, dh: dh * h * (1 - h),
    "relu":     lambda a, h, dh: dh * (a > 0),
    "leaky":    lambda a, h, dh: dh * np.where(a > 0, 1, LEAK),
    "elu":      lambda a, h, dh: dh * np.where(a > 0, 1, h + ALPHA),
    "softplus": lambda a, h, dh: dh * sigmoid(a),
    "swish":    lambda a, h, dh: dh * (sigmoid(a) + h * (1 - sigmoid(a))),
    "softmax":  lambda a, h, dh: h * (dh - np.sum(dh * h, axis=1, keepdims=True)),
}


def setup(name, grad, rng):
    """A hidden layer of the activation called `name`."""
    B, D, K, M = sizes(rng, 4)
    s = SimpleNamespace(x=rng.normal(size=(B, D)), y=rng.normal(size=(B, M)), B=B, phi=PHI[name])
    P = {"W1": rng.normal(size=(D, K)) / np.sqrt(D), "b1": rng.normal(size=K) / 2,
         "W2": rng.normal(size=(K, M)), "b2": rng.normal(size=M)}
    return Problem(partial(loss, s), partial(grad, s), lambda P: backward(s, P, PULL[name]), P,
                   {}, {"B": B, "D": D, "K": K, "M": M})


def forward(s, P):
    """a, h, out"""
    a = s.x @ P["W1"] + P["b1"]
    return a, s.phi(a), s.phi(a) @ P["W2"] + P["b2"]


def loss(s, P):
    """f = 1 / 2B Σ (out − y)²"""
    return np.sum((forward(s, P)[2] - s.y) ** 2) / (2 * s.B)


def backward(s, P, pull):
    """The gradient with da = pull(a, h, dh)."""
    a, h, out = forward(s, P)
    dout = (out - s.y) / s.B
    da = pull(a, h, dout @ P["W2"].T)
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}


# ---- φ' forgotten, φ' where there is none ----------------------------------------------------------------------------


def tanh_slope_forgotten(s, P):
    """da = dh φ'(a): the hidden layer is treated as if it were linear."""
    return backward(s, P, lambda a, h, dh: dh)                                                      # wrong


def relu_slope_forgotten(s, P):
    """The error also goes back through units that were off."""
    return backward(s, P, lambda a, h, dh: dh)                                                      # wrong


def softplus_slope_forgotten(s, P):
    """Softplus looks linear from afar, but its slope is σ(a)."""
    return backward(s, P, lambda a, h, dh: dh)                                                      # wrong


def tanh_slope_twice(s, P):
    """The layer above has multiplied by φ' already, and this one does so again."""
    return backward(s, P, lambda a, h, dh: dh * (1 - h**2) * (1 - h**2))                            # wrong


def sigmoid_slope_twice(s, P):
    """φ' is in the error that arrives and is multiplied in again."""
    return backward(s, P, lambda a, h, dh: dh * (h * (1 - h)) ** 2)                                 # wrong


def slope_at_linear_output(s, P):
    """The output is linear, φ' = 1; the hidden layer's formula is used there, too."""
    a, h, out = forward(s, P)
    dout = (out - s.y) / s.B * (1 - out**2)                                                         # wrong
    da = dout @ P["W2"].T * (1 - h**2)
    return {"W1": s.x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}


# ---- φ' of the wrong argument ----------------------------------------------------------------------------------------


def tanh_slope_of_preactivation(s, P):
    """1 − h² is written for h = tanh(a) and gets a."""
    return backward(s, P, lambda a, h, dh: dh * (1 - a**2))                                         # wrong


def tanh_slope_of_value(s, P):
    """1 − tanh² wants a, and gets h: tanh is applied twice."""
    return backward(s, P, lambda a, h, dh: dh * (1 - np.tanh(h) ** 2))                              # wrong


def sigmoid_slope_of_preactivation(s, P):
    """h (1 − h) is written for h = σ(a) and gets a."""
    return backward(s, P, lambda a, h, dh: dh * a * (1 - a))                                        # wrong


def sigmoid_slope_of_value(s, P):
    """σ(·) (1 − σ(·)) wants a, and gets h: the sigmoid is applied twice."""
    return backward(s, P, lambda a, h, dh: dh * sigmoid(h) * (1 - sigmoid(h)))                      # wrong


def softplus_slope_of_value(s, P):
    """The slope is σ(a); σ(h) is the slope at another point."""
    return backward(s, P, lambda a, h, dh: dh * sigmoid(h))                                         # wrong


def elu_slope_of_value(s, P):
    """Below zero the slope is α e^a; with h for a it is too large."""
    return backward(s, P, lambda a, h, dh: dh * np.where(a > 0, 1, ALPHA * np.exp(h)))              # wrong


# ---- the wrong φ' ----------------------------------------------------------------------------------------------------


def tanh_slope_not_squared(s, P):
    """tanh' = 1 − h², not 1 − h."""
    return backward(s, P, lambda a, h, dh: dh * (1 - h))                                            # wrong


def sigmoid_slope_half(s, P):
    """σ' = h (1 − h): the factor h is forgotten."""
    return backward(s, P, lambda a, h, dh: dh * (1 - h))                                            # wrong


def relu_mirrored(s, P):
    """The error goes back through the units that were off."""
    return backward(s, P, lambda a, h, dh: dh * (a < 0))                                            # wrong


def relu_masks_error(s, P):
    """The mask is where the error is positive, and must be where a is."""
    return backward(s, P, lambda a, h, dh: dh * (dh > 0))                                           # wrong


def relu_times_value(s, P):
    """The slope of max(a, 0) is 1 or 0; h itself is multiplied in."""
    return backward(s, P, lambda a, h, dh: dh * h)                                                  # wrong


def leaky_as_relu(s, P):
    """Below zero a leaky unit's slope is its leak, not 0."""
    return backward(s, P, lambda a, h, dh: dh * (a > 0))                                            # wrong


def elu_without_alpha(s, P):
    """Below zero α e^a = h + α: without α the slope is negative."""
    return backward(s, P, lambda a, h, dh: dh * np.where(a > 0, 1, h))                              # wrong


def softplus_mirrored(s, P):
    """The slope of log(1 + e^a) is σ(a), not σ(−a)."""
    return backward(s, P, lambda a, h, dh: dh * sigmoid(-a))                                        # wrong


def swish_as_constant_gate(s, P):
    """a σ(a) is a product: its slope has a second part, a σ'(a)."""
    return backward(s, P, lambda a, h, dh: dh * sigmoid(a))                                         # wrong


def softmax_diagonal_only(s, P):
    """Every output of a softmax depends on every a: the Jacobian has more than its diagonal h (1 − h)."""
    return backward(s, P, lambda a, h, dh: dh * h * (1 - h))                                        # wrong


def softmax_without_sum(s, P):
    """The softmax's denominator is differentiated as if it were constant."""
    return backward(s, P, lambda a, h, dh: dh * h)                                                  # wrong


def softmax_sum_over_rows(s, P):
    """The Jacobian's sum runs over the units of one row, not over the rows."""
    return backward(s, P, lambda a, h, dh: h * (dh - np.sum(dh * h, axis=0)))                       # wrong


MISTAKES = planted("activations", [(partial(setup, name), *row) for name, *row in [
    ("tanh",     tanh_slope_forgotten,           "missing slope", "W1", "b1"),
    ("relu",     relu_slope_forgotten,           "missing slope", "W1", "b1"),
    ("softplus", softplus_slope_forgotten,       "missing slope", "W1", "b1"),
    ("tanh",     tanh_slope_twice,               "extra slope",   "W1", "b1"),
    ("sigmoid",  sigmoid_slope_twice,            "extra slope",   "W1", "b1"),
    ("tanh",     slope_at_linear_output,         "extra slope",   "W1", "b1", "W2", "b2"),
    ("tanh",     tanh_slope_of_preactivation,    "wrong slope",   "W1", "b1"),
    ("tanh",     tanh_slope_of_value,            "wrong slope",   "W1", "b1"),
    ("sigmoid",  sigmoid_slope_of_preactivation, "wrong slope",   "W1", "b1"),
    ("sigmoid",  sigmoid_slope_of_value,         "wrong slope",   "W1", "b1"),
    ("softplus", softplus_slope_of_value,        "wrong slope",   "W1", "b1"),
    ("elu",      elu_slope_of_value,             "wrong slope",   "W1", "b1"),
    ("tanh",     tanh_slope_not_squared,         "wrong slope",   "W1", "b1"),
    ("sigmoid",  sigmoid_slope_half,             "missing slope", "W1", "b1"),
    ("relu",     relu_mirrored,                  "wrong slope",   "W1", "b1"),
    ("relu",     relu_masks_error,               "wrong slope",   "W1", "b1"),
    ("relu",     relu_times_value,               "wrong slope",   "W1", "b1"),
    ("leaky",    leaky_as_relu,                  "wrong slope",   "W1", "b1"),
    ("elu",      elu_without_alpha,              "wrong slope",   "W1", "b1"),
    ("softplus", softplus_mirrored,              "wrong slope",   "W1", "b1"),
    ("swish",    swish_as_constant_gate,         "wrong slope",   "W1", "b1"),
    ("softmax",  softmax_diagonal_only,          "wrong slope",   "W1", "b1"),
    ("softmax",  softmax_without_sum,            "wrong slope",   "W1", "b1"),
    ("softmax",  softmax_sum_over_rows,          "wrong slope",   "W1", "b1"),
]])
