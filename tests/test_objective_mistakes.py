"""Planted mistakes of every kind in a student's objective: each is found, and called by its name."""
import numpy as np
import pytest

from tests.test_objective import Student
from tinyvae.checks import check_objective
from tinyvae.checks.objective.integrals import LOG_2PI

SD = {"sd exp(logvar)": lambda v: np.exp(v), "sd 1": lambda v: 1 + 0 * v, "sd logvar": lambda v: v,
      "sd exp(-logvar/2)": lambda v: np.exp(-v / 2), "sd exp(logvar/4)": lambda v: np.exp(v / 4),
      "sd sqrt": lambda v: np.sqrt(np.abs(v)), "no draw": lambda v: 0 * v}
KL_TWICE = {
    "missing 1": lambda m, v: m**2 + np.exp(v) - v, "sd exp(logvar)": lambda m, v: m**2 + np.exp(2 * v) - 1 - 2 * v,
    "sd for variance": lambda m, v: m**2 + np.exp(v / 2) - 1 - v, "log sd": lambda m, v: m**2 + np.exp(v) - 1 - v / 2,
    "sd exp(logvar/2)": lambda m, v: m**2 + np.exp(v / 2) - 1 - v / 2, "missing mu": lambda m, v: np.exp(v) - 1 - v,
    "mu not squared": lambda m, v: m + np.exp(v) - 1 - v, "missing variance": lambda m, v: m**2 - 1 - v,
    "missing log": lambda m, v: m**2 + np.exp(v) - 1, "log sign": lambda m, v: m**2 + np.exp(v) - 1 + v,
    "reversed": lambda m, v: (1 + m**2) / np.exp(v) - 1 + v, "entropy": lambda m, v: -v - 1 - LOG_2PI,
    "half on one term": lambda m, v: m**2 + 2 * (np.exp(v) - 1 - v),
    "cross-entropy": lambda m, v: m**2 + np.exp(v) + LOG_2PI}
LOG_Q_TWICE = {
    "log 2 pi": lambda d, v: d**2 / np.exp(v) + v, "log sd": lambda d, v: d**2 / np.exp(2 * v) + 2 * v + LOG_2PI,
    "sd exp(logvar/2)": lambda d, v: d**2 / np.exp(v / 2) + v / 2 + LOG_2PI,
    "sd for variance": lambda d, v: d**2 / np.exp(v / 2) + v + LOG_2PI,
    "log variance": lambda d, v: d**2 / np.exp(v) + 2 * v + LOG_2PI,
    "missing log sigma": lambda d, v: d**2 / np.exp(v) + LOG_2PI, "constants": lambda d, v: d**2 / np.exp(v),
    "log sign": lambda d, v: d**2 / np.exp(v) - v + LOG_2PI, "square": lambda d, v: d**2 / np.exp(v) / 2 + v + LOG_2PI}
LOG_PROB_TWICE = {**{cause: LOG_Q_TWICE[cause] for cause in ("log 2 pi", "log sign", "constants")},
                  "log sd": LOG_Q_TWICE["log variance"], "log sigma": LOG_Q_TWICE["missing log sigma"],
                  "log 2 pi bits": lambda d, v: d**2 / np.exp(v) + (v + LOG_2PI) / np.log(2),
                  "half": lambda d, v: 2 * d**2 / np.exp(v) + v + LOG_2PI,
                  "half log 2 pi": lambda d, v: d**2 / np.exp(v) + v + 2 * LOG_2PI,
                  "one log 2 pi": lambda d, v: d**2 / np.exp(v) + v + LOG_2PI / 7,
                  "constant": lambda d, v: d**2 / np.exp(v) + v + LOG_2PI + 0.3}
SCALED = {"kl": {"sign": -1, "zero": 0, "twice": 2, "bits": 1 / np.log(2), "half": 1 / 2},
          "log_q": {"sign": -1, "bits": 1 / np.log(2), "half": 1 / 2},
          "log_prob": {"sign": -1, "bits": 1 / np.log(2), "mean over columns": 1 / 7, "twice": 2, "half": 1 / 2,
                       "loss over columns": -1 / 7},
          "loss": {"sign": -1, "bits": 1 / np.log(2), "sum over rows": 3, "mean over columns": 1 / 7},
          "elbo": {"sign": -1, "bits": 1 / np.log(2)}, "iwae": {"sign": -1}}


def half_sum(terms):
    return np.sum(terms, axis=1) / 2


def spread(s, z, scale):
    """Gaussian x about the decoder's mean, with a noise that the decoder does not mean."""
    return s.decode(z)[0] + scale * np.random.default_rng(0).standard_normal((len(z), s.D)), z


OTHERS = [    # likelihood, the spoiled function, the wrong line, key, cause
    ("gaussian", "draw", lambda s, x, e: np.exp(s.encode(x)[1] / 2) * e, "sampler", "mean"),
    ("gaussian", "draw", lambda s, x, e: s.encode(x)[0] + np.abs(e), "sampler", "not Gaussian"),
    ("gaussian", "draw", lambda s, x, e: s.draw(x, e)[:, ::-1] + 9, "sampler", "mean"),
    ("bernoulli", "kl", lambda s, x: np.mean(s.kl(x)), "rows", "mean over rows"),
    ("bernoulli", "kl", lambda s, x: np.sum(s.kl(x)), "rows", "sum over rows"),
    ("bernoulli", "kl", lambda s, x: 0.0, "rows", "mean over rows"),
    ("bernoulli", "kl", lambda s, x: s.kl(x) * len(x), "rows", "times rows"),
    ("bernoulli", "log_prob", lambda s, x, z: s.log_prob(x, z) / len(x), "rows", "divided by rows"),
    ("gaussian", "kl", lambda s, x: s.kl(x) + (len(x) > 1) * np.arange(len(x)), "rows", "batch statistics"),
    ("gaussian", "log_q", lambda s, x, z: s.log_q(x, z) + (x[0, 0] > x[-1, 0]), "rows", "order"),
    ("gaussian", "encode", lambda s, x: [(part - part.mean(axis=0)) / (part.std(axis=0) + 1e-3)
                                         for part in s.encode(x)], "rows", "batch statistics"),
    ("bernoulli", "log_q", lambda s, x, z: -half_sum(z**2 + LOG_2PI), "log_q", "prior"),
    ("bernoulli", "log_prob", lambda s, x, z: np.sum(x * (s.decode(z)[0] - np.logaddexp.reduce(
        s.decode(z)[0], axis=1, keepdims=True)), axis=1), "log_prob", "softmax"),
    ("bernoulli", "loss", lambda s, x, e: s.loss(x, e) - 2 * np.mean(s.log_prob(x, s.draw(x, e))),
     "loss", "reconstruction weight"),
    ("bernoulli", "loss", lambda s, x, e: np.mean(s.kl(x) - s.log_prob(x, s.draw(x, e)) / 7),
     "loss", "mean over columns"),
    ("bernoulli", "loss", lambda s, x, e: np.sum(s.kl(x) - s.log_prob(x, s.draw(x, e))) / 3, "loss", "rows"),
    ("gaussian", "loss", lambda s, x, e: s.loss(x, e) - 2 * np.mean(s.kl(x)), "loss", "kl sign"),
    ("gaussian", "loss", lambda s, x, e: s.loss(x, e) - np.mean(s.kl(x)), "loss", "kl weight"),
    ("gaussian", "loss", lambda s, x, e: s.loss(x, e) - 7 * LOG_2PI / 2, "loss", "constants"),
    ("bernoulli", "loss", lambda s, x, e: s.loss(x, 0 * e), "loss", "no draw"),
    ("bernoulli", "elbo", lambda s, x, n, seed: s.elbo(x, n, 0), "elbo", "no draw"),
    ("bernoulli", "elbo", lambda s, x, n, seed: s.elbo(x, n, None), "elbo", "not repeatable"),
    ("gaussian", "elbo", lambda s, x, n, seed: s.elbo(x, n, seed) + s.kl(x), "elbo", "no kl"),
    ("gaussian", "elbo", lambda s, x, n, seed: s.elbo(x, n, seed) + 2 * s.kl(x), "elbo", "kl sign"),
    ("bernoulli", "elbo", lambda s, x, n, seed: n * (s.elbo(x, n, seed) + s.kl(x)) - s.kl(x), "elbo", "sum over draws"),
    ("gaussian", "elbo", lambda s, x, n, seed: s.elbo(x, 1, seed), "elbo", "scatter"),
    ("bernoulli", "iwae", lambda s, x, n, seed: s.iwae(x, n, seed) + np.log(n), "iwae", "log S"),
    ("bernoulli", "iwae", lambda s, x, n, seed: s.iwae(x, n, seed) + (n == 1), "iwae", "falls"),
    ("gaussian", "iwae", lambda s, x, n, seed: np.mean(s.log_weights(x, n, seed), axis=0), "iwae", "mean of logs"),
    ("bernoulli", "iwae", lambda s, x, n, seed: np.logaddexp.reduce(
        [s.log_prob(x, z) for z in s._draws(x, n, seed)], axis=0) - np.log(n), "iwae", "no prior ratio"),
    ("bernoulli", "sample", lambda s, n, rng: (s.sample(n, rng)[0] - 0.1, s.sample(n, rng)[1]), "sample", "means"),
    ("bernoulli", "sample", lambda s, n, rng: ((s.decode(z := s.sample(n, rng)[1])[0] > 0) * 1.0, z),
     "sample", "no noise"),
    ("gaussian", "sample", lambda s, n, rng: spread(s, s.sample(n, rng)[1], 0), "sample", "no noise"),
    ("gaussian", "sample", lambda s, n, rng: spread(s, s.sample(n, rng)[1], 2), "sample", "law"),
    ("gaussian", "sample", lambda s, n, rng: (s.sample(n, rng)[0], s.sample(n, rng)[1]), "sample", "law"),
    ("gaussian", "sample", lambda s, n, rng: spread(s, s.sample(n, rng)[1] / 2, 1), "sample", "prior")]
MISTAKES = OTHERS + [
    ("gaussian", "draw", lambda s, x, e, f=f: s.encode(x)[0] + f(s.encode(x)[1]) * e, "sampler", cause)
    for cause, f in SD.items()] + [
    ("bernoulli", "kl", lambda s, x, f=f: half_sum(f(*s.encode(x))), "kl", cause) for cause, f in KL_TWICE.items()] + [
    ("gaussian", "log_q", lambda s, x, z, f=f: -half_sum(f(z - s.encode(x)[0], s.encode(x)[1])), "log_q", cause)
    for cause, f in LOG_Q_TWICE.items()] + [
    ("gaussian", "log_prob", lambda s, x, z, f=f: -half_sum(f(x - s.decode(z)[0], s.decode(z)[1])), "log_prob", cause)
    for cause, f in LOG_PROB_TWICE.items()] + [
    ("bernoulli", key, lambda s, *args, key=key, factor=factor: factor * getattr(s, key)(*args), key, cause)
    for key, causes in SCALED.items() for cause, factor in causes.items()]


@pytest.mark.parametrize("likelihood, spoiled, line, key, cause", MISTAKES, ids=[f"{m[1]}-{m[4]}" for m in MISTAKES])
def test_a_planted_mistake_is_called_by_its_name(likelihood, spoiled, line, key, cause):
    s = Student(likelihood=likelihood, D=7)
    first = check_objective(s.few(**{spoiled: lambda *arguments: line(s, *arguments)}), s.X).findings[0]
    assert (first.key, first.cause) == (key, cause), first
