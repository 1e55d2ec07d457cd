"""The gradient checker accepts what is right, names the block that is wrong, and knows when it does not know."""
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.test_slopes import into_a_real_buffer, rng
from tinyvae.checks import check_gradient
from tinyvae.checks.slopes import BARS, ridders

# ---- models under test: plain numpy, as a student writes them --------------------------------------------------------

SOFTPLUS = (lambda a: np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a))), lambda a: 1 / (1 + np.exp(-a)))
ACTIVATIONS = {
    "tanh": (np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "sin": (np.sin, np.cos),
    "relu": (lambda a: np.maximum(a, 0), lambda a: (a.real > 0).astype(float)),
    "softplus": SOFTPLUS,                                                    # by abs: not complex-safe
}


class Network:
    """One hidden layer and a loss that is a mean over B rows; `spoil` is what the student gets wrong."""

    def __init__(self, rng, activation="tanh", loss="squared", B=8, D=4, H=5, O=3, scale=1.0, spoil=None):
        self.phi, self.dphi = ACTIVATIONS[activation]
        self.x, self.y, self.label = rng.normal(size=(B, D)), rng.normal(size=(B, O)), rng.integers(0, O, B)
        self.loss, self.spoil = loss, spoil or (lambda G: None)
        self.theta = {name: scale * rng.normal(size=shape)
                      for name, shape in {"W1": (D, H), "b1": H, "W2": (H, O), "b2": O}.items()}

    def forward(self, P):
        a = self.x @ P["W1"] + P["b1"]
        return a, self.phi(a) @ P["W2"] + P["b2"]

    def f(self, P):
        _, out = self.forward(P)
        if self.loss == "squared":
            return np.sum((out - self.y) ** 2) / 2 / len(out)
        shift = out.real.max(axis=1)
        return np.mean(shift + np.log(np.exp(out - shift[:, None]).sum(axis=1)) - out[np.arange(len(out)), self.label])

    def grad(self, P):
        a, out = self.forward(P)
        if self.loss == "squared":
            d_out = (out - self.y) / len(out)
        else:
            d_out = np.exp(out - out.max(axis=1, keepdims=True))
            d_out /= d_out.sum(axis=1, keepdims=True)
            d_out[np.arange(len(out)), self.label] -= 1
            d_out /= len(out)
        da = d_out @ P["W2"].T * self.dphi(a)
        G = {"W1": self.x.T @ da, "b1": da.sum(axis=0), "W2": self.phi(a).T @ d_out, "b2": d_out.sum(axis=0)}
        self.spoil(G)
        return G

    def check(self, **options):
        return check_gradient(self.f, self.grad, self.theta, **options)


def blamed(report):
    return [finding.block for finding in report.findings]


# ---- correct gradients are accepted ----------------------------------------------------------------------------------

A = rng(3).normal(size=(6, 6))
MIXED = np.array([1e3, 1e-3, -2e3, 3e-3, 0.5, 1e3])
RIGHT = {
    "quadratic": (lambda t: t @ A @ t / 2, lambda t: (A + A.T) @ t / 2, MIXED / 1e3),
    "linear": (lambda t: A[0] @ t, lambda t: A[0], MIXED),
    "linear at 0": (lambda t: A[0] @ t, lambda t: A[0], np.zeros(6)),
    "constant": (lambda t: 5.0, np.zeros_like, MIXED),
    "constantly 0": (lambda t: 0.0, np.zeros_like, MIXED),
    "minimum, f = 0": (lambda t: np.sum(1 - np.cos(t)), np.sin, np.zeros(6)),
    "values 1e8": (lambda t: 1e8 * np.sum(np.sin(t)), lambda t: 1e8 * np.cos(t), np.arange(6.0)),
    "offset 1e8": (lambda t: 1e8 + np.sum(np.sin(t)), np.cos, np.arange(6.0)),
    "gradients 1e-6": (lambda t: 1e-6 * np.sum(np.tanh(t)), lambda t: 1e-6 * (1 - np.tanh(t) ** 2), np.arange(6.0) / 3),
    "lost in rounding": (lambda t: 1e8 + 1e-6 * np.sum(np.sin(t)), lambda t: 1e-6 * np.cos(t), np.arange(6.0)),
    "mixed entries": (lambda t: np.sum(np.sin(t)), np.cos, MIXED),
    "mixed logarithms": (lambda t: np.sum(np.log(np.sqrt(t * t))), lambda t: 1 / t, MIXED),
    "steep beside flat": (lambda t: np.sum(np.sin(t / MIXED)), lambda t: np.cos(t / MIXED) / MIXED, MIXED),
    "edge of the domain": (lambda t: np.sum(np.sqrt(t)), lambda t: 0.5 / np.sqrt(t), np.array([1e-5, 1.0])),
    "integers": (lambda t: float(t @ t), lambda t: 2 * t, [1, 2, 3]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_correct_gradient_is_accepted(name):
    for seed in range(5):
        report = check_gradient(*RIGHT[name], rng=seed)
        assert report.ok, report


WITHOUT_A_SLOPE = "constant", "constantly 0", "minimum, f = 0", "lost in rounding"


@pytest.mark.parametrize("name", [name for name in RIGHT if name not in WITHOUT_A_SLOPE])
def test_and_the_same_gradient_with_another_sign_is_not(name):
    f, grad, theta = RIGHT[name]
    assert blamed(check_gradient(f, lambda t: -grad(t), theta)) == ["theta"]


def random_network(seed):
    generator = rng([seed, 5])
    return Network(generator, generator.choice(list(ACTIVATIONS)), generator.choice(["squared", "softmax"]),
                   *generator.integers(1, (20, 12, 12, 6)), scale=10 ** generator.uniform(-1.5, 0.3))


def test_no_false_alarm_in_200_random_models_and_no_miss_among_their_mistakes():
    evaluations, missed = [], 0
    for seed in range(200):
        network = random_network(seed)
        report = network.check(rng=seed)
        assert report.ok, report
        evaluations += [block.n_evaluations for block in report.blocks]
        name, entry = rng(seed).choice(["W1", "b1", "W2", "b2"]), rng(seed).integers(10**6)
        G = network.grad(network.theta)
        if np.abs(G[name]).max() > 1e-8:
            network.spoil = lambda G: G[name].flat.__setitem__(entry % G[name].size, 0.01 * np.abs(G[name]).max()
                                                               + G[name].flat[entry % G[name].size])
            missed += blamed(network.check(rng=seed)) != [name]
    assert missed == 0
    assert np.mean(evaluations) < 20 and np.median(evaluations) <= 20 and max(evaluations) <= 77


def test_relu_beside_its_kinks_is_accepted():
    x = np.array([1e-3, -2e-5, 0.3, -4.0, 1e-7, 2.0])                        # the nearest kink is 1e-7 away
    report = check_gradient(lambda t: np.sum(np.maximum(t, 0) * A[0]), lambda t: (t > 0) * A[0], x)
    assert report.ok and report.blocks[0].n_evaluations > 20, report


def test_large_entries_are_accepted_though_theta_plus_step_is_rounded():
    for t in 10 ** np.linspace(2, 8, 300):
        slope = ridders(np.sin, t)
        assert abs(slope.value - np.cos(t)) <= 3 * slope.bar
    for seed in range(100):
        report = check_gradient(lambda t: np.sum(np.sin(t)), np.cos, 1e5 * rng(seed).normal(size=3), rng=seed)
        assert report.ok, report


@pytest.mark.parametrize("logit, verdict", [(16, "ok"), (30, "undecided"), (45, "ok")])
def test_grain_of_f_is_not_taken_for_a_slope(logit, verdict):
    """A saturated softmax: f is tiny, but a difference of terms of this size, so that it moves in grains of 4e-15."""
    def f(t): return t.max() + np.log(np.sum(np.exp(t - t.max()))) - t[0]
    def grad(t): return np.exp(t - t.max()) / np.sum(np.exp(t - t.max())) - np.eye(len(t))[0]
    for seed in range(50):
        report = check_gradient(f, grad, np.array([logit + seed / 100, 2.0, 0.0, -1.0]), rng=seed)
        assert report.blocks[0].verdict == verdict, report


@pytest.mark.parametrize("bias", [-1.0, -4.0, -30.0])
def test_dead_units_are_accepted(bias):
    network = Network(rng(6), "relu", B=2, D=1, H=1)                         # f moves only a few steps away, if at all
    network.theta["b1"][:] = bias
    report = network.check()
    assert report.ok and not report.blocks[0].analytic and not report.blocks[0].numeric, report


# ---- wrong gradients are rejected, and the right block is named ------------------------------------------------------

def sign(G): G["b1"] *= -1
def twice(G): G["W1"] *= 2
def without_mean(G): G["W2"] *= 8                                            # B = 8
def transposed(G): G["W1"] = np.ascontiguousarray(G["W1"].T)                 # W1 is square here
def shrunk(G): G["b2"] *= 0.3
def zero(G): G["W2"] *= 0
def swapped_entries(G): G["b1"][:2] = G["b1"][1::-1]                         # a direction of ones does not see it
def slightly(G): G["b2"][1] *= 1 + 1e-8


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus"])
@pytest.mark.parametrize("spoil, block", [(sign, "b1"), (twice, "W1"), (without_mean, "W2"), (transposed, "W1"),
                                          (zero, "W2"), (shrunk, "b2"), (swapped_entries, "b1"), (slightly, "b2")])
def test_mistake_is_found_in_its_block(spoil, block, activation):
    report = Network(rng(7), activation, H=4, spoil=spoil).check()
    assert not report.ok and blamed(report) == [block], report
    (finding,) = report.findings
    assert finding.verdict == "wrong" and abs(finding.analytic - finding.numeric) > BARS * finding.bar > 0
    assert [row.verdict for row in report.blocks if row.block != block] == ["ok"] * 3


def test_bias_that_takes_one_row_for_the_sum_over_the_batch():
    network = Network(rng(8))
    network.grad = lambda P, grad=network.grad: grad(P) | {"b2": (network.forward(P)[1] - network.y)[0] / 8}
    assert blamed(network.check()) == ["b2"]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_one_entry_of_ten_thousand_off_by_one_percent(activation):
    for seed in range(2):
        network = Network(rng([9, seed]), activation, "softmax", B=30, D=100, H=100, scale=0.1)
        assert network.check().ok
        G = np.abs(network.grad(network.theta)["W1"])
        entry = np.flatnonzero(G > np.median(G))[17 * seed]
        network.spoil = lambda G: G["W1"].flat.__setitem__(entry, 1.01 * G["W1"].flat[entry])
        assert blamed(network.check()) == ["W1"]


def test_acceptance_is_ten_bars():
    f, grad = UNSAFE["norm beside the rest"]                                 # not complex-safe: Ridders decides alone
    theta = rng(19).normal(size=5)
    row = check_gradient(f, grad, theta).blocks[0]
    by_bars = lambda n: lambda t: grad(t) * (1 + n * row.bar / row.analytic)
    assert check_gradient(f, by_bars(5), theta).ok and check_gradient(f, by_bars(-5), theta).ok
    assert not check_gradient(f, by_bars(20), theta).ok and not check_gradient(f, by_bars(-20), theta).ok


def test_gradient_where_there_is_none():
    assert blamed(check_gradient(lambda t: 5.0, lambda t: 0 * t + 1e-9, np.ones(3))) == ["theta"]
    assert blamed(check_gradient(lambda t: 0.0, lambda t: 0 * t + 1e-9, np.ones(3))) == ["theta"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(exponent=st.integers(-12, 12), offset=st.sampled_from([0.0, 1.0, -1e3]), factor=st.floats(-3, 3),
       n=st.integers(1, 40), seed=st.integers(0, 1000))
@example(exponent=-12, offset=0.0, factor=0.0, n=1, seed=0)
def test_scale_of_f_does_not_matter(exponent, offset, factor, n, seed):
    """f = 10^k (offset + Σ sin): accepted at every scale, and rejected with any factor but 1."""
    theta, scale = rng(seed).normal(size=n), 10.0**exponent
    f = lambda t: scale * (offset + np.sum(np.sin(t)))
    assert check_gradient(f, lambda t: scale * np.cos(t), theta, rng=seed).ok
    if abs(factor - 1) > 1e-3:
        assert not check_gradient(f, lambda t: factor * scale * np.cos(t), theta, rng=seed).ok


# ---- what cannot be decided, and what is wrong with f and grad themselves --------------------------------------------

def hinge(t): return np.maximum(t, 0).sum()
def hinge_slope(t): return (t > 0) * 1.0


@pytest.mark.parametrize("f, grad, theta, left, right", [
    (lambda t: np.abs(t).sum(), np.sign, [0.0], -1, 1),                      # sign(0) = 0: what central differences see
    (hinge, hinge_slope, [0.0], 0, 1),
    (lambda t: np.linalg.norm(t), lambda t: t / (np.linalg.norm(t) or 1), [0.0, 0.0], -1, 1),
])
def test_at_a_kink_both_slopes_are_told_and_a_point_nearby_is_checked(f, grad, theta, left, right):
    for seed in range(5):
        report = check_gradient(f, grad, theta, rng=seed)
        (row,) = report.blocks
        assert report.ok and sorted(np.abs(row.kink)) == pytest.approx(sorted(np.abs([left, right]))), report
        assert "kink at theta" in str(report) and row.n_evaluations <= 200
        wrong = check_gradient(f, lambda t: grad(t) + 0.01, theta, rng=seed)
        assert not wrong.ok


def test_a_kink_of_one_entry_among_others():
    report = check_gradient(lambda t: np.abs(t).sum(), np.sign, [0.0, 1.0, 2.0])
    (left, right) = report.blocks[0].kink
    assert report.ok and left != right
    assert check_gradient(hinge, hinge_slope, rng(1).normal(size=20)).blocks[0].kink == ()


@pytest.mark.parametrize("seed", [19, 69, 88, 160])
def test_a_weak_kink_whose_bar_is_small_by_luck_raises_no_alarm(seed):
    """A blank row and zero biases: every unit is at its kink, but the row has next to no weight in the loss."""
    generator = rng([seed, 77])
    network = Network(generator, "relu", generator.choice(["squared", "softmax"]), *generator.integers(2, (9, 5, 9, 4)))
    network.x[0], network.theta["b1"][:] = 0, 0
    network.y[0] = network.forward(network.theta)[1][0] + 1e-3 * generator.normal(size=network.y.shape[1])
    report = network.check(rng=seed)
    assert report.ok and report.blocks[1].kink, report


def test_noise_is_not_decided():
    f = lambda t: t @ t + 1e-3 * rng(int(1e9 * t[0]) % 10**6).normal()
    report = check_gradient(f, lambda t: 2 * t, [1.0, 2.0])
    (finding,) = report.findings
    assert finding.verdict == "undecided" and "kink or noise" in finding.message and finding.bar > 1e-4, report
    assert finding.kink == () and report.blocks[0].n_evaluations <= 700


def test_staircase_has_slope_zero_however_it_looks_from_afar():
    staircase = lambda t: np.round(t.sum(), 2)
    assert check_gradient(staircase, np.zeros_like, [1.0, 2.0]).ok
    assert not check_gradient(staircase, np.ones_like, [1.0, 2.0]).ok


def test_random_f_and_random_grad():
    generator = rng()
    report = check_gradient(lambda t: t @ t + generator.normal(), lambda t: 2 * t, np.ones(3))
    assert not report.ok and not report.blocks and "f is random" in report.findings[0].message
    report = check_gradient(lambda t: t @ t, lambda t: 2 * t + generator.normal(size=3), np.ones(3))
    assert not report.ok and "grad is random" in report.findings[0].message


def test_grad_that_adds_into_its_buffer_without_clearing_it():
    G = np.zeros(3)
    def grad(t):
        G[:] += 2 * t
        return G
    report = check_gradient(lambda t: t @ t, grad, np.ones(3))
    assert not report.ok and "grad" in report.findings[0].message and "set to 0" in report.findings[0].message


def test_grad_may_hand_out_the_same_buffer_every_time():
    G = np.zeros(3)
    assert check_gradient(lambda t: t @ t, lambda t: np.multiply(2, t, out=G), np.ones(3)).ok


def test_mutating_f_and_mutating_grad_are_told_apart_and_theta_survives():
    theta = np.arange(1.0, 4)
    def f(t):
        value = t @ t
        t *= 2
        return value
    def grad(t):
        t *= 2
        return t
    for functions, name in (((f, lambda t: 2 * t), "f"), ((lambda t: t @ t, grad), "grad")):
        report = check_gradient(*functions, theta)
        assert [finding.message.split()[0] for finding in report.findings] == [name], report
        assert "in place" in report.findings[0].message and report.blocks[0].verdict == "ok"
    network = Network(rng(10))
    network.f = lambda P, f=network.f: (f(P), P["b1"].fill(0))[0]
    before = {name: array.copy() for name, array in network.theta.items()}
    assert "f changes" in str(network.check())
    assert all(np.array_equal(network.theta[name], before[name]) for name in before)
    assert np.array_equal(theta, [1, 2, 3])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gradient_that_is_not_finite_is_a_finding_about_its_block(bad):
    def spoil(G): G["W2"][1, 1] = bad
    report = Network(rng(11), spoil=spoil).check()
    assert blamed(report) == ["W2"] and "1 entries" in report.findings[0].message, report
    assert [row.verdict for row in report.blocks] == ["ok", "ok", "not finite", "ok"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_f_that_is_not_finite_at_theta(bad):
    report = check_gradient(lambda t: bad, np.zeros_like, np.ones(3))
    assert not report.ok and "nothing to compare" in str(report)


# ---- the complex step is believed only where it is proved ------------------------------------------------------------

def real_buffer(t):
    out = np.empty(t.shape)
    np.multiply(t, t, out=out)
    return out.sum()


UNSAFE = {
    "abs": (lambda t: np.sum(np.abs(t) ** 3), lambda t: 3 * t * np.abs(t)),
    "abs beside the rest": (lambda t: np.sum(t * t) + 0.1 * np.sum(np.abs(t)), lambda t: 2 * t + 0.1 * np.sign(t)),
    "norm": (np.linalg.norm, lambda t: t / np.linalg.norm(t)),
    "norm beside the rest": (lambda t: np.sum(t * t) + np.linalg.norm(t), lambda t: 2 * t + t / np.linalg.norm(t)),
    "conj": (lambda t: np.sum(t * t.conj()), lambda t: 2 * t),
    "vdot": (lambda t: np.vdot(t, t), lambda t: 2 * t),
    "real out=": (real_buffer, lambda t: 2 * t),
    "assignment": (lambda t: into_a_real_buffer(t * t).real, lambda t: 2 * t),
    "logaddexp": (lambda t: np.sum(np.logaddexp(0, t)), lambda t: 1 / (1 + np.exp(-t))),
    "float()": (lambda t: float(t @ t), lambda t: 2 * t),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_path_is_recognised_and_still_checked(name, recwarn):
    (f, grad), theta = UNSAFE[name], rng(12).normal(size=7) + 3
    (row,) = check_gradient(f, grad, theta).blocks
    assert row.verdict == "ok" and np.isnan(row.complex_step) and row.error <= BARS * row.bar
    report = check_gradient(f, lambda t: grad(t) * 1.0001, theta)
    assert blamed(report) == ["theta"] and "Complex step" not in str(report)
    assert not recwarn


def test_blurred_bar_proves_no_complex_step():
    f = lambda t: 1e8 + 1e-6 * (np.sum(np.abs(t)) + 0 * t.sum())            # complex step: 0, without a word
    for seed in range(20):
        report = check_gradient(f, lambda t: 1e-6 * np.sign(t), rng(seed).normal(size=4) + 5, rng=seed)
        assert report.ok and np.isnan(report.blocks[0].complex_step), report


def test_safe_path_agrees_to_a_few_roundings():
    for row in Network(rng(13), "tanh", "softmax").check().blocks:
        assert row.complex_error < 1e-15 and row.complex_step == pytest.approx(row.analytic, abs=1e-14)


def test_complex_step_sees_what_a_near_kink_hides_from_ridders():
    x = np.array([1e-5, 0.5, -0.7])                                          # kink at 1e-5: Ridders' bar is not tiny
    f = lambda t: 30 + np.sum(np.where(t.real > 0, t, 0) ** 1)
    right = lambda t: (t > 0) * 1.0
    sharp = check_gradient(f, right, x).blocks[0]
    assert sharp.verdict == "ok" and sharp.bar > 1e-11 and sharp.complex_error < 1e-15
    report = check_gradient(f, lambda t: right(t) * (1 + 4 * sharp.bar / abs(sharp.analytic)), x)
    assert report.blocks[0].error < BARS * report.blocks[0].bar
    assert blamed(report) == ["theta"] and "complex step" in report.findings[0].message
