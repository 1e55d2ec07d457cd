"""Penalties on the code of an autoencoder: L1, KL sparsity, contraction.

    h = φ(x W + b),   x̂ = h V + c,   f = 1 / 2B Σ (x̂ − x)² + penalty           x, x̂ (B, D), h (B, K)

A mistake is in dh or da, the penalty's derivative by h or by a = x W + b. Contraction is checked by itself.
"""
from functools import partial
from types import SimpleNamespace

import numpy as np

from .planted import Problem, planted, sizes, ways

LAM, RHO = 0.3, 0.1


def sigmoid(a):
    """1 / (1 + e^−a)"""
    return 1 / (1 + np.exp(-a))


def penalised(phi, right, parts, numbers, grad, rng):
    """A penalty of these parts is added to the reconstruction error."""
    B, D, K = sizes(rng, 3)
    s = SimpleNamespace(x=rng.normal(size=(B, D)), B=B, phi=phi)
    P = {"W": rng.normal(size=(D, K)) / 2, "b": rng.normal(size=K),
         "V": rng.normal(size=(K, D)), "c": rng.normal(size=D)}
    terms = {name: partial(part, s) for name, part in ({"reconstruction": reconstruction} | parts).items()}
    return Problem(lambda P: sum(term(P) for term in terms.values()), partial(grad, s), partial(right, s), P,
                   terms, {"B": B, "D": D, "K": K} | numbers)


def forward(s, P):
    """h, x̂"""
    h = s.phi(s.x @ P["W"] + P["b"])
    return h, h @ P["V"] + P["c"]


def slope(s, h):
    """φ'(a) from h: 1 − h² of tanh, h (1 − h) of the sigmoid"""
    return 1 - h**2 if s.phi is np.tanh else h * (1 - h)


def reconstruction(s, P):
    """1 / 2B Σ (x̂ − x)²"""
    return np.sum((forward(s, P)[1] - s.x) ** 2) / (2 * s.B)


def backward(s, P, dh=0.0, da=0.0):
    """The gradient, with what a penalty adds to the derivative by h and to the one by a."""
    h, xhat = forward(s, P)
    dxhat = (xhat - s.x) / s.B
    da = (dxhat @ P["V"].T + dh) * slope(s, h) + da
    return {"W": s.x.T @ da, "b": da.sum(axis=0), "V": h.T @ dxhat, "c": dxhat.sum(axis=0)}


# ---- L1: λ / B Σ |h|, with tanh, whose values have both signs --------------------------------------------------------


def l1(s, P):
    """λ / B Σ |h|"""
    h, _ = forward(s, P)
    return LAM * np.sum(np.where(h.real < 0, -h, h)) / s.B


def l1_right(s, P):
    """dh = λ / B sign(h)"""
    return backward(s, P, dh=LAM * np.sign(forward(s, P)[0]) / s.B)


def l1_lambda_forgotten(s, P):
    """λ weighs the penalty in the loss, and so in the gradient."""
    return backward(s, P, dh=np.sign(forward(s, P)[0]) / s.B)                                       # wrong


def l1_sign_forgotten(s, P):
    """The slope of |h| is −1 where h < 0."""
    return backward(s, P, dh=LAM / s.B)                                                             # wrong


def l1_slope_forgotten(s, P):
    """sign(h) is a derivative by h; on its way to a it meets φ', as the error does."""
    return backward(s, P, da=LAM * np.sign(forward(s, P)[0]) / s.B)                                 # wrong


def l1_forgotten(s, P):
    """The penalty stands in the loss alone."""
    return backward(s, P)                                                                           # wrong


def l1_summed(s, P):
    """The loss has the mean of the rows' |h|: without 1/B the penalty grows with the batch."""
    return backward(s, P, dh=LAM * np.sign(forward(s, P)[0]))                                       # wrong


# ---- KL sparsity: λ Σ_k [ρ log(ρ / ρ̂_k) + (1 − ρ) log((1 − ρ) / (1 − ρ̂_k))], ρ̂_k the mean of h_k over the rows ----


def active(s, P):
    """λ Σ_k ρ log(ρ / ρ̂_k)"""
    return LAM * np.sum(RHO * np.log(RHO / forward(s, P)[0].mean(axis=0)))


def silent(s, P):
    """λ Σ_k (1 − ρ) log((1 − ρ) / (1 − ρ̂_k))"""
    return LAM * np.sum((1 - RHO) * np.log((1 - RHO) / (1 - forward(s, P)[0].mean(axis=0))))


def sparse_right(s, P):
    """dh = λ / B ((1 − ρ) / (1 − ρ̂) − ρ / ρ̂), the same for every row"""
    mean = forward(s, P)[0].mean(axis=0)
    return backward(s, P, dh=LAM * ((1 - RHO) / (1 - mean) - RHO / mean) / s.B)


def sparse_mean_forgotten(s, P):
    """ρ̂ is a mean over rows: one row's h moves it by 1/B."""
    mean = forward(s, P)[0].mean(axis=0)
    return backward(s, P, dh=LAM * ((1 - RHO) / (1 - mean) - RHO / mean))                           # wrong


def sparse_mean_twice(s, P):
    """The 1/B of ρ̂ is all: the penalty is a sum over units, not a mean over rows besides."""
    mean = forward(s, P)[0].mean(axis=0)
    return backward(s, P, dh=LAM * ((1 - RHO) / (1 - mean) - RHO / mean) / s.B / s.B)               # wrong


def sparse_sign(s, P):
    """1 − ρ̂ falls as ρ̂ grows, and stands in a denominator: two signs, which cancel."""
    mean = forward(s, P)[0].mean(axis=0)
    return backward(s, P, dh=LAM * (-(1 - RHO) / (1 - mean) - RHO / mean) / s.B)                    # wrong


def sparse_silent_forgotten(s, P):
    """A unit is also to be silent in the share 1 − ρ of the rows: the second logarithm has a derivative as well."""
    mean = forward(s, P)[0].mean(axis=0)
    return backward(s, P, dh=LAM * (-RHO / mean) / s.B)                                             # wrong


def sparse_row_by_row(s, P):
    """The penalty looks at the mean over rows; here every row's own h is held against ρ."""
    h, _ = forward(s, P)
    return backward(s, P, dh=LAM * ((1 - RHO) / (1 - h) - RHO / h) / s.B)                           # wrong


def sparse_slope_forgotten(s, P):
    """The penalty is on h, and the gradient starts at a: φ' is between the two."""
    mean = forward(s, P)[0].mean(axis=0)
    return backward(s, P, da=LAM * ((1 - RHO) / (1 - mean) - RHO / mean) / s.B)                     # wrong


# ---- contraction: f = λ / B Σ_b ‖∂h/∂x‖² = λ / B Σ_b Σ_k u_bk² ‖W_k‖²,   u = φ'(a) = h (1 − h), φ'' = u (1 − 2h) -----


def contractive(grad, rng):
    """The penalty alone. W is in it twice: as the Jacobian's factor, and in u = φ'(x W + b)."""
    B, D, K = sizes(rng, 3)
    s = SimpleNamespace(x=rng.normal(size=(B, D)), B=B)
    P = {"W": rng.normal(size=(D, K)) / 2, "b": rng.normal(size=K)}

    def f(P, Q):
        return LAM / B * np.sum(value_and_slope(s, Q)[1] ** 2 * np.sum(P["W"] ** 2, axis=0))

    return Problem(lambda P: f(P, P), partial(grad, s), partial(contractive_right, s), P,
                   ways(f, P, "weights", "second derivative"), {"B": B, "D": D, "K": K, "lambda": LAM})


def value_and_slope(s, P):
    """h, u"""
    h = sigmoid(s.x @ P["W"] + P["b"])
    return h, h * (1 - h)


def contractive_right(s, P):
    """dW = 2λ / B W Σ_b u² + xᵀ da,  da = 2λ / B u φ'' ‖W_k‖²"""
    (h, u), W = value_and_slope(s, P), P["W"]
    da = 2 * LAM / s.B * u * u * (1 - 2 * h) * np.sum(W**2, axis=0)
    return {"W": 2 * LAM / s.B * W * np.sum(u**2, axis=0) + s.x.T @ da, "b": da.sum(axis=0)}


def contractive_phi2_forgotten(s, P):
    """The slope u is held constant; it depends on W and b through φ''."""
    _, u = value_and_slope(s, P)
    return {"W": 2 * LAM / s.B * P["W"] * np.sum(u**2, axis=0), "b": np.zeros_like(P["b"])}         # wrong


def contractive_weights_forgotten(s, P):
    """Only φ' is differentiated; the Jacobian is φ' times W."""
    (h, u), W = value_and_slope(s, P), P["W"]
    da = 2 * LAM / s.B * u * u * (1 - 2 * h) * np.sum(W**2, axis=0)
    return {"W": s.x.T @ da, "b": da.sum(axis=0)}                                                   # wrong


def contractive_two_forgotten(s, P):
    """The penalty is ‖J‖² without a ½: its derivative has a 2."""
    (h, u), W = value_and_slope(s, P), P["W"]
    scale = LAM / s.B                                                                               # wrong
    da = scale * u * u * (1 - 2 * h) * np.sum(W**2, axis=0)
    return {"W": scale * W * np.sum(u**2, axis=0) + s.x.T @ da, "b": da.sum(axis=0)}


def contractive_floored(s, P):
    """Divided with //, which rounds down: λ // B is 0, the penalty is never felt, and nothing fails."""
    (h, u), W = value_and_slope(s, P), P["W"]
    scale = 2 * (LAM // s.B)                                                                        # wrong
    da = scale * u * u * (1 - 2 * h) * np.sum(W**2, axis=0)
    return {"W": scale * W * np.sum(u**2, axis=0) + s.x.T @ da, "b": da.sum(axis=0)}


def contractive_summed(s, P):
    """The rows' squared norms are averaged, not added."""
    (h, u), W = value_and_slope(s, P), P["W"]
    da = 2 * LAM * u * u * (1 - 2 * h) * np.sum(W**2, axis=0)                                       # wrong
    return {"W": 2 * LAM * W * np.sum(u**2, axis=0) + s.x.T @ da, "b": da.sum(axis=0)}


def jacobian_mean(s, P):
    """This is the gradient of the Jacobian's mean entry, where + and − cancel; the penalty is its squared norm."""
    (h, u), W = value_and_slope(s, P), P["W"]
    scale = LAM / s.B / W.size                                                                      # wrong
    da = scale * u * (1 - 2 * h) * W.sum(axis=0)
    return {"W": scale * np.ones_like(W) * u.sum(axis=0) + s.x.T @ da, "b": da.sum(axis=0)}


def jacobian_summed_then_squared(s, P):
    """(Σ J)² is differentiated, which is 0 for many a J that is not; the penalty is Σ J²."""
    (h, u), W = value_and_slope(s, P), P["W"]
    scale = 2 * LAM / s.B * np.sum(u * W.sum(axis=0), axis=1, keepdims=True)                        # wrong
    da = scale * u * (1 - 2 * h) * W.sum(axis=0)
    return {"W": np.ones_like(W) * np.sum(scale * u, axis=0) + s.x.T @ da, "b": da.sum(axis=0)}


with_l1 = partial(penalised, np.tanh, l1_right, {"penalty": l1}, {"lambda": LAM})
sparse = partial(penalised, sigmoid, sparse_right, {"active": active, "silent": silent}, {"lambda": LAM, "rho": RHO})

MISTAKES = planted("penalties", [
    (with_l1,     l1_lambda_forgotten,           "term scaled",    "W", "b"),
    (with_l1,     l1_sign_forgotten,             "wrong slope",    "W", "b"),
    (with_l1,     l1_slope_forgotten,            "missing slope",  "W", "b"),
    (with_l1,     l1_forgotten,                  "term forgotten", "W", "b"),
    (with_l1,     l1_summed,                     "sum for mean",   "W", "b"),
    (sparse,      sparse_mean_forgotten,         "sum for mean",   "W", "b"),
    (sparse,      sparse_mean_twice,             "mean for sum",   "W", "b"),
    (sparse,      sparse_sign,                   "term scaled",    "W", "b"),
    (sparse,      sparse_silent_forgotten,       "term forgotten", "W", "b"),
    (sparse,      sparse_row_by_row,             "other",          "W", "b"),
    (sparse,      sparse_slope_forgotten,        "missing slope",  "W", "b"),
    (contractive, contractive_phi2_forgotten,    "term forgotten", "W", "b"),
    (contractive, contractive_weights_forgotten, "term forgotten", "W"),
    (contractive, contractive_two_forgotten,     "factor",         "W", "b"),
    (contractive, contractive_floored,           "zero",           "W", "b"),
    (contractive, contractive_summed,            "sum for mean",   "W", "b"),
    (contractive, jacobian_mean,                 "other",          "W", "b"),
    (contractive, jacobian_summed_then_squared,  "other",          "W", "b"),
])
