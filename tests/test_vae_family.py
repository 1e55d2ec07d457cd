"""The VAE's family: full covariances, several draws a row, importance weights, a warm-up.

As in test_vae.py the objective is written once more from the parameters' names on, with Σ in the place of variances:
a decoder in two lines, densities of SciPy, integrals over one or two latents by the trapezoid rule.
"""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp

from tests import test_vae
from tests.campaigns.gradients import against_complex_step, blocks, gradient, random_vae
from tests.campaigns.vaes import combinations, member
from tests.test_full_gaussian import unpacked
from tests.test_train import Watched
from tests.test_vae import FixedNoise, decode, terms
from tinyvae import VAE, load, save
from tinyvae.bounds import OBJECTIVES
from tinyvae.full_gaussian import FullGaussian

FULL = {"posterior": "full", "likelihood": "gaussian_full"}
LINE = np.linspace(-12, 12, 161)
SMALL = {"hidden": (4,), "n_epochs": 2, "batch_size": 10, "random_state": 0}
# Everything a model of this family can be asked to learn by.
LEARNERS = [{"objective": objective, "gradient": gradient, "n_samples": 3, "control_variate": control}
            for objective, kind in OBJECTIVES.items() for gradient in kind.gradients
            for control in ((False, True) if gradient == "score" else (False,))]
each_learner = pytest.mark.parametrize("learner", LEARNERS, ids=lambda o: " ".join(map(str, o.values())))


def data(n_rows=25, n_columns=3, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_columns))


def twin(options, K=2, **more):
    """`test_vae.twin` with some correlation in q, and its rows."""
    model, X = test_vae.twin({"likelihood": "gaussian", **options}, K=K, **more)
    if model.posterior == "full" and K > 1:
        model.parameters_["encoder.1.b"][2 * K:] = 0.6
    return model, X


def mixed(S=3, **options):
    """A model with random θ, full covariances, and S draws for each of five rows."""
    options = {"n_components": 2, "hidden": (5, 4), "activation": "tanh", "objective": "elbo", "beta": 1.3,
               "n_samples": S, **FULL, **options}
    model, _ = random_vae(np.random.default_rng(2), **options)
    rng, D = np.random.default_rng(3), model.n_features_in_
    return model, rng.standard_normal((5, D)), rng.standard_normal((S, 5, 2))


# ---- every gradient   [OP.1] -----------------------------------------------------------------------------------------


@given(combination=st.sampled_from(combinations()), seed=st.integers(0, 2**32 - 1))
def test_every_combination_is_the_complex_step(combination, seed):
    _, wrong = against_complex_step(member(np.random.default_rng(seed), combination))
    assert not wrong


def test_the_combinations_are_all_there():
    assert len(combinations()) == len(set(combinations())) == 2 * 5 * 2 * 6 * 3 * 3 * 3


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_float32_backward_is_the_float64_one_rounded(objective):
    model, *args = mixed(objective=objective)
    exact = gradient(model, args, model.theta_)
    rounded = gradient(model, [array.astype(np.float32) for array in args], model.theta_.astype(np.float32))
    assert rounded.dtype == np.float32
    for place in blocks(model).values():                    # 100 roundings of 2^-24, as in test_vae.py
        assert np.max(np.abs(rounded[place] - exact[place])) <= 100 * 2**-24 * np.max(np.abs(exact[place]))


# ---- several draws a row ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("S, B", [(2, 5), (5, 2), (3, 3), (1, 4), (4, 1)])
def test_draw_s_of_row_b_stands_at_s_B_plus_b(S, B):
    model, x, _ = mixed(objective="iwae")
    x, eps = x[:B], np.random.default_rng(4).standard_normal((S, B, 2))
    P = model.params()
    t = model.forward(P, x, eps)
    bound = np.empty(B)
    for b in range(B):
        one = [model.forward(P, x[b:b + 1], eps[s, b:b + 1]) for s in range(S)]
        rows = np.arange(S) * B + b
        for name in ("z", "out", "log_px_z", "log_ratio", "target", "eps"):
            np.testing.assert_allclose(getattr(t, name)[rows], [getattr(t1, name)[0] for t1 in one], rtol=1e-12)
        bound[b] = logsumexp([t1.log_px_z[0] + model.beta * t1.log_ratio[0] for t1 in one]) - np.log(S)
    assert len(t.x) == len(t.encoded) == B and len(t.z) == S * B
    assert np.array_equal(np.hstack([t.mu, t.logvar]), t.encoded[:, :4]) and t.encoded.shape == (B, 5)
    np.testing.assert_allclose(model.mean_loss(P, t), -np.mean(bound), rtol=1e-12)
    flat = model.forward(P, x, eps.reshape(S * B, 2))
    assert np.array_equal(flat.out, t.out)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "gaussian_diagonal", "gaussian_full"])
def test_the_elbo_of_draws_is_the_mean_of_elbos_of_one_draw(likelihood):                                      # [EL.2]
    model, x, eps = mixed(likelihood=likelihood)
    x = (x > 0).astype(float) if likelihood == "bernoulli" else x
    value, grad = model.loss_and_grad(x, eps)
    values, grads = zip(*(model.loss_and_grad(x, one) for one in eps))
    assert np.std(values) > 1e-3 and value == pytest.approx(np.mean(values), rel=1e-13)
    np.testing.assert_allclose(grad, np.mean(grads, axis=0), rtol=0, atol=1e-13 * np.max(np.abs(grad)))
    value, grad = model.loss_and_grad(x, eps[:1])
    assert value == values[0] and np.array_equal(grad, grads[0])
    together = np.mean([terms(model, model.theta_, x, one) for one in eps], axis=0)
    np.testing.assert_allclose(terms(model, model.theta_, x, eps), together, rtol=1e-12)


def test_one_weight_is_the_elbo_with_its_ratio_drawn_and_more_weights_are_more():                             # [CV.1]
    model, x, eps = mixed(objective="iwae", beta=1.0)
    P, L = model.params(), {}
    for S in (1, 3):
        t = model.forward(P, x, eps[:S])
        L[S] = -model.mean_loss(P, t)
        assert L[S] >= np.mean(t.log_px_z + t.log_ratio)                            # Jensen, for these very draws
    t = model.forward(P, x, eps[:1])
    assert L[1] == pytest.approx(np.mean(t.log_px_z + t.log_ratio), rel=1e-14)


def test_weights_of_a_bound_far_below_the_smallest_number_are_weights_still():
    model, x, eps = mixed(objective="iwae")
    value, grad = model.loss_and_grad(1e4 * x, eps)                                 # log w of some −1e8
    assert np.isfinite(value) and value > 1e4 and np.all(np.isfinite(grad)) and np.any(grad)


def test_reused_buffers_give_the_same_bits():
    model, x, eps = mixed(objective="iwae")
    P, grad = model.params(), np.full_like(model.theta_, np.nan)
    trace = model.forward(P, x[::-1].copy(), eps[::-1].copy())
    derivatives = model.backward(P, trace, model.params(grad))
    reused = model.forward(P, x, eps, out=trace)
    model.backward(P, reused, model.params(grad), out=derivatives)
    assert reused.out is trace.out and np.array_equal(grad, gradient(model, (x, eps), model.theta_))


def test_every_draw_of_every_step_has_noise_of_its_own():
    model = Watched(2, n_samples=4, **{**SMALL, "n_epochs": 12}).fit(data())
    assert [(len(x), len(eps)) for x, eps in model.steps[:3]] == [(10, 40), (10, 40), (5, 20)]
    eps = np.concatenate([eps for _, eps in model.steps])
    assert len(eps) == 1200 and len(np.unique(eps)) == eps.size and stats.kstest(eps.ravel(), "norm").pvalue > 1e-4


# ---- training --------------------------------------------------------------------------------------------------------


@each_learner
@pytest.mark.parametrize("options", [FULL, {"likelihood": "bernoulli", "binarize": True}], ids=["full", "bernoulli"])
def test_every_estimator_learns(learner, options):
    latent = data(150, 1, seed=1)
    X = latent * [1.0, -1.0, 0.5] + 0.1 * data(150)
    X = (X > 0).astype(float) if options["likelihood"] == "bernoulli" else X
    model = VAE(2, **{**SMALL, **options, **learner, "n_epochs": 25, "learning_rate": 0.01, "batch_size": 25}).fit(X)
    assert list(model.history_) == ["loss", "reconstruction", "kl"] and np.all(np.isfinite(model.theta_))
    assert model.history_["loss"][-1] < model.history_["loss"][0] - 0.4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_learner
def test_number_types_of_training_and_of_what_is_learned(learner, dtype):
    X = data().astype(dtype)
    model = VAE(2, **SMALL, **FULL, **learner).fit(X)
    mean, covariance = model.encode(X)
    assert {a.dtype for a in (model.theta_, mean, covariance, model.transform(X), model.reconstruct(X), model.sample(3),
                              model.loss_and_grad(X, np.ones((3, 25, 2)))[1])} == {np.dtype(dtype)}
    assert model.elbo(X).dtype == model.log_likelihood(X).dtype == np.float64
    assert all(type(value) is float for values in model.history_.values() for value in values)


def test_history_of_several_draws_and_of_weights():
    for objective in OBJECTIVES:
        model = VAE(2, beta=2.5, n_samples=3, objective=objective, **SMALL).fit(data())
        elbo = np.add(model.history_["reconstruction"], np.multiply(2.5, model.history_["kl"]))
        assert np.allclose(model.history_["loss"], elbo, rtol=1e-13) == (objective == "elbo")
    model = VAE(2, n_samples=30, objective="iwae", **{**SMALL, "n_epochs": 40}).fit(data())
    elbo = np.add(model.history_["reconstruction"], model.history_["kl"])
    assert np.mean(model.history_["loss"]) < np.mean(elbo)                            # a tighter bound: a smaller loss


# ---- the warm-up -----------------------------------------------------------------------------------------------------


class Warming(VAE):
    """Keeps β of every step."""

    def forward(self, P, x, eps, out=None):
        self.__dict__.setdefault("betas", []).append(self.beta_)
        return super().forward(P, x, eps, out)


def test_beta_grows_from_0_to_its_place_epoch_by_epoch():
    model = Warming(2, beta=2.0, warm_up=4, **{**SMALL, "n_epochs": 6}).fit(data())         # three batches an epoch
    expected = np.repeat([0, 0.5, 1, 1.5, 2, 2], 3)
    assert model.betas == expected.tolist() and model.beta_ == 2.0
    kl, reconstruction = model.history_["kl"], model.history_["reconstruction"]
    assert np.allclose(model.history_["loss"], reconstruction + expected[::3] * kl, rtol=1e-13)
    assert model.fit(data()).betas[18:] == expected.tolist()                                # a new fit starts afresh
    for warm_up, first in ((0, 2.0), (1, 0.0)):
        assert Warming(2, beta=2.0, warm_up=warm_up, **SMALL).fit(data()).betas == 3 * [first] + 3 * [2.0]


def test_the_warm_up_goes_on_in_partial_fit_and_from_a_file(tmp_path):
    whole, parts, saved = (VAE(2, warm_up=4, objective="iwae", n_samples=2, **FULL, **{**SMALL, "n_epochs": n})
                           for n in (5, 1, 2))
    whole.fit(data())
    assert parts.fit(data()).beta_ == 0.25
    for _ in range(4):
        parts.partial_fit(data())
    again = load(save(saved.fit(data()), tmp_path / "m"))
    assert again.beta_ == saved.beta_ == 0.5
    for _ in range(3):
        again.partial_fit(data())
    for model in (parts, again):
        assert np.array_equal(model.theta_, whole.theta_) and model.history_ == whole.history_ and model.beta_ == 1.0


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_loss_and_grad_are_those_of_the_stage_and_bounds_are_not(objective):
    model, x, eps = mixed(objective=objective, beta=2.0)
    plain = {beta: model.set_params(beta=beta).loss_and_grad(x, eps) for beta in (0.0, 0.5, 2.0)}
    evaluated = model.elbo(x, 5, 1), model.log_likelihood(x, 5, 1)
    model.set_params(warm_up=4)
    for n_iter, beta in ((0, 0.0), (1, 0.5), (4, 2.0), (9, 2.0)):
        model.n_iter_ = n_iter
        value, grad = model.loss_and_grad(x, eps)
        assert value == plain[beta][0] and np.array_equal(grad, plain[beta][1])
        assert np.array_equal(evaluated, (model.elbo(x, 5, 1), model.log_likelihood(x, 5, 1)))


# ---- what the encoder says -------------------------------------------------------------------------------------------


def test_encode_gives_covariances_and_nothing_else_makes_them(monkeypatch):                                   # [RP.1]
    model, X = twin({"posterior": "full"}, K=3, n_rows=1100)                                 # two chunks
    named = model.parameters_
    h = np.tanh(X @ named["encoder.0.W"] + named["encoder.0.b"])
    mean, L = unpacked(h @ named["encoder.1.W"] + named["encoder.1.b"])
    covariance = L @ L.swapaxes(1, 2)
    assert np.min(np.abs(covariance[:, 1, 0])) > 1e-3
    for got, want in zip(model.encode(X), (mean, covariance), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
    kl = [(np.trace(S) + m @ m - 3 - np.linalg.slogdet(S)[1]) / 2 for m, S in zip(mean, covariance)]
    monkeypatch.setattr(FullGaussian, "factor", None)
    np.testing.assert_allclose(model.transform(X), mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(model.elbo_terms(X, 1)[1], kl, rtol=1e-11)
    assert model.kl_by_dimension(X).shape == (3,)
    np.testing.assert_allclose(np.sum(model.kl_by_dimension(X)), np.mean(kl), rtol=1e-12)
    for method in (model.reconstruct, model.active_units, lambda X: model.log_likelihood(X, 2), model.partial_fit):
        method(X[:9])


@pytest.mark.parametrize("n_samples", [1, 4])                         # four rows, too: no axis passes for the other
def test_elbo_is_its_formula(n_samples):                                                                      # [EL.1]
    model, X = twin(FULL, beta=3.0)
    noise = np.random.default_rng(8).standard_normal((n_samples, 2))
    expected = []
    for x, m, S in zip(X, *model.encode(X)):
        kl = (np.trace(S) + m @ m - 2 - np.linalg.slogdet(S)[1]) / 2
        expected.append(np.mean(log_px_z(model, x, m + noise @ np.linalg.cholesky(S).T)) - kl)
    np.testing.assert_allclose(model.elbo(X, n_samples, FixedNoise(noise)), expected, rtol=0, atol=1e-11)


# ---- the bound by quadrature -----------------------------------------------------------------------------------------


def log_px_z(model, x, z):
    if model.likelihood != "gaussian_full":
        return test_vae.log_px_z(model, x, z)
    mean, L = unpacked(decode(model, z))
    u = np.linalg.solve(L, (x - mean)[:, :, None])[:, :, 0]
    return stats.norm.logpdf(u).sum(axis=1) - np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)


def grid(K):
    return np.stack(np.meshgrid(*K * [LINE], indexing="ij"), axis=-1).reshape(-1, K), (LINE[1] - LINE[0]) ** K


@pytest.mark.parametrize("K", [1, 2])
@pytest.mark.parametrize("likelihood", ["gaussian", "gaussian_full", "bernoulli"])
def test_the_bound_and_its_gap_are_log_p(likelihood, K):                                                # [EL.1, LV.6]
    model, X = twin({"posterior": "full", "likelihood": likelihood}, K=K, n_rows=2)
    nodes, step = grid(K)
    estimate = model.log_likelihood(X, 20_000, random_state=1)
    for x, m, S, ll in zip(X, *model.encode(X), estimate):
        q, log_joint = stats.multivariate_normal(m, S), log_px_z(model, x, nodes) + stats.norm.logpdf(nodes).sum(axis=1)
        log_p = logsumexp(log_joint) + np.log(step)
        gap = np.sum(q.pdf(nodes) * (q.logpdf(nodes) - log_joint + log_p)) * step
        weights = np.exp(stats.norm.logpdf(nodes).sum(axis=1)) * step
        drawn, kl = terms(model, model.theta_, np.tile(x, (len(nodes), 1)), nodes)        # the model's own, at every ε
        assert gap > 1e-3 and weights @ (drawn - kl) + gap == pytest.approx(log_p, abs=1e-10)
        relative_variance = np.sum(np.exp(2 * (log_joint - log_p) - q.logpdf(nodes))) * step - 1
        assert abs(np.expm1(ll - log_p)) < 5 * np.sqrt(relative_variance / 20_000)


# ---- what the decoder says -------------------------------------------------------------------------------------------


def test_samples_of_a_full_likelihood_have_the_moments_of_the_model():                                  # [LV.1, LV.6]
    model, X = twin(FULL, K=1)
    n, nodes = 100_000, LINE[:, None]
    x = model.sample(n, random_state=2)
    assert x.shape == (n, 3) and np.array_equal(x, model.sample(n, random_state=2))
    (mean, L), weights = unpacked(decode(model, nodes)), stats.norm.pdf(LINE) * (LINE[1] - LINE[0])
    first = weights @ mean
    second = np.einsum("g,gij->ij", weights, mean[:, :, None] * mean[:, None] + L @ L.swapaxes(1, 2))
    pairs = x[:, :, None] * x[:, None, :]
    assert np.all(np.abs(x.mean(axis=0) - first) < 5 * x.std(axis=0) / np.sqrt(n))
    assert np.all(np.abs(pairs.mean(axis=0) - second) < 5 * pairs.std(axis=0) / np.sqrt(n))
    np.testing.assert_allclose(model.inverse_transform(nodes[::20]), mean[::20], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(model.reconstruct(X), unpacked(decode(model, model.transform(X)))[0], rtol=1e-12)


@pytest.mark.parametrize("likelihood, scale", [("bernoulli", 1 / 255), ("gaussian", 0.5)])
def test_simulated_pairs_are_the_samples_in_units_of_data_with_their_z(likelihood, scale):
    X = np.random.default_rng(0).integers(0, 2, (20, 3)) / scale
    model = VAE(2, hidden=(4,), likelihood=likelihood, input_scale=scale, n_epochs=1, random_state=0).fit(X)
    x, z = model.simulate(5000, random_state=1)
    assert np.allclose(x * scale, model.sample(5000, random_state=1), rtol=1e-15) and z.shape == (5000, 2)
    near = np.abs(np.mean(x * scale - model.inverse_transform(z), axis=0))      # x belongs to this z, row by row
    assert np.all(near < 5 * np.std(x * scale, axis=0) / np.sqrt(5000))
    shuffled = np.mean((x * scale - model.inverse_transform(z[::-1])) ** 2)
    assert np.mean((x * scale - model.inverse_transform(z)) ** 2) < shuffled
