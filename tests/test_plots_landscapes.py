"""Contours are distances to log p(x), the upper panel is their envelope, and a bound that is none is refused."""
from copy import deepcopy

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from tinyvae import plots

MEANS, LOG_SDS, LOG_PX = np.linspace(-1, 2, 31), np.linspace(-2, 1, 21), -7.5
GAP = (MEANS - 0.5) ** 2 + 2 * (LOG_SDS[:, None] + 0.8) ** 2 + 0.2             # 0.2 at its least, at (0.5, −0.8)
MARKS = {"the encoder's q": (0.1, -1.0), "the best q": (0.5, -0.8)}


def panels(marks=None, gap=GAP, **options):
    """The upper panel and the lower one."""
    return plots.elbo_landscape(MEANS, LOG_SDS, LOG_PX - gap, LOG_PX, marks, **options).child_axes


def test_contours_are_nats_beneath_log_px():
    _, lower = panels()
    filled, lines = (artist for artist in lower.get_children() if isinstance(artist, ContourSet))
    np.testing.assert_array_equal(lines.levels, [0.3, 1, 3])                    # 0.1 < 0.2 and 10 > 8.9 are not there
    np.testing.assert_array_equal(filled.levels, [0, 0.3, 1, 3])
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        m, log_sd = path.vertices.T
        np.testing.assert_allclose((m - 0.5) ** 2 + 2 * (log_sd + 0.8) ** 2 + 0.2, level, atol=0.02)
    assert {text.get_text() for text in lower.texts} <= {"0.3", "1", "3", "10"}


def test_the_closer_to_log_px_the_darker():
    filled = next(artist for artist in panels()[1].get_children() if isinstance(artist, ContourSet))
    assert np.all(np.diff(filled.get_facecolor()[:, 0]) > 0)


def test_the_upper_panel_shows_log_px_and_the_best_elbo_at_each_mean():
    upper, lower = panels()
    level, best = upper.get_lines()
    np.testing.assert_array_equal(level.get_ydata(), [LOG_PX, LOG_PX])
    np.testing.assert_array_equal(best.get_xdata(), MEANS)
    np.testing.assert_allclose(best.get_ydata(), np.max(LOG_PX - GAP, axis=0), rtol=1e-15)
    assert "log p(x) = −7.50" in [text.get_text() for text in upper.get_legend().get_texts()]
    assert upper.get_xlim() == lower.get_xlim() == (-1, 2) and lower.get_ylim() == (-2, 1)
    low, high = upper.get_ylim()
    assert low < LOG_PX - 0.2 and LOG_PX < high


def test_marks_stand_where_they_are_said_to_be():
    before = deepcopy(MARKS)
    _, lower = panels(MARKS)
    lines = lower.get_lines()
    assert {line.get_label(): (line.get_xdata()[0], line.get_ydata()[0]) for line in lines} == MARKS == before
    assert len({line.get_marker() for line in lines}) == len({line.get_color() for line in lines}) == 2
    assert [text.get_text() for text in lower.get_legend().get_texts()] == list(MARKS)
    assert panels()[1].get_legend() is None


def test_legends_cover_no_panel():
    upper, lower = panels(MARKS)
    upper.figure.draw_without_rendering()
    for panel in (upper, lower):
        assert panel.get_legend().get_window_extent().y0 >= panel.bbox.y1
    assert lower.get_legend().get_window_extent().y1 < upper.bbox.y0
    assert upper.get_legend().get_window_extent().y1 <= upper.figure.bbox.y1


@pytest.mark.parametrize("gap", [np.full_like(GAP, 0.5), np.zeros_like(GAP), 1e-3 * GAP, 1e5 * GAP])
def test_flat_and_steep_landscapes_are_drawn_too(gap):
    panels(MARKS, gap)[0].figure.draw_without_rendering()


def test_rounding_above_log_px_is_no_error():
    panels(gap=GAP - 0.2 - 1e-12)


def test_ax_is_used_and_nothing_is_left_open():
    left, right = Figure().subplots(1, 2)
    before = dict(matplotlib.rcParams)
    ax = plots.elbo_landscape(MEANS, LOG_SDS, LOG_PX - GAP, LOG_PX, ax=right)
    assert ax is right and len(ax.child_axes) == 2 and not ax.axison and left.axison
    assert not pyplot.get_fignums() and matplotlib.rcParams == before


@pytest.mark.parametrize("changes, error, message", [
    ({"means": MEANS[::-1]}, ValueError, "means must be two or more rising numbers"),
    ({"log_sds": [0.0]}, ValueError, "log_sds must be two or more rising numbers"),
    ({"elbo": (LOG_PX - GAP).T}, ValueError, r"elbo must have a row for each of .* shape \(31, 21\)"),
    ({"elbo": np.full_like(GAP, np.nan)}, ValueError, "elbo"),
    ({"elbo": LOG_PX + 0.1 - 0 * GAP}, ValueError, "elbo must not exceed log_px = -7.5"),
    ({"log_px": np.nan}, ValueError, "log_px must be a finite number"),
    ({"log_px": "x"}, TypeError, "log_px must be a number"),
    ({"marks": [(0, 0)]}, TypeError, "marks must be a dict"),
    ({"marks": {"q": (0, 0, 0)}}, ValueError, r"marks\['q'\] must be a list of 2 numbers"),
    ({"marks": {"q": (0, np.inf)}}, ValueError, r"marks\['q'\] must be finite"),
    ({"ax": 3}, TypeError, "ax must be a matplotlib Axes")])
def test_what_cannot_be_drawn_is_refused(changes, error, message):
    arguments = {"means": MEANS, "log_sds": LOG_SDS, "elbo": LOG_PX - GAP, "log_px": LOG_PX, "marks": None, "ax": None}
    with pytest.raises(error, match=message):
        plots.elbo_landscape(**arguments | changes)
