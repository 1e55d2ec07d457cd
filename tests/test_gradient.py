"""The gradient checker accepts what is right, names the block that is wrong, and knows when it does not know."""
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinyvae.checks import check_gradient
from tinyvae.checks.gradient import BARS, GradientReport, complex_step, ridders

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


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- Ridders: the slope, and whether its bar is honest ---------------------------------------------------------------

FUNCTIONS = {                                                                # f(t) = Σ a g(b t + c), with g and g'
    "sin": (np.sin, np.cos),
    "tanh": ACTIVATIONS["tanh"],
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

@pytest.mark.parametrize("f, grad, theta", [
    (lambda t: np.abs(t).sum(), np.sign, [0.0]),                             # sign(0) = 0: what central differences see
    (lambda t: np.abs(t).sum(), np.sign, [0.0, 1.0, 2.0]),
    (lambda t: np.maximum(t, 0).sum(), lambda t: (t > 0) * 1.0, [0.0]),
    (lambda t: np.linalg.norm(t), lambda t: 0 * t, [0.0, 0.0]),
    (lambda t: t @ t + 1e-3 * rng(int(1e9 * t[0]) % 10**6).normal(), lambda t: 2 * t, [1.0, 2.0]),
])
def test_kink_or_noise_is_not_decided(f, grad, theta):
    report = check_gradient(f, grad, theta)
    (finding,) = report.findings
    assert finding.verdict == "undecided" and "kink or noise" in finding.message and finding.bar > 1e-4, report
    assert 20 < report.blocks[0].n_evaluations <= 77


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
    assert not report.ok and "grad" in report.findings[0].message and "clear" in report.findings[0].message


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


# ---- forms, directions, reports --------------------------------------------------------------------------------------

def flat(network):
    theta = np.concatenate([array.ravel() for array in network.theta.values()])
    blocks, start = {}, 0
    for name, array in network.theta.items():
        blocks[name], start = slice(start, start + array.size), start + array.size
    unpack = lambda th: {name: th[where].reshape(network.theta[name].shape) for name, where in blocks.items()}
    return (lambda th: network.f(unpack(th)),
            lambda th: np.concatenate([g.ravel() for g in network.grad(unpack(th)).values()]), theta, blocks)


def test_flat_vector_and_dict_give_the_same_report():
    network = Network(rng(14), "softplus", spoil=sign)
    f, grad, theta, blocks = flat(network)
    assert str(check_gradient(f, grad, theta, blocks)) == str(network.check())
    as_arrays = {name: np.arange(theta.size)[where] for name, where in blocks.items()}
    as_masks = {name: np.isin(np.arange(theta.size), index) for name, index in as_arrays.items()}
    for other in (as_arrays, as_masks):
        assert str(check_gradient(f, grad, theta, other)) == str(network.check())


def test_dict_of_any_shapes_and_names():
    strided = np.arange(12.0).reshape(3, 4).T[::2]
    theta = {"scalar": 0.3, "encoder.0.W": np.ones((2, 3, 2)), 7: [1.0, 2.0], "strided": strided}
    report = check_gradient(lambda P: sum(np.sum(np.sin(array)) for array in P.values()),
                            lambda P: {name: np.cos(array) for name, array in reversed(P.items())}, theta)
    assert report.ok and "encoder.0.W" in str(report)
    assert [(row.block, row.size) for row in report.blocks] == list(zip(theta, [1, 12, 2, 6]))


def test_every_evaluation_gets_a_fresh_float64_copy():
    seen = []
    theta = np.arange(3, dtype=np.float32)
    report = check_gradient(lambda t: seen.append(t) or np.sum(np.sin(t)), np.cos, theta)
    assert report.ok and theta.dtype == np.float32
    assert {t.dtype for t in seen} == {np.dtype(float), np.dtype(complex)}
    assert len({id(t) for t in seen}) == len(seen) and not any(np.shares_memory(t, seen[0]) for t in seen[1:])
    assert len(seen) == 2 + report.blocks[0].n_evaluations


def test_direction_is_random_of_unit_norm_and_reproducible():
    def directions(**options):
        seen = []
        check_gradient(lambda t: seen.append(t.copy()) or np.sum(np.sin(t.real)), np.cos, np.zeros(50),
                       {"a": slice(0, 20), "b": slice(20, 50)}, **options)
        first = [t for t in seen if t[:20].any() and not t[20:].any()][0], [t for t in seen if t[20:].any()][0]
        return first
    a, b = directions()
    assert np.linalg.norm(a) == pytest.approx(1) and np.linalg.norm(b) == pytest.approx(1)
    assert len(set(np.abs(a[:20]))) == 20 and (a > 0).any() and (a < 0).any()
    assert np.array_equal(a, directions()[0]) and np.array_equal(a, directions(rng=0)[0])
    assert not np.array_equal(a, directions(rng=1)[0])
    generator = rng(5)
    assert not np.array_equal(directions(rng=generator)[0], directions(rng=generator)[0])


def test_evaluations_do_not_grow_with_the_block():
    for n in (1, 100, 100_000):
        theta = rng(15).normal(size=n)
        report = check_gradient(lambda t: np.mean(np.tanh(t)), lambda t: (1 - np.tanh(t) ** 2) / t.size, theta)
        assert report.ok and report.blocks[0].n_evaluations <= 20


def test_report_reads_in_80_columns():
    spoils = [sign, zero, lambda G: G["W1"].fill(np.nan), lambda G: [g.fill(-1e150) for g in G.values()], None]
    networks = [Network(rng(16), name, spoil=spoil) for spoil in spoils for name in ("tanh", "softplus")]
    long = "a long name " * 12
    reports = [network.check() for network in networks] + [
        check_gradient(*RIGHT["lost in rounding"]),
        check_gradient(lambda t: np.abs(t).sum(), np.sign, np.zeros(2)),
        check_gradient(lambda t: np.nan, np.sign, np.zeros(2)),
        check_gradient(lambda t: rng(None).random(), np.sign, [1.0]),
        check_gradient(lambda P: np.sum(P[long]), lambda P: {long: -P[long]}, {long: np.full(123, -1e60)}),
    ]
    for report in reports:
        lines = str(report).splitlines()
        assert isinstance(report, GradientReport) and max(map(len, lines)) <= 80, report
        assert len(lines) > len(report.blocks) and "\x1b" not in str(report)
        assert ("Gradient ok" in lines[-1]) == report.ok == (not report.findings)
        assert all(finding.message.split()[0] in str(report) for finding in report.findings)
    assert "proved only to" in str(reports[len(networks)])                   # ok, but says how little that means


# ---- arguments -------------------------------------------------------------------------------------------------------

def square(t): return t @ t
def twice_theta(t): return 2 * t


@pytest.mark.parametrize("error, match, theta, options", [
    (ValueError, "theta", [1.0, np.nan], {}),
    (ValueError, "theta", {"W": np.array([np.inf])}, {}),
    (ValueError, r"\(2, 2\)", np.ones((2, 2)), {}),
    (ValueError, r"\(2, 2\)", np.ones((2, 2)), {"blocks": {"W": slice(0, 4)}}),
    (ValueError, r"\(\)", 3.0, {}),
    (ValueError, "theta", [], {}),
    (ValueError, "theta", {}, {}),
    (ValueError, "empty", {"W": np.ones(2), "b": np.ones(0)}, {}),
    (TypeError, "object", np.array([1.0, None]), {}),
    (TypeError, "theta", "abc", {}),
    (TypeError, "theta", None, {}),
    (TypeError, "complex", np.ones(2) * 1j, {}),
    (TypeError, "bool", np.ones(2, bool), {}),
    (TypeError, "object", {"W": {"deeper": np.ones(2)}}, {}),
    (ValueError, "leave blocks out", {"W": np.ones(2)}, {"blocks": {"W": slice(0, 2)}}),
    (ValueError, "1 in several", np.ones(4), {"blocks": {"a": slice(0, 3), "b": slice(2, 4)}}),
    (ValueError, "1 in several", np.ones(4), {"blocks": {"a": [0, 0, 1, 2, 3]}}),
    (ValueError, "2 of 4 are in none", np.ones(4), {"blocks": {"a": slice(0, 2)}}),
    (ValueError, "4 of 4 are in none", np.ones(4), {"blocks": {}}),
    (ValueError, "1 block", np.ones(4), {"blocks": {"a": slice(0, 4), "b": slice(4, 4)}}),
    (TypeError, "blocks", np.ones(4), {"blocks": {"a": [0, 1, 2, 9]}}),
    (TypeError, "blocks", np.ones(4), {"blocks": {"a": "all"}}),
    (TypeError, "blocks", np.ones(4), {"blocks": [slice(0, 4)]}),
    (TypeError, "random_state", np.ones(4), {"rng": "seed"}),
])
def test_arguments_of_the_wrong_form_are_refused(error, match, theta, options):
    with pytest.raises(error, match=match):
        check_gradient(square, twice_theta, theta, **options)


@pytest.mark.parametrize("error, match, f, grad", [
    (ValueError, r"grad.*shape \(3,\), got \(2,\)", square, lambda t: t[:2]),
    (ValueError, r"grad.*shape \(3,\), got \(3, 1\)", square, lambda t: t[:, None]),
    (TypeError, "grad.*float32", square, lambda t: t.astype(np.float32)),
    (TypeError, "grad.*complex", square, lambda t: t * 1j),
    (TypeError, "grad.*NoneType", square, lambda t: None),
    (TypeError, "grad.*dict", square, lambda t: {"theta": t}),
    (ValueError, r"f returns.*shape \(\), got \(3,\)", lambda t: t * t, twice_theta),
    (TypeError, "f returns.*float32", lambda t: np.float32(t @ t), twice_theta),
    (TypeError, "f returns.*complex", lambda t: 1j, twice_theta),
    (TypeError, "f returns.*NoneType", lambda t: None, twice_theta),
    (TypeError, "callable", 3, twice_theta),
    (TypeError, "callable", square, 3),
])
def test_results_of_the_wrong_form_are_refused(error, match, f, grad):
    with pytest.raises(error, match=match):
        check_gradient(f, grad, np.ones(3))


@pytest.mark.parametrize("error, match, spoil", [
    (ValueError, "names", lambda G: G.pop("b1")),
    (ValueError, "names", lambda G: G.update(extra=0.0)),
    (ValueError, r"'W1'.*\(4, 5\), got \(5, 4\)", lambda G: G.update(W1=G["W1"].T)),
    (TypeError, "'b2'.*float32", lambda G: G.update(b2=G["b2"].astype(np.float32))),
])
def test_dict_gradient_of_the_wrong_form_is_refused(error, match, spoil):
    with pytest.raises(error, match=match):
        Network(rng(17), spoil=spoil).check()


def test_gradient_must_be_a_dict_where_theta_is():
    with pytest.raises(ValueError, match="dict with the names of theta"):
        check_gradient(lambda P: square(P["W"]), lambda P: 2 * P["W"], {"W": np.ones(3)})


def test_what_f_raises_at_theta_passes_through():
    with pytest.raises(ZeroDivisionError):
        check_gradient(lambda t: 1 / 0, twice_theta, np.ones(3))
