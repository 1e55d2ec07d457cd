"""Penalties, corruption and pretraining in an autoencoder: every gradient of every combination, and the training."""
import numpy as np
import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from tests.campaigns.autoencoders import CORRUPTIONS, PENALTIES, Combination, combinations, member
from tests.campaigns.gradients import against_complex_step, gradient, loss
from tests.test_autoencoder import arrays
from tinyvae import Autoencoder, load_digits
from tinyvae.corruption import GaussianNoise, MaskingNoise
from tinyvae.ops import ACTIVATIONS
from tinyvae.params import initial
from tinyvae.penalties import L1, Contractive, KLSparsity

ALL = combinations()


def data(n_rows=40, n_columns=5, seed=0):
    return np.random.default_rng(seed).random((n_rows, n_columns))


# ---- every gradient   [AE.2, NL.1, NL.2, SP.1, DN.1, CT.1] -----------------------------------------------------------


@settings(max_examples=400)
@given(combination=st.sampled_from(ALL), widest=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_any_combination_by_complex_step(combination, widest, seed):
    problem = member(np.random.default_rng(seed), combination, widest)
    found, wrong = against_complex_step(problem)
    target(max(found.values()))
    assert not wrong
    model, args = problem
    value, grad = model.loss_and_grad(*args)
    assert value == loss(model, args, model.theta_) and np.array_equal(grad, gradient(model, args, model.theta_))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_all_combinations_by_complex_step(activation):
    rng = np.random.default_rng(0)
    for combination in (c for c in ALL if c.activation == activation):
        found, wrong = against_complex_step(member(rng, combination, widest=3, most_rows=3))
        assert not wrong, (combination, found)


def test_all_combinations_are_there():
    sigmoid_alone = sum("KL" in name for name in PENALTIES)
    assert len(ALL) == len(set(ALL)) == 2 * 2 * 3 * len(CORRUPTIONS) * (6 * len(PENALTIES) - 5 * sigmoid_alone) == 1872
    assert {type(p) for make in PENALTIES.values() for p in make(1.0)} == {L1, KLSparsity, Contractive}
    assert {Combination("bernoulli", "relu", True, 3, "L1 + Contractive", "masking"),
            Combination("squared", "sigmoid", False, 2, "KLSparsity", "Gaussian")} <= set(ALL)


@pytest.mark.parametrize("penalties", PENALTIES)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_reused_buffers_give_the_same_bits_and_nothing_is_changed(penalties, tied):
    for depth in (1, 2, 3):
        combination = Combination("squared", "sigmoid", tied, depth, penalties, "Gaussian")
        model, args = member(np.random.default_rng(depth), combination)
        P, fresh, again = model.params(), gradient(model, args, model.theta_), np.full_like(model.theta_, np.nan)
        other = [array[::-1] * 0.7 for array in args]
        t = model.forward(P, *other)
        d = model.backward(P, t, model.params(np.empty_like(again)))
        t, theta = model.forward(P, *args, out=t), model.theta_.copy()
        before = [array.copy() for array in arrays(t)]
        for _ in range(2):
            buffers = [push.jacobian.V for push in d.penalties if push.jacobian is not None]
            d = model.backward(P, t, model.params(again), out=d)
            reused = [push.jacobian.V for push in d.penalties if push.jacobian is not None]
            assert np.array_equal(again, fresh) and all(old is new for old, new in zip(buffers, reused, strict=True))
        assert all(map(np.array_equal, arrays(t), before)) and np.array_equal(model.theta_, theta)


# ---- penalties in training -------------------------------------------------------------------------------------------


def test_one_loss_is_the_sum_of_its_parts_by_hand():
    X, penalties = data(), [L1(0.3), KLSparsity(0.1, 0.5), Contractive(0.2)]
    model = Autoencoder(3, activation="sigmoid", tied=True, penalties=penalties, n_epochs=0, random_state=0).fit(X)
    W, b, c = (model.parameters_[name] for name in ("encoder.0.W", "encoder.0.b", "decoder.0.b"))
    h = 1 / (1 + np.exp(-X @ W - b))
    rho = h.mean(axis=0)
    parts = [np.sum((X - h @ W.T - c) ** 2) / len(X), 0.3 * np.sum(h) / len(X),
             0.5 * np.sum(0.1 * np.log(0.1 / rho) + 0.9 * np.log(0.9 / (1 - rho))),
             0.2 * np.mean((h * (1 - h)) ** 2 @ np.sum(W**2, axis=0))]
    assert model.loss_and_grad(X)[0] == pytest.approx(sum(parts), rel=1e-13)
    assert model.reconstruction_error(X).mean() == pytest.approx(parts[0], rel=1e-13)         # is no loss of training
    model.set_params(n_epochs=1, batch_size=len(X)).fit(X)                    # the first batch is met before any step
    assert model.history_["reconstruction"] == pytest.approx([parts[0]], rel=1e-13)
    assert model.history_["penalty"] == pytest.approx([sum(parts[1:])], rel=1e-13)


@pytest.mark.parametrize("penalties", [p for p in PENALTIES if p != "none"])
def test_the_history_has_both_parts_and_training_lowers_the_penalty(penalties):
    options = {"hidden": (6,), "activation": "sigmoid", "n_epochs": 30, "learning_rate": 0.01, "batch_size": 8,
               "random_state": 0}
    model = Autoencoder(3, penalties=PENALTIES[penalties](2.0), **options).fit(data())
    free = Autoencoder(3, **options).fit(data())
    history = {name: np.array(values) for name, values in model.history_.items()}
    assert list(history) == ["loss", "reconstruction", "penalty"] and list(free.history_) == ["loss"]
    np.testing.assert_allclose(history["loss"], history["reconstruction"] + history["penalty"], rtol=1e-13)
    assert history["penalty"][-1] < 0.8 * history["penalty"][0] and np.all(history["penalty"] > 0)

    def penalty(trained):
        """What the penalties say of these codes, whatever they were trained for."""
        trained.set_params(penalties=model.penalties)
        return trained.loss_and_grad(data())[0] - trained.reconstruction_error(data()).mean()
    assert penalty(model) < 0.8 * penalty(free)


def test_training_in_float32_stays_there():
    for penalties in PENALTIES.values():
        for corruption in CORRUPTIONS.values():
            model = Autoencoder(3, hidden=(6,), activation="sigmoid", penalties=penalties(0.1), corruption=corruption,
                                n_epochs=2, random_state=0).fit(data().astype(np.float32))
            t = model.forward(model.params(), data().astype(np.float32))
            assert {a.dtype for a in (model.theta_, model.transform(data()), *arrays(t))} == {np.dtype("float32")}


@pytest.mark.parametrize("penalties", [[L1(1e30)], [Contractive(10)], [L1(1.0), Contractive(10)]], ids=repr)
def test_a_divergence_is_reported_and_leaves_finite_parameters(penalties):
    model = Autoencoder(3, hidden=(4,), activation="identity", penalties=penalties, optimizer="sgd", learning_rate=1.0,
                        n_epochs=50, random_state=0)
    with pytest.raises(FloatingPointError, match="diverged in epoch .*theta_ keeps"):
        model.fit(data())
    assert np.all(np.isfinite(model.theta_))


def test_units_that_are_always_on_diverge_in_words():
    """ρ̂ = 1 in floating point: the KL is infinite."""
    model = Autoencoder(2, activation="sigmoid", penalties=[KLSparsity(0.1, 1.0)], n_epochs=0).fit(data())
    model.parameters_["encoder.0.b"][:] = 800
    with pytest.raises(FloatingPointError, match="diverged"):
        model.partial_fit(data())


# ---- corruption: in training alone, and against the clean x   [DN.1] -------------------------------------------------


class Watched(Autoencoder):
    """Keeps what each training step was given: (x, noise)."""

    def forward(self, P, x, noise=None, out=None):
        self.__dict__.setdefault("steps", []).append((x.copy(), None if noise is None else noise.copy()))
        return super().forward(P, x, noise, out)


def test_the_loss_compares_with_the_clean_x_and_penalties_see_the_corrupted_one():
    for name, corruption in CORRUPTIONS.items():
        if name == "none":
            continue
        X, rng = data(), np.random.default_rng(1)
        model = Autoencoder(3, penalties=[L1(0.5), Contractive(0.2)], corruption=corruption, n_epochs=0,
                            random_state=0).fit(X)
        noise = corruption.draw(X, rng)
        x_tilde = corruption.apply(X, noise)
        W, b, V, c = model.parameters_.values()
        h = np.tanh(x_tilde @ W + b)
        by_hand = (np.sum((X - h @ V - c) ** 2, axis=1) + 0.5 * np.sum(np.abs(h), axis=1)
                   + 0.2 * (1 - h * h) ** 2 @ np.sum(W**2, axis=0)).mean()
        assert model.loss_and_grad(X, noise)[0] == pytest.approx(by_hand, rel=1e-13)
        assert model.loss_and_grad(X)[0] != pytest.approx(by_hand, rel=1e-3)
        t = model.forward(model.params(), X, noise)
        assert t.x is X and np.array_equal(t.encoder[0], x_tilde) and np.array_equal(t.h, model.transform(x_tilde))


def test_training_draws_fresh_noise_for_every_batch_and_steps_along_its_gradient():
    X, corruption = data(), GaussianNoise(0.5)
    options = {"corruption": corruption, "penalties": [L1(0.3)], "optimizer": "sgd", "learning_rate": 0.1,
               "random_state": 3}
    model = Watched(2, batch_size=16, n_epochs=3, **options).fit(X)
    assert [len(x) for x, _ in model.steps] == 3 * [16, 16, 8] and len({n.tobytes() for _, n in model.steps}) == 9
    clean = np.concatenate([x for x, _ in model.steps[:3]])
    assert np.array_equal(np.sort(clean, axis=0), np.sort(X, axis=0))
    twin = Autoencoder(2, n_epochs=0, **options).fit(X)
    for x, noise in model.steps:
        twin.theta_ -= 0.1 * twin.loss_and_grad(x, noise)[1]
    np.testing.assert_allclose(twin.theta_, model.theta_, rtol=1e-12)


def test_evaluation_is_of_the_clean_x():
    X = data()
    noisy = Autoencoder(2, corruption=MaskingNoise(0.6), n_epochs=3, random_state=0).fit(X)
    plain = Autoencoder(2, n_epochs=0).fit(X)
    plain.theta_[:] = noisy.theta_
    for method in ("transform", "reconstruct", "reconstruction_error"):
        assert np.array_equal(getattr(noisy, method)(X), getattr(plain, method)(X))
    assert noisy.loss_and_grad(X)[0] == plain.loss_and_grad(X)[0]


def test_a_denoiser_undoes_noise_better_than_a_plain_autoencoder():
    X = load_digits()[0][:600].astype(np.float32)
    X /= X.max()
    x_tilde = X + 0.4 * np.random.default_rng(1).standard_normal(X.shape, np.float32)
    errors = []
    for corruption in (None, GaussianNoise(0.4)):
        model = Autoencoder(40, activation="sigmoid", corruption=corruption, n_epochs=60, batch_size=50,
                            learning_rate=0.01, random_state=0).fit(X)
        errors.append(np.mean(np.sum((X - model.reconstruct(x_tilde)) ** 2, axis=1)))
    assert errors[1] < 0.7 * errors[0] and errors[1] < 0.5 * np.mean(np.sum((X - x_tilde) ** 2, axis=1))


def test_noise_that_does_not_fit_is_refused():
    model = Autoencoder(2, corruption=MaskingNoise(0.5), n_epochs=0).fit(data())
    for noise in (np.zeros(5, bool), np.zeros((39, 5), bool), 1):
        with pytest.raises(ValueError, match=r"noise must be None, or of X's shape \(40, 5\)"):
            model.loss_and_grad(data(), noise)
    with pytest.raises(ValueError, match="with corruption=None"):
        model.set_params(corruption=None).loss_and_grad(data(), np.zeros((40, 5), bool))


# ---- pretraining   [NL.2] --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("scale", [1.0, 1 / 255], ids=["float", "uint8"])
@pytest.mark.parametrize("more", [{}, {"loss": "bernoulli"}, {"output_activation": "softplus"},
                                  {"corruption": MaskingNoise(0.3), "penalties": [Contractive(0.1)]}], ids=repr)
def test_pretraining_is_one_layer_after_the_other_by_hand(tied, scale, more):
    X = data() if scale == 1 else (255 * data()).astype(np.uint8)
    rng = np.random.default_rng(7)
    common = {"activation": "sigmoid", "tied": tied, "batch_size": 16, "random_state": rng, **more}
    whole = Autoencoder(2, hidden=(4, 3), n_epochs=0, input_scale=scale, **common).fit(X)
    codes, p = X, whole.parameters_
    for i, width in enumerate((4, 3, 2)):
        if i > 0:                                                           # codes in (0, 1), of the layer below
            common |= {"loss": "squared", "output_activation": "sigmoid"}
        single = Autoencoder(width, n_epochs=3, input_scale=scale if i == 0 else 1.0, **common).fit(codes)
        for name, view in single.parameters_.items():
            stack, _, kind = name.split(".")
            p[f"{stack}.{i if stack == 'encoder' else 2 - i}.{kind}"][:] = view
        codes = single.transform(codes)
    for _ in range(3):
        whole.partial_fit(X)
    options = {"hidden": (4, 3), "activation": "sigmoid", "tied": tied, "batch_size": 16, "input_scale": scale, **more}
    seen = []
    model = Autoencoder(2, n_epochs=3, pretrain=True, random_state=7, callback=lambda m: seen.append(m.n_iter_),
                        **options).fit(X)
    assert np.array_equal(model.theta_, whole.theta_) and model.history_ == whole.history_
    assert seen == [1, 2, 3]                                                # a callback sees the whole alone
    other = Autoencoder(2, n_epochs=3, random_state=7, **options).fit(X)
    assert not np.allclose(other.theta_, model.theta_)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pretraining_keeps_the_number_type(dtype):
    for X in (data(), (255 * data()).astype(np.uint8)):
        model = Autoencoder(2, hidden=(3,), pretrain=True, n_epochs=1, dtype=dtype, random_state=0).fit(X)
        assert model.theta_.dtype == dtype and np.all(np.isfinite(model.theta_))


def test_without_pretraining_the_initial_parameters_are_glorot_and_bengios():
    model = Autoencoder(2, hidden=(3,), n_epochs=0, random_state=5).fit(data())
    fresh = initial(model._shapes(5), np.random.default_rng(5), float)
    assert np.array_equal(model.theta_, fresh)
    still = {"learning_rate": 1e-300, "n_epochs": 2, "random_state": 5}     # moves nothing
    assert np.allclose(Autoencoder(2, hidden=(3,), **still).fit(data()).theta_, fresh, rtol=1e-15)
    pretrained = Autoencoder(2, hidden=(3,), pretrain=True, **still).fit(data())
    assert not np.allclose(pretrained.theta_, fresh)                        # whose layers began anew


# ---- as it is given (refusals: test_validation.py) -------------------------------------------------------------------


def test_the_list_of_penalties_may_be_a_tuple_and_is_stored_as_given():
    penalties, corruption = [L1(0.1)], GaussianNoise(0.2)
    model = Autoencoder(2, penalties=penalties, corruption=corruption)
    assert model.penalties is penalties and model.corruption is corruption
    fits = [Autoencoder(2, penalties=kind(penalties), n_epochs=2, random_state=0).fit(data()) for kind in (list, tuple)]
    assert np.array_equal(fits[0].theta_, fits[1].theta_)
    assert "L1(lam=0.1, eps=0.0)" in repr(model) and "GaussianNoise(sd=0.2)" in repr(model)
