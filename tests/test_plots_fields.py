"""Arrows start at their points, and their lengths can be compared across panels and with the scale."""
from copy import deepcopy

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver, QuiverKey

from tinyvae import plots
from tinyvae.datasets import GaussianMixture
from tinyvae.plots.fields import _round_number

LINE = np.linspace(-2, 2, 9)
POINTS = np.stack(np.meshgrid(LINE, LINE / 2), axis=-1).reshape(-1, 2)          # half a unit apart, a quarter upwards
LAW = GaussianMixture([[0.0, 0.3]], [0.7])
FIELDS = {"score": LAW.score(POINTS), "half": LAW.score(POINTS) / 2}


def only(panel, kind):
    """The one artist of that kind in a panel."""
    found = [artist for artist in panel.get_children() if isinstance(artist, kind)]
    assert len(found) == 1
    return found[0]


def density(points):
    return np.exp(LAW.log_prob(points))


def test_every_field_has_its_panel_and_its_arrows():
    before = {name: vectors.copy() for name, vectors in FIELDS.items()}
    ax = plots.vector_fields(POINTS, FIELDS)
    assert [panel.get_title() for panel in ax.child_axes] == ["score", "half"] and not ax.axison
    for panel, vectors in zip(ax.child_axes, FIELDS.values(), strict=True):
        arrows = only(panel, Quiver)
        np.testing.assert_array_equal(arrows.get_offsets(), POINTS)
        np.testing.assert_array_equal(np.column_stack([arrows.U, arrows.V]), vectors)
        assert (arrows.angles, arrows.scale_units, arrows.pivot) == ("xy", "xy", "tail")
        assert panel.get_aspect() == 1
        assert np.all(np.array(panel.viewLim) == np.array(ax.child_axes[0].viewLim))
    assert all(np.array_equal(FIELDS[name], before[name]) for name in before)


@pytest.mark.parametrize("factor", [1e-6, 1, 730])
def test_arrows_of_all_panels_have_one_scale_set_by_the_longest(factor):
    fields = {"short": FIELDS["half"] * factor, "long": FIELDS["score"] * factor}
    ax = plots.vector_fields(POINTS, fields)
    scales = [only(panel, Quiver).scale for panel in ax.child_axes]
    drawn = np.linalg.norm(fields["long"], axis=1) / scales[1]                  # in units of the axes
    assert scales[0] == scales[1] and np.max(drawn) == pytest.approx(1.3 * 0.25)
    first = plots.vector_fields(POINTS, dict(reversed(fields.items())))
    assert only(first.child_axes[0], Quiver).scale == scales[0]


def test_the_scale_is_stated_once_and_is_true():
    ax = plots.vector_fields(POINTS, FIELDS)
    key = only(ax.child_axes[1], QuiverKey)
    assert not any(isinstance(artist, QuiverKey) for artist in ax.child_axes[0].get_children())
    longest = np.max(np.linalg.norm(FIELDS["score"], axis=1))
    assert longest / 2.5 <= key.U <= longest and f"length {key.U:g}," in key.text.get_text()
    assert key.Q.scale == only(ax.child_axes[0], Quiver).scale


def test_the_scale_stands_beneath_the_panels_inside_the_figure():
    for points in (POINTS, POINTS * [4, 1], POINTS[:, ::-1] * [1, 2]):
        ax = plots.vector_fields(points, {"one": points, "two": -points})
        ax.figure.draw_without_rendering()
        panel = ax.child_axes[1]
        text, ticks = only(panel, QuiverKey).text.get_window_extent(), panel.xaxis.get_tightbbox()
        assert 0 <= text.y0 and text.y1 < ticks.y0 and text.x0 >= 0


def test_density_is_shaded_by_shares_of_its_largest_value():
    ax = plots.vector_fields(POINTS, FIELDS, density)
    for panel in ax.child_axes:
        levels = only(panel, ContourSet).levels
        np.testing.assert_allclose(levels / density([[0.0, 0.3]]), [0.01, 0.1, 0.3, 0.6, 1], rtol=1e-3)
    shades = only(ax.child_axes[0], ContourSet)
    darkness = 1 - shades.get_facecolor()[:, 0]
    assert np.all(np.diff(darkness) > 0)
    corners = shades.get_paths()[-1].vertices                                  # the darkest: where p is largest
    np.testing.assert_allclose((corners.max(axis=0) + corners.min(axis=0)) / 2, [0, 0.3], atol=0.02)
    assert not any(isinstance(artist, ContourSet) for artist in plots.vector_fields(POINTS, FIELDS).child_axes)


def test_draws_on_the_axes_given_and_leaves_nothing_behind(tmp_path):
    left, right = Figure().subplots(1, 2)
    before = deepcopy(dict(matplotlib.rcParams))
    assert plots.vector_fields(POINTS, FIELDS, density, ax=right) is right
    assert len(right.child_axes) == 2 and not left.child_axes
    assert plots.save_figure(right, tmp_path / "fields.png").stat().st_size > 2000
    assert dict(matplotlib.rcParams) == before and pyplot.get_fignums() == []


def test_a_field_of_zeros_is_drawn():
    plots.vector_fields(POINTS, {"nothing": np.zeros_like(POINTS)}).figure.draw_without_rendering()


@pytest.mark.parametrize("x, expected", [(1, 1), (1.99, 1), (2, 2), (4.9, 2), (5, 5), (9.99, 5), (0.03, 0.02),
                                         (1000, 1000), (np.nextafter(1000, 0), 500), (7e-9, 5e-9)])
def test_round_numbers(x, expected):
    assert _round_number(x) == pytest.approx(expected)


@pytest.mark.parametrize("call, error, message", [
    (lambda: plots.vector_fields(POINTS[:, :1], FIELDS), ValueError, "points has 1 features"),
    (lambda: plots.vector_fields(POINTS[0], FIELDS), ValueError, "points: Expected 2D array"),
    (lambda: plots.vector_fields(POINTS[[3, 3]], {"a": POINTS[:2]}), ValueError, "at least two different rows, got 2"),
    (lambda: plots.vector_fields(POINTS, POINTS), TypeError, r"fields must be a dict of \(n, 2\) arrays"),
    (lambda: plots.vector_fields(POINTS, {}), TypeError, "fields must be a dict .* at least one entry"),
    (lambda: plots.vector_fields(POINTS, {"a": POINTS[:3]}), ValueError, r"fields\['a'\] must have a row .* 81 points"),
    (lambda: plots.vector_fields(POINTS, {"a": POINTS * np.nan}), ValueError, r"fields\['a'\] contains NaN"),
    (lambda: plots.vector_fields(POINTS, FIELDS, POINTS[:, 0]), TypeError, "density must be a function of points"),
    (lambda: plots.vector_fields(POINTS, FIELDS, lambda x: x), ValueError, r"density\(points\) must be a list"),
    (lambda: plots.vector_fields(POINTS, FIELDS, LAW.log_prob), ValueError, "finite numbers of at least 0"),
    (lambda: plots.vector_fields(POINTS, FIELDS, lambda x: 0 * x[:, 0]), ValueError, "positive somewhere"),
    (lambda: plots.vector_fields(POINTS, FIELDS, ax=3), TypeError, "ax must be a matplotlib Axes or None"),
])
@pytest.mark.filterwarnings("error")
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
