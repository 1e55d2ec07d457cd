"""Every likelihood p(x|z) that a decoder's output can be given: Bernoulli; Gaussian with fixed, learned, own variances.

    h = tanh(z V + c),   mean (or logits, or logvar) = h W + b                     z (B, K), h (B, H), x, mean (B, D)

    bernoulli   f = 1/B Σ softplus(logits) − x logits,   p = sigmoid(logits)
    gaussian    f = 1 / 2B Σ r² / sd²,                   r = x − mean; sd is fixed
    learned     f = 1 / 2B Σ r² exp(−logvar) + logvar,   one logvar for all of x, a parameter itself
    diagonal    f = 1 / 2B Σ r² exp(−logvar) + logvar,   logvar (B, D) is the decoder's second output

f is the mean of −log p(x|z), without log 2π; z is given. Each likelihood is a setup.
"""
from functools import partial
from types import SimpleNamespace

import numpy as np

from .planted import Problem, planted, sizes

HIDDEN = ("V", "c")
LOGITS, MEAN, LOGVAR = ("W_logits", "b_logits"), ("W_mean", "b_mean"), ("W_logvar", "b_logvar")


def decoder(rng, *outputs):
    """Data s and a decoder's weights P, with a layer for each of the outputs."""
    B, D, H, K = sizes(rng, 4)
    s = SimpleNamespace(x=rng.normal(size=(B, D)), z=rng.normal(size=(B, K)), B=B, D=D,
                        numbers={"B": B, "D": D, "H": H, "K": K})
    P = {"V": rng.normal(size=(K, H)), "c": rng.normal(size=H)}
    for name in outputs:
        P |= {f"W_{name}": rng.normal(size=(H, D)) / 3, f"b_{name}": rng.normal(size=D) / 2}
    return s, P


def hidden(s, P):
    """h"""
    return np.tanh(s.z @ P["V"] + P["c"])


def output(s, P, name):
    """The decoder's output of that name, (B, D)."""
    return hidden(s, P) @ P[f"W_{name}"] + P[f"b_{name}"]


def below(s, P, **outputs):
    """The gradient of every weight, from the derivatives by the decoder's outputs."""
    h = hidden(s, P)
    da = sum(d @ P[f"W_{name}"].T for name, d in outputs.items()) * (1 - h**2)
    g = {"V": s.z.T @ da, "c": da.sum(axis=0)}
    for name, d in outputs.items():
        g |= {f"W_{name}": h.T @ d, f"b_{name}": d.sum(axis=0)}
    return g


def problem(s, P, grad, right, **terms):
    """The loss is the sum of its terms, which stand under their names where there are several."""
    terms = {name.replace("_", " "): partial(term, s) for name, term in terms.items()}
    return Problem(partial(total, terms), partial(grad, s), partial(right, s), P,
                   terms if len(terms) > 1 else {}, s.numbers)


def total(terms, P):
    """f"""
    return sum(term(P) for term in terms.values())


# ---- Bernoulli -------------------------------------------------------------------------------------------------------


def bernoulli(grad, rng):
    """Every second pixel is on."""
    s, P = decoder(rng, "logits")
    s.x = rng.permutation(np.arange(s.B * s.D) % 2.0).reshape(s.B, s.D)
    return problem(s, P, grad, bernoulli_right, pixels_on=pixels_on, pixels_off=pixels_off)


def pixels_on(s, P):
    """−1/B Σ x log p"""
    return np.sum(s.x * np.log1p(np.exp(-output(s, P, "logits")))) / s.B


def pixels_off(s, P):
    """−1/B Σ (1 − x) log(1 − p)"""
    return np.sum((1 - s.x) * np.log1p(np.exp(output(s, P, "logits")))) / s.B


def probability(s, P):
    """p = sigmoid(logits)"""
    return 1 / (1 + np.exp(-output(s, P, "logits")))


def bernoulli_right(s, P):
    """softplus' is the sigmoid."""
    return below(s, P, logits=(probability(s, P) - s.x) / s.B)


def bernoulli_sign(s, P):
    """x − p is the derivative of log p(x|z), which is maximised; the loss is minus that."""
    return below(s, P, logits=(s.x - probability(s, P)) / s.B)                                      # wrong


def bernoulli_slope_twice(s, P):
    """p − x is by the logits already: the sigmoid's slope p (1 − p) is in it."""
    p = probability(s, P)
    return below(s, P, logits=(p - s.x) * p * (1 - p) / s.B)                                        # wrong


def bernoulli_without_slope(s, P):
    """The derivative by p, handed on as that by the logits."""
    p = probability(s, P)
    return below(s, P, logits=(p - s.x) / (p * (1 - p)) / s.B)                                      # wrong


def bernoulli_of_logits(s, P):
    """The logits stand where p belongs: nobody has called the sigmoid."""
    return below(s, P, logits=(output(s, P, "logits") - s.x) / s.B)                                 # wrong


def bernoulli_sigmoid_twice(s, P):
    """The decoder's p goes through the sigmoid once more, as if it were a logit."""
    p = 1 / (1 + np.exp(-probability(s, P)))                                                        # wrong
    return below(s, P, logits=(p - s.x) / s.B)


def bernoulli_averaged_over_pixels(s, P):
    """np.mean over all of (B, D), where an example's log-likelihood is the sum over its pixels."""
    return below(s, P, logits=(probability(s, P) - s.x) / s.x.size)                                 # wrong


def bernoulli_summed(s, P):
    """The loss is a mean over rows, the gradient a sum."""
    return below(s, P, logits=probability(s, P) - s.x)                                              # wrong


def bernoulli_without_pixels_off(s, P):
    """Only x log p is differentiated, as in a classifier's cross-entropy; (1 − x) log(1 − p) is forgotten."""
    return below(s, P, logits=-s.x * (1 - probability(s, P)) / s.B)                                 # wrong


# ---- Gaussian with a fixed standard deviation ------------------------------------------------------------------------


def gaussian(grad, rng):
    """sd is the user's, away from 1."""
    s, P = decoder(rng, "mean")
    s.sd = s.numbers["sd"] = rng.uniform(0.3, 0.6)
    return problem(s, P, grad, gaussian_right, squares=fixed_squares)


def fixed_squares(s, P):
    """1 / 2B Σ r² / sd²"""
    return np.sum((s.x - output(s, P, "mean")) ** 2) / (2 * s.B * s.sd**2)


def gaussian_right(s, P):
    """The ½ has gone with the square's 2."""
    r = s.x - output(s, P, "mean")
    return below(s, P, mean=-r / s.sd**2 / s.B)


def gaussian_doubled(s, P):
    """The square's 2, without the ½ before it."""
    r = s.x - output(s, P, "mean")
    return below(s, P, mean=-2 * r / s.sd**2 / s.B)                                                 # wrong


def gaussian_without_variance(s, P):
    """The gradient of the plain squared error: sd, and with it the balance to the KL, is lost."""
    r = s.x - output(s, P, "mean")
    return below(s, P, mean=-r / s.B)                                                               # wrong


def gaussian_sd_for_variance(s, P):
    """r / sd is the residual in units of sd; its derivative brings another 1 / sd."""
    r = s.x - output(s, P, "mean")
    return below(s, P, mean=-r / s.sd / s.B)                                                        # wrong


def gaussian_absolute(s, P):
    """The sign of r for r: the derivative of |r|, a Laplace density's."""
    r = s.x - output(s, P, "mean")
    return below(s, P, mean=-np.sign(r) / s.sd**2 / s.B)                                            # wrong


# ---- Gaussian with one learned variance ------------------------------------------------------------------------------


def learned(grad, rng):
    """logvar is a parameter, an array of one number."""
    s, P = decoder(rng, "mean")
    P["logvar"] = rng.uniform(0.5, 1.5, size=1) * rng.choice([-1, 1])
    return problem(s, P, grad, learned_right, squares=learned_squares, log_determinant=learned_log_determinant)


def learned_squares(s, P):
    """1 / 2B Σ r² exp(−logvar)"""
    return np.sum((s.x - output(s, P, "mean")) ** 2 * np.exp(-P["logvar"])) / (2 * s.B)


def learned_log_determinant(s, P):
    """½ D logvar"""
    return s.D * P["logvar"][0] / 2


def learned_right(s, P):
    """dlogvar is a sum over rows and pixels, as a bias's."""
    return with_variance(s, P, lambda u2: (s.D - np.sum(u2) / s.B) / 2)


def with_variance(s, P, dlogvar):
    """The decoder's gradient, and dlogvar of u² = r² exp(−logvar)."""
    r = s.x - output(s, P, "mean")
    g = below(s, P, mean=-r * np.exp(-P["logvar"]) / s.B)
    return {**g, "logvar": np.array([dlogvar(r**2 * np.exp(-P["logvar"]))])}


def learned_without_d(s, P):
    """log det Σ = D logvar: every pixel adds a logvar, not one for the image."""
    return with_variance(s, P, lambda u2: (1 - np.sum(u2) / s.B) / 2)                               # wrong


def learned_without_half(s, P):
    """The derivative by log σ, which is twice that by logvar = log σ²."""
    return with_variance(s, P, lambda u2: s.D - np.sum(u2) / s.B)                                   # wrong


def learned_averaged(s, P):
    """Every row shares logvar, so that the rows' derivatives, 1/B in each, must be added: here they are averaged."""
    return with_variance(s, P, lambda u2: np.mean(s.D - np.sum(u2, axis=1)) / 2 / s.B)              # wrong


def learned_summed(s, P):
    """The squares are summed over rows, where the loss has their mean."""
    return with_variance(s, P, lambda u2: (s.B * s.D - np.sum(u2)) / 2)                             # wrong


def learned_squares_sign(s, P):
    """exp(−logvar) has the derivative −exp(−logvar): the two terms must pull against each other."""
    return with_variance(s, P, lambda u2: (s.D + np.sum(u2) / s.B) / 2)                             # wrong


def learned_without_log_determinant(s, P):
    """Without log det Σ nothing holds the variance back, and it grows for ever."""
    return with_variance(s, P, lambda u2: -np.sum(u2) / (2 * s.B))                                  # wrong


def learned_left_fixed(s, P):
    """logvar is a parameter, and nobody has written its derivative."""
    return with_variance(s, P, lambda u2: 0.0)                                                      # wrong


# ---- Gaussian with the decoder's own variances -----------------------------------------------------------------------


def diagonal(grad, rng):
    """The decoder has two outputs, of the same shape."""
    s, P = decoder(rng, "mean", "logvar")
    return problem(s, P, grad, diagonal_right, squares=diagonal_squares, log_determinant=diagonal_log_determinant)


def diagonal_squares(s, P):
    """1 / 2B Σ r² exp(−logvar)"""
    return np.sum((s.x - output(s, P, "mean")) ** 2 * np.exp(-output(s, P, "logvar"))) / (2 * s.B)


def diagonal_log_determinant(s, P):
    """1 / 2B Σ logvar"""
    return np.sum(output(s, P, "logvar")) / (2 * s.B)


def diagonal_right(s, P):
    """precision = exp(−logvar)"""
    r, precision = residual(s, P)
    return below(s, P, mean=-r * precision / s.B, logvar=(1 - r**2 * precision) / (2 * s.B))


def residual(s, P):
    """r and exp(−logvar), (B, D) each"""
    return s.x - output(s, P, "mean"), np.exp(-output(s, P, "logvar"))


def diagonal_squares_unweighted(s, P):
    """dlogvar compares r² with 1, where r² / σ² is meant."""
    r, precision = residual(s, P)
    return below(s, P, mean=-r * precision / s.B, logvar=(1 - r**2) / (2 * s.B))                    # wrong


def diagonal_exp_sign(s, P):
    """exp(logvar) for exp(−logvar): r² times the variance, not divided by it."""
    r, precision = residual(s, P)
    return below(s, P, mean=-r * precision / s.B, logvar=(1 - r**2 / precision) / (2 * s.B))        # wrong


def diagonal_mean_unweighted(s, P):
    """The mean's derivative is r / σ²: a pixel that is known well counts for more."""
    r, precision = residual(s, P)
    return below(s, P, mean=-r / s.B, logvar=(1 - r**2 * precision) / (2 * s.B))                    # wrong


def diagonal_without_half(s, P):
    """dlogvar of ½ (r² exp(−logvar) + logvar), without the ½."""
    r, precision = residual(s, P)
    return below(s, P, mean=-r * precision / s.B, logvar=(1 - r**2 * precision) / s.B)              # wrong


def diagonal_logvar_sign(s, P):
    """The mean descends, logvar ascends."""
    r, precision = residual(s, P)
    return below(s, P, mean=-r * precision / s.B, logvar=(r**2 * precision - 1) / (2 * s.B))        # wrong


def diagonal_without_log_determinant(s, P):
    """½ log det Σ is forgotten: the largest variance wins."""
    r, precision = residual(s, P)
    return below(s, P, mean=-r * precision / s.B, logvar=-r**2 * precision / (2 * s.B))             # wrong


def diagonal_outputs_exchanged(s, P):
    """The output is [mean | logvar], its derivative is handed back as [logvar | mean]."""
    r, precision = residual(s, P)
    return below(s, P, logvar=-r * precision / s.B, mean=(1 - r**2 * precision) / (2 * s.B))        # wrong


BERNOULLI, GAUSSIAN, LEARNED, DIAGONAL = LOGITS + HIDDEN, MEAN + HIDDEN, ("logvar",), LOGVAR + HIDDEN

MISTAKES = planted("likelihoods", [
    (bernoulli, bernoulli_sign,                   "factor",         *BERNOULLI),
    (bernoulli, bernoulli_slope_twice,            "extra slope",    *BERNOULLI),
    (bernoulli, bernoulli_without_slope,          "missing slope",  *BERNOULLI),
    (bernoulli, bernoulli_of_logits,              "other",          *BERNOULLI),
    (bernoulli, bernoulli_sigmoid_twice,          "other",          *BERNOULLI),
    (bernoulli, bernoulli_averaged_over_pixels,   "mean for sum",   *BERNOULLI),
    (bernoulli, bernoulli_summed,                 "sum for mean",   *BERNOULLI),
    (bernoulli, bernoulli_without_pixels_off,     "term forgotten", *BERNOULLI),
    (gaussian,  gaussian_doubled,                 "factor",         *GAUSSIAN),
    (gaussian,  gaussian_without_variance,        "factor",         *GAUSSIAN),
    (gaussian,  gaussian_sd_for_variance,         "factor",         *GAUSSIAN),
    (gaussian,  gaussian_absolute,                "other",          *GAUSSIAN),
    (learned,   learned_without_d,                "mean for sum",   *LEARNED),
    (learned,   learned_without_half,             "factor",         *LEARNED),
    (learned,   learned_averaged,                 "mean for sum",   *LEARNED),
    (learned,   learned_summed,                   "sum for mean",   *LEARNED),
    (learned,   learned_squares_sign,             "term scaled",    *LEARNED),
    (learned,   learned_without_log_determinant,  "term forgotten", *LEARNED),
    (learned,   learned_left_fixed,               "zero",           *LEARNED),
    (diagonal,  diagonal_squares_unweighted,      "missing slope",  *DIAGONAL),
    (diagonal,  diagonal_exp_sign,                "wrong slope",    *DIAGONAL),
    (diagonal,  diagonal_mean_unweighted,         "other",          *GAUSSIAN),
    (diagonal,  diagonal_without_half,            "factor",         *DIAGONAL),
    (diagonal,  diagonal_logvar_sign,             "factor",         *DIAGONAL),
    (diagonal,  diagonal_without_log_determinant, "term forgotten", *DIAGONAL),
    (diagonal,  diagonal_outputs_exchanged,       "permuted",       *MEAN, *DIAGONAL),
])
