"""What is drawn of a gradient's check is what its report says: errors, remainders and entries are read back."""
from copy import deepcopy

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from tests.drawn import legend, names
from tinyvae import plots
from tinyvae.checks.evidence import Diagnosis
from tinyvae.checks.gradient import check_gradient
from tinyvae.checks.locate import Entry, Location
from tinyvae.checks.mistakes import problem
from tinyvae.checks.report import Check, GradientReport
from tinyvae.checks.slopes import BARS
from tinyvae.plots import gradients

STEPS = 2.0 ** -np.arange(12)[::-1]


def taylor(slope, steps=STEPS):
    """Remainders of a function with second derivative 2 whose gradient is wrong by `slope`."""
    return tuple((t, 3 * t, slope * t + t**2) for t in steps)


def check(name, verdict="ok", error=1e-14, bar=1e-14, **fields):
    """A block with slope 2."""
    fields = {"analytic": 2.0, "numeric": 2 - error, "error": error, "bar": bar, "taylor": taylor(error)} | fields
    return Check(name, 6, verdict, message="" if verdict == "ok" else "found", **fields)


def located(name, *entries, kind="entries"):
    return Location(name, kind, tuple(entry.index for entry in entries), 0.5, entries, True, 100)


def report(*blocks):
    return GradientReport(blocks, tuple(block for block in blocks if block.message), 99)


UNMEASURED = Check("n", 6, "not finite", "1 entries of the gradient are nan or infinite.")
LOST = check("l", "undecided", numeric=np.nan, error=np.nan, bar=np.inf, taylor=())
DULL = check("d", analytic=0.0, numeric=0.0, error=0.0, taylor=taylor(0.0))
MIXED = report(check("a"), check("b", "wrong", 0.5, complex_step=1.5), UNMEASURED, LOST,
               check("c", "undecided", 0.25, 0.25, kink=(1.0, 3.0)), DULL)


def panels(of, ax=None):
    return plots.gradient_report(of, ax=ax).child_axes


def marks(ax):
    """{label: {(x, y), …}} of what is drawn as points, without those that are nan."""
    return {line.get_label(): {tuple(point) for point in line.get_xydata() if np.isfinite(point).all()}
            for line in ax.lines if line.get_linestyle() == "None"}


def remarks(ax):
    return [text.get_text() for text in sorted(ax.texts, key=lambda text: text.get_position()[1])]


# ---- errors ----------------------------------------------------------------------------------------------------------

def test_errors_are_relative_and_stand_in_front_of_ten_bars():
    ax = panels(MIXED)[0]
    error = (2 - MIXED.blocks[0].numeric) / 2                               # 1e-14 / 2, but for rounding
    assert marks(ax) == {"ok": {(error, 0), (1e-17, 5)}, "wrong": {(0.25, 1)}, "undecided": {(0.125, 4)},
                         "from the complex step": {(0.25, 1)}}
    regions = {bar.get_y() + bar.get_height() / 2: bar.get_x() + bar.get_width() for bar in ax.patches}
    assert regions == pytest.approx({0: 5e-14, 1: 5e-14, 4: 1.25, 5: 10}, rel=1e-9, abs=0)
    assert names(ax.yaxis) == {"a": 0, "b": 1, "n": 2, "l": 3, "c": 4, "d": 5} and ax.yaxis_inverted()
    assert gradients.BARS == BARS and ax.get_xscale() == "log"
    assert ax.get_xlabel() == "|analytic − numeric| / slope along a random direction of the block"


def test_limits_contain_all_that_is_drawn():
    for ax in panels(MIXED):
        (left, right), (bottom, top) = ax.get_xlim(), sorted(ax.get_ylim())
        points = np.concatenate([line.get_xydata() for line in ax.lines])
        x, y = points[np.isfinite(points).all(axis=1)].T
        assert left < x.min() and x.max() < right and bottom < y.min() and y.max() < top
        for bar in ax.patches:
            assert left <= bar.get_x() and bar.get_x() + bar.get_width() < right


def test_verdicts_differ_in_marker_and_colour_and_are_told():
    ax = panels(MIXED)[0]
    assert len({line.get_marker() for line in ax.lines}) == len({line.get_color() for line in ax.lines}) == 4
    assert legend(ax) == ["accepted: 10 error bars", "ok", "wrong", "undecided", "from the complex step"]
    assert remarks(ax) == ["", "wrong", "not finite", "undecided", "undecided; kink at θ", ""]
    assert ax.get_title() == "Gradient NOT ok, 4 finding(s)"
    found = report(check("a"), check("b", "wrong", 0.5, diagnosis=Diagnosis("factor", "is twice the derivative.", 2.0)),
                   check("c", kink=(0.0, 1.0)), check("e", "wrong", 0.5, diagnosis=Diagnosis("other", "is unknown.")))
    ax = panels(found)[0]
    assert remarks(ax) == ["", "wrong: factor", "kink at θ", "wrong"]
    assert ax.get_title() == "Gradient NOT ok, 2 finding(s); look first at b"


# ---- Taylor remainders -----------------------------------------------------------------------------------------------

def test_remainders_are_those_of_the_report():
    _, ax = panels(report(check("a"), check("b", "wrong", 0.5)))
    right, wrong, *_ = ax.lines
    for line, block in ((right, taylor(1e-14)), (wrong, taylor(0.5))):
        np.testing.assert_array_equal(line.get_xydata(), [(t, rest) for t, _, rest in block])
    assert legend(ax)[:2] == ["ok, a: order 2.00", "wrong, b: order 1.01"]
    assert right.get_marker() != wrong.get_marker() and ax.get_xscale() == ax.get_yscale() == "log"


def test_a_step_that_another_block_took_is_no_gap():
    _, ax = panels(report(check("a", taylor=taylor(0, STEPS[::2])),
                          check("b", "wrong", 0.5, taylor=taylor(0.5, STEPS[1::2]))))
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), STEPS[::2])
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), STEPS[1::2])


def test_rounding_is_left_out_and_values_that_are_not_finite():
    rests = ((0.25, 1.0, 0.9), (0.5, 1.0, 1.5), (1.0, np.inf, np.inf))      # 10 bars × t: 0.5 and 1, or 1 and 2
    for bar, drawn in ((0.2, [(0.25, 0.9), (0.5, 1.5)]), (0.4, np.zeros((0, 2)))):
        _, ax = panels(report(check("a", bar=bar, taylor=rests)))
        np.testing.assert_array_equal(ax.lines[0].get_xydata(), drawn)
    assert legend(ax)[0] == "ok, a: no remainder"


@pytest.mark.parametrize("verdicts, shown", [
    ("o", "0"), ("ooooooo", "0123"), ("w", "0"), ("wow", "102"), ("owowwouw", "03467"), ("wwwwww", "2345")])
def test_the_last_four_that_are_wrong_are_shown_beside_one_that_is_right(verdicts, shown):
    kinds = {"o": ("ok", 1e-14), "w": ("wrong", 0.5), "u": ("undecided", 0.5)}
    of = report(*(check(str(i), *kinds[letter]) for i, letter in enumerate(verdicts)))
    _, ax = panels(of)
    assert "".join(text.split()[1][0] for text in legend(ax)[:-2]) == shown


@pytest.mark.parametrize("blocks", [
    [UNMEASURED], [LOST, UNMEASURED], [check("a", taylor=taylor(0, [1.0]))],
    [check("a", taylor=((0.5, np.nan, np.nan), (1.0, np.inf, np.inf)))]])
def test_without_remainders_there_is_no_such_panel(blocks):
    assert len(panels(report(*blocks))) == 1


# ---- entries ---------------------------------------------------------------------------------------------------------

ENTRIES = (Entry((2, 1), 3.0, 2.0, 0.01, "wrong"), Entry((0, 4), -1.0, 4.0, 0.02, "wrong"),
           Entry((0, 2), 5.0, 5.0, 0.03, "right"), Entry((1, 0), 0.0, 1e-3, 0.01, "silent"))


def test_entries_are_drawn_in_order_with_their_ratio():
    *_, ax = panels(report(check("b", "wrong", 0.5, location=located("b", *ENTRIES, kind="rows"))))
    assert names(ax.yaxis) == {"(0, 2)": 0, "(0, 4)": 1, "(1, 0)": 2, "(2, 1)": 3} and ax.yaxis_inverted()
    points = marks(ax)
    assert points["analytic, wrong"] == {(-1, 1), (3, 3)} and points["analytic"] == {(5, 0), (0, 2)}
    numeric, _, (bars,) = ax.containers[0]
    np.testing.assert_array_equal(numeric.get_xydata(), [(5, 0), (4, 1), (1e-3, 2), (2, 3)])
    np.testing.assert_allclose([np.ptp(ends[:, 0]) / 2 for ends in bars.get_segments()], [0.3, 0.2, 0.1, 0.1])
    assert remarks(ax) == ["× 1", "× −0.25", "", "× 1.5"]                   # of what may be 0 there is no ratio
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["analytic"].get_marker() != lines["analytic, wrong"].get_marker() != numeric.get_marker()
    assert ax.get_title() == "where b is wrong: rows"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("slope of f at the entry", "entry")


def test_of_many_entries_the_worst_are_drawn():
    entries = [Entry((i,), 1.0 + i % 10, 1.0, 1e-9, "wrong") for i in range(20)]
    *_, ax = panels(report(check("b", "wrong", 0.5, location=located("b", *entries))))
    assert list(names(ax.yaxis)) == [str(i) for i in range(20) if i % 10 > 1]
    assert ax.get_title() == "where b is wrong: entries, the worst 16 of 20"


def test_the_block_to_look_at_first_is_the_one_that_is_shown():
    factor, other = Diagnosis("factor", "is twice the derivative.", 2.0), Diagnosis("other", "is unknown.")
    blocks = [check(name, "wrong", 0.5, diagnosis=said, location=located(name, *ENTRIES))
              for name, said in zip("abc", (other, factor, other))]
    assert panels(report(*blocks))[-1].get_title() == "where b is wrong: entries"
    blocks[1] = blocks[1]._replace(location=None)
    assert panels(report(*blocks))[-1].get_title() == "where c is wrong: entries"
    nowhere = [block._replace(location=located("b", kind="not located")) for block in blocks]
    assert len(panels(report(*nowhere))) == 2


# ---- whole reports ---------------------------------------------------------------------------------------------------

def one_entry():
    """One entry of 20,000 that is 1 % too large."""
    a = np.random.default_rng(1).uniform(1, 2, (200, 100))

    def grad(P):
        G = a * P["W"] / 100
        G[123, 45] *= 1.01
        return {"W": G, "b": np.cos(P["b"])}

    theta = {"W": np.random.default_rng(2).standard_normal((200, 100)), "b": np.ones(5)}
    return check_gradient(lambda P: np.vdot(a * P["W"], P["W"]) / 200 + np.sin(P["b"]).sum(), grad, theta)


def forty():
    """Forty blocks, one of them with a nan, one of them at a kink, one of them twice its derivative."""
    def grad(P):
        G = {name: np.cos(w) for name, w in P.items()}
        G["decoder.4.W"][1, 2], G["decoder.7.W"] = np.nan, 2 * G["decoder.7.W"]
        G["decoder.9.W"] += np.sign(P["decoder.9.W"])
        return G

    theta = {f"decoder.{i}.W": np.random.default_rng(i).standard_normal((3, 4)) for i in range(40)}
    theta["decoder.9.W"][0] = 0
    def loss(P):
        return sum(np.sin(w).sum() for w in P.values()) + np.abs(P["decoder.9.W"]).sum()

    return check_gradient(loss, grad, theta)


def museum(name):
    shown = problem(name, 0)
    return check_gradient(shown.f, shown.grad, shown.theta, terms=shown.terms, noise=shown.noise)


@pytest.mark.parametrize("make, n_panels", [
    (one_entry, 3), (forty, 2), (lambda: museum("leaky_as_relu"), 3)], ids=["one entry", "forty blocks", "museum"])
def test_real_reports_are_drawn_whole_and_legibly(make, n_panels):
    found = make()
    before, settings = deepcopy(found.findings), dict(matplotlib.rcParams)
    ax = plots.gradient_report(found)
    ax.figure.draw_without_rendering()
    boxes = [panel.get_tightbbox() for panel in ax.child_axes]
    assert len(boxes) == n_panels and not ax.axison
    assert all(upper.y0 > lower.y1 for upper, lower in zip(boxes, boxes[1:]))
    assert all(ax.figure.bbox.x0 <= box.x0 and box.x1 <= ax.figure.bbox.x1 for box in boxes)
    lines = [text.get_window_extent() for text in ax.child_axes[0].get_yticklabels()]
    assert len(lines) == len(found.blocks) and all(upper.y0 > lower.y1 for upper, lower in zip(lines, lines[1:]))
    drawn = marks(ax.child_axes[0])
    assert len(drawn["wrong"]) == sum(block.verdict == "wrong" for block in found.blocks)
    assert repr(found.findings) == repr(before) and matplotlib.rcParams == settings and not pyplot.get_fignums()


def test_draws_where_it_is_told_to_and_is_saved(tmp_path):
    left, right = Figure(figsize=(14, 6)).subplots(1, 2)
    assert plots.gradient_report(MIXED, ax=right) is right and len(right.child_axes) == 2 and not left.child_axes
    assert plots.save_figure(right, tmp_path / "check.png").stat().st_size > 2000


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(TypeError, match="report must be a GradientReport.* got dict"):
        plots.gradient_report({"W": 1e-7})
    with pytest.raises(ValueError, match="report must have at least one block; this one says only: f is nan at theta"):
        plots.gradient_report(check_gradient(lambda t: np.nan, lambda t: t, np.ones(2)))
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes or None"):
        plots.gradient_report(MIXED, ax="here")
