"""Activations with φ' and φ'', and stacks of dense layers: every entry of every block of the gradient by complex step.

That the first derivatives are vector-Jacobian products, and the compiled twins, is the business of test_ops.py.
"""
import numpy as np
import pytest
from hypothesis import given, target
from hypothesis import strategies as st
from scipy import special

from tests import naive
from tinyvae.mlp import mlp_backward, mlp_forward
from tinyvae.ops import ACTIVATIONS, activation_dbias, bias_activation, sigmoid, softplus
from tinyvae.params import size, stack, stack_shapes, views

over_activations = pytest.mark.parametrize("name", ACTIVATIONS)
seeds = st.integers(0, 2**32 - 1)

# ---- activations -----------------------------------------------------------------------------------------------------


@over_activations
@given(B=st.integers(1, 7), H=st.integers(1, 7), scale=st.sampled_from([0.01, 1.0, 4.0]), seed=seeds)
def test_both_derivatives(name, B, H, scale, seed):
    """φ'' is the complex step of a ↦ φ'(φ(a)); both, from h, are the oracle's, from a. Their sizes are 1 at most."""
    phi, a = ACTIVATIONS[name], scale * np.random.default_rng(seed).normal(size=(B, H))
    h = phi.f(a)
    assert np.max(np.abs(phi.dd(h) - np.imag(phi.d(phi.f(a + 1e-30j))) / 1e-30)) <= 1e-15
    assert np.max(np.abs(phi.d(h) - naive.activation(name, a.tolist(), 1))) <= 1e-15
    assert np.max(np.abs(phi.dd(h) - naive.activation(name, a.tolist(), 2))) <= 2e-15


@over_activations
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturation_neither_overflows_nor_warns(name, dtype):
    a = np.array([[-700, -90, -50, -20, 20, 50, 90, 700]], dtype)
    phi, eps, tiny = ACTIVATIONS[name], np.finfo(dtype).eps, np.finfo(dtype).tiny
    h = phi.f(a)
    np.testing.assert_allclose(h, naive.activation(name, a.tolist()), rtol=4 * eps, atol=tiny)
    np.testing.assert_allclose(phi.d(h), naive.activation(name, a.tolist(), 1), rtol=0, atol=4 * eps)
    np.testing.assert_allclose(phi.dd(h), naive.activation(name, a.tolist(), 2), rtol=0, atol=4 * eps)


def test_sigmoid_and_softplus_against_scipy():
    logits = np.array([-700, -50, -5, -0.3, 0.0, 1e-8, 2, 50, 700])
    np.testing.assert_allclose(sigmoid(logits), special.expit(logits), rtol=1e-15)
    np.testing.assert_allclose(softplus(logits), -special.log_expit(-logits), rtol=1e-15)


def test_at_the_kink():
    """relu'(0) = 0, the subgradient that is promised; elu' is continuous there, and elu''(0) is the left side's 1."""
    zero = np.zeros((1, 1))
    relu, elu = ACTIVATIONS["relu"], ACTIVATIONS["elu"]
    assert relu.f(zero) == 0 and relu.d(zero) == 0 and relu.dd(zero) == 0
    assert elu.f(zero) == 0 and elu.d(zero) == 1 and elu.dd(zero) == 1
    for function in (activation_dbias, activation_dbias.__wrapped__):
        da, db = zero + 3, np.full(1, np.nan)
        function(da, zero, relu, db)
        assert da == 0 and db == 0


@over_activations
def test_out_is_written_and_may_be_the_input(name):
    f, a = ACTIVATIONS[name].f, np.random.default_rng(1).normal(size=(3, 4))
    want, buffer, own = f(a.copy()), np.full((3, 4), np.nan), a.copy()
    assert f(a, out=buffer) is buffer and f(own, out=own) is own
    np.testing.assert_array_equal(buffer, want)
    np.testing.assert_array_equal(own, want)


@over_activations
@given(B=st.integers(1, 9), H=st.integers(1, 40), seed=seeds)
def test_fused_formulas_are_the_two_that_they_fuse(name, B, H, seed):
    rng, phi = np.random.default_rng(seed), ACTIVATIONS[name]
    a, b, dh = rng.normal(size=(B, H)), rng.normal(size=H), rng.normal(size=(B, H))
    want = phi.f(a + b)
    h = bias_activation(a, b, phi)
    assert h is a
    np.testing.assert_array_equal(h, want)
    da, db = dh.copy(), np.full(H, np.nan)
    activation_dbias(da, h, phi, db)
    np.testing.assert_allclose(da, dh * phi.d(h), rtol=0, atol=1e-15 * np.max(np.abs(dh)))
    np.testing.assert_allclose(db, np.sum(da, axis=0), rtol=0, atol=1e-15 * np.sum(np.abs(dh)))


# ---- stacks ----------------------------------------------------------------------------------------------------------
# One to four layers, one to five units wide, an activation drawn for each. Weights and inputs lie in [−1, 1], as fresh
# ones do: saturated units would cost digits in φ' = 1 − h². Biases are random: zeros hide one used twice or not at all.

stacks = given(widths=st.lists(st.integers(1, 5), min_size=2, max_size=5), B=st.integers(1, 4), seed=seeds)


class Stack:
    """Random θ, x and dy for one stack, and its passes as functions of them."""

    def __init__(self, widths, B, seed, dtype=np.float64, name=None):
        rng = np.random.default_rng(seed)
        self.names = [name or str(rng.choice(list(ACTIVATIONS))) for _ in widths[1:]]
        self.activations = [ACTIVATIONS[name] for name in self.names]
        self.shapes = stack_shapes("mlp", widths)
        self.theta = rng.uniform(-1, 1, size=size(self.shapes)).astype(dtype)
        self.x = rng.uniform(-1, 1, size=(B, widths[0])).astype(dtype)
        self.dy = rng.normal(size=(B, widths[-1])).astype(dtype)

    def layers(self, theta):
        return stack(views(theta, self.shapes), "mlp")

    def forward(self, theta=None, x=None, out=None):
        layers = self.layers(self.theta if theta is None else theta)
        return mlp_forward(layers, self.activations, self.x if x is None else x, out=out)

    def backward(self, hs, need_dx=True, out=None):
        """(the list that mlp_backward returns, the flat gradient); the gradient's vector is full of NaN before."""
        layers, grad = self.layers(self.theta), np.full_like(self.theta, np.nan)
        return mlp_backward(layers, self.activations, hs, self.dy, self.layers(grad), need_dx, out=out), grad


def complex_gradient(f, v):
    """The gradient of f at the array v, an entry at a time."""
    gradient = np.empty(v.shape)
    for i in np.ndindex(v.shape):
        moved = v.astype(complex)
        moved[i] += 1e-30j
        gradient[i] = f(moved).imag / 1e-30
    return gradient


def largest_entries(s, hs):
    """Of every block and of dx, before cancellation: |dy|, |W| and |h| in the formulas, where no sum cancels."""
    dh, largest = np.abs(s.dy), {}
    for i in reversed(range(len(s.activations))):
        da = dh * np.abs(s.activations[i].d(hs[i + 1]))
        largest[f"mlp.{i}.W"], largest[f"mlp.{i}.b"] = np.max(np.abs(hs[i]).T @ da), np.max(np.sum(da, axis=0))
        dh = da @ np.abs(s.layers(s.theta)[i].W).T
    return {**largest, "dx": np.max(dh)}


def worst_error(s, hs, grad, dx, exact, exact_dx):
    """The largest error of all blocks and of dx, relative to the block's largest entry; dead ReLUs must give 0."""
    got, want = {**views(grad, s.shapes), "dx": dx}, {**views(exact, s.shapes), "dx": exact_dx}
    return max(np.max(np.abs(got[block] - want[block])) / (largest or 1)
               for block, largest in largest_entries(s, hs).items())


@stacks
def test_every_block_and_dx_by_complex_step(widths, B, seed):
    s = Stack(widths, B, seed)
    hs = s.forward()
    das, grad = s.backward(hs)
    exact = complex_gradient(lambda theta: np.sum(s.dy * s.forward(theta)[-1]), s.theta)
    exact_dx = complex_gradient(lambda x: np.sum(s.dy * s.forward(x=x)[-1]), s.x)
    worst = worst_error(s, hs, grad, das[0], exact, exact_dx)
    target(worst)
    assert worst <= 1e-13


@over_activations
def test_complex_step_and_richardson_agree(name):
    s = Stack((3, 4, 2), 3, seed=7, name=name)
    direction = np.random.default_rng(8).normal(size=s.theta.size)

    def along(t):
        return np.sum(s.dy * s.forward(s.theta + t * direction)[-1])

    one, two = ((along(h) - along(-h)) / (2 * h) for h in (1e-4, 2e-4))
    # the fourth power of the step, and eps / step, are some 1e-15 and 1e-12
    assert (4 * one - two) / 3 == pytest.approx(along(1e-30j).imag / 1e-30, rel=1e-10)


@stacks
def test_forward_is_the_loop_of_formulas(widths, B, seed):
    s = Stack(widths, B, seed)
    hs, h = s.forward(), s.x.tolist()
    assert hs[0] is s.x and [a.shape for a in hs] == [(B, width) for width in widths]
    for (W, b), name, got in zip(s.layers(s.theta), s.names, hs[1:], strict=True):
        h = naive.activation(name, naive.dense(h, W.tolist(), b.tolist()))
        np.testing.assert_allclose(got, h, rtol=0, atol=1e-14 * (1 + np.max(np.abs(h))))


@stacks
def test_das_are_the_derivatives_by_every_pre_activation(widths, B, seed):
    """A bias moves the pre-activation of every row; of one row alone, its derivative is that row of da."""
    s = Stack(widths, B, seed)
    das, _ = s.backward(s.forward())
    for row in range(B):
        one = Stack(widths, B, seed)
        one.x, one.dy = s.x[row:row + 1], s.dy[row:row + 1]
        hs = one.forward()
        _, grad = one.backward(hs)
        for i, (da, layer) in enumerate(zip(das[1:], one.layers(grad), strict=True)):
            largest = largest_entries(one, hs)[f"mlp.{i}.b"]
            np.testing.assert_allclose(da[row], layer.b, rtol=0, atol=1e-13 * largest)


@stacks
def test_buffers_are_reused_to_the_last_bit_and_nothing_given_is_changed(widths, B, seed):
    s, other = Stack(widths, B, seed), Stack(widths, B, seed + 1)
    hs = s.forward()
    das, grad = s.backward(hs)
    kept = [a.copy() for a in (s.theta, s.x, s.dy, *hs)]
    old_hs = other.forward()
    old_das, _ = other.backward(old_hs)
    new_hs = s.forward(out=old_hs)
    new_das, new_grad = s.backward(new_hs, out=old_das)
    assert all(new is old for new, old in zip([*new_hs[1:], *new_das[:-1]], [*old_hs[1:], *old_das[:-1]], strict=True))
    assert new_das[-1] is (s.dy if s.names[-1] == "identity" else old_das[-1])
    for got, want in zip([*new_hs, *new_das, new_grad], [*hs, *das, grad], strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip((s.theta, s.x, s.dy, *hs), kept, strict=True):
        np.testing.assert_array_equal(got, want)


@stacks
def test_dx_only_when_asked_for(widths, B, seed):
    s = Stack(widths, B, seed)
    hs = s.forward()
    (dx, *das), grad = s.backward(hs, need_dx=True)
    (nothing, *same), same_grad = s.backward(hs, need_dx=False)
    assert nothing is None and dx.shape == s.x.shape
    assert not np.isnan(grad).any()                                                     # overwritten, not added to
    for got, want in zip([same_grad, *same], [grad, *das], strict=True):
        np.testing.assert_array_equal(got, want)


@stacks
def test_float32_stays_float32_and_is_the_rounded_float64(widths, B, seed):
    single, double = Stack(widths, B, seed, np.float32), Stack(widths, B, seed)
    double.theta, double.x, double.dy = (a.astype(np.float64) for a in (single.theta, single.x, single.dy))
    hs = single.forward()
    das, grad = single.backward(hs)
    exact_das, exact = double.backward(double.forward())
    assert all(a.dtype == np.float32 for a in (*hs, *das, grad))
    worst = worst_error(single, hs, grad, das[0], exact, exact_das[0])
    assert worst <= 200 * np.finfo(np.float32).eps         # some ten roundings a layer and pass, and φ'' between them


def test_dx_is_asked_for_anew_when_buffers_are_reused():
    """What an earlier call was asked for decides nothing: dx is None, or this call's own."""
    rng = np.random.default_rng(5)
    layers = [(rng.normal(size=(3, 4)), rng.normal(size=4)), (rng.normal(size=(4, 2)), rng.normal(size=2))]
    grads = [(np.empty_like(W), np.empty_like(b)) for W, b in layers]
    hs = mlp_forward(layers, [ACTIVATIONS["tanh"]] * 2, rng.normal(size=(5, 3)))

    def backward(dy, need_dx, out=None):
        return mlp_backward(layers, [ACTIVATIONS["tanh"]] * 2, hs, dy, grads, need_dx, out=out)

    dy, other = rng.normal(size=(2, 5, 2))
    want = backward(dy, True)[0].copy()
    assert backward(dy, False, out=backward(other, True))[0] is None
    np.testing.assert_array_equal(backward(dy, True, out=backward(other, False))[0], want)
