"""Bounds and the estimators of their gradients, against integrals over the noise that need no estimator.

The oracle is written here once more: log p(x, z) and log q(z|x) from the parameters' names on, and the bound as a sum
over fixed z with the weights q(z|x) dz. Its derivative by the encoder's output is a complex step, through the density
alone: no path through z, no score, and no drawing. An estimator's mean is the sum over ε of what the library returns.
"""
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import norm

from tests.campaigns.gradients import TOL, Problem, blocks, complex_gradient, random_vae, residuals
from tinyvae import VAE
from tinyvae.bounds import IWAE, OBJECTIVES
from tinyvae.distributions import DiagonalGaussian
from tinyvae.full_gaussian import FullGaussian

LIKELIHOODS = {"sd learned": {"likelihood": "gaussian", "sd": None}, "bernoulli": {"likelihood": "bernoulli"},
               "diagonal": {"likelihood": "gaussian_diagonal"}}
each_likelihood = pytest.mark.parametrize("options", LIKELIHOODS.values(), ids=LIKELIHOODS)
# The sums are exact to rounding: smooth functions under exp(−ε²/2), which at the ends has fallen to 3e-18.
LINE, STEP = np.linspace(-9, 9, 145, retstep=True)
PLANE = np.stack(np.meshgrid(LINE, LINE), axis=-1).reshape(-1, 2)


class Case(NamedTuple):
    objective: str
    gradient: str
    control_variate: bool = False
    S: int = 1
    K: int = 1


CASES = ([Case("elbo", gradient, S=S) for gradient in ("pathwise", "score", "stl") for S in (1, 2)]
         + [Case("elbo", "score", True, S=2)]
         + [Case("elbo", gradient, K=2) for gradient in ("pathwise", "score", "stl")]
         + [Case("iwae", gradient) for gradient in ("pathwise", "score", "stl", "dreg")]
         + [Case("iwae", gradient, S=2) for gradient in ("pathwise", "score", "dreg")]
         + [Case("iwae", "score", True, S=2)])

# ---- a small model, and its law once more ----------------------------------------------------------------------------


def small_vae(options, K=1, D=3, seed=20, **more):
    """A VAE with random parameters and one row of data; for K = 2 with a full covariance."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1, D))
    x = (x > 0).astype(float) if options["likelihood"] == "bernoulli" else x
    posterior = "diagonal" if K == 1 else "full"
    model = VAE(K, hidden=(5,), activation="tanh", posterior=posterior, n_epochs=0, **options, **more).fit(x)
    model.theta_[:] = rng.normal(scale=0.5, size=model.theta_.size)
    return model, x


def log_normal(x, mean, logvar):
    return -((x - mean) ** 2 * np.exp(-logvar) + logvar + np.log(2 * np.pi)) / 2


def log_q(out, z):
    """One coordinate after the other: z_2 has the mean mu_2 + L_21 ε_1. out may be complex."""
    K = z.shape[1]
    value = log_normal(z[:, 0], out[0], out[K])
    if K == 2:
        value = value + log_normal(z[:, 1], out[1] + out[4] * (z[:, 0] - out[0]) * np.exp(-out[2] / 2), out[3])
    return value


def log_px_z(model, x, z):
    named = model.parameters_
    out = np.tanh(z @ named["decoder.0.W"] + named["decoder.0.b"]) @ named["decoder.1.W"] + named["decoder.1.b"]
    if model.likelihood == "bernoulli":
        return np.sum(np.log(np.where(x == 1, expit(out), expit(-out))), axis=1)
    mean, logvar = (np.split(out, 2, axis=1) if model.likelihood == "gaussian_diagonal" else
                    (out, named["likelihood.logvar"]))
    return np.sum(log_normal(x, mean, logvar), axis=1)


def log_prior(z):
    return np.sum(log_normal(z, 0, 0), axis=1)


def nodes(out):
    """z on a grid around q, (G, K), and q's own weight of each, for an `out` that never moves."""
    K = 1 if len(out) == 2 else 2
    eps = LINE[:, None] if K == 1 else PLANE
    z = out[:K] + np.exp(out[K:2 * K] / 2) * eps
    if K == 2:
        z[:, 1] += out[4] * eps[:, 0]
    return z, np.exp(log_prior(eps)) * STEP**K


def exact_bound(model, x, out, S):
    """What the bound is for this output of the encoder, which may be complex."""
    z, weights = nodes(out.real)
    q = weights * np.exp(log_q(out, z) - log_q(out.real, z))                     # q(z|x) dz of the moved encoder
    log_ratio = log_prior(z) - log_q(out, z)
    log_w = log_px_z(model, x, z) + model.beta * log_ratio
    if model.objective == "elbo" or S == 1:
        return np.sum(q * log_w)
    a, b = log_w[:, None], log_w
    shift = np.maximum(a.real, b.real)
    return np.sum(q[:, None] * q * (shift + np.log((np.exp(a - shift) + np.exp(b - shift)) / 2)))


def encoder_output(model, x):
    return model.encoded(model.params(), x)[0]


# ---- what the library returns, summed over ε -------------------------------------------------------------------------


def by_row(model, x, eps):
    """The bound of each of G draws (S, G, K) of noise for one row x, and its derivative by the encoder's output."""
    P, G = model.params(), eps.shape[1]
    t = model.forward(P, np.tile(x, (G, 1)), eps)
    derivatives = model.backward(P, t, model.params(np.empty_like(model.theta_)))
    return model._bound.value(t), -G * derivatives.encoder[-1]


def all_noise(S, K):
    """Every ε (S, G, K) on a grid of one or two dimensions, and the weight of each."""
    eps = LINE[None, :, None] if S * K == 1 else PLANE[None] if K == 2 else PLANE.T[:, :, None]
    return eps, np.exp(-np.sum(eps**2, axis=(0, 2)) / 2) * (STEP / np.sqrt(2 * np.pi)) ** (S * K)


def mean_over_noise(model, x, S):
    eps, weights = all_noise(S, model.n_components)
    value, d = by_row(model, x, eps)
    return weights @ value, weights @ d


# ---- every estimator's mean   [RP.2] ---------------------------------------------------------------------------------


@each_likelihood
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_mean_of_an_estimator_is_the_derivative_of_the_integral(case, options):
    objective, gradient, control_variate, S, K = case
    for beta in (1.0, 0.6):
        model, x = small_vae(options, K, objective=objective, gradient=gradient, n_samples=S, beta=beta,
                             control_variate=control_variate)
        out = encoder_output(model, x)
        exact = complex_gradient(lambda out: exact_bound(model, x, out, S), out)
        value, d = mean_over_noise(model, x, S)
        assert value == pytest.approx(exact_bound(model, x, out, S), abs=1e-12)
        assert np.min(np.abs(exact)) > 0.01                                      # a part that is lost would be missed
        assert np.max(np.abs(d - exact)) < 1e-12


@each_likelihood
def test_stl_of_two_weights_is_biased_by_the_score_that_it_leaves_out(options):
    model, x = small_vae(options, objective="iwae", gradient="stl", n_samples=2)
    out = encoder_output(model, x)
    z, weights = nodes(out)
    log_w = log_px_z(model, x, z) + log_prior(z) - log_q(out, z)
    share = expit(log_w[:, None] - log_w)                                        # w_1 / (w_1 + w_2)
    score = np.stack([complex_gradient(lambda out: log_q(out, node[None])[0], out) for node in z])
    left_out = 2 * np.einsum("i,j,ij,ik->k", weights, weights, share, score)
    exact = complex_gradient(lambda out: exact_bound(model, x, out, 2), out)
    bias = mean_over_noise(model, x, 2)[1] - exact
    assert np.max(np.abs(bias - left_out)) < 1e-12 and np.min(np.abs(bias)) > 1e-3


@each_likelihood
def test_with_five_draws_every_estimator_has_the_mean_of_pathwise(options):
    rng = np.random.default_rng(1)
    for objective, gradients in (("elbo", ("score", "control", "stl")), ("iwae", ("score", "control", "dreg"))):
        model, x = small_vae(options, objective=objective, n_samples=5)
        eps = rng.standard_normal((5, 20_000, 1))
        pathwise = by_row(model, x, eps)[1]
        for gradient in gradients:
            model.set_params(gradient=gradient.replace("control", "score"), control_variate=gradient == "control")
            difference = by_row(model, x, eps)[1] - pathwise
            z = difference.mean(axis=0) / (difference.std(axis=0) / np.sqrt(len(difference)))
            assert np.max(np.abs(z)) < 5 and np.min(difference.std(axis=0)) > 1e-3


@each_likelihood
def test_each_draw_is_judged_by_the_others(options):
    """For the ELBO the estimator is the sample covariance of log p(x|z) and ∂ log q; for IWAE it is VIMCO in a loop."""
    eps = np.random.default_rng(2).standard_normal((4, 1, 1))
    model, x = small_vae(options, gradient="score", n_samples=4, control_variate=True, beta=0.0)
    out = encoder_output(model, x)
    z = out[0] + np.exp(out[1] / 2) * eps[:, 0]
    f = log_px_z(model, x, z)
    score = np.stack([complex_gradient(lambda out: log_q(out, node[None])[0], out) for node in z])
    assert np.max(np.abs(by_row(model, x, eps)[1] - np.cov(f, score.T)[0, 1:])) < 1e-12

    w, vimco = np.exp(f + log_prior(z) - log_q(out, z)), 0
    for s in range(4):
        others = np.delete(w, s)
        without = np.append(others, np.prod(others) ** (1 / 3))
        vimco += (np.log(np.mean(w) / np.mean(without)) - w[s] / np.sum(w)) * score[s]
    assert np.max(np.abs(by_row(model.set_params(objective="iwae", beta=1.0), x, eps)[1] - vimco)) < 1e-12


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@each_likelihood
def test_pathwise_is_the_complex_step_and_all_have_its_decoder_gradient(options, objective, posterior):
    rng = np.random.default_rng(2)
    problem = random_vae(rng, hidden=(4, 3), activation="tanh", n_components=3, n_samples=4, objective=objective,
                         posterior=posterior, beta=0.6, **options)
    model, (x, _) = problem
    eps = rng.standard_normal((4, len(x), 3))
    assert max(residuals(problem._replace(args=(x, eps))).values()) <= TOL
    loss, exact = model.loss_and_grad(x, eps)
    for gradient in OBJECTIVES[objective].gradients[1:]:
        for control_variate in (False, True)[:1 + (gradient == "score")]:
            model.set_params(gradient=gradient, control_variate=control_variate)
            other_loss, grad = model.loss_and_grad(x, eps)
            assert other_loss == loss
            for name, place in blocks(model).items():
                assert np.array_equal(grad[place], exact[place]) != name.startswith("encoder")


# ---- the bound rises to log p(x)   [CV.1] ----------------------------------------------------------------------------


def mean_log_average(log_w, weights, S):
    """E log 1/S Σ_s w_s for any S by one integral, over u = log t, of exp(−t) − φ(t/S)^S,  φ(t) = E exp(−t w).

    From log a = ∫ (e^−t − e^−ta) dt/t (Frullani) and the independence of the draws.
    """
    u, step = np.linspace(-45, 120, 2201, retstep=True)
    phi = np.exp(-np.exp(u - np.log(S) + log_w[:, None])).T @ weights
    return np.sum(np.exp(-np.exp(u)) - phi**S) * step


@each_likelihood
def test_the_bound_rises_with_the_draws_and_stays_below_log_p(options):
    model, x = small_vae(options, objective="iwae")
    out = encoder_output(model, x)
    line = np.linspace(-9, 9, 1801)[:, None]
    z, weights = out[0] + np.exp(out[1] / 2) * line, norm.pdf(line[:, 0]) * 0.01
    log_w = log_px_z(model, x, z) + log_prior(z) - log_q(out, z)
    weights /= np.sum(weights)
    log_p = np.log(weights @ np.exp(log_w))                        # E w = p(x): the sum over z, through q's own grid
    L = {S: log_p + mean_log_average(log_w - log_p, weights, S) for S in (1, 2, 5, 50)}
    for S in (1, 2):
        assert L[S] == pytest.approx(exact_bound(model, x, out, S), abs=1e-10)
        assert L[S] == pytest.approx(mean_over_noise(model, x, S)[0], abs=1e-10)
    assert np.min(np.diff([*L.values(), log_p])) > 2e-3
    rng, rows, P = np.random.default_rng(3), np.tile(x, (200, 1)), model.params()
    for S, gap in ((5, L[5] - L[2]), (50, L[50] - L[5])):
        losses = [model.mean_loss(P, model.forward(P, rows, rng.standard_normal((S, 200, 1)))) for _ in range(200)]
        error = np.std(losses) / np.sqrt(len(losses))
        assert abs(np.mean(losses) + L[S]) < 5 * error < gap / 2                   # sharp enough to tell S from S


# ---- the spread of the estimators ------------------------------------------------------------------------------------


def line_gaussian(**options):
    """x = z w + b + σ e with one z, and an encoder that answers with the exact posterior; a row of data."""
    x = np.array([[0.7, -0.4, 1.1]])
    model = VAE(1, hidden=(), sd=0.8, n_epochs=0, **options).fit(x)
    named, w, b = model.parameters_, np.array([0.9, -0.5, 0.4]), np.array([0.1, 0.2, -0.3])
    precision = 1 + w @ w / 0.64
    named["decoder.0.W"][:], named["decoder.0.b"][:] = w, b
    named["encoder.0.W"][:] = np.column_stack([w / 0.64 / precision, 0 * w])
    named["encoder.0.b"][:] = [-b @ w / 0.64 / precision, -np.log(precision)]
    return model, x


def test_stl_has_no_variance_where_q_is_the_posterior():
    eps = np.random.default_rng(4).standard_normal((3, 500, 1))
    for objective in OBJECTIVES:
        model, x = line_gaussian(objective=objective, gradient="stl")
        value, d = by_row(model, x, eps)
        assert np.max(np.abs(d)) < 1e-13
        assert by_row(model.set_params(gradient="pathwise"), x, eps)[1].std(axis=0).min() > 0.1
        assert objective == "elbo" or np.ptp(value) < 1e-13                     # every weight is p(x)


@each_likelihood
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_other_draws_lower_the_variance_of_score(objective, options):
    eps = np.random.default_rng(5).standard_normal((5, 4000, 1))
    model, x = small_vae(options, objective=objective, gradient="score", n_samples=5)
    plain = by_row(model, x, eps)[1]
    controlled = by_row(model.set_params(control_variate=True), x, eps)[1]
    assert np.all(controlled.var(axis=0) < plain.var(axis=0) / 3)


def test_more_draws_blur_the_pathwise_gradient_and_sharpen_dreg():
    """The slopes of Rainforth et al. 2018 and Tucker et al. 2019; the mean is DReG's, the sharper of two unbiased."""
    rng = np.random.default_rng(6)
    model, x = line_gaussian(objective="iwae")
    model.parameters_["encoder.0.b"][:] += 0.1
    n_draws, ratios = np.array([1, 4, 16, 64]), {"pathwise": [], "dreg": []}
    for S in n_draws:
        eps = rng.standard_normal((S, 20_000, 1))
        d = {gradient: by_row(model.set_params(gradient=gradient), x, eps)[1] for gradient in ratios}
        for gradient in ratios:
            ratios[gradient].append(np.linalg.norm(d["dreg"].mean(axis=0)) / np.linalg.norm(d[gradient].std(axis=0)))
    slope = {gradient: np.polyfit(np.log(n_draws), np.log(ratio), 1)[0] for gradient, ratio in ratios.items()}
    assert slope["pathwise"] == pytest.approx(-0.5, abs=0.15) and slope["dreg"] > 0.3


# ---- mistakes from public code: who sees them ------------------------------------------------------------------------


def log_q_of_log_sd(self, z, out):
    mu, log_sd = self.split(out)
    return np.sum(log_normal(z, mu, 2 * log_sd), axis=1)


def log_q_of_log_sd_d(self, z, out, w):
    mu, log_sd = self.split(out)
    dmu = w[:, None] * (z - mu) * np.exp(-2 * log_sd)
    return -dmu, np.concatenate([dmu, dmu * (z - mu) - w[:, None]], axis=1)


def draw_by_root(diagonal):
    """z = mu + L ε for a 2 × 2 L with this on its diagonal instead of exp(logvar / 2)."""
    return lambda self, out, eps: out[:, :2] + diagonal * eps + out[:, 4:] * np.column_stack([0 * eps[:, 0], eps[:, 0]])


def draw_by_root_d(self, dz, out, eps):
    return np.column_stack([dz, 0 * dz, dz[:, 1] * eps[:, 0]])


def on_logvar(method, change):
    """The method, but with the derivative by logvar changed."""
    def changed(self, *args):
        d_out = np.array(method(self, *args))
        K = d_out.shape[1] // 2
        d_out[:, K:] = change(d_out[:, K:], args[-2])
        return d_out
    return changed


def weights_differentiated(self, t):
    """As if Σ r_s log w_s were the bound, and its r_s no constants."""
    log_w = self.log_weights(t)
    r = softmax(log_w, axis=0)
    return (r * (1 + log_w - np.sum(r * log_w, axis=0))).ravel()


Q, FULL = DiagonalGaussian, FullGaussian
OF_THE_OBJECTIVE = {
    "the sampler's sd is exp(logvar)": ("elbo", 1, {
        (Q, "draw"): lambda self, out, eps: out[:, :1] + np.exp(out[:, 1:]) * eps,
        (Q, "draw_d"): lambda self, dz, out, eps: np.hstack([dz, dz * eps * np.exp(out[:, 1:])])}),
    "the KL lacks its 1/2": ("elbo", 1, {(Q, "kl"): lambda self, out, kl=Q.kl: 2 * kl(self, out),
                                         (Q, "kl_d"): lambda self, out, w, kl_d=Q.kl_d: 2 * kl_d(self, out, w)}),
    "log q takes logvar for log sd": ("iwae", 1, {(Q, "log_prob"): log_q_of_log_sd,
                                                  (Q, "log_prob_d"): log_q_of_log_sd_d}),
    "L has no diagonal": ("elbo", 2, {(FULL, "draw"): draw_by_root(0), (FULL, "draw_d"): draw_by_root_d}),
    "L has ones on its diagonal": ("iwae", 2, {(FULL, "draw"): draw_by_root(1), (FULL, "draw_d"): draw_by_root_d})}
OF_THE_GRADIENT = {
    "another draw in the backward pass": ("elbo", {
        (Q, "draw_d"): lambda self, dz, out, eps, draw_d=Q.draw_d: draw_d(self, dz, out, eps + 1)}),
    "an activation's slope on logvar": ("elbo", {(Q, "draw_d"): on_logvar(
        Q.draw_d, lambda d, out: d * expit(out[:, -1:]) * expit(-out[:, -1:]))}),
    "exp(logvar / 2) without its 1/2": ("elbo", {(Q, "draw_d"): on_logvar(Q.draw_d, lambda d, _: 2 * d)}),
    "no way from z to logvar": ("elbo", {(Q, "draw_d"): on_logvar(Q.draw_d, lambda d, _: 0)}),
    "no way from the KL to logvar": ("elbo", {(Q, "kl_d"): on_logvar(Q.kl_d, lambda d, _: 0)}),
    "1/w instead of w": ("iwae", {
        (IWAE, "weights"): lambda self, t: softmax(-self.log_weights(t), axis=0).ravel()}),
    "weights that are no constants": ("iwae", {(IWAE, "weights"): weights_differentiated})}


def plant(patches, monkeypatch):
    for (owner, name), mistake in patches.items():
        monkeypatch.setattr(owner, name, mistake)


def objective_error(objective, K):
    """The bound as it is drawn and added up, less log p(x) − KL(q ‖ p(z|x)) by quadrature; for IWAE with two draws."""
    S = 1 if K == 2 or objective == "elbo" else 2
    model, x = small_vae(LIKELIHOODS["sd learned"], K, objective=objective, n_samples=S)
    return abs(mean_over_noise(model, x, S)[0] - exact_bound(model, x, encoder_output(model, x), S))


def gradient_error(objective, K=1):
    model, x = small_vae(LIKELIHOODS["sd learned"], K, objective=objective, n_samples=3)
    return max(residuals(Problem(model, (x, np.random.default_rng(9).standard_normal((3, 1, K))))).values())


@pytest.mark.parametrize("mistake", OF_THE_OBJECTIVE)
def test_a_wrong_objective_has_a_flawless_gradient_and_quadrature_sees_it(mistake, monkeypatch):
    objective, K, patches = OF_THE_OBJECTIVE[mistake]
    assert objective_error(objective, K) < 1e-12
    plant(patches, monkeypatch)
    assert gradient_error(objective, K) <= TOL
    assert objective_error(objective, K) > 1e-3


@pytest.mark.parametrize("mistake", OF_THE_GRADIENT)
def test_a_wrong_gradient_of_a_right_objective_is_seen_by_the_complex_step(mistake, monkeypatch):
    objective, patches = OF_THE_GRADIENT[mistake]
    assert gradient_error(objective) <= TOL
    plant(patches, monkeypatch)
    assert objective_error(objective, 1) < 1e-12
    assert gradient_error(objective) > 0.02
