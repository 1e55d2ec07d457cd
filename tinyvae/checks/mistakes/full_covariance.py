"""A full covariance Σ = L Lᵀ, L lower triangular with a positive diagonal: in the posterior and in the likelihood.

    posterior    mu, logvar, lower = x W + b, each by its own W and b;  L holds exp(logvar / 2) on its diagonal and, row
                 by row, lower below it;  z = mu + L ε,  x̂ = z W + b
                 f = 1 / 2B Σ (x − x̂)²  +  β / 2B Σ (mu² + lower² + exp(logvar) − 1 − logvar)
    likelihood   mean = z W + b,  one L for all rows: the parameter, but for its diagonal, which is the exp of it
                 f = 1 / 2B Σ u²  +  Σ_k log L_kk,   u = L⁻¹ (x − mean)        log det Σ = 2 Σ_k log L_kk

x, x̂, mean (B, D), z, mu, logvar, ε (B, K), lower (B, K(K − 1)/2). log 2π is left out.
"""
from functools import partial
from types import SimpleNamespace

import numpy as np

from .planted import Problem, planted, sizes

MU, LOGVAR, LOWER = ("W_mu", "b_mu"), ("W_logvar", "b_logvar"), ("W_lower", "b_lower")


def posterior(grad, rng):
    """K is at least 4: up to 3, the entries of `lower` stand in the same order by rows and by columns."""
    B, D, K = *rng.permutation([3, 7, 11])[:2].tolist(), int(rng.integers(4, 6))
    P = {}
    for name, width in ("mu", K), ("logvar", K), ("lower", K * (K - 1) // 2):
        P |= {f"W_{name}": rng.normal(size=(D, width)) / 3, f"b_{name}": rng.normal(size=width)}
    P |= {"W": rng.normal(size=(K, D)) / 2, "b": rng.normal(size=D)}
    eps, earlier_eps = rng.normal(size=(2, B, K))
    s = SimpleNamespace(x=rng.normal(size=(B, D)), beta=rng.uniform(2, 4), B=B, K=K,
                        earlier_eps=earlier_eps, rows_columns=np.tril_indices(K, -1))
    terms = {"reconstruction": partial(reconstruction, s), "squared mean": partial(squared_mean, s),
             "trace": partial(trace, s), "entropy": partial(entropy, s)}
    return Problem(partial(loss, s), partial(grad, s), partial(right, s), P, terms,
                   {"B": B, "D": D, "K": K, "beta": s.beta}, eps)


def forward(s, P, eps):
    """All that the loss makes on its way; dz and dL (B, K, K), the derivatives of the reconstruction by z and L."""
    v = SimpleNamespace(**{name: s.x @ P[f"W_{name}"] + P[f"b_{name}"] for name in ("mu", "logvar", "lower")})
    v.sd = np.exp(v.logvar / 2)
    v.L = v.sd[:, :, None] * np.eye(s.K, dtype=v.lower.dtype)
    v.L[:, *s.rows_columns] = v.lower
    v.z = v.mu + np.einsum("bij,bj->bi", v.L, eps)
    v.dx_hat = (v.z @ P["W"] + P["b"] - s.x) / s.B
    v.dz = v.dx_hat @ P["W"].T
    v.dL = v.dz[:, :, None] * eps[:, None, :]
    return v


def reconstruction(s, P, eps):
    """1 / 2B Σ (x − x̂)²"""
    return np.sum(forward(s, P, eps).dx_hat ** 2) * s.B / 2


def squared_mean(s, P, eps):
    """β / 2B Σ mu²"""
    return s.beta * np.sum(forward(s, P, eps).mu ** 2) / (2 * s.B)


def trace(s, P, eps):
    """β / 2B Σ tr Σ, all of L's entries squared"""
    return s.beta * np.sum(forward(s, P, eps).L ** 2) / (2 * s.B)


def entropy(s, P, eps):
    """−β / 2B Σ (log det Σ + K), minus that of q; log det Σ is a sum of logvar"""
    return -s.beta * np.sum(forward(s, P, eps).logvar + 1) / (2 * s.B)


def loss(s, P, eps):
    """f: the last three terms are the KL"""
    return reconstruction(s, P, eps) + squared_mean(s, P, eps) + trace(s, P, eps) + entropy(s, P, eps)


def diagonal(dL):
    """The diagonal of every row's matrix, (B, K)."""
    return np.einsum("bkk->bk", dL)


def right(s, P, eps):
    """f's gradient."""
    return posterior_but(s, forward(s, P, eps))


def posterior_but(s, v, **wrong):
    """dL = dz εᵀ, of which only what lies in L counts; on the diagonal by way of ½ exp(logvar / 2).

    The right gradient of every weight, but for the outputs whose derivative is given.
    """
    w = s.beta / s.B
    outputs = {"mu": v.dz + w * v.mu,
               "logvar": diagonal(v.dL) * v.sd / 2 + w * np.expm1(v.logvar) / 2,
               "lower": v.dL[:, *s.rows_columns] + w * v.lower}
    g = {"W": v.z.T @ v.dx_hat, "b": v.dx_hat.sum(axis=0)}
    for name, d in (outputs | wrong).items():
        g |= {f"W_{name}": s.x.T @ d, f"b_{name}": d.sum(axis=0)}
    return g


# ---- the posterior ---------------------------------------------------------------------------------------------------


def posterior_mean_sign(s, P, eps):
    """z = mu + L ε moves with mu, not against it."""
    v, w = forward(s, P, eps), s.beta / s.B
    return posterior_but(s, v, mu=-v.dz + w * v.mu)                                                 # wrong


def posterior_upper_for_lower(s, P, eps):
    """The entries above the diagonal of dz εᵀ: those of ε dzᵀ."""
    v, w = forward(s, P, eps), s.beta / s.B
    rows, columns = s.rows_columns
    return posterior_but(s, v, lower=v.dL[:, columns, rows] + w * v.lower)                          # wrong


def posterior_by_columns(s, P, eps):
    """np.triu_indices, exchanged, walks L's lower entries column by column; `lower` holds them row by row."""
    v, w = forward(s, P, eps), s.beta / s.B
    columns, rows = np.triu_indices(s.K, 1)                                                         # wrong
    return posterior_but(s, v, lower=(v.dL + w * v.L)[:, rows, columns])


def posterior_diagonal_without_chain(s, P, eps):
    """The diagonal of dL is by L_kk; the network's output is logvar, L_kk = exp(logvar / 2)."""
    v, w = forward(s, P, eps), s.beta / s.B
    return posterior_but(s, v, logvar=diagonal(v.dL) + w * np.expm1(v.logvar) / 2)                  # wrong


def posterior_diagonal_without_half(s, P, eps):
    """The slope of exp(logvar / 2) without its ½."""
    v, w = forward(s, P, eps), s.beta / s.B
    return posterior_but(s, v, logvar=diagonal(v.dL) * v.sd + w * np.expm1(v.logvar) / 2)           # wrong


def posterior_diagonal_missing_in_draw(s, P, eps):
    """L is built below the diagonal alone: the ε that stands on it has no way back to logvar."""
    v, w = forward(s, P, eps), s.beta / s.B
    return posterior_but(s, v, logvar=w * np.expm1(v.logvar) / 2)                                   # wrong


def posterior_unit_diagonal(s, P, eps):
    """An L with ones on its diagonal, as in Σ = L D Lᵀ: right below, wrong on it."""
    v, w = forward(s, P, eps), s.beta / s.B
    ones = np.ones_like(v.sd)                                                                       # wrong
    return posterior_but(s, v, logvar=diagonal(v.dL) * ones / 2 + w * np.expm1(v.logvar) / 2)


def posterior_lower_missing_in_draw(s, P, eps):
    """z = mu + exp(logvar / 2) ε is differentiated, the diagonal posterior's draw."""
    v, w = forward(s, P, eps), s.beta / s.B
    return posterior_but(s, v, lower=w * v.lower)                                                   # wrong


def posterior_lower_missing_in_kl(s, P, eps):
    """The trace of L Lᵀ is a sum of all of L's squares, below the diagonal too."""
    v = forward(s, P, eps)
    return posterior_but(s, v, lower=v.dL[:, *s.rows_columns])                                      # wrong


def posterior_lower_halved_in_kl(s, P, eps):
    """The ½ of ½ lower² is gone after the derivative: only that of exp(logvar) stays."""
    v, w = forward(s, P, eps), s.beta / s.B
    return posterior_but(s, v, lower=v.dL[:, *s.rows_columns] + w * v.lower / 2)                    # wrong


def posterior_lower_frozen(s, P, eps):
    """The diagonal posterior's backward pass; the new layer's gradient stays as it was made, zero."""
    v = forward(s, P, eps)
    return posterior_but(s, v, lower=np.zeros_like(v.lower))                                        # wrong


def posterior_without_log_determinant(s, P, eps):
    """−½ log det Σ = −½ Σ logvar is forgotten in the KL's derivative: Σ collapses."""
    v, w = forward(s, P, eps), s.beta / s.B
    return posterior_but(s, v, logvar=diagonal(v.dL) * v.sd / 2 + w * np.exp(v.logvar) / 2)         # wrong


def posterior_kl_by_factor(s, P, eps):
    """L_kk − 1 / L_kk is the KL's derivative by L_kk; ½ L_kk, the slope behind it, is missing."""
    v, w = forward(s, P, eps), s.beta / s.B
    return posterior_but(s, v, logvar=diagonal(v.dL) * v.sd / 2 + w * (v.sd - 1 / v.sd))            # wrong


def posterior_noise_stale(s, P, eps):
    """dL = dz εᵀ, but ε is read before it is written: it is the one of the call before."""
    v, w = forward(s, P, eps), s.beta / s.B
    kept, s.earlier_eps = s.earlier_eps, eps                                                        # wrong
    dL = v.dz[:, :, None] * kept[:, None, :]
    return posterior_but(s, v, logvar=diagonal(dL) * v.sd / 2 + w * np.expm1(v.logvar) / 2,
                         lower=dL[:, *s.rows_columns] + w * v.lower)


# ---- the likelihood --------------------------------------------------------------------------------------------------


def likelihood(grad, rng):
    """z is given. What lies above the diagonal of P["L"] is not read, and its gradient is zero."""
    B, D, K = sizes(rng, 3)
    P = {"W": rng.normal(size=(K, D)) / 3, "b": rng.normal(size=D) / 2, "L": rng.normal(size=(D, D)) / 3}
    s = SimpleNamespace(x=rng.normal(size=(B, D)), z=rng.normal(size=(B, K)), B=B)
    terms = {"squares": partial(squares, s), "log determinant": partial(log_determinant, s)}
    return Problem(partial(likelihood_loss, s), partial(grad, s), partial(likelihood_right, s), P, terms,
                   {"B": B, "D": D, "K": K})


def solved(s, P):
    """L, u = L⁻¹ (x − mean) and v = L⁻ᵀ u = Σ⁻¹ (x − mean), (B, D) both"""
    L = np.tril(P["L"], -1) + np.diag(np.exp(np.diag(P["L"])))
    u = np.linalg.solve(L, (s.x - s.z @ P["W"] - P["b"]).T).T
    return L, u, np.linalg.solve(L.T, u.T).T


def squares(s, P):
    """1 / 2B Σ u²"""
    return np.sum(solved(s, P)[1] ** 2) / (2 * s.B)


def log_determinant(s, P):
    """½ log det Σ = Σ_k log L_kk"""
    return np.sum(np.diag(P["L"]))


def likelihood_loss(s, P):
    """f"""
    return squares(s, P) + log_determinant(s, P)


def likelihood_right(s, P):
    """dmean = −v / B,  dL = −v uᵀ / B summed over rows;  on the diagonal times L_kk, and 1 from the log-determinant."""
    L, u, v = solved(s, P)
    dL = -v.T @ u / s.B
    return by_mean_and_factor(s, -v / s.B, np.tril(dL, -1) + np.diag(np.diag(dL * L) + 1))


def by_mean_and_factor(s, dmean, dL):
    """The gradient of every weight."""
    return {"W": s.z.T @ dmean, "b": dmean.sum(axis=0), "L": dL}


def likelihood_mean_sign(s, P):
    """x − mean falls where the mean grows."""
    _, _, v = solved(s, P)
    return by_mean_and_factor(s, v / s.B, likelihood_right(s, P)["L"])                              # wrong


def likelihood_solved_twice_with_l(s, P):
    """Σ⁻¹ = L⁻ᵀ L⁻¹: the second system is the transposed one."""
    L, u, _ = solved(s, P)
    v = np.linalg.solve(L, u.T).T                                                                   # wrong
    dL = -v.T @ u / s.B
    return by_mean_and_factor(s, -v / s.B, np.tril(dL, -1) + np.diag(np.diag(dL * L) + 1))


def likelihood_solved_once(s, P):
    """u = L⁻¹ r is the residual in units of the noise; its derivative brings a second solve."""
    L, u, _ = solved(s, P)
    v = u                                                                                           # wrong
    dL = -v.T @ u / s.B
    return by_mean_and_factor(s, -v / s.B, np.tril(dL, -1) + np.diag(np.diag(dL * L) + 1))


def likelihood_unit_diagonal(s, P):
    """A solver that takes L's diagonal for ones (unit_diagonal=True), in the backward pass only."""
    L, u, _ = solved(s, P)
    v = np.linalg.solve(np.tril(L, -1).T + np.eye(len(L)), u.T).T                                   # wrong
    dL = -v.T @ u / s.B
    return by_mean_and_factor(s, -v / s.B, np.tril(dL, -1) + np.diag(np.diag(dL * L) + 1))


def likelihood_outer_exchanged(s, P):
    """u vᵀ for v uᵀ: of the one, what lies below the diagonal is what lies above it in the other."""
    L, u, v = solved(s, P)
    dL = -u.T @ v / s.B                                                                             # wrong
    return by_mean_and_factor(s, -v / s.B, np.tril(dL, -1) + np.diag(np.diag(dL * L) + 1))


def likelihood_factor_transposed(s, P):
    """The gradient of an upper factor Lᵀ, which is what scipy.linalg.cholesky returns unless told."""
    L, u, v = solved(s, P)
    dU = np.triu(-u.T @ v / s.B, 1)                                                                 # wrong
    return by_mean_and_factor(s, -v / s.B, dU + np.diag(np.diag(-v.T @ u / s.B * L) + 1))


def likelihood_triangle_ignored(s, P):
    """All of v uᵀ is returned, though nothing above the diagonal enters the loss."""
    L, u, v = solved(s, P)
    dL = -v.T @ u / s.B
    np.fill_diagonal(dL, np.diag(dL * L) + 1)
    return by_mean_and_factor(s, -v / s.B, dL)                                                      # wrong


def likelihood_diagonal_without_chain(s, P):
    """The parameter on the diagonal is log L_kk, and dL_kk is by L_kk: a factor L_kk is missing."""
    _, u, v = solved(s, P)
    dL = -v.T @ u / s.B
    return by_mean_and_factor(s, -v / s.B, np.tril(dL, -1) + np.diag(np.diag(dL) + 1))              # wrong


def likelihood_without_log_determinant(s, P):
    """Only the squares are differentiated: L grows for ever."""
    L, u, v = solved(s, P)
    dL = -v.T @ u / s.B
    return by_mean_and_factor(s, -v / s.B, np.tril(dL, -1) + np.diag(np.diag(dL * L)))              # wrong


def likelihood_log_determinant_of_sigma(s, P):
    """log det Σ is twice log det L, and ½ stands before it: the ½ is forgotten."""
    L, u, v = solved(s, P)
    dL = -v.T @ u / s.B
    return by_mean_and_factor(s, -v / s.B, np.tril(dL, -1) + np.diag(np.diag(dL * L) + 2))          # wrong


def likelihood_log_determinant_by_factor(s, P):
    """1 / L_kk is the derivative of log L_kk by L_kk; by the parameter, which is log L_kk, it is 1."""
    L, u, v = solved(s, P)
    dL = -v.T @ u / s.B
    return by_mean_and_factor(s, -v / s.B, np.tril(dL, -1) + np.diag(np.diag(dL * L) + 1 / np.diag(L)))  # wrong


MISTAKES = planted("full_covariance", [
    (posterior,  posterior_mean_sign,                  "term scaled",    *MU),
    (posterior,  posterior_upper_for_lower,            "transpose",      *LOWER),
    (posterior,  posterior_by_columns,                 "permuted",       *LOWER),
    (posterior,  posterior_diagonal_without_chain,     "missing slope",  *LOGVAR),
    (posterior,  posterior_diagonal_without_half,      "term twice",     *LOGVAR),
    (posterior,  posterior_diagonal_missing_in_draw,   "term forgotten", *LOGVAR),
    (posterior,  posterior_unit_diagonal,              "missing slope",  *LOGVAR),
    (posterior,  posterior_lower_missing_in_draw,      "term forgotten", *LOWER),
    (posterior,  posterior_lower_missing_in_kl,        "term forgotten", *LOWER),
    (posterior,  posterior_lower_halved_in_kl,         "term scaled",    *LOWER),
    (posterior,  posterior_lower_frozen,               "zero",           *LOWER),
    (posterior,  posterior_without_log_determinant,    "term forgotten", *LOGVAR),
    (posterior,  posterior_kl_by_factor,               "missing slope",  *LOGVAR),
    (posterior,  posterior_noise_stale,                "noise",          *LOGVAR, *LOWER),
    (likelihood, likelihood_mean_sign,                 "factor",         "W", "b"),
    (likelihood, likelihood_solved_twice_with_l,       "transpose",      "W", "b", "L"),
    (likelihood, likelihood_solved_once,               "other",          "W", "b", "L"),
    (likelihood, likelihood_unit_diagonal,             "other",          "W", "b", "L"),
    (likelihood, likelihood_outer_exchanged,           "transpose",      "L"),
    (likelihood, likelihood_factor_transposed,         "transpose",      "L"),
    (likelihood, likelihood_triangle_ignored,          "other",          "L"),
    (likelihood, likelihood_diagonal_without_chain,    "missing slope",  "L"),
    (likelihood, likelihood_without_log_determinant,   "term forgotten", "L"),
    (likelihood, likelihood_log_determinant_of_sigma,  "term twice",     "L"),
    (likelihood, likelihood_log_determinant_by_factor, "missing slope",  "L"),
])
