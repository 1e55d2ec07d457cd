"""The objective's checker passes what is right, says what it could not check, and finds what is wrong."""

import numpy as np
import pytest

from tests.campaigns.gradients import random_autoencoder, random_vae
from tinyvae import VAE, Autoencoder
from tinyvae.bounds import ELBO
from tinyvae.checks import check_objective
from tinyvae.checks.objective.integrals import LOG_2PI, log_integral
from tinyvae.distributions import DiagonalGaussian
from tinyvae.linear import ProbabilisticPCA, ppca_log_prob
from tinyvae.vae import POSTERIORS

# ---- a student's model: plain functions, and one of them spoiled ----------------------------------------------------


def softplus(a):
    return np.logaddexp(0, a)


class Student:
    """A VAE with one hidden layer, D columns and K latents, as plain functions in a dict."""

    def __init__(self, seed=0, D=6, K=2, likelihood="bernoulli", N=30):
        rng = np.random.default_rng(seed)
        self.D, self.K, self.likelihood = D, K, likelihood
        self.We, self.be = rng.normal(size=(D, 2 * K)) / 2, rng.normal(size=2 * K) / 2
        self.Wd, self.bd = rng.normal(size=(K, 2 * D)), rng.normal(size=2 * D) / 2
        self.X = rng.normal(size=(N, D)) if likelihood == "gaussian" else (rng.random((N, D)) < 0.4).astype(float)

    def encode(self, x):
        out = np.tanh(x @ self.We + self.be)
        return out[:, :self.K], out[:, self.K:]

    def draw(self, x, eps):
        mu, logvar = self.encode(x)
        return mu + np.exp(logvar / 2) * eps

    def kl(self, x):
        mu, logvar = self.encode(x)
        return np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=1) / 2

    def log_q(self, x, z):
        mu, logvar = self.encode(x)
        return -np.sum((z - mu)**2 / np.exp(logvar) + logvar + LOG_2PI, axis=1) / 2

    def decode(self, z):
        """Logits, or mean and log-variance."""
        out = np.tanh(z @ self.Wd + self.bd)
        return out[:, :self.D], out[:, self.D:]

    def log_prob(self, x, z):
        out, v = self.decode(z)
        if self.likelihood == "bernoulli":
            return np.sum(x * out - softplus(out), axis=1)
        return -np.sum((x - out)**2 / np.exp(v) + v + LOG_2PI, axis=1) / 2

    def loss(self, x, eps):
        return np.mean(self.kl(x) - self.log_prob(x, self.draw(x, eps)))

    def _draws(self, x, n_samples, seed):
        eps = np.random.default_rng(seed).standard_normal((n_samples, self.K))
        return [self.draw(x, np.tile(e, (len(x), 1))) for e in eps]

    def elbo(self, x, n_samples, seed):
        return np.mean([self.log_prob(x, z) for z in self._draws(x, n_samples, seed)], axis=0) - self.kl(x)

    def log_weights(self, x, n_samples, seed):
        return np.array([self.log_prob(x, z) - np.sum(z**2 + LOG_2PI, axis=1) / 2 - self.log_q(x, z)
                         for z in self._draws(x, n_samples, seed)])

    def iwae(self, x, n_samples, seed):
        return np.logaddexp.reduce(self.log_weights(x, n_samples, seed), axis=0) - np.log(n_samples)

    def sample(self, n, rng):
        z = rng.standard_normal((n, self.K))
        out, v = self.decode(z)
        if self.likelihood == "bernoulli":
            return (rng.random(out.shape) < 1 / (1 + np.exp(-out))).astype(float), z
        return out + np.exp(v / 2) * rng.standard_normal(out.shape), z

    def functions(self, **spoiled):
        names = ("encode", "draw", "kl", "log_q", "log_prob", "loss", "elbo", "iwae", "sample")
        return {name: getattr(self, name) for name in names} | spoiled

    def check(self, **spoiled):
        return check_objective(self.functions(**spoiled), self.X)

    def few(self, **spoiled):
        """The four functions that are needed, and what is spoiled."""
        return {name: getattr(self, name) for name in ("encode", "draw", "kl", "log_prob")} | spoiled

    def few_checks(self, **spoiled):
        return {check.key: check for check in check_objective(self.few(**spoiled), self.X).checks}


# ---- what is right passes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [1, 2])
@pytest.mark.parametrize("likelihood, D", [("bernoulli", 6), ("bernoulli", 20), ("gaussian", 1), ("gaussian", 2),
                                           ("gaussian", 6), ("gaussian", 60)])
def test_a_correct_student_passes(likelihood, D, K):
    report = Student(seed=D + K, D=D, K=K, likelihood=likelihood).check()
    assert report.ok, report
    assert all(check.verdict == "ok" for check in report.checks), report


@pytest.mark.parametrize("seed", range(6))
def test_a_correct_model_passes(seed):
    rng = np.random.default_rng([5, seed])
    model, args = (random_autoencoder if seed % 3 == 2 else random_vae)(rng)
    report = check_objective(model, args[0], rng=seed)
    assert report.ok, report


def test_a_fitted_float32_model_passes_and_is_left_alone():
    X = (np.random.default_rng(0).random((20, 30)) * 255).astype(np.uint8)
    model = VAE(5, hidden=(8,), likelihood="bernoulli", binarize=True, input_scale=1 / 255, dtype="float32", n_epochs=1,
                random_state=0, beta=2.0, warm_up=3).fit(X)
    theta = model.theta_.copy()
    assert check_objective(model, X).ok
    np.testing.assert_array_equal(model.theta_, theta)


def test_beta_and_a_sum_pass_where_they_are_said():
    s = Student()
    assert s.check(loss=lambda x, eps: len(x) * s.loss(x, eps) + 2 * np.sum(s.kl(x)), beta=3.0, reduction="sum").ok


def test_the_importance_weighted_bound_passes_as_a_loss():
    s = Student()

    def loss(x, eps):
        z = [s.draw(x, e) for e in eps]
        log_w = [s.log_prob(x, one) - np.sum(one**2 + LOG_2PI, axis=1) / 2 - s.log_q(x, one) for one in z]
        return np.mean(np.log(3) - np.logaddexp.reduce(log_w, axis=0))

    few = s.few(log_q=s.log_q, loss=loss, objective="iwae", n_samples=3)
    assert check_objective(few, s.X).ok
    wrong = check_objective(few | {"loss": lambda x, eps: loss(x, eps) - np.log(3)}, s.X).findings[0]
    assert wrong.key == "loss" and wrong.expected - wrong.value == pytest.approx(np.log(3))


def test_the_four_functions_are_enough():
    s = Student()
    checks = s.few_checks()
    assert {key for key, check in checks.items() if check.verdict == "unchecked"} == {
        "log_q", "loss", "elbo", "iwae", "sample"}
    assert all(check.verdict != "wrong" for check in checks.values())


def test_float32_and_an_epsilon_in_the_logarithm_are_no_mistakes():
    s = Student(D=20)

    def single(function):
        return lambda *arguments: function(*arguments).astype(np.float32)

    def log_prob(x, z):
        p = 1 / (1 + np.exp(-s.decode(z)[0]))
        return np.sum(x * np.log(p + 1e-8) + (1 - x) * np.log(1 - p + 1e-8), axis=1)

    assert check_objective(s.few(kl=single(s.kl), draw=single(s.draw), log_prob=single(log_prob)), s.X).ok


def test_a_name_that_lies_is_no_wrong_objective():
    """encode's second output is the log of the sd, and everything else knows it."""
    s = Student(K=1)
    report = s.check(encode=lambda x: (s.encode(x)[0], s.encode(x)[1] / 2))
    sampler = report.checks[1]
    assert report.ok and sampler.cause == "name" and "only the name logvar is wrong" in sampler.message


def test_the_bound_of_probabilistic_pca_is_log_p():
    X = np.random.default_rng(0).normal(size=(50, 5)) * [3, 2, 1, 1, 1]
    model = ProbabilisticPCA(2).fit(X)
    parameters, (_, S) = model._parameters(), model.posterior(X)
    L, logdet = np.linalg.cholesky(S), np.linalg.slogdet(S)[1]

    def encode(x):
        return model.transform(x), np.tile(2 * np.log(np.diag(L)), (len(x), 1))

    def kl(x):
        return (np.sum(model.transform(x)**2, axis=1) + np.trace(S) - 2 - logdet) / 2

    def log_prob(x, z):
        error, v = x - model.inverse_transform(z), model.noise_variance_
        return -(np.sum(error**2, axis=1) / v + 5 * np.log(v) + 5 * LOG_2PI) / 2

    report = check_objective({"encode": encode, "draw": lambda x, e: model.transform(x) + e @ L.T, "kl": kl,
                              "log_prob": log_prob}, X)
    bound = {check.key: check for check in report.checks}["bound"]
    assert report.ok and bound.value == pytest.approx(bound.expected, abs=1e-9)
    assert np.min(np.abs(ppca_log_prob(X, *parameters) - bound.value)) < 1e-9


# ---- p(x|z) over real x ---------------------------------------------------------------------------------------------


def laplace(s, x, z):
    return -np.sum(np.abs(x - s.decode(z)[0]) + np.log(2), axis=1)


def around(x, mean, axis=None):
    """log N(x; mean, I)"""
    return -np.sum((x - mean)**2 + LOG_2PI, axis=axis) / 2


@pytest.mark.parametrize("D", [1, 2, 6])
def test_a_laplace_density_is_integrated(D):
    s = Student(likelihood="gaussian", D=D, K=1)
    right = s.few_checks(log_prob=lambda x, z: laplace(s, x, z))["log_prob"]
    assert right.verdict == "ok" and "by quadrature" in right.message
    wrong = s.few_checks(log_prob=lambda x, z: laplace(s, x, z) + 0.3 * D)["log_prob"]
    assert wrong.verdict == "wrong" and wrong.cause == "constant"
    assert wrong.value == pytest.approx(0.3 * D, abs=1e-3)


def mixture(x, z):
    """Two Gaussians, in all columns at once: neither quadratic nor a sum over columns."""
    return np.logaddexp(around(x, z[:, :1], 1), around(x, z[:, :1] + 3, 1)) - np.log(2)


def test_two_columns_are_integrated_together_and_three_are_said_to_be_unchecked():
    two, three = (Student(likelihood="gaussian", D=D, K=1) for D in (2, 3))
    assert two.few_checks(log_prob=mixture)["log_prob"].verdict == "ok"
    assert two.few_checks(log_prob=lambda x, z: mixture(x, z) + 0.1)["log_prob"].cause == "constant"
    unchecked = three.few_checks(log_prob=mixture)["log_prob"]
    assert unchecked.verdict == "unchecked" and "no sum over the 3 columns" in unchecked.message
    assert three.few_checks(log_prob=lambda x, z: -mixture(x, z))["log_prob"].verdict == "unchecked"
    L = np.tril(np.ones((3, 3)))                     # a full covariance is no sum over columns, either, but a Gaussian
    full = three.few_checks(log_prob=lambda x, z: around((x - z) @ L, 0, 1))["log_prob"]
    assert full.verdict == "ok" and "Gaussian" in full.message
    many = Student(likelihood="gaussian", D=41, K=1)
    assert "41 columns" in many.few_checks(log_prob=lambda x, z: laplace(many, x, z))["log_prob"].message


def test_densities_of_positive_x():
    """Outside of its support log p is not a number; a tail that is too long for a grid is said to be so."""
    s = Student(likelihood="gaussian", D=2, K=1)
    s.X = np.exp(s.X)
    gamma = lambda x, z: np.sum(3 * np.log(x) - x - np.log(6), axis=1)
    lognormal = lambda x, z: around(np.log(x), s.decode(z)[0], 1) - np.sum(np.log(x), axis=1)
    assert s.few_checks(log_prob=gamma)["log_prob"].verdict == "ok"
    assert s.few_checks(log_prob=lambda x, z: gamma(x, z) + 0.3)["log_prob"].cause == "constant"
    assert "only known to" in s.few_checks(log_prob=lognormal)["log_prob"].message


def test_columns_that_are_not_independent_are_not_counted_as_if():
    s = Student(D=15)
    unchecked = s.few_checks(log_prob=lambda x, z: s.log_prob(x, z) - x[:, 0] * x[:, 1])["log_prob"]
    assert unchecked.verdict == "unchecked" and "no sum" in unchecked.message


def test_binary_x_may_have_a_density_and_grey_x_a_surrogate():
    s = Student(likelihood="gaussian", D=3)
    s.X = (s.X > 0).astype(float)
    assert "density over real x" in s.few_checks()["log_prob"].message and s.check().ok
    s = Student()
    s.X = np.random.default_rng(0).random(s.X.shape)
    assert s.few_checks()["log_prob"].cause == "surrogate" and s.check().ok
    assert s.check(sample=lambda n, rng: (s.X[:1] * np.ones((n, 1)), s.sample(n, rng)[1])).findings[0].cause == "means"
    s.X = np.zeros((1, 6))
    assert "2^6" in s.few_checks()["log_prob"].message and s.check().ok


# ---- single mistakes ------------------------------------------------------------------------------------------------


def test_x_of_minus_one_and_one():
    s = Student()
    s.X = 2 * s.X - 1
    assert s.few_checks()["log_prob"].cause == "values of x"


def test_a_bound_above_what_it_bounds():
    s = Student(K=1)
    bound = s.few_checks(kl=lambda x: s.kl(x) - 9 * (x[:, 0] == 1))["bound"]                   # of some rows alone
    assert bound.cause == "above log p(x)" and bound.value > bound.expected + 1


def test_what_leaves_out_correlations_or_is_right_for_another_sampler():
    s, turn = Student(), np.array([[1, 0.7], [0, 1]])
    draw = lambda x, e: s.encode(x)[0] + np.exp(s.encode(x)[1] / 2) * (e @ turn)
    assert s.few_checks(draw=draw)["kl"].verdict == "wrong"
    for wrong in (lambda x, e: s.encode(x)[0] + e * 2, lambda x, e: s.encode(x)[0], lambda x, e: s.draw(x, np.abs(e))):
        checks = s.few_checks(draw=wrong, log_q=s.log_q, elbo=s.elbo, loss=s.loss)
        assert {key for key, check in checks.items() if check.verdict == "wrong"} - {"bound", "loss"} == {"sampler"}
        assert "KL(N(mu, exp(logvar)) || N(0, I))" in checks["kl"].message
        twice = s.few_checks(draw=wrong, kl=lambda x: 2 * s.kl(x))
        assert twice["kl"].cause == "twice" and twice["bound"].message == "not possible while the sampler is wrong"
    lie = lambda x: (s.encode(x)[0], s.encode(x)[1] / 2)                  # here the sampler is right, and a name is not
    assert s.few_checks(encode=lie, kl=lambda x: 2 * s.kl(x))["kl"].cause == "twice"


def test_a_function_that_changes_its_argument():
    s = Student()

    def kl(x):
        x *= 1.5
        return s.kl(x)

    assert s.check(kl=kl).findings[0].cause == "changes its argument"


# ---- our own models, spoiled ----------------------------------------------------------------------------------------


class Shifted(DiagonalGaussian):
    def draw(self, out, eps):
        mu, logvar = self.split(out)
        return mu + np.exp(logvar) * eps


def test_a_wrong_posterior_of_a_model(monkeypatch):
    monkeypatch.setitem(POSTERIORS, "diagonal", Shifted)
    X = np.random.default_rng(0).normal(size=(20, 4))
    first = check_objective(VAE(3, hidden=(4,), n_epochs=0, random_state=0).fit(X), X).findings[0]
    assert (first.key, first.cause) == ("sampler", "sd exp(logvar)")


def test_a_wrong_bound_of_a_model(monkeypatch):
    monkeypatch.setattr(ELBO, "value", lambda self, t: len(t.x) * np.mean(t.log_px_z) - self.beta * t.kl)
    X = np.random.default_rng(0).normal(size=(20, 4))
    first = check_objective(VAE(3, hidden=(4,), n_epochs=0, random_state=0).fit(X), X).findings[0]
    assert (first.key, first.cause) == ("loss", "reconstruction weight")


def test_a_model_whose_evaluation_mixes_rows(monkeypatch):
    X = np.random.default_rng(0).normal(size=(20, 4))
    model = VAE(3, hidden=(4,), n_epochs=0, random_state=0).fit(X)
    elbo = VAE.elbo
    monkeypatch.setattr(VAE, "elbo", lambda self, *args: elbo(self, *args) - np.mean(elbo(self, *args)))
    assert check_objective(model, X).findings[0].key == "rows"


def test_an_autoencoder_whose_loss_is_a_sum(monkeypatch):
    X = np.random.default_rng(0).normal(size=(20, 4))
    model, mean_loss = Autoencoder(2, n_epochs=0).fit(X), Autoencoder.mean_loss
    monkeypatch.setattr(Autoencoder, "mean_loss", lambda self, P, t: len(t.x) * mean_loss(self, P, t))
    first = check_objective(model, X).findings[0]
    assert (first.key, first.cause) == ("loss", "sum over rows")
    monkeypatch.setattr(Autoencoder, "mean_loss", lambda self, P, t: mean_loss(self, P, t) / 2)
    first = check_objective(model, X).findings[0]
    assert first.key == "loss" and first.expected == pytest.approx(2 * first.value)


def test_the_quadrature_reaches_narrow_and_wide_peaks():
    for centre, variance in (([0.3, -2.0], 1e-4), ([0.0, 0.0], 1e4)):
        f = lambda z: -np.sum((z - centre)**2, axis=1) / (2 * variance)
        value, bar = log_integral(f, np.zeros(2), 10.0)
        assert abs(value - np.log(2 * np.pi * variance)) < 1e-8 and bar < 1e-6
