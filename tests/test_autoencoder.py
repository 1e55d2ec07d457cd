"""The autoencoder: every gradient, one matrix used twice, and what every model's forward and backward pass keeps."""
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from tests.campaigns.gradients import TOL, Problem, blocks, gradient, prove, random_autoencoder, random_vae, residuals
from tinyvae import Autoencoder, load_digits
from tinyvae.ops import ACTIVATIONS

# ---- every gradient   [AE.2, NL.1, NL.2] -----------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("loss", ["squared", "bernoulli"])
@pytest.mark.parametrize("hidden", [(), (5,), (3, 6), (4, 3, 5)], ids=len)
def test_every_block_is_the_complex_step(hidden, loss, tied):
    rng = np.random.default_rng(1)
    for activation in ACTIVATIONS:
        problem = random_autoencoder(rng, hidden=hidden, activation=activation, loss=loss, tied=tied)
        assert max(residuals(problem).values()) <= TOL, problem.model
        one_row = Problem(problem.model, (problem.args[0][:1],))
        assert max(residuals(one_row).values()) <= TOL, problem.model


@pytest.mark.parametrize("output_activation", ACTIVATIONS)
def test_every_output_activation(output_activation):
    rng = np.random.default_rng(2)
    for tied in (False, True):
        problem = random_autoencoder(rng, loss="squared", output_activation=output_activation, tied=tied)
        assert max(residuals(problem).values()) <= TOL, problem.model


@pytest.mark.parametrize("seed", range(16))
def test_random_models_by_both_derivatives(seed):
    rng = np.random.default_rng(seed)
    found, wrong = prove(random_autoencoder(rng), rng)
    assert not wrong and max(found.values()) <= TOL


@pytest.mark.parametrize("hidden", [(), (5,), (4, 3)], ids=len)
def test_a_tied_gradient_is_its_encoder_path_and_its_decoder_path(hidden):                                  # [NL.1]
    rng = np.random.default_rng(3)
    tied, (x,) = random_autoencoder(rng, hidden=hidden, n_components=2, activation="tanh", loss="squared", tied=True)
    free = Autoencoder(**{**tied.get_params(), "tied": False}).fit(x)       # the same maps, from two sets of matrices
    depth = len(hidden)
    for name, view in free.parameters_.items():
        twin = name if name in tied.parameters_ else f"encoder.{depth - int(name.split('.')[1])}.W"
        view[:] = tied.parameters_[twin] if name == twin else tied.parameters_[twin].T
    both, paths = (dict_of(model, model.loss_and_grad(x)[1]) for model in (tied, free))
    for i in range(depth + 1):
        as_encoder, as_decoder = paths[f"encoder.{i}.W"], paths[f"decoder.{depth - i}.W"].T
        scale = np.max(np.abs(both[f"encoder.{i}.W"]))
        assert np.max(np.abs(both[f"encoder.{i}.W"] - (as_encoder + as_decoder))) <= 1e-14 * scale     # one rounded sum
        for path in (as_encoder, as_decoder):
            assert np.max(np.abs(both[f"encoder.{i}.W"] - path)) > 0.01 * scale             # either path alone is wrong
    assert all(np.array_equal(both[name], paths[name]) for name in both if name.endswith("b"))


def dict_of(model, grad):
    return {name: grad[place].reshape(model.parameters_[name].shape) for name, place in blocks(model).items()}


# ---- what every forward and backward pass keeps, the VAE's too -------------------------------------------------------


def problems():
    for tied in (False, True):
        yield random_autoencoder(np.random.default_rng(4), hidden=(5, 3), activation="tanh", tied=tied)
    for likelihood, objective in (("gaussian", "elbo"), ("bernoulli", "iwae"), ("gaussian_full", "elbo")):
        yield random_vae(np.random.default_rng(5), hidden=(5, 3), activation="elu", likelihood=likelihood, beta=1.3,
                         objective=objective, n_samples=1)


each_problem = pytest.mark.parametrize("problem", list(problems()), ids=lambda problem: repr(problem.model))


def arrays(trace):
    """Every array of a nested tuple or list."""
    if isinstance(trace, np.ndarray):
        return [trace]
    return [] if trace is None else [array for part in trace for array in arrays(part)]


@each_problem
def test_backward_leaves_parameters_and_trace_alone_and_repeats_itself(problem):
    model, args = problem
    P, theta = model.params(), model.theta_.copy()
    trace = model.forward(P, *args)
    before = [array.copy() for array in arrays(trace)]
    grads = np.full((2, theta.size), np.nan)
    for grad in grads:
        model.backward(P, trace, model.params(grad))
    assert len(before) > 6 and all(map(np.array_equal, before, arrays(trace)))
    assert np.array_equal(*grads) and np.array_equal(theta, model.theta_)
    assert all(np.shares_memory(a, b) for a, b in zip(args, (trace.x, getattr(trace, "eps", None))))


@each_problem
def test_reused_buffers_give_the_same_bits(problem):
    model, args = problem
    other = [array[::-1].copy() for array in args]                          # the buffers come filled with other rows
    P, grad = model.params(), np.full_like(model.theta_, np.nan)
    trace = model.forward(P, *other)
    derivatives = model.backward(P, trace, model.params(grad))
    reused = model.forward(P, *args, out=trace)
    again = model.backward(P, reused, model.params(grad), out=derivatives)
    assert reused.decoder[-1] is trace.decoder[-1] and again.decoder[1] is derivatives.decoder[1]
    assert np.array_equal(grad, gradient(model, args, model.theta_))
    assert all(map(np.array_equal, arrays(reused), arrays(model.forward(P, *args))))


@each_problem
def test_rows_count_alike_in_any_order_and_in_parts(problem):
    model, args = problem
    args = [np.concatenate([array, array * 0.5, array[:1] * 0.25]) for array in args]        # an odd number of rows
    N, cut = len(args[0]), 2
    whole = gradient(model, args, model.theta_)
    order = np.random.default_rng(6).permutation(N)
    shuffled = gradient(model, [array[order] for array in args], model.theta_)
    parts = [gradient(model, [array[rows] for array in args], model.theta_) for rows in (slice(cut), slice(cut, None))]
    scale = 1e-13 * np.max(np.abs(whole))                                   # sums of a few rows in another order
    assert np.max(np.abs(shuffled - whole)) <= scale
    assert np.max(np.abs((cut * parts[0] + (N - cut) * parts[1]) / N - whole)) <= scale


def test_a_new_theta_of_any_dtype_is_viewed_and_not_copied():
    for model, _ in problems():
        theta = np.arange(model.theta_.size, dtype=complex)
        P = model.params(theta)
        P.encoder[0].W[0, 0] = 7j
        P.decoder[-1].b[-1] = 9j
        assert 7j in theta and 9j in theta and model.params().encoder[0].W.base is not None


# ---- the maps and the losses, once more by hand ----------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_the_maps_are_their_formula(tied):                                                                # [AE.1, NL.1]
    model, (x,) = random_autoencoder(np.random.default_rng(7), hidden=(5,), n_components=3, activation="tanh",
                                     output_activation="softplus", loss="squared", tied=tied)
    p = model.parameters_
    V0, V1 = (p["encoder.1.W"].T, p["encoder.0.W"].T) if tied else (p["decoder.0.W"], p["decoder.1.W"])
    h = np.tanh(np.tanh(x @ p["encoder.0.W"] + p["encoder.0.b"]) @ p["encoder.1.W"] + p["encoder.1.b"])
    x_hat = np.logaddexp(0, np.tanh(h @ V0 + p["decoder.0.b"]) @ V1 + p["decoder.1.b"])
    close = {"rtol": 1e-13, "atol": 1e-14}
    assert np.allclose(model.transform(x), h, **close) and np.allclose(model.inverse_transform(h), x_hat, **close)
    assert np.allclose(model.reconstruct(x), x_hat, **close)
    assert np.allclose(model.reconstruction_error(x), ((x - x_hat) ** 2).sum(axis=1), **close)
    assert model.loss_and_grad(x)[0] == pytest.approx(((x - x_hat) ** 2).sum(axis=1).mean(), rel=1e-13)
    trace = model.forward(model.params(), x)
    assert trace.h is trace.encoder[-1] and trace.out is trace.decoder[-1]
    assert np.array_equal(trace.h, model.transform(x))
    assert ("decoder.0.W" in p) is not tied


def test_bernoulli_loss_is_the_cross_entropy():
    model, (x,) = random_autoencoder(np.random.default_rng(8), hidden=(4,), loss="bernoulli")
    logits = model.forward(model.params(), x).out
    entropy = -stats.bernoulli(expit(logits)).logpmf(x).sum(axis=1)
    assert np.allclose(model.reconstruction_error(x), entropy, rtol=1e-12)
    assert np.allclose(model.reconstruct(x), expit(logits), rtol=1e-14)
    grey = np.full_like(x, 0.3)                                             # linear in x: a surrogate for grey levels
    p = model.reconstruct(grey)
    surrogate = -np.sum(0.3 * np.log(p) + 0.7 * np.log1p(-p), axis=1)
    assert np.allclose(model.reconstruction_error(grey), surrogate, rtol=1e-12)


def test_a_trained_autoencoder_beats_the_mean_and_at_depth_the_best_linear_map():                           # [AE.1]
    t = np.random.default_rng(9).uniform(-1.4, 1.4, size=(400, 1))
    X = np.hstack([np.sin(2 * t), np.cos(2 * t), t])                        # a curve: one number describes a row
    deep = Autoencoder(1, hidden=(16,), learning_rate=0.01, n_epochs=120, batch_size=50, random_state=0).fit(X)
    centred = X - X.mean(axis=0)
    constant, linear = np.sum(centred**2) / len(X), np.sum(np.linalg.svd(centred, compute_uv=False)[1:] ** 2) / len(X)
    assert deep.loss_and_grad(X)[0] < linear / 2 < constant


def test_digits_are_learned_in_float32():
    X = load_digits()[0].astype(np.float32)
    model = Autoencoder(8, hidden=(32,), n_epochs=5, learning_rate=3e-3, random_state=0).fit(X)
    assert model.theta_.dtype == np.float32
    assert model.history_["loss"][-1] < 0.7 * np.sum(X.var(axis=0))
