"""Optimisers: ten steps against the papers' loops, many against closed forms that take no step; what is refused."""
import copy
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import naive
from tinyvae.optim import OPTIMIZERS, SGD, Adam, Momentum, Nesterov, RMSProp, make_optimizer

# ---- the table for test_ops.py: arguments of each compiled update ----------------------------------------------------
# (arguments, {position of what is overwritten: (what the oracle writes there, the size of what is summed)})


def _vectors(rng, n, dtype, count):
    """Random vectors; the last is positive, as a mean square is."""
    vectors = (rng.choice([1e-3, 1, 30], size=(count, n)) * rng.normal(size=(count, n))).astype(dtype)
    return *vectors[:-1], vectors[-1]**2


def _one_by_one(step, *vectors):
    """The oracle's step of every number, as lists: the new theta, …"""
    return [list(column) for column in zip(*(step(*numbers) for numbers in zip(*(v.tolist() for v in vectors))))]


def _momentum_twin(rng, B, n, dtype):
    theta, grad, velocity = _vectors(rng, n, dtype, 3)
    hyper = 0.03, float(rng.choice([0.0, 0.9, 0.99])), bool(rng.integers(2))
    new_theta, new_velocity = _one_by_one(lambda *numbers: naive.momentum(*numbers, *hyper), theta, grad, velocity)
    moved = np.abs(velocity) + np.abs(grad)
    return (theta, grad, velocity, *hyper), {0: (new_theta, np.abs(theta) + 0.06 * moved), 2: (new_velocity, moved)}


def _rmsprop_twin(rng, B, n, dtype):
    theta, grad, v = _vectors(rng, n, dtype, 3)
    hyper = 0.03, float(rng.choice([0.0, 0.9, 0.99])), 1e-8
    new_theta, new_v = _one_by_one(lambda *numbers: naive.rmsprop(*numbers, *hyper), theta, grad, v)
    return (theta, grad, v, *hyper), {0: (new_theta, np.abs(theta) + np.abs(new_theta)), 2: (new_v, np.abs(new_v))}


def _adam_twin(rng, B, n, dtype):
    theta, grad, m, v = _vectors(rng, n, dtype, 4)
    v *= rng.choice([0, 1])                                                               # 0: as in the first step
    # 1 − βᵗ magnifies the last digits of βᵗ, where two ways to a power differ, but not for these t. Ten steps, below,
    # take others.
    t, beta1, beta2 = int(rng.choice([1, 2, 5000])), float(rng.choice([0.0, 0.9])), float(rng.choice([0.9, 0.999]))
    hyper = t, 0.03, beta1, beta2, 1e-8
    new_theta, new_m, new_v = _one_by_one(lambda *numbers: naive.adam(*numbers, *hyper), theta, grad, m, v)
    sum_of_m = beta1 * np.abs(m) + (1 - beta1) * np.abs(grad)                # m itself may cancel, and θ's step with it
    step = 0.03 * sum_of_m / (1 - beta1**t) / (np.sqrt(np.array(new_v) / (1 - beta2**t)) + 1e-8)
    written = {0: (new_theta, np.abs(theta) + step), 2: (new_m, sum_of_m), 3: (new_v, np.abs(new_v))}
    return (theta, grad, m, v, *hyper), written


TWINS = {"momentum": _momentum_twin, "rmsprop": _rmsprop_twin, "adam": _adam_twin}

# ---- ten steps against the oracle ------------------------------------------------------------------------------------
# No hyperparameter at its default: a default that is hard-wired would pass.

MADE = {"sgd": SGD(0.3), "momentum": Momentum(0.02, beta=0.8), "nesterov": Nesterov(0.02, beta=0.8),
        "rmsprop": RMSProp(0.01, decay=0.7, eps=1e-3), "adam": Adam(0.01, beta1=0.6, beta2=0.95, eps=1e-3)}
over_optimizers = pytest.mark.parametrize("name", MADE)


def naive_steps(name, theta, grads):
    """θ after a step for every entry of grads, one number."""
    memory = {"sgd": (), "momentum": (0.0,), "nesterov": (0.0,), "rmsprop": (0.0,), "adam": (0.0, 0.0)}[name]
    for t, grad in enumerate(grads, start=1):
        if name == "sgd":
            theta = naive.sgd(theta, grad, 0.3)
        elif name == "rmsprop":
            theta, *memory = naive.rmsprop(theta, grad, *memory, 0.01, 0.7, 1e-3)
        elif name == "adam":
            theta, *memory = naive.adam(theta, grad, *memory, t, 0.01, 0.6, 0.95, 1e-3)
        else:
            theta, *memory = naive.momentum(theta, grad, *memory, 0.02, 0.8, name == "nesterov")
    return theta


def run(optimizer, theta, grads):
    """(θ, state) after a step for every row of grads."""
    theta, state = theta.copy(), optimizer.start(theta)
    for grad in grads:
        optimizer.update(theta, grad, state)
    return theta, state


@over_optimizers
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(n=st.integers(1, 40), scale=st.sampled_from([1e-3, 1.0, 30.0]), seed=st.integers(0, 2**32 - 1))
def test_ten_steps_are_the_papers(name, dtype, n, scale, seed):
    rng = np.random.default_rng(seed)
    theta, grads = rng.normal(size=n).astype(dtype), (scale * rng.normal(size=(10, n))).astype(dtype)
    before = grads.copy()
    got, state = run(MADE[name], theta, grads)
    want = [naive_steps(name, *numbers) for numbers in zip(theta.tolist(), grads.T.tolist())]
    # ten steps of some ten roundings each, relative to the longest way that θ may have gone
    np.testing.assert_allclose(got, want, rtol=0, atol=100 * np.finfo(dtype).eps * (1 + np.max(np.abs(want)) + scale))
    np.testing.assert_array_equal(grads, before)
    assert {a.dtype for a in (got, *state.values()) if isinstance(a, np.ndarray)} == {np.dtype(dtype)}


def test_float32_survives_a_double_learning_rate():
    """A NumPy float64 scalar is a strong type: one in a formula would make everything beside it double."""
    for kind in OPTIMIZERS.values():
        theta, state = run(kind(np.float64(0.1)), np.ones(3, np.float32), np.ones((2, 3), np.float32))
        assert {a.dtype for a in (theta, *state.values()) if isinstance(a, np.ndarray)} == {np.dtype(np.float32)}


# ---- closed forms ----------------------------------------------------------------------------------------------------
# The loss ½ c θ² has the gradient c θ; with θ₀ and θ₁ known, two characteristic roots give every θ_n.

def descend(optimizer, curvature, theta, n_steps):
    theta, state = np.array(theta, float), optimizer.start(np.array(theta, float))
    for _ in range(n_steps):
        optimizer.update(theta, curvature * theta, state)
    return theta


def by_roots(trace, determinant, theta_0, theta_1, n):
    """θ_n of θ_{n+1} = trace θ_n − determinant θ_{n−1}."""
    r, s = np.roots([1, -trace, determinant]).astype(complex)
    a = (theta_1 - s * theta_0) / (r - s)
    return np.real(a * r**n + (theta_0 - a) * s**n)


@pytest.mark.parametrize("n", [1, 2, 25])
@pytest.mark.parametrize("rate, c, beta", list(itertools.product([0.05, 0.3], [0.4, 2.0], [0.5, 0.9])))
def test_closed_forms_on_a_quadratic(n, rate, c, beta):
    def after(optimizer):
        return descend(optimizer, c, [1.5], n).item()

    assert after(SGD(rate)) == pytest.approx((1 - rate * c)**n * 1.5, abs=1e-13)
    first = 1.5 * (1 - rate * c)
    assert after(Momentum(rate, beta)) == pytest.approx(by_roots(1 + beta - rate * c, beta, 1.5, first, n), abs=1e-12)
    first = 1.5 * (1 - rate * c * (1 + beta))
    trace, determinant = (1 + beta) * (1 - rate * c), beta * (1 - rate * c)
    assert after(Nesterov(rate, beta)) == pytest.approx(by_roots(trace, determinant, 1.5, first, n), abs=1e-12)


def test_nesterov_is_the_gradient_at_the_point_ahead():
    """Sutskever et al. (2013): v ← β v − η ∇f(θ + β v), θ ← θ + v. The library's vector is the point ahead, θ + β v."""
    rate, beta, theta, v = 0.1, 0.8, 2.0, 0.0
    for _ in range(20):
        v = beta * v - rate * np.sin(theta + beta * v)
        theta = theta + v
    ahead = np.array([2.0])
    state = Nesterov(rate, beta).start(ahead)
    for _ in range(20):
        Nesterov(rate, beta).update(ahead, np.sin(ahead), state)
    assert ahead[0] == pytest.approx(theta + beta * v, abs=1e-14)


@given(g=st.floats(1e-3, 1e3), beta1=st.floats(0, 0.99), beta2=st.floats(0, 0.9999))
def test_adam_on_a_constant_gradient_moves_by_its_rate(g, beta1, beta2):
    """m̂ = g and v̂ = g² at every step: what bias correction is for. 1 − βᵗ magnifies rounding by up to 1 / (1 − β)."""
    theta, _ = run(Adam(0.01, beta1, beta2), np.zeros(2), np.tile([g, -g], (10, 1)))
    rounding = 1e-15 * (10 + 1 / (1 - beta1) + 1 / (1 - beta2))
    np.testing.assert_allclose(theta, [-0.1 * g / (g + 1e-8), 0.1 * g / (g + 1e-8)], rtol=rounding)


@given(g=st.floats(1e-3, 1e3), decay=st.floats(0, 0.999))
def test_rmsprop_on_a_constant_gradient(g, decay):
    """v_n = (1 − ρⁿ) g²."""
    theta, _ = run(RMSProp(0.01, decay), np.zeros(1), np.full((10, 1), g))
    want = -0.01 * sum(g / (g * np.sqrt(1 - decay**n) + 1e-8) for n in range(1, 11))
    assert theta[0] == pytest.approx(want, rel=1e-15 * (10 + 1 / (1 - decay)))


@over_optimizers
def test_a_convex_quadratic_is_minimised(name):
    """Curvatures from 0.5 to 2. A step of RMSProp or Adam is about its rate, however small the gradient is."""
    theta = descend(MADE[name], np.array([0.5, 1.0, 2.0]), [1.0, -2.0, 3.0], 2000)
    assert np.max(np.abs(theta)) < (0.01 if name in ("rmsprop", "adam") else 1e-6)


# ---- state, refusals, names ------------------------------------------------------------------------------------------

@over_optimizers
def test_state_is_all_that_is_remembered_and_is_not_shared(name):
    rng = np.random.default_rng(5)
    theta, grads = rng.normal(size=6), rng.normal(size=(10, 6))
    want, _ = run(MADE[name], theta, grads)
    half, state = run(MADE[name], theta, grads[:5])
    kept = copy.deepcopy(state)
    run(MADE[name], theta, grads)                                                       # another run of the same object
    np.testing.assert_equal(state, kept)
    for grad in grads[5:]:
        copy.copy(MADE[name]).update(half, grad, state)
    np.testing.assert_array_equal(half, want)
    with pytest.raises(AttributeError):
        MADE[name].learning_rate = 1.0


BAD = {"learning_rate": [0, -0.1, np.nan, np.inf, 2e6, "0.1", None, True, 1j], "beta": [-0.1, 1, 1.5, np.nan, "0.9"],
       "beta1": [-0.1, 1, None], "beta2": [-1e-9, 1.0, np.inf], "decay": [-0.5, 1, True],
       "eps": [0, -1e-8, np.nan, "tiny"]}


@pytest.mark.parametrize("kind", list(OPTIMIZERS.values()))
def test_bad_hyperparameters_are_refused_by_name(kind):
    names = [name for name in BAD if name in kind.__dataclass_fields__]
    assert len(names) == sum(field.init for field in kind.__dataclass_fields__.values())
    for name, value in [(name, value) for name in names for value in BAD[name]]:
        with pytest.raises((ValueError, TypeError), match=rf"{name} must be .*got"):
            kind(**{name: value})


def test_make_optimizer():
    assert all(make_optimizer(name) == kind() for name, kind in OPTIMIZERS.items())
    assert make_optimizer("adam", 0.5) == Adam(0.5) and make_optimizer("nesterov", 0.5) == Nesterov(0.5)
    assert make_optimizer(MADE["adam"]) is MADE["adam"]
    assert Nesterov().nesterov and not Momentum().nesterov
    with pytest.raises(ValueError, match="learning_rate must be None"):
        make_optimizer(SGD(), 0.1)
    with pytest.raises(ValueError, match="optimizer must be one of 'sgd', .*got 'adagrad'"):
        make_optimizer("adagrad")
    with pytest.raises(ValueError, match="optimizer must be one of"):
        make_optimizer(Adam)
