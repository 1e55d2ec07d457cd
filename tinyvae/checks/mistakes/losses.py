"""Losses: the factor, the sign, the mean, and what a softmax has already done.

    out = x W + b,   f = loss(out, y)        x (B, D), out (B, K)

Every loss is a mean over the B rows. A mistake is in dout, or in what follows a parameter of the loss itself.
"""
from functools import partial
from types import SimpleNamespace

import numpy as np

from .planted import Problem, planted, sizes, ways

DECAY = 0.3


def setup(terms, right, grad, rng):
    """One dense layer and targets of every kind; weights are small, so that there are margins in (0, 1)."""
    B, D, K = sizes(rng, 3)
    s = SimpleNamespace(x=rng.normal(size=(B, D)), y=rng.normal(size=(B, K)), B=B, K=K)
    s.onehot = np.eye(K)[rng.integers(K, size=B)]
    P = {"W": rng.normal(size=(D, K)) / 8, "b": rng.normal(size=K) / 4}
    numbers = {"B": B, "D": D, "K": K}
    if terms is GAUSSIAN:
        P["log_sigma"] = rng.normal(size=K) / 2
    if terms is DECAYED:
        numbers["lambda"] = DECAY
    parts = {name: partial(term, s) for name, term in terms.items()}
    return Problem(lambda P: sum(term(P) for term in parts.values()), partial(grad, s), partial(right, s), P,
                   parts if len(parts) > 1 else {}, numbers)


def output(s, P):
    """out = x W + b"""
    return s.x @ P["W"] + P["b"]


def back(s, dout):
    """dW = xᵀ dout, db = Σ_B dout"""
    return {"W": s.x.T @ dout, "b": dout.sum(axis=0)}


def softmax(a, axis=1):
    """e^a_k / Σ_j e^a_j"""
    return np.exp(a) / np.exp(a).sum(axis=axis, keepdims=True)


# ---- half the squared error, summed over units: 1 / 2B Σ (out − y)² --------------------------------------------------


def half_squared(s, P):
    """1 / 2B Σ (out − y)²"""
    return np.sum((output(s, P) - s.y) ** 2) / (2 * s.B)


def half_squared_right(s, P):
    """dout = (out − y) / B"""
    return back(s, (output(s, P) - s.y) / s.B)


def two_too_many(s, P):
    """The 2 of the square has met the ½ in front of it already."""
    return back(s, 2 * (output(s, P) - s.y) / s.B)                                                  # wrong


def target_minus_output(s, P):
    """The derivative of (out − y)² by out is along out − y; the other way round is uphill."""
    return back(s, (s.y - output(s, P)) / s.B)                                                      # wrong


def mean_over_pixels(s, P):
    """The loss is a sum over units and a mean over rows; .size divides by both."""
    out = output(s, P)
    return back(s, (out - s.y) / out.size)                                                          # wrong


def sign_of_error(s, P):
    """That is the derivative of |out − y|, of another loss."""
    return back(s, np.sign(output(s, P) - s.y) / s.B)                                               # wrong


# ---- the squared error's mean over rows and units: 1 / BK Σ (out − y)² -----------------------------------------------


def mean_squared(s, P):
    """1 / BK Σ (out − y)²"""
    return np.sum((output(s, P) - s.y) ** 2) / (s.B * s.K)


def mean_squared_right(s, P):
    """dout = 2 (out − y) / BK"""
    return back(s, 2 * (output(s, P) - s.y) / (s.B * s.K))


def two_forgotten(s, P):
    """This loss has no ½: the derivative of a square has a 2."""
    return back(s, (output(s, P) - s.y) / (s.B * s.K))                                              # wrong


def sum_over_pixels(s, P):
    """The loss is a mean over units, too; here only the rows are counted."""
    return back(s, 2 * (output(s, P) - s.y) / s.B)                                                  # wrong


def rows_not_counted(s, P):
    """The mean is taken over units alone: the rows are added."""
    return back(s, 2 * (output(s, P) - s.y) / s.K)                                                  # wrong


# ---- softmax and cross-entropy: 1 / B Σ (log Σ_k e^out_k − out_y) ----------------------------------------------------


def log_normaliser(s, P):
    """1 / B Σ_b log Σ_k e^out_k"""
    return np.sum(np.log(np.exp(output(s, P)).sum(axis=1))) / s.B


def label_logit(s, P):
    """−1 / B Σ_b out_y"""
    return -np.sum(s.onehot * output(s, P)) / s.B


def softmax_right(s, P):
    """dout = (p − y) / B"""
    return back(s, (softmax(output(s, P)) - s.onehot) / s.B)


def softmax_mean_forgotten(s, P):
    """p − y is the derivative of one row's loss; the loss is the rows' mean."""
    return back(s, softmax(output(s, P)) - s.onehot)                                                # wrong


def softmax_mean_over_classes(s, P):
    """A mean over everything also divides by the number of classes."""
    p = softmax(output(s, P))
    return back(s, (p - s.onehot) / p.size)                                                         # wrong


def label_forgotten(s, P):
    """p alone is the derivative of log Σ e^out: the label's own logit is missing."""
    return back(s, softmax(output(s, P)) / s.B)                                                     # wrong


def softmax_slope_again(s, P):
    """p − y is the derivative by the logits already: softmax and logarithm together have no further slope."""
    p = softmax(output(s, P))
    return back(s, (p - s.onehot) * p * (1 - p) / s.B)                                              # wrong


def softmax_over_rows(s, P):
    """The probabilities of one row must sum to 1; axis=0 makes those of one class do so."""
    return back(s, (softmax(output(s, P), axis=0) - s.onehot) / s.B)                                # wrong


def label_off_by_one(s, P):
    """Classes are counted from 1 in the labels and from 0 in the output."""
    return back(s, (softmax(output(s, P)) - np.roll(s.onehot, 1, axis=1)) / s.B)                    # wrong


# ---- hinge: 1 / B Σ_b Σ_k≠y max(0, 1 + out_k − out_y) ----------------------------------------------------------------


def hinge_setup(grad, rng):
    """The first label is the least likely class, the last one the likeliest: margins of every kind are there.

    The terms are the loss's two ways to the output: out_k and out_y.
    """
    p = setup({"hinge": hinge}, hinge_right, grad, rng)
    s, out = p.grad.args[0], output(p.grad.args[0], p.theta)
    s.onehot[[0, -1]] = np.eye(s.K)[[out[0].argmin(), out[-1].argmax()]]
    return p._replace(terms=ways(lambda P, Q: mean_hinge(s, output(s, P), output(s, Q)), p.theta, "others", "label"))


def margins(s, out, out_y):
    """1 + out_k − out_y, and −1 at k = y"""
    return np.where(s.onehot == 1, -1, 1 + out - np.sum(s.onehot * out_y, axis=1, keepdims=True))


def mean_hinge(s, out, out_y):
    """1 / B Σ_b Σ_k≠y max(0, 1 + out_k − out_y)"""
    m = margins(s, out, out_y)
    return np.sum(np.where(m.real > 0, m, 0)) / s.B


def hinge(s, P):
    """f"""
    return mean_hinge(s, output(s, P), output(s, P))


def violated(s, P):
    """1 where a margin is positive, (B, K)"""
    return 1.0 * (margins(s, output(s, P), output(s, P)) > 0)


def hinge_right(s, P):
    """dout_k = 1 where the margin is violated, dout_y = −(number of them)"""
    v = violated(s, P)
    return back(s, (v - s.onehot * v.sum(axis=1, keepdims=True)) / s.B)


def hinge_margin_forgotten(s, P):
    """A class within the margin of 1 is violated as well, not only one that wins."""
    out = output(s, P)
    wins = 1.0 * (out > np.sum(s.onehot * out, axis=1, keepdims=True))                              # wrong
    return back(s, (wins - s.onehot * wins.sum(axis=1, keepdims=True)) / s.B)


def hinge_label_once(s, P):
    """out_y stands in every violated term, and gets −1 for each of them."""
    return back(s, (violated(s, P) - s.onehot) / s.B)                                               # wrong


def hinge_label_forgotten(s, P):
    """The wrong classes are pushed down and the right one is not pushed up."""
    return back(s, violated(s, P) / s.B)                                                            # wrong


# ---- Gaussian with learned σ: 1 / B Σ [(y − out)² / 2σ² + log σ] -----------------------------------------------------


def scaled_error(s, P):
    """1 / B Σ (y − out)² / 2σ²"""
    return np.sum((s.y - output(s, P)) ** 2 / (2 * np.exp(2 * P["log_sigma"]))) / s.B


def log_scale(s, P):
    """1 / B Σ log σ = Σ_k log σ_k"""
    return np.sum(P["log_sigma"])


def gaussian_right(s, P):
    """dout = (out − y) / σ²B and d log σ = 1 / B Σ_b (1 − (y − out)² / σ²)"""
    error, variance = output(s, P) - s.y, np.exp(2 * P["log_sigma"])
    return back(s, error / variance / s.B) | {"log_sigma": np.mean(1 - error**2 / variance, axis=0)}


def log_scale_forgotten(s, P):
    """log σ itself is part of the loss: without it σ can only grow."""
    error, variance = output(s, P) - s.y, np.exp(2 * P["log_sigma"])
    return back(s, error / variance / s.B) | {"log_sigma": np.mean(-(error**2) / variance, axis=0)}         # wrong


def error_ignores_scale(s, P):
    """The error is measured in units of σ, and so pulls at σ; only log σ is differentiated."""
    error, variance = output(s, P) - s.y, np.exp(2 * P["log_sigma"])
    return back(s, error / variance / s.B) | {"log_sigma": np.ones(s.K)}                            # wrong


def log_sigma_as_logvar(s, P):
    """The parameter is log σ; this is the derivative by log σ², half as large. The name of a parameter must not lie."""
    error, variance = output(s, P) - s.y, np.exp(2 * P["log_sigma"])
    return back(s, error / variance / s.B) | {"log_sigma": np.mean(1 - error**2 / variance, axis=0) / 2}    # wrong


def log_sigma_summed(s, P):
    """One σ serves all rows, but the loss is still their mean: the sum over rows has to be divided by B."""
    error, variance = output(s, P) - s.y, np.exp(2 * P["log_sigma"])
    return back(s, error / variance / s.B) | {"log_sigma": np.sum(1 - error**2 / variance, axis=0)}         # wrong


def divided_by_sigma(s, P):
    """The error's derivative is divided by the variance σ², not by σ."""
    error, sigma = output(s, P) - s.y, np.exp(P["log_sigma"])
    dout = error / sigma / s.B                                                                      # wrong
    return back(s, dout) | {"log_sigma": np.mean(1 - error**2 / sigma**2, axis=0)}


# ---- weight decay: the half squared error + λ/2 ‖W‖² -----------------------------------------------------------------


def decay(s, P):
    """λ/2 ‖W‖²"""
    return DECAY / 2 * np.sum(P["W"] ** 2)


def decayed_right(s, P):
    """dW also has λ W; biases are left alone"""
    grads = half_squared_right(s, P)
    return grads | {"W": grads["W"] + DECAY * P["W"]}


def decay_forgotten(s, P):
    """The decay stands in the loss that is printed, and not in the gradient."""
    return half_squared_right(s, P)                                                                 # wrong


def decay_twice(s, P):
    """The loss has λ/2 ‖W‖², whose derivative is λ W: the 2 has cancelled."""
    grads = half_squared_right(s, P)
    return grads | {"W": grads["W"] + 2 * DECAY * P["W"]}                                           # wrong


def decay_of_biases(s, P):
    """The loss decays the weights alone."""
    return {name: g + DECAY * P[name] for name, g in half_squared_right(s, P).items()}              # wrong


HALF, MEAN = {"error": half_squared}, {"error": mean_squared}
SOFTMAX = {"log Σ exp": log_normaliser, "label": label_logit}
GAUSSIAN = {"error": scaled_error, "log sigma": log_scale}
DECAYED = {"error": half_squared, "decay": decay}
half, mean = partial(setup, HALF, half_squared_right), partial(setup, MEAN, mean_squared_right)
cross_entropy = partial(setup, SOFTMAX, softmax_right)
learned_scale, decayed = partial(setup, GAUSSIAN, gaussian_right), partial(setup, DECAYED, decayed_right)

MISTAKES = planted("losses", [
    (half,          two_too_many,              "factor",         "W", "b"),
    (half,          target_minus_output,       "factor",         "W", "b"),
    (half,          mean_over_pixels,          "mean for sum",   "W", "b"),
    (half,          sign_of_error,             "other",          "W", "b"),
    (mean,          two_forgotten,             "factor",         "W", "b"),
    (mean,          sum_over_pixels,           "sum for mean",   "W", "b"),
    (mean,          rows_not_counted,          "sum for mean",   "W", "b"),
    (cross_entropy, softmax_mean_forgotten,    "sum for mean",   "W", "b"),
    (cross_entropy, softmax_mean_over_classes, "mean for sum",   "W", "b"),
    (cross_entropy, label_forgotten,           "term forgotten", "W", "b"),
    (cross_entropy, softmax_slope_again,       "extra slope",    "W", "b"),
    (cross_entropy, softmax_over_rows,         "other",          "W", "b"),
    (cross_entropy, label_off_by_one,          "permuted",       "W", "b"),
    (hinge_setup,   hinge_margin_forgotten,    "other",          "W", "b"),
    (hinge_setup,   hinge_label_once,          "other",          "W", "b"),
    (hinge_setup,   hinge_label_forgotten,     "term forgotten", "W", "b"),
    (learned_scale, log_scale_forgotten,       "term forgotten", "log_sigma"),
    (learned_scale, error_ignores_scale,       "term forgotten", "log_sigma"),
    (learned_scale, log_sigma_as_logvar,       "factor",         "log_sigma"),
    (learned_scale, log_sigma_summed,          "sum for mean",   "log_sigma"),
    (learned_scale, divided_by_sigma,          "other",          "W", "b"),
    (decayed,       decay_forgotten,           "term forgotten", "W"),
    (decayed,       decay_twice,               "term twice",     "W"),
    (decayed,       decay_of_biases,           "decay",          "b"),
])
