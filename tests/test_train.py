"""Training: which rows, which noise, what is counted, what is kept, and how it ends.

The loop is watched through the public pieces: a model whose `forward` or `backward` is overridden to look on, or to
plant a NaN.
"""
import io
import re
import sys

import numpy as np
import pytest
from scipy import stats

from tests.test_vae import GRID, STEP, terms, twin
from tinyvae import VAE, Autoencoder
from tinyvae.optim import OPTIMIZERS, Adam

FROZEN = {"optimizer": "sgd", "learning_rate": 1e-300}                      # steps that change no result in float64


class Watched(VAE):
    """Keeps what each training step was given: (x, eps)."""

    def forward(self, P, x, eps, out=None):
        self.__dict__.setdefault("steps", []).append((x.copy(), eps.copy()))
        return super().forward(P, x, eps, out)


def data(n_rows=25, n_columns=3, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_columns))


def models(**options):
    return [Autoencoder(2, hidden=(4,), random_state=0, **options), VAE(2, hidden=(4,), random_state=0, **options)]


each_model = pytest.mark.parametrize("kind", [0, 1], ids=["autoencoder", "vae"])
each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)

# ---- which rows, which noise -----------------------------------------------------------------------------------------


def test_every_row_once_an_epoch_in_batches_that_change_composition():
    X = np.arange(25.0)[:, None] + np.zeros(2)                              # a row knows its number
    model = Watched(1, hidden=(), batch_size=10, n_epochs=4, random_state=0).fit(X)
    batches = [x[:, 0].astype(int) for x, _ in model.steps]
    assert [len(batch) for batch in batches] == [10, 10, 5] * 4
    epochs = [batches[i:i + 3] for i in range(0, 12, 3)]
    assert all(sorted(np.concatenate(epoch)) == list(range(25)) for epoch in epochs)
    assert len({frozenset(batch) for batch in batches}) == 12
    assert len({tuple(batch) for batch in batches}) == 12 and np.array_equal(X[:, 0], np.arange(25))


def test_every_row_of_every_step_has_noise_of_its_own():
    model = Watched(2, hidden=(), batch_size=10, n_epochs=40, random_state=0).fit(data())
    eps = np.concatenate([eps for _, eps in model.steps])
    assert len(eps) == 1000 and len(np.unique(eps)) == eps.size
    assert stats.kstest(eps.ravel(), "norm").pvalue > 1e-4 and abs(np.corrcoef(eps.T)[0, 1]) < 5 / np.sqrt(len(eps))


def test_one_draw_a_row_estimates_the_bound_without_bias():                                                 # [EL.2]
    model, X = twin({"likelihood": "gaussian", "sd": 0.7}, beta=1.5)
    X = np.repeat(X[:1], 40, axis=0)                                 # 40 rows alike: an epoch's mean is one of 40 draws
    model.set_params(batch_size=16, **FROZEN)
    n_epochs = 400
    for _ in range(n_epochs):
        model.partial_fit(X)
    draws = np.array(model.history_["reconstruction"])
    log_px_z, kl = terms(model, model.theta_, np.repeat(X[:1], len(GRID), axis=0), GRID[:, None])
    weights = stats.norm.pdf(GRID) * STEP
    mean = weights @ -log_px_z
    variance = weights @ (-log_px_z - mean) ** 2
    assert abs(draws.mean() - mean) < 5 * np.sqrt(variance / 40 / n_epochs)
    # The variance, too: noise shared by rows would raise it 40-fold, by batches 2.5-fold, by epochs make it 0. Its
    # relative standard error is √(2 / n_epochs) for means that are nearly normal.
    assert draws.var() == pytest.approx(variance / 40, rel=5 * np.sqrt(2 / n_epochs))
    assert np.allclose(model.history_["kl"], kl[0], rtol=1e-12)


# ---- what is counted -------------------------------------------------------------------------------------------------


def test_history_is_the_mean_over_rows_and_not_over_batches():
    X = data() * np.linspace(0, 5, 25)[:, None]                         # rows, and so batches, of very different losses
    model = Autoencoder(2, batch_size=10, n_epochs=3, random_state=0, **FROZEN).fit(X)
    loss = np.mean(np.sum((X - model.reconstruct(X)) ** 2, axis=1))
    assert np.allclose(model.history_["loss"], 3 * [loss], rtol=1e-12) and model.history_.keys() == {"loss"}


def test_history_of_a_vae():
    model = VAE(2, hidden=(4,), beta=2.5, batch_size=10, n_epochs=7, random_state=0).fit(data())
    history = model.history_
    assert list(history) == ["loss", "reconstruction", "kl"] and model.n_iter_ == 7
    assert all(len(values) == 7 and all(type(value) is float for value in values) for values in history.values())
    assert np.allclose(history["loss"], np.add(history["reconstruction"], np.multiply(2.5, history["kl"])), rtol=1e-13)


@each_model
def test_training_lowers_the_loss_with_every_optimizer(kind):
    X = data(200) @ np.diag([3, 1, 0.1])
    for optimizer in OPTIMIZERS:
        model = models(optimizer=optimizer, learning_rate=0.002, n_epochs=100, batch_size=20)[kind].fit(X)
        assert model.history_["loss"][-1] < model.history_["loss"][0] - 1, optimizer


@each_model
def test_fewer_than_one_batch_is_one_step(kind):
    model = models(n_epochs=2, batch_size=1000)[kind].fit(data())
    other = models(n_epochs=2, batch_size=25)[kind].fit(data())
    assert np.array_equal(model.theta_, other.theta_)


# ---- randomness ------------------------------------------------------------------------------------------------------


@each_model
def test_a_seed_repeats_itself_and_another_does_not(kind):
    X, state = data(), np.random.get_state()[1].copy()

    def theta(random_state):
        return models(n_epochs=3, batch_size=10)[kind].set_params(random_state=random_state).fit(X).theta_

    assert np.array_equal(theta(1), theta(1)) and not np.array_equal(theta(1), theta(2))
    assert np.array_equal(theta(1), theta(np.random.default_rng(1))) and np.array_equal(theta(1), theta(np.int64(1)))
    assert np.array_equal(theta(np.random.RandomState(1)), theta(np.random.RandomState(1)))
    shared = np.random.default_rng(1), np.random.RandomState(1)
    assert all(not np.array_equal(theta(source), theta(source)) for source in shared)    # they are used, and so advance
    assert not np.array_equal(theta(None), theta(None))
    assert np.array_equal(state, np.random.get_state()[1])                  # NumPy's global generator is left alone


# ---- going on --------------------------------------------------------------------------------------------------------


@each_optimizer
@each_model
def test_partial_fit_goes_on_where_fit_stopped(kind, optimizer):
    whole, parts, fresh = (models(optimizer=optimizer, batch_size=10, n_epochs=n)[kind] for n in (3, 1, 1))
    whole.fit(data())
    parts.fit(data()).partial_fit(data()).partial_fit(data())
    for _ in range(3):
        assert fresh.partial_fit(data()) is fresh
    for model in (parts, fresh):
        assert np.array_equal(model.theta_, whole.theta_)
        assert model.history_ == whole.history_ and model.n_iter_ == whole.n_iter_ == 3
    parts.fit(data())                                                        # fit starts afresh
    assert parts.n_iter_ == 1 and parts.history_["loss"] == whole.history_["loss"][:1]


@each_model
def test_no_epochs_only_initialise(kind):
    model = models(n_epochs=0)[kind].fit(data())
    assert model.history_ == {} and model.n_iter_ == 0
    for name, view in model.parameters_.items():
        limit = np.sqrt(6 / sum(view.shape)) if name.endswith("W") else 0
        assert np.max(np.abs(view)) <= limit and (np.std(view) > limit / 4 or limit == 0)


@each_model
def test_an_optimizer_object_is_its_name(kind):
    by_name, by_object = (models(optimizer=optimizer, learning_rate=rate, n_epochs=2)[kind].fit(data())
                          for optimizer, rate in (("adam", 0.02), (Adam(0.02), None)))
    assert np.array_equal(by_name.theta_, by_object.theta_)


@each_model
def test_another_optimizer_goes_on_with_a_state_of_its_own(kind):
    model = models(optimizer="sgd", n_epochs=1)[kind].fit(data())
    model.set_params(optimizer="adam").partial_fit(data())
    assert model.n_iter_ == 2


# ---- callbacks and interruption --------------------------------------------------------------------------------------


@each_model
def test_the_callback_sees_every_epoch_and_may_stop(kind):
    seen = []

    def callback(model):
        seen.append((model, model.n_iter_, len(model.history_["loss"]), model.theta_.copy()))
        return len(seen) == 3

    model = models(n_epochs=10, callback=callback)[kind].fit(data())
    assert [entry[:3] for entry in seen] == [(model, i, i) for i in (1, 2, 3)] and model.n_iter_ == 3
    assert np.array_equal(seen[-1][3], model.theta_) and not np.array_equal(seen[0][3], model.theta_)
    assert np.array_equal(model.theta_, models(n_epochs=3)[kind].fit(data()).theta_)


@each_model
def test_an_interrupted_run_keeps_what_it_learned(kind):
    def interrupt(model):
        if model.n_iter_ == 2:
            raise KeyboardInterrupt

    model = models(n_epochs=10, callback=interrupt)[kind]
    with pytest.raises(KeyboardInterrupt):
        model.fit(data())
    done = models(n_epochs=2)[kind].fit(data())
    assert np.array_equal(model.theta_, done.theta_) and model.history_ == done.history_ and model.n_iter_ == 2
    assert np.array_equal(model.transform(data()), done.transform(data()))
    model.set_params(callback=None).partial_fit(data())
    assert np.array_equal(model.theta_, done.partial_fit(data()).theta_)


# ---- what is shown ---------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@each_model
@pytest.mark.parametrize("verbose", [0, 1])
def test_only_verbose_on_a_terminal_draws_a_bar(kind, verbose, capfd, monkeypatch):
    model = models(n_epochs=3, verbose=verbose)[kind]
    model.fit(data())
    assert capfd.readouterr() == ("", "")                                    # stderr is no terminal here
    monkeypatch.setattr(sys, "stderr", Terminal())
    model.fit(data())
    shown = sys.stderr.getvalue()
    assert bool(shown) == bool(verbose) and capfd.readouterr().out == ""
    if verbose:
        assert type(model).__name__ in shown and "3/3" in shown and f"loss={model.history_['loss'][-1]:.4g}" in shown


# ---- a run that diverges ---------------------------------------------------------------------------------------------


WORDS = r"diverged in epoch (\d+), step (\d+): .* gradient of ([\w.]+) .* theta_ keeps .* learning_rate"


@each_optimizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_absurd_rate_ends_with_words_and_finite_parameters(optimizer, dtype):
    model = VAE(2, hidden=(4,), optimizer=optimizer, learning_rate=1e6, dtype=dtype, n_epochs=100, random_state=0)
    with pytest.raises(FloatingPointError) as caught:
        model.fit(data())
    epoch, _, block = re.search(WORDS, str(caught.value)).groups()
    assert model.n_iter_ == int(epoch) - 1 == len(model.history_.get("loss", [])) and block in model.parameters_
    assert np.all(np.isfinite(model.theta_)) and model.theta_.dtype == dtype


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov"])      # the others' steps are bounded
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_diverging_autoencoder_too(optimizer, dtype):
    model = Autoencoder(2, activation="identity", optimizer=optimizer, learning_rate=10, n_epochs=1000, dtype=dtype,
                        random_state=0)
    with pytest.raises(FloatingPointError, match=WORDS):
        model.fit(data())
    assert np.all(np.isfinite(model.theta_))


class Planted(VAE):
    """Its fifth step writes `value` into one number: of the gradient, or the loss."""

    def forward(self, P, x, eps, out=None):
        self.__dict__.setdefault("thetas", []).append(self.theta_.copy())
        return super().forward(P, x, eps, out)

    def backward(self, P, t, G, out=None):
        result = super().backward(P, t, G, out)
        if len(self.thetas) == 5 and self.where == "gradient":
            G.decoder[0].b[1] = self.value
        return result

    def mean_loss(self, P, t):
        return super().mean_loss(P, t) + (self.value if len(self.thetas) == 5 and self.where == "loss" else 0)


@pytest.mark.parametrize("where, value, dtype, words", [
    ("gradient", np.nan, "float64", "gradient of decoder.0.b is not finite"),
    ("gradient", -np.inf, "float64", "gradient of decoder.0.b is not finite"),
    ("gradient", np.nan, "float32", "gradient of decoder.0.b is not finite"),
    ("gradient", 1e25, "float32", r"gradient of decoder.0.b reaches 1.0e\+25"),
    ("loss", np.nan, "float64", "loss is nan"),
    ("loss", -np.inf, "float32", "loss is -inf"),
])
def test_the_step_and_the_block_are_named_and_nothing_of_them_is_kept(where, value, dtype, words):
    model = Planted(2, hidden=(4,), batch_size=10, n_epochs=3, dtype=dtype, random_state=0)
    model.where, model.value = where, value
    with pytest.raises(FloatingPointError, match=f"epoch 2, step 2: .*{words}"):
        model.fit(data())
    assert np.array_equal(model.theta_, model.thetas[4]) and not np.array_equal(model.theta_, model.thetas[3])
    assert model.n_iter_ == 1 and len(model.history_["kl"]) == 1


def test_a_nan_among_the_parameters_is_found_by_the_next_step():
    def plant(model):
        if model.n_iter_ == 2:
            model.parameters_["decoder.1.W"][0, 0] = np.nan

    model = VAE(2, hidden=(4,), n_epochs=5, random_state=0, callback=plant)
    with pytest.raises(FloatingPointError, match="epoch 3, step 1: the loss is nan and .* encoder.0.W is not finite"):
        model.fit(data())
