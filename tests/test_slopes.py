"""The slope of a function of one variable, and whether its error bar is honest."""
import numpy as np
import pytest

from tinyvae.checks.slopes import complex_step, measured_slope, one_sided, ridders


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- Ridders: the slope, and whether its bar is honest ---------------------------------------------------------------

FUNCTIONS = {                                                                # f(t) = Σ a g(b t + c), with g and g'
    "sin": (np.sin, np.cos),
    "tanh": (np.tanh, lambda u: 1 - np.tanh(u) ** 2),
    "exp": (lambda u: np.exp(u / 8), lambda u: np.exp(u / 8) / 8),
    "logistic": (lambda u: np.logaddexp(0, u), lambda u: 1 / (1 + np.exp(-u))),
    "cauchy": (lambda u: 1 / (1 + u * u), lambda u: -2 * u / (1 + u * u) ** 2),
    "cubic": (lambda u: u**3 - u, lambda u: 3 * u * u - 1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_true_error_of_ridders_is_within_three_bars(name):
    g, dg = FUNCTIONS[name]
    ratios, sharp, generator = [], 0, rng(1)
    for _ in range(300):
        a = generator.normal(size=4) * 10 ** generator.uniform(-3, 6)
        b, c = generator.normal(size=4) * 10 ** generator.uniform(-1, 0.5), generator.normal(size=4)
        t = generator.normal() * generator.choice([0, 1, 30]) * (name != "cubic")
        u, du = b * t + c, a * dg(b * t + c)
        slope = ridders(lambda t: float(a @ g(b * t + c)), t, noise=2e-16 * np.abs(du * u).max())
        exact = float(du @ b)
        ratios.append(abs(slope.value - exact) / slope.bar)
        sharp += slope.bar < 1e-7 * np.abs(du * b).max() + 1e3 * slope.floor
    assert max(ratios) < 3 and np.quantile(ratios, 0.99) < 1.25 and np.median(ratios) > 0.05     # honest, and not huge
    assert sharp > 200


@pytest.mark.parametrize("f, t", [(lambda t: 5.0, 0.0), (lambda t: 0.0, 0.0), (lambda t: 3 * t, 0.0),
                                  (lambda t: t**3, 0.0), (lambda t: 3 * t, 7.0), (np.cos, 0.0), (lambda t: t * t, 1.0)])
def test_bar_is_never_zero(f, t):
    slope = ridders(f, t)
    assert slope.bar >= slope.floor > 0
    assert abs(slope.value - complex_step(lambda z: f(z) + 0j, t, 1.0)) <= 3 * slope.bar


def test_ridders_needs_at_most_19_evaluations():
    for f in (np.sin, np.abs, np.exp, lambda t: rng(abs(hash(t))).normal()):
        calls = []
        ridders(lambda t: calls.append(t) or f(t))
        assert len(calls) <= 19


def test_ridders_sees_the_even_kink_to_which_central_differences_are_blind():
    assert ridders(abs).value == 0 and ridders(abs).bar >= 1
    assert ridders(abs, h=1e-6).bar >= 1
    assert ridders(abs, 0.5, h=1e-3).bar < 1e-12


def test_ridders_passes_over_values_that_are_not_finite():
    slope = ridders(np.log, 0.1)                                             # log(0.1 - 1) is nan, without a warning
    assert abs(slope.value - 10) <= 3 * slope.bar and slope.bar < 1e-6
    assert ridders(lambda t: np.nan).bar == np.inf


# ---- the complex step ------------------------------------------------------------------------------------------------

def test_complex_step_is_exact_to_rounding():
    theta, v = rng(2).normal(size=(2, 6))
    exact = np.cos(theta) * np.exp(np.sin(theta)) @ v
    assert complex_step(lambda th: np.sum(np.exp(np.sin(th))), theta, v) == pytest.approx(exact, rel=1e-15)


def into_a_real_buffer(th):
    out = np.empty(th.size)
    out[:] = th
    return out.sum() + 0j


@pytest.mark.parametrize("f, error", [(lambda th: np.linalg.norm(th), TypeError), (lambda th: 3.0, TypeError),
                                      (into_a_real_buffer, np.exceptions.ComplexWarning)])
def test_complex_step_refuses_a_lost_imaginary_part(f, error):
    with pytest.raises(error):
        complex_step(f, np.ones(3), np.ones(3))


# ---- kinks -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("f, left, right", [
    (np.abs, -1, 1),
    (lambda t: max(t, 0.0), 0, 1),
    (lambda t: np.exp(t) + 0.1 * abs(np.sin(3 * t)), 0.7, 1.3),
    (lambda t: np.cos(t) if t < 0 else 1 + t**2 - 4 * t, 0, -4),
    (lambda t: abs(t) + 100 * max(t - 1e-3, 0.0), -1, 1),                    # another kink beside it
])
def test_one_sided_slopes_of_a_kink(f, left, right):
    for side, exact in ((-1, left), (1, right)):
        slope = one_sided(f, side)
        assert abs(slope.value - exact) <= 3 * slope.bar and slope.bar < 1e-8


def test_one_sided_slopes_of_a_smooth_function_are_its_slope():
    for side in (-1, 1):
        slope = one_sided(lambda t: np.sin(1 + 3 * t), side)
        assert abs(slope.value - 3 * np.cos(1)) <= 3 * slope.bar and slope.bar < 1e-7


def test_measured_slope_shortens_its_step_until_no_kink_is_in_reach():
    for kink in (0.3, 1e-3, 1e-5, 1e-7):
        slope = measured_slope(lambda t: np.sin(t) + abs(t - kink))
        assert abs(slope.value) <= 3 * slope.bar and slope.bar < 1e-5 / kink**0.5
