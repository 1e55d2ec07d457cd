"""Penalties on the code: values by slow loops, derivatives by complex step, the kink, and the mistakes of others."""
import math

import numpy as np
import pytest
from hypothesis import example, given, target
from hypothesis import strategies as st

from tests import naive
from tests.campaigns.gradients import TOL
from tests.test_jacobian import jacobian
from tests.test_mlp import Stack, complex_gradient, seeds
from tinyvae import Autoencoder
from tinyvae.mlp import mlp_backward
from tinyvae.ops import ACTIVATIONS
from tinyvae.params import views
from tinyvae.penalties import L1, PENALTIES, Contractive, KLSparsity

widths_of_encoders = st.lists(st.integers(1, 5), min_size=2, max_size=5)
OBJECTS = [L1(0.3), L1(0.3, eps=0.01), KLSparsity(0.2, 0.7), Contractive(0.4)]
each_object = pytest.mark.parametrize("penalty", OBJECTS, ids=repr)


def encoder(penalty, widths, B, seed, dtype=np.float64):
    """A random stack whose code the penalty allows."""
    return Stack(widths, B, seed, dtype, name="sigmoid" if isinstance(penalty, KLSparsity) else None)


def value(penalty, s, theta=None, x=None):
    theta = s.theta if theta is None else theta
    return penalty.value(s.layers(theta), s.activations, s.forward(theta, x))


def gradient(push, s):
    """The penalty's gradient by θ, out of its Push, as a model puts it together."""
    hs, grad = s.forward(), np.full_like(s.theta, np.nan)
    dh = np.zeros_like(hs[-1]) if push.dh is None else push.dh
    mlp_backward(s.layers(s.theta), s.activations, hs, dh, s.layers(grad), need_dx=False, das_beside=push.das)
    for layer, dW in zip(s.layers(grad), push.dWs or ()):
        layer.W[:] += dW
    return grad


def evaluate(penalty, s, out=None):
    return penalty.evaluate(s.layers(s.theta), s.activations, s.forward(), out)


# ---- values ----------------------------------------------------------------------------------------------------------


@given(B=st.integers(1, 6), K=st.integers(1, 5), lam=st.floats(0, 10), seed=seeds)
def test_l1_and_kl_are_their_loops(B, K, lam, seed):                                                        # [SP.1]
    h = np.random.default_rng(seed).uniform(-1, 1, size=(B, K))
    for eps in (0.0, 0.01):
        assert L1(lam, eps).value(None, None, [h]) == pytest.approx(lam * naive.l1(h.tolist(), eps), rel=1e-14)
    h = 0.01 + 0.98 * (h + 1) / 2
    for rho in (0.05, 0.5, 0.9):
        slow = lam * naive.kl_sparsity(h.tolist(), rho)
        assert KLSparsity(rho, lam).value(None, None, [h]) == pytest.approx(slow, rel=1e-12, abs=1e-13 * K * lam)


@given(rho=st.floats(0.01, 0.99), q=st.floats(0.01, 0.99))
def test_kl_is_zero_at_its_target_alone(rho, q):
    """Rows differ; only their mean counts."""
    spread = np.array([[-1.0], [1.0]]) * min(rho, 1 - rho) / 2
    assert abs(KLSparsity(rho, 1.0).value(None, None, [rho + spread])) <= 1e-15
    assert np.max(np.abs(KLSparsity(rho, 1.0).evaluate(None, None, [rho + spread]).dh)) <= 1e-13
    at_q = KLSparsity(rho, 1.0).value(None, None, [np.full((3, 1), q)])
    assert at_q >= 2 * (rho - q) ** 2 - 1e-14                               # Pinsker's inequality


@given(widths=widths_of_encoders, B=st.integers(1, 4), seed=seeds)
def test_contractive_is_the_jacobian_of_the_encoder_in_three_ways(widths, B, seed):                         # [CT.1]
    s = Stack(widths, B, seed)
    J = jacobian(s)
    layers = [(W.tolist(), b.tolist()) for W, b in s.layers(s.theta)]
    loops = [naive.encoder_jacobian(s.names, layers, row) for row in s.x.tolist()]
    np.testing.assert_allclose(loops, J, rtol=1e-12, atol=1e-14)
    squares = math.fsum(j * j for row in loops for column in row for j in column)
    for got in (value(Contractive(0.4), s), evaluate(Contractive(0.4), s).value):
        assert got == pytest.approx(0.4 * np.sum(J**2) / B, rel=1e-13, abs=1e-300)
        assert got == pytest.approx(0.4 * squares / B, rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_contractive_of_one_layer_is_its_closed_form(name):                                                 # [CT.1]
    """Σ_j φ'(a_j)² Σ_d W_dj², here from a and not from h."""
    s = Stack((4, 3), 5, seed=1, name=name)
    (W, b), = s.layers(s.theta)
    slopes = np.array(naive.activation(name, (s.x @ W + b).tolist(), 1))
    closed = [sum(slope[j] ** 2 * sum(W[d, j] ** 2 for d in range(4)) for j in range(3)) for slope in slopes]
    assert value(Contractive(2.0), s) == pytest.approx(2 * np.mean(closed), rel=1e-14)


@each_object
def test_the_value_is_a_mean_over_rows_times_lam(penalty):
    s = encoder(penalty, (4, 3, 2), 3, seed=2)
    one = value(penalty, s)
    assert one > 0 and evaluate(penalty, s).value == one
    assert value(penalty, s, x=np.concatenate([s.x, s.x])) == pytest.approx(one, rel=1e-14)
    doubled = type(penalty)(**{**vars(penalty), "lam": 2 * penalty.lam})
    assert value(doubled, s) == pytest.approx(2 * one, rel=1e-14)
    rows = [value(penalty, s, x=row[None]) for row in s.x]
    assert (np.mean(rows) == pytest.approx(one, rel=1e-14)) is not isinstance(penalty, KLSparsity)


# ---- derivatives -----------------------------------------------------------------------------------------------------


@each_object
@given(widths=widths_of_encoders, B=st.integers(1, 4), seed=seeds)
@example(widths=[3, 4, 1], B=1, seed=1677)
@example(widths=[2, 3, 2, 3, 2, 3], B=2, seed=0)                         # five layers: up to four, i − 2 is i mod 2
def test_the_gradient_is_the_complex_step(penalty, widths, B, seed):                                  # [SP.1, CT.1]
    s = encoder(penalty, widths, B, seed)
    exact = complex_gradient(lambda theta: value(penalty, s, theta), s.theta)
    error, largest = np.max(np.abs(gradient(evaluate(penalty, s), s) - exact)), np.max(np.abs(exact))
    target(error / (largest or 1))
    # Where a code is near 0 so is the slope of its penalty: a gradient of 0.003 is then known to the rounding of 1.
    assert error <= max(1e-13 * largest, 4 * np.finfo(float).eps)


@each_object
def test_every_part_of_a_push_is_the_complex_step(penalty):
    """dh moves the code alone; dWs moves a matrix and holds every pre-activation; a bias moves one in every row."""
    s = encoder(penalty, (4, 3, 2), 1, seed=3)
    hs, push = s.forward(), evaluate(penalty, s)
    if push.dh is not None:
        exact = complex_gradient(lambda h: penalty.value(s.layers(s.theta), s.activations, [*hs[:-1], h]), hs[-1])
        np.testing.assert_allclose(push.dh, exact, rtol=1e-13)
        assert push.das is None and push.dWs is None
        return
    for i, block in enumerate(("mlp.0.W", "mlp.1.W")):
        def at(W, block=block):
            moved = s.theta.astype(complex)
            views(moved, s.shapes)[block][:] = W
            return penalty.value(s.layers(moved), s.activations, hs)         # hs stays: the matrix's own path
        np.testing.assert_allclose(push.dWs[i], complex_gradient(at, views(s.theta, s.shapes)[block]), rtol=1e-12)
    for i, phi in enumerate(s.activations):
        def at(a, i=i, phi=phi):
            return penalty.value(s.layers(s.theta + 0j), s.activations, [*hs[:i + 1], phi.f(a), *hs[i + 2:]])
        a = hs[i] @ s.layers(s.theta)[i].W + s.layers(s.theta)[i].b
        exact = complex_gradient(at, a)                                      # one slope moves, those above stay
        np.testing.assert_allclose(push.das[i], exact, rtol=1e-12, atol=1e-15)


def test_the_subgradient_at_the_kink_lies_in_its_interval():                                                # [SP.1]
    h = np.array([[0.0, -2.0, -0.0], [3.0, 0.0, 1e-300]])
    dh = L1(0.6).evaluate(None, None, [h]).dh
    assert np.array_equal(dh, [[0, -0.3, 0], [0.3, 0, 0.3]]) and np.max(np.abs(dh)) <= 0.6 / 2
    smooth = L1(0.6, eps=1e-4).evaluate(None, None, [h]).dh
    assert np.array_equal(smooth[h == 0], np.zeros(3)) and np.max(np.abs(smooth)) <= 0.3


def test_smooth_l1_approaches_l1_from_above():
    h = np.random.default_rng(4).normal(size=(5, 3))
    sharp = L1(0.5)
    for eps in (1e-2, 1e-6, 1e-12):
        smooth = L1(0.5, eps)
        gap = smooth.value(None, None, [h]) - sharp.value(None, None, [h])
        assert 0 <= gap <= 0.5 * 3 * np.sqrt(eps)                            # √(h² + eps) − |h| ≤ √eps
        slopes = [penalty.evaluate(None, None, [h]).dh for penalty in (smooth, sharp)]
        assert np.max(np.abs(slopes[0] - slopes[1])) <= 0.1 * eps / (2 * np.min(h**2))
    assert smooth.value(None, None, [h]) == pytest.approx(sharp.value(None, None, [h]), rel=1e-11)


# ---- number types, buffers, refusals ---------------------------------------------------------------------------------


@each_object
def test_float32_stays_float32_and_nothing_given_is_changed(penalty):
    s = encoder(penalty, (4, 3, 2), 3, seed=5, dtype=np.float32)
    hs, theta = s.forward(), s.theta.copy()
    kept = [h.copy() for h in hs]
    push = penalty.evaluate(s.layers(s.theta), s.activations, hs)
    given = [array for array in (push.dh, *(push.das or ()), *(push.dWs or ())) if array is not None]
    assert given and {array.dtype for array in given} == {np.dtype("float32")}
    assert all(map(np.array_equal, hs, kept)) and np.array_equal(theta, s.theta)
    wide = encoder(penalty, (4, 3, 2), 3, seed=5)
    wide.theta, wide.x = theta.astype(float), s.x.astype(float)
    exact = gradient(evaluate(penalty, wide), wide)
    assert push.value == pytest.approx(value(penalty, wide), rel=1e-5)
    np.testing.assert_allclose(gradient(push, s), exact, rtol=0, atol=1e-5 * np.max(np.abs(exact)))


@each_object
def test_an_earlier_push_is_overwritten_to_the_same_bits(penalty):
    s, other = (encoder(penalty, (4, 3, 3, 2), 3, seed) for seed in (6, 7))
    s.activations, s.names = other.activations, other.names
    fresh = evaluate(penalty, s)
    old = evaluate(penalty, other)
    new = evaluate(penalty, s, out=old)
    assert new.value == fresh.value and np.array_equal(gradient(new, s), gradient(fresh, s))
    if isinstance(penalty, Contractive):
        assert new.jacobian.V is old.jacobian.V and new.jacobian.N[0] is old.jacobian.N[0]


def test_zero_strength_is_nothing():
    for penalty in (L1(0), L1(0, eps=0.1), KLSparsity(0.2, 0), Contractive(0)):
        s = encoder(penalty, (3, 4, 2), 2, seed=8)
        push = evaluate(penalty, s)
        assert push.value == 0 and not np.any(gradient(push, s))


@pytest.mark.parametrize("make, name", [(L1, "lam"), (lambda lam: L1(0.1, lam), "eps"), (Contractive, "lam"),
                                        (lambda lam: KLSparsity(0.1, lam), "lam")])
@pytest.mark.parametrize("bad, error", [(-1e-9, ValueError), (np.nan, ValueError), (np.inf, ValueError),
                                        ("1", TypeError), (None, TypeError), (True, TypeError), ([0.1], TypeError)])
def test_strengths_that_are_refused(make, name, bad, error):
    with pytest.raises(error, match=f"^{name} must be"):
        make(bad)


def test_an_eps_too_small_for_float32_is_refused():
    assert np.float32(L1(0.1, 1e-30).eps) > 0 and L1(0.1, 0).eps == 0
    for eps in (9e-31, 1e-50):
        with pytest.raises(ValueError, match="^eps must be 0, or at least 1e-30 .*, got"):
            L1(0.1, eps)


@pytest.mark.parametrize("rho", [0, 1, -0.1, 1.1, np.nan])
def test_shares_that_are_refused(rho):
    with pytest.raises(ValueError, match=r"^rho must be a finite number in \(0, 1\), got"):
        KLSparsity(rho, 1)


def test_a_penalty_is_its_numbers_and_cannot_change():
    assert PENALTIES == (L1, KLSparsity, Contractive)
    assert L1(0.1) == L1(lam=0.1, eps=0.0) and repr(KLSparsity(0.2, 0.5)) == "KLSparsity(rho=0.2, lam=0.5)"
    for penalty in OBJECTS:
        with pytest.raises(AttributeError):
            penalty.lam = 2


# ---- mistakes that others have published -----------------------------------------------------------------------------
# A tied tanh autoencoder of one layer with a contractive penalty, ‖x̂ − x‖² + λ‖J‖², in a few lines that can be read at
# once; each mistake changes one of them. Two checks, the kinds of this suite: the value against slow loops, and the
# gradient against the complex step of the value. A wrong value with a gradient of its own passes the second one.

LAM, D, K = 0.3, 4, 3


def parts(theta, x):
    """What the loss and its gradient are made of: (h, J, reconstruction, and by name the gradient's summands)."""
    W, b, c = theta[:D * K].reshape(D, K), theta[D * K:][:K], theta[D * K + K:]
    h = np.tanh(x @ W + b)
    slope, r = 1 - h * h, h @ W.T + c - x
    J = slope[:, None, :] * W
    da = 2 * (r @ W) * slope                                                # through the code
    da_penalty = LAM * 2 * np.sum(W * W, axis=0) * slope * (-2 * h * slope)                        # 2 φ' φ'' ‖W_·j‖²

    def flat(dW, db, dc):
        return np.concatenate([dW.ravel(), db, dc]) / len(x)
    none = np.zeros(K), np.zeros(D)
    return h, J, np.sum(r * r), {
        "encoder": flat(x.T @ da, da.sum(axis=0), none[1]),
        "decoder": flat(2 * r.T @ h, none[0], 2 * r.sum(axis=0)),
        "matrix": flat(LAM * 2 * W * np.sum(slope * slope, axis=0), *none),
        "curvature": flat(x.T @ da_penalty, da_penalty.sum(axis=0), none[1])}


def right(theta, x):
    _, J, error, gradients = parts(theta, x)
    return error / len(x) + LAM * np.sum(J * J) / len(x), sum(gradients.values())


def divided_by_two_slashes(theta, x):
    """The penalty is a step function: its gradient is 0, and training never feels it."""
    _, J, error, g = parts(theta, x)
    return error / len(x) + np.real(LAM * np.sum(J * J)) // len(x), g["encoder"] + g["decoder"]


def mean_of_the_jacobian(theta, x):
    """Entries of both signs cancel: the mean of J may fall without end while J grows."""
    def loss(theta):
        _, J, error, _ = parts(theta, x)
        return error / len(x) + LAM * np.mean(J)
    return loss(theta), complex_gradient(loss, np.real(theta))


def summed_then_squared(theta, x):
    """(Σ J)² is 0 for many a J that is not."""
    def loss(theta):
        _, J, error, _ = parts(theta, x)
        return error / len(x) + LAM * np.sum(np.sum(J, axis=(1, 2)) ** 2) / len(x)
    return loss(theta), complex_gradient(loss, np.real(theta))


def decoder_path_alone(theta, x):
    """W stands in the code, too, as a tied matrix does: half its gradient is lost."""
    g = parts(theta, x)[3]
    return right(theta, x)[0], right(theta, x)[1] - np.where(np.arange(theta.size) < D * K, g["encoder"], 0)


def no_second_derivative(theta, x):
    """φ' moves with a, too: without φ'' the penalty sees only the size of W."""
    return right(theta, x)[0], right(theta, x)[1] - parts(theta, x)[3]["curvature"]


def of_the_library(theta, x):
    model = Autoencoder(K, tied=True, penalties=[Contractive(LAM)], n_epochs=0).fit(x)
    P, grad = model.params(theta), np.empty_like(theta)
    trace = model.forward(P, x)
    model.backward(P, trace, model.params(grad))
    return model.mean_loss(P, trace), grad


def failed_checks(candidate, theta, x):
    value, gradient = candidate(theta, x)
    W, b, c = theta[:D * K].reshape(D, K).tolist(), theta[D * K:][:K].tolist(), theta[D * K + K:].tolist()
    x_hat = naive.dense(naive.activation("tanh", naive.dense(x.tolist(), W, b)), naive.columns(W), c)
    norms = [sum(j * j for column in naive.encoder_jacobian(["tanh"], [(W, b)], row) for j in column)
             for row in x.tolist()]
    slow = (math.fsum(naive.squared_error(x.tolist(), x_hat)) + LAM * math.fsum(norms)) / len(x)
    exact = complex_gradient(lambda theta: candidate(theta, x)[0], theta)
    failed = {"value": abs(value - slow) > TOL * slow,
              "gradient": np.max(np.abs(gradient - exact)) > TOL * np.max(np.abs(exact))}
    return {name for name in failed if failed[name]}


@pytest.mark.parametrize("candidate, expected", [
    (right, []), (of_the_library, []), (divided_by_two_slashes, ["value"]), (mean_of_the_jacobian, ["value"]),
    (summed_then_squared, ["value"]), (decoder_path_alone, ["gradient"]), (no_second_derivative, ["gradient"])],
    ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("seed", range(3))
def test_published_mistakes_are_caught(candidate, expected, seed):                              # [NL.1, CT.1]
    rng = np.random.default_rng(seed)
    theta, x = rng.uniform(-1, 1, size=D * K + K + D), rng.normal(size=(5, D))
    assert failed_checks(candidate, theta, x) == set(expected)
