"""The KL term and the reparameterization, in a small VAE with given noise ε.

    h = tanh(x V + c)     mu = h W_mu + b_mu     logvar = h W_logvar + b_logvar
    z = mu + sd ε,  sd = exp(logvar / 2)         x̂ = z W + b

    f = 1 / 2B Σ (x − x̂)²  +  β / 2B Σ (mu² + exp(logvar) − 1 − logvar)
    x, x̂ (B, D), h (B, H), z, mu, logvar, ε (B, K)

mu and logvar act on f in two ways, through z and through the KL; a mistake is in one of the two, or where they meet.
"""
from functools import partial
from types import SimpleNamespace

import numpy as np

from .planted import Problem, planted, sizes, ways

MU, LOGVAR, HIDDEN = ("W_mu", "b_mu"), ("W_logvar", "b_logvar"), ("V", "c")
ENCODER = MU + LOGVAR + HIDDEN


def setup(grad, rng):
    """The VAE, its noise eps, and that of an earlier minibatch; neither term outweighs the other."""
    B, D, H, K = sizes(rng, 4)
    P = {"V": rng.normal(size=(D, H)) / 2, "c": rng.normal(size=H),
         "W_mu": rng.normal(size=(H, K)) / 2, "b_mu": rng.normal(size=K),
         "W_logvar": rng.normal(size=(H, K)) / 3, "b_logvar": rng.normal(size=K) / 2,
         "W": rng.normal(size=(K, D)) / 2, "b": rng.normal(size=D) / 2}
    eps, earlier_eps = rng.normal(size=(2, B, K))
    s = SimpleNamespace(x=rng.normal(size=(B, D)), beta=rng.uniform(1.3, 1.8), B=B,
                        earlier_eps=earlier_eps, rng=rng.spawn(1)[0])
    terms = {"reconstruction": partial(term, s, reconstruction), "KL": partial(term, s, kl)}
    return Problem(lambda P, eps: apart(s, P, P, eps), partial(grad, s), partial(right, s), P, terms,
                   {"B": B, "D": D, "H": H, "K": K, "beta": s.beta}, eps)


def in_parts(grad, rng):
    """The same VAE, the KL's three parts as terms of their own."""
    vae = setup(grad, rng)
    parts = {"reconstruction": reconstruction, "squared mean": squared_mean, "trace": trace, "entropy": entropy}
    return vae._replace(terms={name: partial(term, vae.grad.args[0], part) for name, part in parts.items()})


def branches(grad, rng):
    """The same VAE, but its terms are the two ways into the loss: through logvar, and through all else."""
    vae = setup(grad, rng)
    return vae._replace(terms=ways(partial(apart, vae.grad.args[0]), vae.theta, "mu branch", "logvar branch"))


def forward(s, P, eps, Q=None):
    """All that the loss makes on its way, and dz, the reconstruction's derivative by z. Q, if given, makes logvar."""
    Q = Q or P
    v = SimpleNamespace(h=hidden(s, P))
    v.mu, v.logvar = v.h @ P["W_mu"] + P["b_mu"], hidden(s, Q) @ Q["W_logvar"] + Q["b_logvar"]
    v.sd = np.exp(v.logvar / 2)
    v.z = v.mu + v.sd * eps
    v.dx_hat = (v.z @ P["W"] + P["b"] - s.x) / s.B
    v.dz = v.dx_hat @ P["W"].T
    return v


def hidden(s, P):
    """h"""
    return np.tanh(s.x @ P["V"] + P["c"])


def reconstruction(s, v):
    """1 / 2B Σ (x − x̂)²"""
    return np.sum(v.dx_hat**2) * s.B / 2


def squared_mean(s, v):
    """β / 2B Σ mu²"""
    return s.beta * np.sum(v.mu**2) / (2 * s.B)


def trace(s, v):
    """β / 2B Σ exp(logvar)"""
    return s.beta * np.sum(np.exp(v.logvar)) / (2 * s.B)


def entropy(s, v):
    """−β / 2B Σ (1 + logvar), minus that of q"""
    return -s.beta * np.sum(1 + v.logvar) / (2 * s.B)


def kl(s, v):
    """β / 2B Σ (mu² + exp(logvar) − 1 − logvar)"""
    return squared_mean(s, v) + trace(s, v) + entropy(s, v)


def term(s, part, P, eps):
    """One part of f."""
    return part(s, forward(s, P, eps))


def apart(s, P, Q, eps):
    """f, where logvar is made by the weights Q."""
    v = forward(s, P, eps, Q)
    return reconstruction(s, v) + kl(s, v)


def right(s, P, eps):
    """Two paths into mu and two into logvar:   [RP.2] + [EL.3]"""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar)


def below(s, P, v, dmu, dlogvar):
    """The gradient of every weight, from the derivatives by the encoder's two outputs."""
    dh = dmu @ P["W_mu"].T + dlogvar @ P["W_logvar"].T
    da = dh * (1 - v.h**2)
    return {"V": s.x.T @ da, "c": da.sum(axis=0), "W_mu": v.h.T @ dmu, "b_mu": dmu.sum(axis=0),
            "W_logvar": v.h.T @ dlogvar, "b_logvar": dlogvar.sum(axis=0),
            "W": v.z.T @ v.dx_hat, "b": v.dx_hat.sum(axis=0)}


# ---- the KL term -----------------------------------------------------------------------------------------------------


def kl_without_half(s, P, eps):
    """The ½ before exp(logvar) − 1 is lost: the variance is pulled to the prior's twice as hard."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(v.logvar)                                        # wrong
    return below(s, P, v, dmu, dlogvar)


def kl_mean_doubled(s, P, eps):
    """The derivative of mu² is 2 mu, but the KL holds ½ mu²."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * 2 * v.mu                                                                       # wrong
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar)


def kl_sign(s, P, eps):
    """The KL is subtracted, as in the bound that is maximised; the loss is minus the bound."""
    v, w = forward(s, P, eps), -s.beta / s.B                                                        # wrong
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar)


def kl_entropy_sign(s, P, eps):
    """The ELBO adds q's entropy, the loss subtracts it: here −logvar has become +logvar."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * (np.exp(v.logvar) + 1) / 2                                # wrong
    return below(s, P, v, dmu, dlogvar)


def kl_of_log_sd(s, P, eps):
    """exp(2 log σ) − 1 is the derivative by log σ, but the encoder's output is log σ²."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(2 * v.logvar)                                    # wrong
    return below(s, P, v, dmu, dlogvar)


def kl_by_variance(s, P, eps):
    """½ (1 − 1/σ²) is the derivative by σ², and σ², the slope of exp, is missing behind it."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * (1 - np.exp(-v.logvar)) / 2                               # wrong
    return below(s, P, v, dmu, dlogvar)


def kl_without_entropy(s, P, eps):
    """exp for expm1: the −1 is the derivative of −logvar; without it every variance is driven to 0."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * np.exp(v.logvar) / 2                                      # wrong
    return below(s, P, v, dmu, dlogvar)


def kl_summed(s, P, eps):
    """The reconstruction is a mean over rows, the KL a sum: the model is trained with B times its β."""
    v, w = forward(s, P, eps), s.beta                                                               # wrong
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar)


def kl_mean_summed(s, P, eps):
    """1/B reaches the KL's derivative by logvar, not that by mu."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + s.beta * v.mu                                                                      # wrong
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar)


def kl_averaged_over_latents(s, P, eps):
    """A mean over all of (B, K), where the KL is a sum over the K dimensions: β is K times too small."""
    v, w = forward(s, P, eps), s.beta / eps.size                                                    # wrong
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar)


def kl_without_beta(s, P, eps):
    """The loss weights the KL with β, the gradient does not."""
    v, w = forward(s, P, eps), 1 / s.B                                                              # wrong
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar)


def kl_forgotten(s, P, eps):
    """The loss has a KL, the gradient none: the encoder learns to make no noise."""
    v = forward(s, P, eps)
    dmu, dlogvar = v.dz, v.dz * eps * v.sd / 2                                                      # wrong
    return below(s, P, v, dmu, dlogvar)


def kl_twice(s, P, eps):
    """The KL's derivative is added by its own layer, and again where the paths meet."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu_kl, dlogvar_kl = w * v.mu, w * np.expm1(v.logvar) / 2
    dmu, dlogvar = v.dz + dmu_kl, v.dz * eps * v.sd / 2 + dlogvar_kl
    return below(s, P, v, dmu + dmu_kl, dlogvar + dlogvar_kl)                                       # wrong


def kl_missing_in_logvar(s, P, eps):
    """mu takes both of its paths, logvar the one through z alone."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2                                                                 # wrong
    return below(s, P, v, dmu, dlogvar)


def kl_outputs_exchanged(s, P, eps):
    """The KL's two derivatives are unpacked in the wrong order."""
    v, w = forward(s, P, eps), s.beta / s.B
    dlogvar_kl, dmu_kl = w * v.mu, w * np.expm1(v.logvar) / 2                                       # wrong
    return below(s, P, v, v.dz + dmu_kl, v.dz * eps * v.sd / 2 + dlogvar_kl)


def kl_of_one_dimension(s, P, eps):
    """An index for a slice: the KL pulls at the first latent dimension only."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu, dlogvar, k = v.dz.copy(), v.dz * eps * v.sd / 2, 0                                         # wrong
    dmu[:, k] += w * v.mu[:, k]
    dlogvar[:, k] += w * np.expm1(v.logvar[:, k]) / 2
    return below(s, P, v, dmu, dlogvar)


# ---- the draw --------------------------------------------------------------------------------------------------------


def draw_without_half(s, P, eps):
    """sd = exp(logvar / 2), so that its slope is ½ sd: the ½ is lost."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd + w * np.expm1(v.logvar) / 2                                        # wrong
    return below(s, P, v, dmu, dlogvar)


def draw_without_noise(s, P, eps):
    """The derivative of mu + sd, where z is mu + sd ε."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * v.sd / 2 + w * np.expm1(v.logvar) / 2                                          # wrong
    return below(s, P, v, dmu, dlogvar)


def draw_without_sd(s, P, eps):
    """dz ε is the derivative by sd; that of sd by logvar, ½ sd, has lost its sd."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps / 2 + w * np.expm1(v.logvar) / 2                                           # wrong
    return below(s, P, v, dmu, dlogvar)


def draw_with_variance(s, P, eps):
    """exp(logvar) for exp(logvar / 2), in the backward pass only."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * np.exp(v.logvar) / 2 + w * np.expm1(v.logvar) / 2                        # wrong
    return below(s, P, v, dmu, dlogvar)


def slope_on_logvar(s, P, eps):
    """The slope of a tanh on an output that has none: a log-variance may be any number."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar * (1 - np.tanh(v.logvar) ** 2))                              # wrong


def logvar_missing_in_draw(s, P, eps):
    """The noise is taken for a constant: logvar never learns what its noise does to x̂."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = w * np.expm1(v.logvar) / 2                                                            # wrong
    return below(s, P, v, dmu, dlogvar)


def mu_missing_in_draw(s, P, eps):
    """= for +=: the KL's derivative by mu overwrites what has come through z."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = w * v.mu                                                                                  # wrong
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar)


def dz_cut(s, P, eps):
    """A sample is taken for a constant: no reconstruction error reaches the encoder, whatever the decoder does."""
    v, w = forward(s, P, eps), s.beta / s.B
    v.dz = np.zeros_like(v.z)                                                                       # wrong
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * eps * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar)


def noise_redrawn(s, P, eps):
    """The backward pass draws its own ε: no two gradients are equal, and none belongs to the loss."""
    v, w = forward(s, P, eps), s.beta / s.B
    fresh = s.rng.normal(size=eps.shape)                                                            # wrong
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * fresh * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar)


def noise_stale(s, P, eps):
    """ε is kept for the backward pass, but read before it is written: it is the one of the call before."""
    v, w = forward(s, P, eps), s.beta / s.B
    kept, s.earlier_eps = s.earlier_eps, eps                                                        # wrong
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * kept * v.sd / 2 + w * np.expm1(v.logvar) / 2
    return below(s, P, v, dmu, dlogvar)


def noise_of_another_row(s, P, eps):
    """The rows of ε are shuffled between the draw and its derivative."""
    v, w = forward(s, P, eps), s.beta / s.B
    dmu = v.dz + w * v.mu
    dlogvar = v.dz * np.roll(eps, 1, axis=0) * v.sd / 2 + w * np.expm1(v.logvar) / 2                # wrong
    return below(s, P, v, dmu, dlogvar)


# ---- below the two outputs -------------------------------------------------------------------------------------------


def heads_exchanged(s, P, eps):
    """The optimiser is given mu's gradient for logvar's weights: both layers have the same shape."""
    g = right(s, P, eps)
    return {**g, "W_mu": g["W_logvar"], "b_mu": g["b_logvar"], "W_logvar": g["W_mu"], "b_logvar": g["b_mu"]}  # wrong


def logvar_layer_frozen(s, P, eps):
    """Gradients are made as zeros, and logvar's layer is never filled in."""
    g = right(s, P, eps)
    return {**g, "W_logvar": np.zeros_like(g["W_logvar"]), "b_logvar": np.zeros_like(g["b_logvar"])}  # wrong


def logvar_branch_dropped(s, P, eps):
    """h feeds two layers, and only mu's sends anything back to it."""
    v, g = forward(s, P, eps), right(s, P, eps)
    dmu = v.dz + s.beta / s.B * v.mu
    da = dmu @ P["W_mu"].T * (1 - v.h**2)                                                           # wrong
    return {**g, "V": s.x.T @ da, "c": da.sum(axis=0)}


MISTAKES = planted("kl", [
    (in_parts, kl_without_half,          "term twice",     *LOGVAR, *HIDDEN),
    (in_parts, kl_mean_doubled,          "term twice",     *MU, *HIDDEN),
    (setup,    kl_sign,                  "term scaled",    *ENCODER),
    (in_parts, kl_entropy_sign,          "term scaled",    *LOGVAR, *HIDDEN),
    (setup,    kl_of_log_sd,             "wrong slope",    *LOGVAR, *HIDDEN),
    (setup,    kl_by_variance,           "missing slope",  *LOGVAR, *HIDDEN),
    (in_parts, kl_without_entropy,       "term forgotten", *LOGVAR, *HIDDEN),
    (setup,    kl_summed,                "sum for mean",   *ENCODER),
    (in_parts, kl_mean_summed,           "sum for mean",   *MU, *HIDDEN),
    (setup,    kl_averaged_over_latents, "mean for sum",   *ENCODER),
    (setup,    kl_without_beta,          "term scaled",    *ENCODER),
    (setup,    kl_forgotten,             "term forgotten", *ENCODER),
    (setup,    kl_twice,                 "term twice",     *ENCODER),
    (setup,    kl_missing_in_logvar,     "term forgotten", *LOGVAR, *HIDDEN),
    (setup,    kl_outputs_exchanged,     "permuted",       *ENCODER),
    (setup,    kl_of_one_dimension,      "term forgotten", *ENCODER),
    (setup,    draw_without_half,        "term twice",     *LOGVAR, *HIDDEN),
    (setup,    draw_without_noise,       "other",          *LOGVAR, *HIDDEN),
    (setup,    draw_without_sd,          "missing slope",  *LOGVAR, *HIDDEN),
    (setup,    draw_with_variance,       "extra slope",    *LOGVAR, *HIDDEN),
    (setup,    slope_on_logvar,          "extra slope",    *LOGVAR, *HIDDEN),
    (setup,    logvar_missing_in_draw,   "term forgotten", *LOGVAR, *HIDDEN),
    (setup,    mu_missing_in_draw,       "term forgotten", *MU, *HIDDEN),
    (setup,    dz_cut,                   "term forgotten", *ENCODER),
    (setup,    noise_redrawn,            "noise",          *LOGVAR, *HIDDEN),
    (setup,    noise_stale,              "noise",          *LOGVAR, *HIDDEN),
    (setup,    noise_of_another_row,     "noise",          *LOGVAR, *HIDDEN),
    (setup,    heads_exchanged,          "permuted",       *MU, *LOGVAR),
    (setup,    logvar_layer_frozen,      "zero",           *LOGVAR),
    (branches, logvar_branch_dropped,    "term forgotten", *HIDDEN),
])
