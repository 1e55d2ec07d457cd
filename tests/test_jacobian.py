"""The Jacobian of a stack of layers: its norm against the complex step of the encoder, and the second derivatives."""
import numpy as np
import pytest
from hypothesis import given, target
from hypothesis import strategies as st

from tests.test_mlp import Stack, complex_gradient, over_activations, seeds
from tinyvae.mlp import mlp_backward, mlp_jacobian, mlp_jacobian_backward
from tinyvae.ops import ACTIVATIONS

encoders = given(widths=st.lists(st.integers(1, 5), min_size=2, max_size=5), B=st.integers(1, 4), seed=seeds)
depths = pytest.mark.parametrize("depth", [1, 2, 3, 4])


def jacobian(s):
    """∂h_L/∂x of every row, (B, D, K), one column of the data after the other."""
    columns = [s.forward(x=s.x + 1e-30j * (np.arange(s.x.shape[1]) == d))[-1].imag / 1e-30
               for d in range(s.x.shape[1])]
    return np.stack(columns, axis=1)


def norm2(s, theta=None, out=None):
    theta = s.theta if theta is None else theta
    return mlp_jacobian(s.layers(theta), s.activations, s.forward(theta), out=out)


def gradient(s, w, out=None):
    """Σ_b w_b ‖J_b‖² differentiated by θ."""
    layers, hs, grad = s.layers(s.theta), s.forward(), np.full_like(s.theta, np.nan)
    dWs, das = mlp_jacobian_backward(layers, s.activations, hs, norm2(s, out=out), w)
    mlp_backward(layers, s.activations, hs, np.zeros_like(hs[-1]), s.layers(grad), need_dx=False, das_beside=das)
    for layer, dW in zip(s.layers(grad), dWs, strict=True):
        layer.W[:] += dW
    return grad


@over_activations
@depths
def test_the_norm_is_that_of_the_jacobian_by_complex_step(name, depth):                                     # [CT.1]
    for B, widths in ((1, (1,) * (depth + 1)), (4, (6, 5, 4, 3, 2)[:depth + 1]), (3, (2, 3, 4, 5, 6)[:depth + 1])):
        s = Stack(widths, B, seed=depth, name=name)
        exact = np.sum(jacobian(s) ** 2, axis=(1, 2))
        assert norm2(s).norm2.shape == (B,)
        np.testing.assert_allclose(norm2(s).norm2, exact, rtol=1e-13, atol=1e-300)


@encoders
def test_the_general_formula_holds_for_one_layer_too(widths, B, seed):                                      # [CT.1]
    """An identity layer on top changes neither J nor its gradient, but takes the way of the deep ones."""
    one = Stack(widths[:2], B, seed)
    two = Stack((*widths[:2], widths[1]), B, seed, name=one.names[0])
    two.activations = [*one.activations, ACTIVATIONS["identity"]]
    two.x = one.x
    H, n = widths[1], one.theta.size
    two.theta[:] = np.concatenate([one.theta, np.eye(H).ravel(), np.zeros(H)])
    np.testing.assert_allclose(norm2(two).norm2, norm2(one).norm2, rtol=1e-14, atol=1e-300)
    w = np.random.default_rng(seed).uniform(0, 1, size=B)
    g_one, g_two = gradient(one, w), gradient(two, w)
    np.testing.assert_allclose(g_two[:n], g_one, rtol=0, atol=1e-14 * np.max(np.abs(g_one), initial=1e-300))


@encoders
def test_the_gradient_with_row_weights_is_the_complex_step(widths, B, seed):                                # [CT.1]
    s = Stack(widths, B, seed)
    w = np.random.default_rng(seed).uniform(0, 1, size=B)
    w[0] *= seed % 2                                                        # a row without weight, too
    exact = complex_gradient(lambda theta: np.sum(w * norm2(s, theta).norm2), s.theta)
    worst = np.max(np.abs(gradient(s, w) - exact)) / (np.max(np.abs(exact)) or 1)
    target(worst)
    assert worst <= 1e-13


@over_activations
@depths
def test_every_activation_at_every_depth(name, depth):
    s = Stack((3, 5, 2, 4, 3)[:depth + 1], 3, seed=depth + 10, name=name)
    w = np.array([0.2, 1.0, 0.0])
    exact = complex_gradient(lambda theta: np.sum(w * norm2(s, theta).norm2), s.theta)
    assert np.max(np.abs(gradient(s, w) - exact)) <= 1e-13 * np.max(np.abs(exact))
    biases = np.concatenate([layer.b for layer in s.layers(exact)])
    assert np.any(biases) == (name not in ("identity", "relu"))             # they enter through φ'' alone


@encoders
def test_buffers_are_reused_to_the_last_bit(widths, B, seed):
    s, other = Stack(widths, B, seed), Stack(widths, B, seed + 1)
    w = np.random.default_rng(seed).uniform(0, 1, size=B)
    fresh, want = norm2(s), gradient(s, w)
    used = norm2(other)
    mlp_jacobian_backward(other.layers(other.theta), other.activations, other.forward(), used, w)     # V, AV used up
    again = norm2(s, out=used)
    assert np.array_equal(again.norm2, fresh.norm2) and all(map(np.array_equal, again.slopes, fresh.slopes))
    if len(widths) > 2:
        assert again.V is used.V and again.AV is used.AV and all(a is b for a, b in zip(again.N, used.N, strict=True))
        assert np.array_equal(again.V, fresh.V) and np.array_equal(again.AV, fresh.AV)
    assert np.array_equal(gradient(s, w, out=used), want)


@depths
def test_float32_stays_float32(depth):
    s = Stack((4, 3, 3, 2, 2)[:depth + 1], 3, seed=12, dtype=np.float32, name="tanh")
    t = norm2(s)
    arrays = [t.norm2, *t.slopes, *t.N, *([] if t.V is None else [t.V, t.AV])]
    dWs, das = mlp_jacobian_backward(s.layers(s.theta), s.activations, s.forward(), t, np.ones(3, np.float32))
    assert {a.dtype for a in arrays + dWs + das} == {np.dtype("float32")}
    exact = np.sum(jacobian(s) ** 2, axis=(1, 2))
    np.testing.assert_allclose(norm2(s).norm2, exact, rtol=1e-5)


# ---- derivatives that do not come through the output -----------------------------------------------------------------


@encoders
def test_das_beside_join_on_the_way(widths, B, seed):
    """Linear functionals of every pre-activation, added to the loss: the complex step of the sum."""
    s = Stack(widths, B, seed)
    rng, layers, hs = np.random.default_rng(seed), s.layers(s.theta), s.forward()
    beside = [rng.normal(size=h.shape) for h in hs[1:]]
    kept, dy = [c.copy() for c in beside], s.dy.copy()

    def loss(theta):
        forward = s.forward(theta)
        pre = [h @ W + b for h, (W, b) in zip(forward, s.layers(theta))]
        return np.sum(s.dy * forward[-1]) + sum(np.sum(c * a) for c, a in zip(beside, pre, strict=True))

    exact, grads = complex_gradient(loss, s.theta), np.full((2, s.theta.size), np.nan)
    das = None
    for grad in grads:                                                      # fresh buffers, then the same again
        das = mlp_backward(layers, s.activations, hs, s.dy, s.layers(grad), need_dx=True, out=das, das_beside=beside)
    assert np.max(np.abs(grads[0] - exact)) <= 1e-13 * max(1, np.max(np.abs(exact)))
    assert np.array_equal(*grads) and np.array_equal(s.dy, dy) and all(map(np.array_equal, beside, kept))
    assert das[-1] is not s.dy                                              # where it is, dy would be added to
