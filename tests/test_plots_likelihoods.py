"""Estimates stand at their costs, gaps are stacked one on the other, and what cannot be drawn is refused."""
import numpy as np
import pytest

from tests.drawn import legend, names
from tinyvae import plots

SAMPLED = [1, 10, 100], [-5.0, -4.2, -4.0], [0.5, 0.2, 0.1]
ANNEALED = np.array([[40, 400], [-4.5, -4.1], [0.0, 0.3]])
GAPS = np.array([[0.1, 0.3], [0.4, 0.2]])


def drawn_bars(container):
    """Costs, values and spreads of an errorbar."""
    line, _, (bars,) = container
    ends = np.array(bars.get_segments())
    return line.get_xdata(), ends[:, :, 1].mean(axis=1), (ends[:, 1, 1] - ends[:, 0, 1]) / 2


def test_estimates_stand_at_their_costs_between_the_two_levels():
    ax = plots.estimates_against_cost({"sampled": SAMPLED, "annealed": ANNEALED}, log_px=-3.9, elbo=-4.6)
    for container, triple in zip(ax.containers, (SAMPLED, ANNEALED)):
        for drawn, given in zip(drawn_bars(container), triple):
            np.testing.assert_allclose(drawn, given, atol=1e-12)
    assert [line.get_ydata()[0] for line in ax.lines[:2]] == [-3.9, -4.6]
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert legend(ax) == ["log p(x), exact", "ELBO, exact", "sampled", "annealed"] and ax.get_xscale() == "log"
    assert len({line.get_marker() for line in ax.lines if line.get_marker() != "None"} - {"_"}) >= 2


def test_gaps_are_stacked_with_their_standard_errors():
    ax = plots.gap_bars({"diagonal": GAPS, "full": 2 * GAPS})
    lower, upper = (container for container in ax.containers if hasattr(container, "patches"))
    np.testing.assert_allclose([bar.get_height() for bar in lower], [0.2, 0.4])
    np.testing.assert_allclose([bar.get_y() for bar in upper], [0.2, 0.4])
    np.testing.assert_allclose([bar.get_height() for bar in upper], [0.3, 0.6])
    for container, tops in ((lower, [0.2, 0.4]), (upper, [0.5, 1.0])):
        _, middle, se = drawn_bars((ax.lines[0], *container.errorbar[1:]))
        np.testing.assert_allclose(middle, tops)
        np.testing.assert_allclose(se, [0.1, 0.2])                          # of 0.1 and 0.3, of 0.4 and 0.2: 0.2 / √2 / √2
    assert names(ax.xaxis) == {"diagonal": 0, "full": 1} and ax.get_ylim()[0] == 0
    assert [text.split(":")[0] for text in legend(ax)] == ["approximation", "amortisation"]
    assert lower[0].get_hatch() != upper[0].get_hatch()


def test_both_draw_on_the_axes_they_are_given():
    own = plots.gap_bars({"q": GAPS}).figure.subplots()
    assert plots.gap_bars({"q": GAPS}, ax=own) is own
    assert plots.estimates_against_cost({"q": SAMPLED}, 0, -1, ax=own) is own


@pytest.mark.parametrize("estimates, error, words", [
    ([SAMPLED], TypeError, "estimates must be a dict"), ({}, TypeError, "at least one entry"),
    ({"q": SAMPLED[:2]}, ValueError, r"costs, values, spreads"), ({"q": ([0], [1], [1])}, ValueError, "costs of"),
    ({"q": ([1, 2], [1], [1, 1])}, ValueError, "values of"), ({"q": ([1], [np.nan], [1])}, ValueError, "values of"),
    ({"q": ([1], [1], [-1])}, ValueError, "spreads of")])
def test_estimates_that_cannot_be_drawn_are_refused(estimates, error, words):
    with pytest.raises(error, match=words):
        plots.estimates_against_cost(estimates, 0, -1)


@pytest.mark.parametrize("level", ["log_px", "elbo"])
def test_a_level_must_be_a_number(level):
    with pytest.raises(ValueError, match=level):
        plots.estimates_against_cost({"q": SAMPLED}, **{"log_px": 0.0, "elbo": -1.0, level: np.nan})


@pytest.mark.parametrize("gaps, error, words", [
    ([GAPS], TypeError, "gaps must be a dict"), ({}, TypeError, "at least one entry"),
    ({"q": GAPS[:1]}, ValueError, "approximation, amortisation"), ({"q": GAPS[:, :1]}, ValueError, "2 or more rows"),
    ({"q": ([1, 2], [1])}, ValueError, "amortisation of"), ({"q": ([1, np.inf], [1, 2])}, ValueError, "approximation of")])
def test_gaps_that_cannot_be_drawn_are_refused(gaps, error, words):
    with pytest.raises(error, match=words):
        plots.gap_bars(gaps)
