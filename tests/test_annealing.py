"""Annealed importance sampling: its Hamiltonian transitions, its weights both ways, and its step sizes.

In a linear-Gaussian model every f_β is a Gaussian with a known mean and covariance, from which this file can draw.
"""
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logsumexp

from tinyvae import VAE
from tinyvae.likelihood import (annealed_importance_sampling, annealing, prior_monte_carlo,
                                reverse_annealed_importance_sampling)
from tinyvae.likelihood.annealing import Chains, State, anneal, leapfrog, schedule, tuned_step_sizes

GRID, STEP = np.linspace(-12, 12, 4001, retstep=True)


class LinearGaussian:
    """x = z W + b + sd ε as a VAE, with all that is known of it in closed form."""

    def __init__(self, K=2, D=4, sd=0.6, seed=0):
        rng = np.random.default_rng(seed)
        self.K, self.sd, self.W, self.b = K, sd, rng.standard_normal((K, D)) / np.sqrt(K), rng.standard_normal(D)
        self.model = VAE(K, hidden=(), likelihood="gaussian", sd=sd, n_epochs=0).fit(rng.standard_normal((2, D)))
        self.model.parameters_["decoder.0.W"][:], self.model.parameters_["decoder.0.b"][:] = self.W, self.b

    def pairs(self, n, seed=1):
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((n, self.K))
        return z @ self.W + self.b + self.sd * rng.standard_normal((n, len(self.b))), z

    def log_p(self, x):
        return stats.multivariate_normal(self.b, self.W.T @ self.W + self.sd**2 * np.eye(len(self.b))).logpdf(x)

    def at_beta(self, x, beta):
        """Mean and covariance of f_β for one x."""
        covariance = np.linalg.inv(np.eye(self.K) + beta * self.W @ self.W.T / self.sd**2)
        return beta * (x - self.b) @ self.W.T @ covariance / self.sd**2, covariance

    def draws(self, x, beta, n, rng):
        return rng.multivariate_normal(*self.at_beta(x, beta), size=n)

    def chains(self, x, n_chains, n_leapfrog=4, seed=0):
        return Chains(self.model, np.atleast_2d(x), n_chains, n_leapfrog, np.random.SeedSequence(seed))


def curved_vae(dtype=np.float64):
    """A Bernoulli VAE with one latent, rows of x, and their log p(x) on a grid."""
    rng = np.random.default_rng(1)
    X = (rng.random((3, 6)) < 0.5).astype(dtype)
    model = VAE(1, hidden=(5,), activation="tanh", likelihood="bernoulli", n_epochs=0).fit(X)
    model.theta_[:] = rng.normal(scale=1.2, size=len(model.theta_))
    W1, b1, W2, b2 = (model.parameters_[f"decoder.{name}"].astype(float) for name in ("0.W", "0.b", "1.W", "1.b"))
    p = expit(np.tanh(GRID[:, None] @ W1 + b1) @ W2 + b2)
    log_joint = [stats.bernoulli.logpmf(x, p).sum(axis=1) + stats.norm.logpdf(GRID) for x in X]
    return model, X, logsumexp(log_joint, axis=1) + np.log(STEP)


# ---- the path --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 2, 7, 500])
def test_schedule(T):
    betas = schedule(T)
    assert len(betas) == T + 1 and betas[0] == 0 and betas[-1] == 1 and np.all(np.diff(betas) > 0)
    assert np.allclose(betas + betas[::-1], 1, rtol=0, atol=1e-15)
    t = np.arange(T + 1)
    logistic = expit(4 * (2 * t / T - 1))
    assert np.allclose(betas, (logistic - expit(-4)) / (expit(4) - expit(-4)), rtol=0, atol=1e-14)


# ---- Hamiltonian Monte Carlo -----------------------------------------------------------------------------------------


def test_leapfrog_comes_back_when_the_momentum_is_turned():
    model, X, _ = curved_vae()
    chains = Chains(model, X, 5, 7, 0)
    z, p, step = *np.random.default_rng(0).standard_normal((2, 15, 1)), np.tile([0.1, 0.2, 0.3], 5)[:, None]
    there, momentum = leapfrog(chains.at, chains.at(z), p, 0.7, step, 7)
    back, turned = leapfrog(chains.at, there, -momentum, 0.7, step, 7)
    assert np.min(np.abs(there.z - z)) > 1e-3
    assert np.allclose(back.z, z, rtol=0, atol=1e-12) and np.allclose(turned, -p, rtol=0, atol=1e-12)
    fresh = chains.at(there.z)                                      # a State's numbers are those of its z
    assert np.array_equal(fresh.log_px_z, there.log_px_z) and np.array_equal(fresh.d_log_px_z, there.d_log_px_z)


def test_leapfrog_keeps_volumes():
    law = LinearGaussian()
    x, h = law.pairs(1)[0], 1e-4
    quartic = law.chains(x, 8)
    quartic.at = lambda z: State(z, -np.sum(z**4, axis=1), -4 * z**3)             # no linear map, so that it could fail
    start = np.random.default_rng(0).standard_normal(4) / 2
    points = start + h * np.concatenate([np.eye(4), -np.eye(4)])
    end, momentum = leapfrog(quartic.at, quartic.at(points[:, :2]), points[:, 2:], 0.8, np.full((8, 1), 0.2), 5)
    moved = np.hstack([end.z, momentum])
    jacobian = (moved[:4] - moved[4:]) / (2 * h)
    assert np.linalg.det(jacobian) == pytest.approx(1, abs=1e-5)
    assert np.max(np.abs(jacobian @ jacobian.T - np.eye(4))) > 0.1


def test_leapfrog_follows_the_exact_motion_with_an_error_of_second_order():
    """On a Gaussian f_β the motion is a rotation: in the eigenvectors, z turns with angular velocity 1 / sd."""
    law = LinearGaussian()
    x = law.pairs(1)[0][0]
    mean, covariance = law.at_beta(x, 0.6)
    variances, U = np.linalg.eigh(covariance)
    z, p = np.random.default_rng(0).standard_normal((2, 2))
    y, q, omega = (z - mean) @ U, p @ U, 1 / np.sqrt(variances)
    exact = (y * np.cos(omega) + q / omega * np.sin(omega)) @ U.T + mean                      # after the time 1
    chains, errors = law.chains(x, 1), []
    for n in (20, 40):
        end, _ = leapfrog(chains.at, chains.at(z[None]), p[None], 0.6, np.full((1, 1), 1 / n), n)
        errors.append(np.max(np.abs(end.z[0] - exact)))
    assert errors[0] < 0.02 and 3.8 < errors[0] / errors[1] < 4.2


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_transitions_leave_f_invariant(beta):
    law, n = LinearGaussian(), 40_000
    X, _ = law.pairs(2)
    chains = law.chains(X, n, n_leapfrog=3)
    rng = np.random.default_rng(1)
    z = np.stack([law.draws(x, beta, n, rng) for x in X], axis=1).reshape(-1, 2)              # chains · rows
    state, accepted = chains.at(z), []
    for _ in range(3):
        before = state.z
        state, probability = chains.transition(state, beta, np.array([0.9, 0.7]))
        moved = np.any(state.z != before, axis=1)
        assert abs(np.mean(moved - probability)) < 5 * np.sqrt(0.25 / n)
        accepted.append(moved.mean())
    assert 0.3 < np.mean(accepted) < 0.95                                      # enough is refused for it to matter
    for row, x in enumerate(X):
        mean, covariance = law.at_beta(x, beta)
        y = np.linalg.solve(np.linalg.cholesky(covariance), (state.z.reshape(n, 2, 2)[:, row] - mean).T)
        assert np.all(np.abs(y.mean(axis=1)) < 4 / np.sqrt(n))                 # whitened: N(0, I)
        assert np.all(np.abs(y @ y.T / n - np.eye(2)) < 4 * np.sqrt([[2, 1], [1, 2]]) / np.sqrt(n))
        assert all(stats.kstest(coordinate, "norm").pvalue > 1e-4 for coordinate in y)


def test_transitions_find_f_from_elsewhere():
    law, n = LinearGaussian(), 4000
    x = law.pairs(1)[0]
    chains = law.chains(x, n)
    state = chains.at(chains.normal() + 3)
    for _ in range(40):
        state, _ = chains.transition(state, 0.8, np.array([0.2]))        # 0.35 closes half a turn: z → −z
    mean, covariance = law.at_beta(x[0], 0.8)
    assert np.all(np.abs(state.z.mean(axis=0) - mean) < 5 * np.sqrt(np.diag(covariance) / n))
    assert np.allclose(np.cov(state.z.T), covariance, rtol=0, atol=5 * np.sqrt(2 / n) * np.max(covariance))


# ---- the weights -----------------------------------------------------------------------------------------------------


def test_both_ways_are_unbiased():                                                                          # [CV.1]
    """E w = p(x) upwards, E w = 1 / p(x) downwards from exact posterior draws, also where steps are few and coarse."""
    law, n = LinearGaussian(), 40_000
    x = law.pairs(1)[0]
    betas, step_sizes = schedule(5), np.array([[1.1], [0.9], [0.7], [0.8]])
    for seed in range(2):
        chains = law.chains(x, n, n_leapfrog=2, seed=seed)
        up = anneal(chains, chains.normal(), betas, step_sizes) - law.log_p(x)
        z = law.draws(x[0], 1, n, np.random.default_rng(seed))
        down = anneal(chains, z, betas[::-1], step_sizes[::-1]) + law.log_p(x)
        for log_ratio in (up, down):
            assert log_ratio.shape == (n, 1) and np.std(log_ratio) > 0.3
            assert abs(np.mean(np.exp(log_ratio)) - 1) < 4 * np.std(np.exp(log_ratio)) / np.sqrt(n)
            assert np.mean(log_ratio) < -4 * np.std(log_ratio) / np.sqrt(n)


def test_one_temperature_is_prior_monte_carlo():                                                            # [LV.2]
    law = LinearGaussian()
    X, _ = law.pairs(3)
    tasks = []
    value, se = annealed_importance_sampling(law.model, X, 900, 1, rng=3, workers=recorder(tasks))
    (x, _, _, seed), = merged(tasks)
    z = np.random.default_rng(seed).standard_normal((900, 2))
    log_w = np.array([stats.norm.logpdf(x, z @ law.W + law.b, law.sd).sum(axis=1) for x in x])
    assert np.allclose(value, logsumexp(log_w, axis=1) - np.log(900), rtol=0, atol=1e-11)
    assert np.allclose(se, stats.sem(np.exp(log_w), axis=1) / np.exp(log_w).mean(axis=1), rtol=1e-9)
    prior = prior_monte_carlo(law.model, X, 900, rng=4)
    assert np.all(np.abs(value - prior.value) < 5 * np.hypot(se, prior.standard_error))


def recorder(tasks):
    def mapping(function, given):
        tasks.extend(given)
        return [function(task) for task in tasks]
    return mapping


def merged(tasks):
    """All rows as one task, after it is seen that all tasks have the same seeds, the two being different."""
    x, z, pilot, seed = zip(*tasks)
    assert len({s.spawn_key for s in pilot}) == len({s.spawn_key for s in seed}) == 1
    assert pilot[0].entropy == seed[0].entropy and pilot[0].spawn_key != seed[0].spawn_key
    return [(np.concatenate(x), None if z[0] is None else np.concatenate(z), pilot[0], seed[0])]


def test_public_functions_use_frozen_step_sizes_of_a_pilot_with_other_noise():
    law, betas, n_chains = LinearGaussian(), schedule(30), 6
    X, Z = law.pairs(400)                                                                     # more than one task
    for sign, run in ((1, annealed_importance_sampling), (-1, reverse_annealed_importance_sampling)):
        tasks = []
        args = (X,) if sign == 1 else (X, Z)
        value, se = run(law.model, *args, n_chains, 30, 3, rng=5, workers=recorder(tasks))
        assert len(tasks) > 1
        (x, z, pilot, seed), = merged(tasks)
        step_sizes = tuned_step_sizes(Chains(law.model, x, 4, 3, pilot), betas)
        chains = Chains(law.model, x, n_chains, 3, seed)
        if sign == 1:
            log_w = anneal(chains, chains.normal(), betas, step_sizes)
        else:
            assert np.array_equal(z, Z)
            log_w = anneal(chains, np.tile(Z, (n_chains, 1)), betas[::-1], step_sizes[::-1])
        assert np.allclose(value, sign * (logsumexp(log_w, axis=0) - np.log(n_chains)), rtol=0, atol=1e-8)
        w = np.exp(log_w - log_w.max(axis=0))
        assert np.allclose(se, stats.sem(w) / w.mean(axis=0), rtol=1e-5, atol=1e-8)


def test_forward_below_exact_below_reverse():                                                               # [CV.1]
    law = LinearGaussian(K=20, D=30, sd=0.5)
    below, above = [], []
    for seed in range(40):                                                    # rows share their noise: seeds do not
        X, Z = law.pairs(4, seed)
        below.append(law.log_p(X) - annealed_importance_sampling(law.model, X, 2, 25, 3, rng=seed).value)
        above.append(reverse_annealed_importance_sampling(law.model, X, Z, 2, 25, 3, rng=seed).value - law.log_p(X))
    for gap in (np.mean(below, axis=1), np.mean(above, axis=1)):
        assert gap.mean() > 5 * gap.std() / np.sqrt(len(gap))


def test_within_a_twentieth_of_a_nat_in_twenty_dimensions():
    law = LinearGaussian(K=20, D=30, sd=1.0)
    X, Z = law.pairs(2, seed=2)
    exact = law.log_p(X)
    up = annealed_importance_sampling(law.model, X, 400, 1000, 5, rng=0)
    down = reverse_annealed_importance_sampling(law.model, X, Z, 400, 1000, 5, rng=0)
    assert np.all(prior_monte_carlo(law.model, X, 10_000, rng=0).standard_error > 0.2)       # it is not easy
    assert np.all(np.abs(up.value - exact) < 0.05) and np.all(np.abs(down.value - exact) < 0.05)
    assert np.all(up.standard_error < 0.02)                        # 0.05 is no luck of the seed


def test_a_nonlinear_decoder_against_the_grid_with_a_calibrated_standard_error():
    model, X, log_p = curved_vae()
    runs = [annealed_importance_sampling(model, X, 100, 6, 3, rng=seed) for seed in range(150)]
    ratio, se = np.exp([run.value - log_p for run in runs]), np.array([run.standard_error for run in runs])
    assert np.all(np.abs(ratio.mean(axis=0) - 1) < 4 * ratio.std(axis=0) / np.sqrt(len(runs)))
    assert np.all(np.abs(np.std((ratio - 1) / se, axis=0) - 1) < 0.25)


# ---- step sizes ------------------------------------------------------------------------------------------------------


def test_step_sizes_reach_their_acceptance_and_are_a_rows_own():
    law = LinearGaussian(K=5, D=8, sd=0.1)
    X, _ = law.pairs(2)
    X[1] += 4                                                                                # far from the model
    betas = schedule(300)
    step_sizes = tuned_step_sizes(law.chains(X, 4), betas)
    alone = [tuned_step_sizes(law.chains(x, 4), betas) for x in X]
    assert step_sizes.shape == (299, 2) and np.allclose(step_sizes, np.hstack(alone), rtol=1e-6)
    assert np.all(step_sizes[-1] < step_sizes[20] / 3)                                       # the posterior is narrow
    chains, acceptance = law.chains(X, 50, seed=9), []
    state = chains.at(chains.normal())
    for beta, step_size in zip(betas[1:-1], step_sizes):
        state, probability = chains.transition(state, beta, step_size)
        acceptance.append(probability.reshape(50, 2).mean(axis=0))
    assert np.all(np.abs(np.mean(acceptance, axis=0) - 0.65) < 0.05)
    parts = np.array_split(np.mean(acceptance, axis=1), 4)
    assert np.all(np.abs([part.mean() - 0.65 for part in parts]) < 0.15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_that_diverge_are_rejected(dtype, monkeypatch):
    law = LinearGaussian(sd=1e-3)
    X, Z = law.pairs(3)
    law.model.theta_ = law.model.theta_.astype(dtype)
    monkeypatch.setattr(annealing, "tuned_step_sizes", lambda pilots, betas: np.full((len(betas) - 2, 3), 1e25))
    for args, run in (((X,), annealed_importance_sampling), ((X, Z), reverse_annealed_importance_sampling)):
        value, _ = run(law.model, *args, 4, 5, 10, rng=0)
        assert np.all(np.isfinite(value)) and value.dtype == np.float64
    # Nothing moved: each weight is p(x|z) at the start.
    assert np.allclose(value, stats.norm.logpdf(X, Z @ law.W + law.b, law.sd).sum(axis=1), rtol=1e-3)


# ---- what comes in ---------------------------------------------------------------------------------------------------


def test_float32_agrees_with_float64():
    model, X, log_p = curved_vae()
    Z = np.zeros((3, 1))
    exact = [annealed_importance_sampling(model, X, 20, 10, 3, rng=0),
             reverse_annealed_importance_sampling(model, X, Z, 20, 10, 3, rng=0)]
    model.theta_ = model.theta_.astype(np.float32)
    rounded = [annealed_importance_sampling(model, X, 20, 10, 3, rng=0),
               reverse_annealed_importance_sampling(model, X, Z, 20, 10, 3, rng=0)]
    assert np.allclose(rounded, exact, rtol=0, atol=1e-4)


def test_reverse_rows_are_their_own_and_in_the_units_of_the_data():
    law = LinearGaussian()
    X, Z = law.pairs(1100)
    options = {"n_chains": 4, "n_temperatures": 4, "n_leapfrog": 2, "rng": 0}
    whole = reverse_annealed_importance_sampling(law.model, X, Z, **options).value
    order = np.random.default_rng(0).permutation(len(X))
    assert np.allclose(reverse_annealed_importance_sampling(law.model, X[order], Z[order], **options).value,
                       whole[order], rtol=1e-9)
    law.model.set_params(input_scale=0.25)
    assert np.allclose(reverse_annealed_importance_sampling(law.model, 4 * X[:9], Z[:9], **options).value, whole[:9])


@pytest.mark.parametrize("bad, error, words", [
    ({"n_chains": 0}, ValueError, "n_chains must be"), ({"n_temperatures": 0}, ValueError, "n_temperatures must be"),
    ({"n_leapfrog": 0}, ValueError, "n_leapfrog must be"), ({"n_leapfrog": 1.5}, TypeError, "n_leapfrog must be"),
    ({"workers": "x"}, TypeError, "workers must be"), ({"Z": np.zeros((3, 1))}, ValueError, "Z has 1 features"),
    ({"Z": np.zeros((2, 2))}, ValueError, "Z must have a row for each row of X: expected 3, got 2"),
    ({"Z": np.full((3, 2), np.nan)}, ValueError, "Z contains NaN"), ({"Z": None}, TypeError, "Z"),
    ({"X": np.zeros((3, 3))}, ValueError, "3 features"), ({"X": np.full((3, 4), np.inf)}, ValueError, "infinity"),
], ids=str)
def test_bad_input_is_refused_before_anything(bad, error, words):
    rng = np.random.default_rng(0)
    arguments = {"X": np.zeros((3, 4)), "Z": np.zeros((3, 2)), "rng": rng, **bad}
    with pytest.raises(error, match=words):
        reverse_annealed_importance_sampling(LinearGaussian().model, **arguments)
    if "Z" not in bad:
        del arguments["Z"]
        with pytest.raises(error, match=words):
            annealed_importance_sampling(LinearGaussian().model, **arguments)
    assert rng.random() == np.random.default_rng(0).random()
