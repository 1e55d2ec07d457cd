"""The importance-weighted bound (Burda, Grosse and Salakhutdinov 2016) and its weights, for given draws ε.

    mu = x W_mu + b_mu,  logvar = x W_logvar + b_logvar,  z_s = mu + sd ε_s,  sd = exp(logvar / 2),  x̂_s = z_s W + b
    log w_s = log p(x|z_s) + log p(z_s) − log q(z_s|x)   of N(x̂, I), N(0, I) and N(mu, diag sd²)

    f = −1/B Σ log 1/S Σ_s w_s,     its gradient: −1/B Σ Σ_s r_s ∂ log w_s,  r_s = w_s / Σ w        [CV.1]

x (B, D), mu, logvar (B, K), ε, z (S, B, K), x̂ (S, B, D), w, r (S, B). log 2π is left out.
"""
from functools import partial
from types import SimpleNamespace

import numpy as np

from .planted import Problem, planted, sizes, ways

MU, LOGVAR, DECODER = ("W_mu", "b_mu"), ("W_logvar", "b_logvar"), ("W", "b")
ENCODER = MU + LOGVAR
ALL = ENCODER + DECODER


def setup(grad, rng):
    """Weights small enough for the draws to share a row's weight, and the noise of an earlier minibatch."""
    B, D, K, S = sizes(rng, 4)
    P = {"W_mu": rng.normal(size=(D, K)) / (2 * D), "b_mu": rng.normal(size=K) / 2,
         "W_logvar": rng.normal(size=(D, K)) / (2 * D), "b_logvar": rng.normal(size=K) / 2,
         "W": rng.normal(size=(K, D)) / K, "b": rng.normal(size=D) / 2}
    eps, earlier_eps = rng.normal(size=(2, S, B, K))
    s = SimpleNamespace(x=rng.normal(size=(B, D)), B=B, S=S, earlier_eps=earlier_eps)
    return Problem(lambda P, eps: loss(s, P, P, P, P, eps), partial(grad, s), partial(right, s), P,
                   ways(partial(loss, s), P, "log p(x|z)", "log p(z)", "log q through z", "log q by itself"),
                   {"B": B, "D": D, "K": K, "draws": S}, eps)


def forward(s, P, eps):
    """log w and its three parts, and their derivatives by what they read: z_s, and for log q also mu and logvar."""
    v = SimpleNamespace(eps=eps, mu=s.x @ P["W_mu"] + P["b_mu"], logvar=s.x @ P["W_logvar"] + P["b_logvar"])
    v.sd = np.exp(v.logvar / 2)
    v.z = v.mu + v.sd * eps
    v.r_x = s.x - (v.z @ P["W"] + P["b"])
    v.log_px, v.log_pz = -np.sum(v.r_x**2, axis=2) / 2, -np.sum(v.z**2, axis=2) / 2
    v.log_w = v.log_px + v.log_pz - log_q(v.z, v)
    v.px_dz, v.pz_dz, v.q_dz = v.r_x @ P["W"].T, -v.z, -eps / v.sd
    v.q_dmu, v.q_dlogvar = eps / v.sd, (eps**2 - 1) / 2
    return v


def log_q(z, v):
    """log q(z|x) of any z, by v's mu and logvar"""
    return -np.sum((z - v.mu) ** 2 / v.sd**2 + v.logvar, axis=2) / 2


def loss(s, P_x, P_z, Q_z, Q, eps):
    """f; log p(x|z), log p(z), log q's z and log q's own mu and logvar may each be made by weights of their own.

    The largest weight of each row is taken out of the sum.
    """
    log_px, log_pz = forward(s, P_x, eps).log_px, forward(s, P_z, eps).log_pz
    log_w = log_px + log_pz - log_q(forward(s, Q_z, eps).z, forward(s, Q, eps))
    top = np.max(log_w.real, axis=0)
    return -np.mean(top + np.log(np.mean(np.exp(log_w - top), axis=0)))


def softmax(log_w, axis=0):
    """w / Σ w"""
    w = np.exp(log_w - np.max(log_w, axis=axis, keepdims=True))
    return w / np.sum(w, axis=axis, keepdims=True)


def right(s, P, eps):
    """Every draw counts with its share of the row's weight."""
    v = forward(s, P, eps)
    return weighted(s, v, -softmax(v.log_w) / s.B)


def weighted(s, v, c):
    """Σ c_s ∂ log w_s,  c (S, B)"""
    c = c[:, :, None]
    dz = c * (v.px_dz + v.pz_dz - v.q_dz)
    dmu = dz - c * v.q_dmu
    dlogvar = dz * v.eps * v.sd / 2 - c * v.q_dlogvar
    return below(s, v, c, dmu, dlogvar)


def below(s, v, c, dmu, dlogvar):
    """The gradient of every weight, from the derivatives by mu and logvar, a draw each, (S, B, K)."""
    dmu, dlogvar, dx_hat = dmu.sum(axis=0), dlogvar.sum(axis=0), c * v.r_x
    return {"W_mu": s.x.T @ dmu, "b_mu": dmu.sum(axis=0),
            "W_logvar": s.x.T @ dlogvar, "b_logvar": dlogvar.sum(axis=0),
            "W": np.einsum("sbk,sbd->kd", v.z, dx_hat), "b": dx_hat.sum(axis=(0, 1))}


# ---- the weights -----------------------------------------------------------------------------------------------------


def iwae_sign(s, P, eps):
    """The gradient of the bound, which is maximised; the loss is minus the bound."""
    v = forward(s, P, eps)
    return weighted(s, v, softmax(v.log_w) / s.B)                                                   # wrong


def iwae_unnormalised(s, P, eps):
    """w without its sum: a row's weights add up to anything between 1 and S."""
    v = forward(s, P, eps)
    w = np.exp(v.log_w - np.max(v.log_w, axis=0))                                                   # wrong
    return weighted(s, v, -w / s.B)


def iwae_inverse_weights(s, P, eps):
    """1/w for w: the sign of log w is lost on the way to the softmax, and the worst draw learns most."""
    v = forward(s, P, eps)
    return weighted(s, v, -softmax(-v.log_w) / s.B)                                                 # wrong


def iwae_not_detached(s, P, eps):
    """Σ r log w is differentiated, r too; the bound's gradient holds r as a constant."""
    v = forward(s, P, eps)
    r = softmax(v.log_w)
    through_r = r * (v.log_w - np.sum(r * v.log_w, axis=0))                                         # wrong
    return weighted(s, v, -(r + through_r) / s.B)


def iwae_best_draw(s, P, eps):
    """The maximum over draws for the soft one: only the best draw learns."""
    v = forward(s, P, eps)
    best = np.where(v.log_w == np.max(v.log_w, axis=0), 1.0, 0.0)                                   # wrong
    return weighted(s, v, -best / s.B)


def iwae_elbo_weights(s, P, eps):
    """1/S for every draw: the ELBO's gradient, whose logarithm stands inside the mean."""
    v = forward(s, P, eps)
    return weighted(s, v, np.full(v.log_w.shape, -1 / s.S / s.B))                                   # wrong


def iwae_mean_forgotten(s, P, eps):
    """w over its mean, not over its sum: S times the gradient."""
    v = forward(s, P, eps)
    return weighted(s, v, -softmax(v.log_w) * s.S / s.B)                                            # wrong


def iwae_mean_twice(s, P, eps):
    """A mean over the draws, where their weights add up to 1 already."""
    v = forward(s, P, eps)
    return weighted(s, v, -softmax(v.log_w) / s.S / s.B)                                            # wrong


def iwae_summed(s, P, eps):
    """The loss is a mean over rows, the gradient a sum."""
    v = forward(s, P, eps)
    return weighted(s, v, -softmax(v.log_w))                                                        # wrong


def iwae_softmax_over_rows(s, P, eps):
    """axis=1 for axis=0: the rows compete for weight, not the draws of a row."""
    v = forward(s, P, eps)
    return weighted(s, v, -softmax(v.log_w, axis=1) / s.B)                                          # wrong


def iwae_rows_first(s, P, eps):
    """Draws lie one below the other as s · B + b, and their weights are read as b · S + s."""
    v = forward(s, P, eps)
    r = softmax(v.log_w)
    return weighted(s, v, -r.ravel().reshape(s.B, s.S).T / s.B)                                     # wrong


def iwae_likelihood_weights(s, P, eps):
    """p(x|z) alone for a weight: right for draws from the prior, and these are q's."""
    v = forward(s, P, eps)
    return weighted(s, v, -softmax(v.log_px) / s.B)                                                 # wrong


def iwae_stale_weights(s, P, eps):
    """The weights are kept with their draws, but read before they are written: they are those of the call before."""
    v = forward(s, P, eps)
    kept, s.earlier_eps = s.earlier_eps, eps                                                        # wrong
    return weighted(s, v, -softmax(forward(s, P, kept).log_w) / s.B)


def iwae_squared_weights_for_decoder(s, P, eps):
    """r² belongs to the encoder, and to its doubly reparameterized gradient; the decoder's weight is r."""
    v = forward(s, P, eps)
    r = softmax(v.log_w)
    g = weighted(s, v, -(r**2) / s.B)                                                               # wrong
    return {**right(s, P, eps), "W": g["W"], "b": g["b"]}


# ---- what is weighted ------------------------------------------------------------------------------------------------


def iwae_without_prior(s, P, eps):
    """log p(z) is forgotten on the way back: nothing draws z to the origin."""
    v = forward(s, P, eps)
    c = -softmax(v.log_w)[:, :, None] / s.B
    dz = c * (v.px_dz - v.q_dz)                                                                     # wrong
    return below(s, v, c, dz - c * v.q_dmu, dz * eps * v.sd / 2 - c * v.q_dlogvar)


def iwae_without_q(s, P, eps):
    """log q(z|x) is forgotten on the way back: in mu its two parts cancel, in logvar they keep q wide."""
    v = forward(s, P, eps)
    c = -softmax(v.log_w)[:, :, None] / s.B
    dz = c * (v.px_dz + v.pz_dz)
    return below(s, v, c, dz, dz * eps * v.sd / 2)                                                  # wrong


def iwae_without_own_part_of_q(s, P, eps):
    """log q reads mu and logvar through z and by itself; for more than one draw the second part has no mean of zero."""
    v = forward(s, P, eps)
    c = -softmax(v.log_w)[:, :, None] / s.B
    dz = c * (v.px_dz + v.pz_dz - v.q_dz)
    return below(s, v, c, dz, dz * eps * v.sd / 2)                                                  # wrong


def iwae_q_held_at_z(s, P, eps):
    """log q's own part without the one through z: the score, added to a pathwise gradient."""
    v = forward(s, P, eps)
    c = -softmax(v.log_w)[:, :, None] / s.B
    dz = c * (v.px_dz + v.pz_dz)                                                                    # wrong
    return below(s, v, c, dz - c * v.q_dmu, dz * eps * v.sd / 2 - c * v.q_dlogvar)


def iwae_q_sign(s, P, eps):
    """w has q in its denominator: log q is subtracted, here its own part is added."""
    v = forward(s, P, eps)
    c = -softmax(v.log_w)[:, :, None] / s.B
    dz = c * (v.px_dz + v.pz_dz - v.q_dz)
    return below(s, v, c, dz + c * v.q_dmu, dz * eps * v.sd / 2 + c * v.q_dlogvar)                  # wrong


def iwae_noise_of_first_draw(s, P, eps):
    """One ε for all draws of a row, in the backward pass only."""
    v = forward(s, P, eps)
    c = -softmax(v.log_w)[:, :, None] / s.B
    dz = c * (v.px_dz + v.pz_dz - v.q_dz)
    return below(s, v, c, dz - c * v.q_dmu, dz * eps[0] * v.sd / 2 - c * v.q_dlogvar)               # wrong


def iwae_noise_stale(s, P, eps):
    """ε is kept for the backward pass, but read before it is written: it is the one of the call before."""
    v = forward(s, P, eps)
    kept, s.earlier_eps = s.earlier_eps, eps                                                        # wrong
    c = -softmax(v.log_w)[:, :, None] / s.B
    dz = c * (v.px_dz + v.pz_dz - v.q_dz)
    return below(s, v, c, dz - c * v.q_dmu, dz * kept * v.sd / 2 - c * v.q_dlogvar)


MISTAKES = planted("iwae", [(setup, *row) for row in [
    (iwae_sign,                        "factor",         *ALL),
    (iwae_unnormalised,                "other",          *ALL),
    (iwae_inverse_weights,             "other",          *ALL),
    (iwae_not_detached,                "other",          *ALL),
    (iwae_best_draw,                   "other",          *ALL),
    (iwae_elbo_weights,                "other",          *ALL),
    (iwae_mean_forgotten,              "sum for mean",   *ALL),
    (iwae_mean_twice,                  "mean for sum",   *ALL),
    (iwae_summed,                      "sum for mean",   *ALL),
    (iwae_softmax_over_rows,           "other",          *ALL),
    (iwae_rows_first,                  "permuted",       *ALL),
    (iwae_likelihood_weights,          "other",          *ALL),
    (iwae_stale_weights,               "noise",          *ALL),
    (iwae_squared_weights_for_decoder, "other",          *DECODER),
    (iwae_without_prior,               "term forgotten", *ENCODER),
    (iwae_without_q,                   "term forgotten", *LOGVAR),
    (iwae_without_own_part_of_q,       "term forgotten", *ENCODER),
    (iwae_q_held_at_z,                 "term forgotten", *ENCODER),
    (iwae_q_sign,                      "term scaled",    *ENCODER),
    (iwae_noise_of_first_draw,         "noise",          *LOGVAR),
    (iwae_noise_stale,                 "noise",          *LOGVAR),
]])
