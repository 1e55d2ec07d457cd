"""The re-implemented rules hold to the steps and tolerances of their sources, and the campaign plants what it says."""
import numpy as np
import pytest

from tests.campaigns.detection import ERRORS, MOST_ENTRIES, RIGHT, Tally, planted
from tests.checkers import ENTRYWISE, KNOWN, RULES, inner, slope
from tinyvae import check_gradient

THETA = {"W": np.linspace(0.5, 1.5, 60).reshape(12, 5), "b": np.array([-0.3, 0.2, 0.7])}


def f(theta):
    return sum(np.sum(np.sin(block)) for block in theta.values())


def right(theta):
    return {name: np.cos(block) for name, block in theta.items()}


def counted(f):
    """f, and a list of the arguments that it was called with."""
    calls = []
    return lambda theta: calls.append(theta) or f(theta), calls


# ---- what every rule must do -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_right_is_accepted_and_the_opposite_is_not(rule, seed):
    before = {name: block.copy() for name, block in THETA.items()}
    assert rule(f, right, THETA, np.random.default_rng(seed)) is True
    assert rule(f, lambda th: {name: -g for name, g in right(th).items()}, THETA, np.random.default_rng(seed)) is False
    assert all(np.array_equal(THETA[name], before[name]) for name in THETA)


@pytest.mark.parametrize("name, expected", dict(zip(KNOWN, [4, 126, 4, 2, 40, 40, 126, 4], strict=True)).items())
def test_evaluations(name, expected):
    spy, calls = counted(f)
    assert RULES[name](spy, right, THETA, np.random.default_rng(0)) and len(calls) == expected


# ---- the steps and tolerances of the sources -------------------------------------------------------------------------


# Of f = 2θ with one θ: the step, and the largest error of the gradient. A direction is u = 1, or v with cotangent w.
SOURCES = {
    "torch fast":       lambda v, w: (1e-6, 1e-5 + 2e-3),
    "torch slow":       lambda v, w: (1e-6, 1e-5 + 2e-3),
    "jax":              lambda v, w: (1e-4 * v, 1e-5 * (1 / abs(w * v) + 2)),
    "autograd":         lambda v, w: (0.5e-6 * v, 1e-6 * max(1 / abs(w * v), 4)),
    "cs231n, 10, 1e-2": lambda v, w: (1e-5, 4e-2),
    "cs231n, 10, 1e-4": lambda v, w: (1e-5, 4e-4),
    "cs231n, all":      lambda v, w: (1e-5, 4e-5),
    "minitorch":        lambda v, w: (1e-6, 1e-2 + 2e-2),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", KNOWN)
def test_step_and_tolerance(name, seed):
    step, most = SOURCES[name](*np.random.default_rng(seed).standard_normal(2))
    spy, calls = counted(lambda theta: 2 * theta["a"][0])

    def accepts(error):
        return RULES[name](spy, lambda theta: {"a": np.array([2 + error])}, {"a": np.zeros(1)},
                           np.random.default_rng(seed))

    assert accepts(0.95 * most) and accepts(-0.95 * most) and not accepts(1.05 * most) and not accepts(-1.05 * most)
    assert np.ptp([theta["a"][0] for theta in calls]) == pytest.approx(2 * abs(step))


def test_tolerance_of_torch_grows_with_the_direction():
    """In one direction of n equal entries, √n atol: of a gradient of zero, 1e-5 √n is hidden."""
    n = 10_000
    theta = {"a": np.zeros(n)}

    def accepts(error):
        return RULES["torch fast"](lambda theta: 0.0, lambda theta: {"a": np.full(n, error)}, theta,
                                   np.random.default_rng(0))

    assert accepts(0.99e-5) and not accepts(1.01e-5)


def test_jax_takes_its_tolerance_from_the_dtype():
    v, w = np.random.default_rng(0).standard_normal(2)

    def accepts(share):
        error = share * 2e-3 * (1 / abs(w * v) + 2)
        return RULES["jax"](lambda theta: np.float32(2 * theta["a"][0]), lambda theta: {"a": np.array([2 + error])},
                            {"a": np.zeros(1)}, np.random.default_rng(0))

    assert accepts(0.95) and not accepts(1.05)


@pytest.mark.parametrize("again, same", [(1.0, True), (1.0001, False)])
def test_jax_evaluates_f_twice(again, same):
    values = iter([1.0, again, 0.0, 0.0])                                    # at θ, then for a slope of zero
    accepted = RULES["jax"](lambda theta: next(values), lambda theta: {"a": np.zeros(1)}, {"a": np.zeros(1)},
                            np.random.default_rng(0))
    assert accepted is same


# ---- what a rule cannot see ------------------------------------------------------------------------------------------


def one_wrong(theta):
    g = right(theta)
    g["W"][3, 3] += 1
    return g


def share_that_accepts(name, grad):
    return np.mean([RULES[name](f, grad, THETA, np.random.default_rng(seed)) for seed in range(200)])


@pytest.mark.parametrize("name, low, high", [
    ("minitorch", 0.94, 0.995),                                               # 59/60 = 0.983
    ("cs231n, 10, 1e-2", 0.73, 0.95),                                        # (59/60)^10 = 0.845
    ("torch fast", 0.0, 0.05), ("jax", 0.0, 0.0), ("autograd", 0.0, 0.0),
])
def test_a_wrong_entry_is_missed_where_it_is_not_drawn(name, low, high):
    assert low <= share_that_accepts(name, one_wrong) <= high


@pytest.mark.parametrize("name", ["tinyvae", *ENTRYWISE])
def test_a_wrong_entry_is_found(name):
    assert not RULES[name](f, one_wrong, THETA, np.random.default_rng(0))


@pytest.mark.parametrize("name", RULES)
def test_only_what_calls_the_gradient_twice_sees_that_it_drifts(name):
    """By a billionth at every call, in arrays that are used again."""
    kept, calls = right(THETA), []

    def drifting(theta):
        calls.append(theta)
        for block, g in right(theta).items():
            kept[block][:] = (1 + 1e-9 * len(calls)) * g
        return kept

    accepted = RULES[name](f, drifting, THETA, np.random.default_rng(0))
    assert accepted is not name.startswith(("tinyvae", "torch"))


# ---- the campaign's problems -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [family for family in RIGHT if family != "400k"])
def test_right_cases_are_right(family):
    f, right, theta = RIGHT[family](np.random.default_rng(4))
    n = sum(map(np.size, theta.values()))
    assert 8000 < n < 14000 if "10k" in family else n <= MOST_ENTRIES
    if family == "float32":
        assert f(theta).dtype == np.float32
        v = {name: np.ones(g.shape) for name, g in right(theta).items()}
        assert inner(right(theta), v) == pytest.approx(slope(f, theta, v, 1e-3), rel=1e-2)
    else:
        assert check_gradient(f, right, theta).ok


@pytest.mark.parametrize("error", ERRORS)
def test_planted_error(error):
    places, g = set(), right(THETA)
    for seed in range(200):
        grad, again = (planted(right, ERRORS[error], seed)(THETA) for _ in range(2))
        assert all(np.array_equal(grad[name], again[name]) for name in g)
        off = {name: grad[name] - g[name] for name in g if np.any(grad[name] != g[name])}
        (name, block), = off.items()                                         # one block alone
        places |= {(name, *place) for place in zip(*np.nonzero(block))}
        if error.startswith("block"):
            np.testing.assert_allclose(grad[name], {"block + 0.1 %": 1.001, "block × -1": -1}[error] * g[name])
        else:
            (place,) = zip(*np.nonzero(block))                               # one entry alone
            size = abs(g[name][place]) if error.endswith("entry") else np.sqrt(np.mean(g[name]**2))
            assert abs(block[place]) == pytest.approx(float(error.split()[0]) / 100 * size)
    assert len(places) == 3 if error == "block × -1" else len(places) > 55   # the smallest block; any entry


def test_tally_counts():
    tally = Tally()
    tally.add(("right", "here"), lambda: (f, right, THETA), 0)
    tally.add(("wrong", "here"), lambda: (f, lambda th: {name: -g for name, g in right(th).items()}, THETA), 0)
    for name in RULES:
        assert tally.percent(name, [("right", "here"), ("wrong", "here")], [("wrong", "here")], []) == "50 100 –"
    assert tally.evaluations("jax", ("right", "here")) == "4, 4" and tally.evaluations("jax", ("wrong", "here")) == "–"
