"""log p(x) by Monte Carlo, and the tasks and weights that every estimate is made of.

What is true is known without the library: SciPy's Gaussian for a linear model, a trapezoid rule over the one latent of
a nonlinear one. The weights of a small run are computed once more from its seeds, by SciPy's densities.
"""
import multiprocessing
import threading
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logsumexp

from tinyvae import VAE
from tinyvae.likelihood import Estimate, annealed_importance_sampling, importance_sampling, prior_monte_carlo
from tinyvae.likelihood.tasks import estimate, ordered_map, spawn

GRID, STEP = np.linspace(-12, 12, 4001, retstep=True)
SD = 0.7


def short_annealing(model, X, n_samples=3, **options):
    return annealed_importance_sampling(model, X, n_samples, n_temperatures=3, n_leapfrog=2, **options)


each_estimator = pytest.mark.parametrize("sample", [prior_monte_carlo, importance_sampling])
every_method = pytest.mark.parametrize("sample", [prior_monte_carlo, importance_sampling, short_annealing])


# ---- models whose log p(x) is known ----------------------------------------------------------------------------------


def linear_vae(K=3, D=5, seed=0):
    """A linear-Gaussian VAE with a q that is not the posterior, and the law of its x."""
    rng = np.random.default_rng(seed)
    model = VAE(K, hidden=(), likelihood="gaussian", sd=SD, n_epochs=0).fit(rng.standard_normal((2, D)))
    model.theta_[:] = rng.normal(scale=0.4, size=len(model.theta_))
    named = model.parameters_
    named["encoder.0.W"][:, K:] = 0
    W, b = named["decoder.0.W"], named["decoder.0.b"]
    return model, stats.multivariate_normal(b, W.T @ W + SD**2 * np.eye(D))


def make_q_exact(model):
    """The encoder for which q(z|x) is the posterior, whose precision is I + W Wᵀ / σ²; W Wᵀ must be diagonal."""
    named, K = model.parameters_, model.n_components
    W, b = named["decoder.0.W"], named["decoder.0.b"]
    W[:] = 1.5 * np.linalg.qr(W.T)[0].T
    variance = 1 / (1 + 1.5**2 / SD**2)
    named["encoder.0.W"][:, :K] = W.T * variance / SD**2
    named["encoder.0.b"][:] = np.concatenate([-W @ b * variance / SD**2, np.full(K, np.log(variance))])


def curved_vae(likelihood):
    """A nonlinear VAE with one latent, some rows of x, and their log p(x) on a grid."""
    rng = np.random.default_rng(1)
    X = (rng.random((3, 4)) < 0.5).astype(float) if likelihood == "bernoulli" else rng.standard_normal((3, 4))
    model = VAE(1, hidden=(5,), activation="tanh", likelihood=likelihood, n_epochs=0).fit(X)
    model.theta_[:] = rng.normal(scale=0.7, size=len(model.theta_))
    model.parameters_["encoder.1.W"][:, 1:] *= 0.2
    model.parameters_["encoder.1.b"][1:] = -0.1
    log_joint = [log_px_z(model, x, GRID[:, None]) + stats.norm.logpdf(GRID) for x in X]
    return model, X, logsumexp(log_joint, axis=1) + np.log(STEP)


def log_px_z(model, x, z):
    """By SciPy's densities, for one hidden layer of tanh or none."""
    named = model.parameters_
    *hidden, last = sorted({name.rpartition(".")[0] for name in named if name.startswith("decoder")})
    for layer in hidden:
        z = np.tanh(z @ named[f"{layer}.W"] + named[f"{layer}.b"])
    out = z @ named[f"{last}.W"] + named[f"{last}.b"]
    if model.likelihood == "bernoulli":
        return stats.bernoulli.logpmf(x, expit(out)).sum(axis=1)
    sd = model.sd or np.exp(named["likelihood.logvar"] / 2)
    return stats.norm.logpdf(x, out, sd).sum(axis=1)


class Recorder:
    """A map that remembers its tasks."""

    def __init__(self):
        self.tasks = []

    def __call__(self, function, tasks):
        self.tasks = list(tasks)
        return [function(task) for task in self.tasks]


# ---- the formula -----------------------------------------------------------------------------------------------------


@each_estimator
@pytest.mark.parametrize("n_samples", [1, 7, 2300])                                           # 2300: three seeds
def test_it_is_the_mean_of_the_weights_and_its_standard_error(sample, n_samples):                   # [LV.2, CV.1]
    model, law = linear_vae()
    X = law.rvs(4, random_state=1)
    value, se = sample(model, X, n_samples, rng=5, workers=(record := Recorder()))
    noise = np.concatenate([np.random.default_rng(seed).standard_normal((n, 3)) for _, seed, n in record.tasks])
    assert len(noise) == n_samples
    mean, variance = model.encode(X)
    for x, m, sd, value_of_x, se_of_x in zip(X, mean, np.sqrt(variance), value, se):
        z = noise if sample is prior_monte_carlo else m + sd * noise
        log_w = log_px_z(model, x, z)
        if sample is importance_sampling:
            log_w += stats.norm.logpdf(z).sum(axis=1) - stats.norm.logpdf(z, m, sd).sum(axis=1)
        assert value_of_x == pytest.approx(logsumexp(log_w) - np.log(n_samples), abs=1e-11)
        if n_samples > 1:
            w = np.exp(log_w - value_of_x)
            assert se_of_x == pytest.approx(np.std(w, ddof=1) / np.sqrt(n_samples) / np.mean(w), rel=1e-9)
    assert np.isnan(se).all() == (n_samples == 1) and value.dtype == se.dtype == np.float64


def test_with_the_exact_posterior_every_weight_is_p():                                                      # [LV.9]
    model, _ = linear_vae()
    make_q_exact(model)
    W, b = model.parameters_["decoder.0.W"], model.parameters_["decoder.0.b"]
    law = stats.multivariate_normal(b, W.T @ W + SD**2 * np.eye(5))
    X = law.rvs(6, random_state=1)
    value, se = importance_sampling(model, X, 40, rng=0)
    assert np.allclose(value, law.logpdf(X), rtol=0, atol=1e-12) and np.all(se < 1e-7)


@each_estimator
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_unbiased_with_a_calibrated_standard_error(sample, likelihood):                               # [LV.2, CV.1]
    model, X, log_p = curved_vae(likelihood)
    runs = [sample(model, X, 400, rng=seed) for seed in range(300)]
    ratio = np.exp([run.value - log_p for run in runs])                       # p̂(x) / p(x), whose mean is 1
    assert np.all(np.abs(ratio.mean(axis=0) - 1) < 4 * ratio.std(axis=0) / np.sqrt(len(runs)))
    assert np.all(np.mean([run.value for run in runs], axis=0) < log_p + 4 * ratio.std(axis=0) / np.sqrt(len(runs)))
    z = (ratio - 1) / [run.standard_error for run in runs]
    # One row at a time, since they share their noise. The s.e. is itself an estimate, hence not exactly normal.
    assert all(stats.kstest(z[:, row], "norm").pvalue > 1e-3 and 0.8 < z[:, row].std() < 1.2 for row in range(len(X)))


def test_in_many_dimensions_prior_draws_miss_what_the_encoder_finds():                                      # [LV.8]
    model, _ = linear_vae(K=12, D=12)
    make_q_exact(model)
    W, b = model.parameters_["decoder.0.W"], model.parameters_["decoder.0.b"]
    law = stats.multivariate_normal(b, W.T @ W + SD**2 * np.eye(12))
    X = law.rvs(20, random_state=1)
    missed = law.logpdf(X) - prior_monte_carlo(model, X, 1000, rng=0).value
    assert missed.mean() > 1
    assert np.allclose(importance_sampling(model, X, 10, rng=0).value, law.logpdf(X), rtol=0, atol=1e-11)


# ---- the sum of weights ----------------------------------------------------------------------------------------------


def given(model, log_w):
    return log_w


def mean_of(log_w, blocks=1):
    """`estimate` of weights (S, B), cut into blocks."""
    tasks = [(block,) for block in np.array_split(log_w, blocks)]
    return estimate(map, given, linear_vae()[0], tasks, n_weights=len(log_w), n_rows=log_w.shape[1], blocks=blocks)


@pytest.mark.parametrize("shift", [-1e5, 0.0, 1e5])
def test_neither_overflow_nor_underflow(shift):
    log_w = np.random.default_rng(0).normal(scale=3, size=(50, 4)) + [0, 1, -800, 800]
    w = np.exp(log_w - log_w.max(axis=0))
    for blocks in (1, 3, 50):
        value, se = mean_of(log_w + shift, blocks)
        assert np.allclose(value - shift, logsumexp(log_w, axis=0) - np.log(50), rtol=0, atol=1e-10)
        assert np.allclose(se, stats.sem(w) / w.mean(axis=0), rtol=1e-8)


def test_weights_of_zero_are_survived_and_nan_is_not_hidden():
    log_w = np.zeros((6, 5))
    log_w[:, 1] = -np.inf                                                                     # all of them
    log_w[:3, 2] = -np.inf                                                                    # a whole block
    log_w[4, 3] = np.nan
    log_w[4, 4] = np.inf
    for blocks in (1, 2, 6):
        value, se = mean_of(log_w, blocks)
        assert np.allclose(value, [0, -np.inf, -np.log(2), np.nan, np.inf], rtol=0, atol=1e-14, equal_nan=True)
        assert se[0] == 0 and se[2] == pytest.approx(np.sqrt(1 / 5)) and np.isnan(se[[1, 3, 4]]).all()


def test_a_model_that_is_broken_gives_nan():
    model, law = linear_vae()
    model.parameters_["decoder.0.b"][0] = np.nan
    with np.errstate(invalid="ignore"):
        for sample in (prior_monte_carlo, importance_sampling, short_annealing):
            assert np.isnan(sample(model, np.zeros((2, 5)), 3, rng=0).value).all()


# ---- a row's number is its own ---------------------------------------------------------------------------------------


@every_method
def test_a_row_is_scored_alike_wherever_it_stands(sample):
    model, law = linear_vae()
    X = law.rvs(1100, random_state=2)                                         # two chunks, and many tasks
    whole = sample(model, X, 5, rng=1)
    order = np.random.default_rng(3).permutation(len(X))
    shuffled, some = sample(model, X[order], 5, rng=1), [sample(model, X[i:i + 1], 5, rng=1) for i in (0, 300, 1099)]
    assert np.std(whole.value) > 0.5
    for field in Estimate._fields:                                            # BLAS's order of summation may differ
        numbers = getattr(whole, field)
        assert np.allclose(getattr(shuffled, field), numbers[order], rtol=1e-9)
        assert np.allclose(np.concatenate([getattr(e, field) for e in some]), numbers[[0, 300, 1099]], rtol=1e-9)


def test_equal_rows_have_equal_numbers_and_draws_differ():
    model, _ = linear_vae()
    X = np.tile(np.arange(5.0), (3, 1))
    for sample in (prior_monte_carlo, importance_sampling, short_annealing):
        value = sample(model, X, 4, rng=0).value
        assert np.ptp(value) < 1e-12
    ones = [importance_sampling(model, X[:1], n, rng=0).value[0] for n in (1000, 2000)]
    assert ones[0] != ones[1]                                                 # the second thousand is not the first


# ---- workers ---------------------------------------------------------------------------------------------------------


def backwards(function, tasks):
    """A map that does its tasks from the last to the first."""
    return [function(task) for task in list(tasks)[::-1]][::-1]


@every_method
def test_the_result_does_not_know_who_worked(sample):
    model, law = linear_vae()
    X, n = law.rvs(700, random_state=2), 30 if sample is short_annealing else 1200
    alone = sample(model, X, n, rng=4)
    with ThreadPoolExecutor(3) as threads:
        for workers in (1, 2, threads, map, backwards, threads.map, Recorder()):
            assert np.array_equal(sample(model, X, n, rng=4, workers=workers), alone), workers
        assert threads.submit(int).result() == 0                              # whoever lends workers keeps them
    assert not [t for t in threading.enumerate() if t is not threading.current_thread() and not t.daemon]


def test_processes_with_a_model_that_holds_a_lambda():
    model, law = linear_vae()
    model.set_params(callback=lambda model: False)
    X = law.rvs(300, random_state=2)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        for sample in (prior_monte_carlo, importance_sampling, short_annealing):
            assert np.array_equal(sample(model, X, 5, rng=4, workers=processes), sample(model, X, 5, rng=4))
    assert model.callback is not None and model._optimizer_state is not None


def test_a_task_that_fails_raises():
    def broken(function, tasks):
        raise OSError("no connection to the cluster")

    model, law = linear_vae()
    with pytest.raises(OSError, match="no connection"):
        importance_sampling(model, law.rvs(3), workers=broken)
    model.set_params(posterior="unheard of")
    with pytest.raises(KeyError):
        importance_sampling(model, law.rvs(3), workers=2)


def test_seeds_are_independent_of_one_another_and_drawn_alike_for_every_number():
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    seeds = spawn(rng, 3)
    assert len({np.random.default_rng(seed).random() for seed in seeds}) == 3
    assert spawn(other, 5)[2].generate_state(2).tolist() == seeds[2].generate_state(2).tolist()
    assert rng.random() == other.random()


def test_memory_does_not_grow_with_the_draws():
    model, law = linear_vae()
    X = law.rvs(2, random_state=2)
    peaks = []
    for n_samples in (10**3, 10**5):
        tracemalloc.start()
        importance_sampling(model, X, n_samples, rng=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 1e5


def test_the_bar_counts_rows(monkeypatch, capsys):
    import tqdm

    done = []
    monkeypatch.setattr(tqdm.tqdm, "update", lambda bar, n: done.append((bar.total, n, bar.disable)))
    model, law = linear_vae()
    importance_sampling(model, law.rvs(300), 2000, rng=0, verbose=1)
    assert done == [(300, 256, True), (300, 44, True)]                        # disabled: stderr is no terminal here
    assert capsys.readouterr() == ("", "")


# ---- what comes in ---------------------------------------------------------------------------------------------------


@every_method
def test_rng(sample):
    model, law = linear_vae()
    X = law.rvs(2, random_state=2)

    def value(rng):
        return sample(model, X, 5, rng=rng).value.tolist()

    rng, state = np.random.default_rng(7), np.random.RandomState(7)
    first = value(rng)
    assert first == value(7) == value(np.random.default_rng(7))               # an int repeats
    assert value(rng) not in (first, value(8)) and value(state) != value(state)               # a generator advances
    assert value(None) != value(None)


def test_rows_are_seen_as_the_model_sees_them():
    model, X, _ = curved_vae("bernoulli")
    grey = np.random.default_rng(0).random((300, 4))
    model.set_params(binarize=True)
    thresholds = np.random.default_rng(3).random(4)                           # drawn before all noise, as by `elbo`
    binary = (thresholds < grey).astype(float)
    importance_sampling(model, grey, rng=3, workers=(record := Recorder()))
    assert np.array_equal(np.concatenate([x for x, *_ in record.tasks]), binary)
    model.set_params(binarize=False)
    expected = importance_sampling(model, binary[:9], rng=3).value
    model.set_params(input_scale=1 / 255)
    bytes_ = (255 * binary[:9]).astype(np.uint8)
    assert np.allclose(importance_sampling(model, bytes_, rng=3).value, expected, rtol=1e-12)


@every_method
def test_float32(sample):
    model, law = linear_vae()
    X = law.rvs(5, random_state=2)
    exact = sample(model, X, 50, rng=1)
    model.theta_ = model.theta_.astype(np.float32)
    value, se = sample(model, X.astype(np.float32), 50, rng=1)
    assert value.dtype == se.dtype == np.float64
    assert np.allclose(value, exact.value, rtol=0, atol=1e-4) and np.allclose(se, exact.standard_error, rtol=1e-3)


@every_method
@pytest.mark.parametrize("bad, error, words", [
    ({"workers": "x"}, TypeError, "workers must be None, an integer of at least 1, .* got 'x'"),
    ({"workers": 2.0}, TypeError, "workers must be"), ({"workers": 0}, ValueError, "workers must be"),
    ({"workers": True}, TypeError, "workers must be"), ({"X": np.zeros((2, 4))}, ValueError, "4 features"),
    ({"X": np.full((2, 5), np.nan)}, ValueError, "NaN"), ({"X": np.zeros(5)}, ValueError, "2D"),
    ({"n_samples": 0}, ValueError, "n_(samples|chains) must be"), ({"n_samples": 2.5}, TypeError, "must be an integer"),
], ids=str)
def test_bad_input_is_refused_before_anything(sample, bad, error, words):
    rng = np.random.default_rng(0)
    arguments = {"X": np.zeros((2, 5)), "n_samples": 4, "rng": rng, "workers": (record := Recorder()), **bad}
    with pytest.raises(error, match=words):
        sample(linear_vae()[0], arguments.pop("X"), arguments.pop("n_samples"), **arguments)
    assert rng.random() == np.random.default_rng(0).random() and not record.tasks


@every_method
def test_an_unfitted_model_and_a_bad_rng_are_refused(sample):
    with pytest.raises(ValueError, match="not fitted"):
        sample(VAE(2), np.zeros((2, 5)))
    with pytest.raises(TypeError, match="random_state must be"):
        sample(linear_vae()[0], np.zeros((2, 5)), rng="x")


def test_the_map_of_workers():
    for workers in (None, 2, map, backwards):
        with ordered_map(workers) as mapping:
            assert list(mapping(str, range(3))) == ["0", "1", "2"]
