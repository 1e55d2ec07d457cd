"""What the gradient checker takes and returns: forms, directions, arguments, and a report for a terminal."""
import numpy as np
import pytest

from tests.test_gradient import RIGHT, Network, sign, zero
from tests.test_slopes import rng
from tinyvae.checks import check_gradient
from tinyvae.checks.report import GradientReport

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
    for spoil in (sign, None):
        network = Network(rng(14), "softplus", spoil=spoil)
        f, grad, theta, blocks = flat(network)
        as_arrays = {name: np.arange(theta.size)[where] for name, where in blocks.items()}
        as_masks = {name: np.isin(np.arange(theta.size), index) for name, index in as_arrays.items()}
        as_shapes = {name: as_arrays[name].reshape(array.shape) for name, array in network.theta.items()}
        for form in (blocks, as_arrays, as_masks, as_shapes):
            assert str(check_gradient(f, grad, theta, form)) == str(network.check())


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
