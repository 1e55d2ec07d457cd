"""Estimates that draw: over seeds they must have the law of our own, made of the same parts with honest draws."""
import numpy as np

from .case import TOL
from .integrals import log_normal, paired
from .likelihood import NEVER
from .report import OVERFLOW, Check, wrong_shape

SEEDS = 80                               # evaluations of the caller's estimators


def check_elbo(case, S=32):
    """elbo(x, S, seed) is 1/S Σ_s log p(x|z_s) − KL with fresh draws z_s, and repeats itself with its seed.   [EL.2]"""
    log_prob, _ = _log_weights(case, S)
    kl, R = case.f.kl(case.x), np.mean(log_prob, axis=(0, 1))
    return _compare("elbo", case, S, np.mean(log_prob, axis=1) - kl, [
        ("no kl", R, "The KL is not subtracted."),
        ("kl sign", R + kl, "The KL is added where it is to be subtracted."),
        ("sum over draws", S * R - kl, f"It is summed over the {S} draws.")])


def check_iwae(case, S=7):
    """iwae(x, S, seed) is log 1/S Σ_s p(x|z_s) p(z_s) / q(z_s|x) with fresh draws z_s; it rises with S.   [CV.1]"""
    log_prob, log_ratio = _log_weights(case, S)
    right = np.logaddexp.reduce(log_prob + log_ratio, axis=1) - np.log(S)
    without = np.mean(np.logaddexp.reduce(log_prob, axis=1), axis=0) - np.log(S)
    found = _compare("iwae", case, S, right, [
        ("log S", np.mean(right, axis=0) + np.log(S), f"log {S} is not subtracted: a sum where a mean is meant."),
        ("mean of logs", np.mean(log_prob + log_ratio, axis=(0, 1)), "It is the mean of log w: the ELBO."),
        ("no prior ratio", without, "p(z) / q(z|x) is left out of the weights.")])
    return _rises(case, found, S) if found.verdict == "ok" else found


def _rises(case, found, S):
    """E iwae(x, 1) ≤ E iwae(x, S), by means over seeds."""
    seeds = case.rng.integers(0, 2**31, size=SEEDS).tolist()
    rise = np.array([case.f.iwae(case.x, S, seed) - case.f.iwae(case.x, 1, seed) for seed in seeds])
    mean, bar = np.mean(rise, axis=0), 5 * np.std(rise, axis=0) / np.sqrt(SEEDS) + TOL
    row = int(np.argmin(mean + bar))
    if not mean[row] + bar[row] >= 0:
        return Check("iwae", "wrong", f"iwae of X[{case.rows[row]}] changes by {mean[row]:.6g} from 1 draw to {S} "
                     f"(mean of {SEEDS} seeds): more draws must raise it.", "falls", float(mean[row]), 0.0)
    return found._replace(message=f"{found.message}, and rises from 1 draw to {S}")


def _log_weights(case, S):
    """log p(x|z), and log p(z)/q(z|x) of fresh draws, (n, S, B) each: n evaluations of our own with S draws."""
    n = min(1000, 12800 // S)
    z = case.law.at(case.rng.standard_normal((n * S, case.law.K)))
    return (paired(case.f.log_prob, case.x, z).reshape(n, S, -1),
            (log_normal(z) - case.law.log_density(z)).reshape(n, S, -1))


def _compare(key, case, S, right, mistakes):
    """A Check of the function's law over seeds; right (n, B) are evaluations of our own."""
    from scipy.stats import ks_2samp                     # here, because it takes a second that not all should wait for

    function, seeds = getattr(case.f, key), case.rng.integers(0, 2**31, size=SEEDS).tolist()
    values, again = np.array([function(case.x, S, seed) for seed in seeds]), function(case.x, S, seeds[0])
    if found := wrong_shape(key, values.shape[1:], right.shape[1:]):
        return found
    if not np.all(np.isfinite(right)):
        return Check(key, "unchecked", OVERFLOW)
    if not np.array_equal(values[0], again):
        return Check(key, "wrong", f"{key} says two different things with the same seed ({seeds[0]}): "
                     f"{values[0, 0]:.6g} and {again[0]:.6g}.", "not repeatable", float(again[0]), float(values[0, 0]))
    p = [ks_2samp(mine, yours, method="asymp").pvalue if np.std(mine) > 1000 * TOL else 1.0
         for mine, yours in zip(right.T, values.T)]
    row = int(np.argmin(p))
    mean, expected = float(np.mean(values[:, row])), float(np.mean(right[:, row]))
    words = (f"{key} of X[{case.rows[row]}] is {mean:.6g}, expected {expected:.6g} (mean of {SEEDS} seeds with {S} "
             "draws)")
    if p[row] >= NEVER:
        return Check(key, "ok", f"{words}; it scatters as draws of z do", "", mean, expected)
    error = (TOL + 5 * np.std(values[:, row]) / np.sqrt(SEEDS)) / (1 + abs(expected))
    cause, why = case.explain(mean, expected, [
        ("scatter", expected, "On average it may be right, but it scatters otherwise than draws of z do."),
        *((cause, value[row], why) for cause, value, why in mistakes)], error)
    if np.ptp(values[:, row]) == 0:
        cause, why = "no draw", "It is the same for all seeds: it never draws, or with one seed."
    return Check(key, "wrong", f"{words}, p = {p[row]:.0e}. {why}", cause, mean, expected)
