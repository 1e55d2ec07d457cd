"""Figures of the latent space: each code in its place, each image made from the code that its place names."""
import numpy as np
import pytest
from scipy.stats import norm

from tests.drawn import CLASSES, CODES, GREY, WIDE, cut, legend, names, names_are_apart, two_pixels
from tinyvae import plots

KL = np.array([0.5, 0.001, 2.0, 0.5, 1.25, 0.002])
ACTIVE = KL > 0.01


def test_latent_plane_shows_every_code_as_its_class():
    ax = plots.latent_plane(CODES, CLASSES)
    assert len(ax.collections) == 10
    for label, dots in enumerate(ax.collections):
        np.testing.assert_array_equal(dots.get_offsets(), CODES[CLASSES == label])
    shapes = {dots.get_paths()[0].vertices.tobytes() for dots in ax.collections}
    colours = {tuple(dots.get_facecolor()[0]) for dots in ax.collections}
    assert len(shapes) == len(colours) == 10                        # told apart by shape as well as by colour
    assert ax.get_aspect() == 1
    np.testing.assert_array_equal(plots.latent_plane(CODES).collections[0].get_offsets(), CODES)


def test_latent_plane_draws_the_dimensions_that_it_names():
    ax = plots.latent_plane(WIDE, dimensions=(10, 3))
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), WIDE[:, [10, 3]])
    assert ax.get_xlabel().startswith("latent dimension 11 (") and ax.get_ylabel().startswith("latent dimension 4 (")
    dots = plots.latent_plane(WIDE, [4, 4, 7, 4, 7], dimensions=np.array([10, 3])).collections
    np.testing.assert_array_equal(dots[1].get_offsets(), WIDE[[2, 4]][:, [10, 3]])


@pytest.mark.parametrize("extent, steps", [(None, norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9])), (2, [-2, -1, 0, 1, 2])])
def test_manifold_puts_each_code_at_its_place(extent, steps):
    ax = plots.manifold(two_pixels, (1, 2), n=5, extent=extent)
    grid = np.array(cut(ax, 5)).reshape(5, 5, 2)                    # (row, column, the two coordinates)
    np.testing.assert_allclose(norm.ppf(grid[..., 0]), np.tile(steps, (5, 1)), atol=1e-12)
    np.testing.assert_allclose(norm.ppf(grid[..., 1]), np.tile(steps, (5, 1)).T[::-1], atol=1e-12)
    x, y = names(ax.xaxis), names(ax.yaxis)
    for i, step in enumerate(steps):
        name = f"{abs(step):.2f}" if step > -1e-9 else f"−{abs(step):.2f}"
        assert x[name] == i + 0.5 and y[name] == 5 - 0.5 - i


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 9, 10, 12, 15, 16, 20, 21, 30])
def test_manifold_never_crowds_its_axes(n):
    at = plots.manifold(two_pixels, (1, 2), n=n).get_xticks()
    assert 2 <= len(at) <= 8 and len(set(np.diff(at))) == 1
    np.testing.assert_allclose(at + at[::-1], n)                    # as many images left out at either end


# ---- walks: the decoder hands its codes on, so that each image says which code it was made from ----------------------

def as_they_are(codes):
    return codes


@pytest.mark.parametrize("dimensions", [None, [11, 0, 4], np.array([7])])
def test_traversals_move_one_coordinate_and_no_other(dimensions):
    z = WIDE[0].copy()
    ax = plots.traversals(as_they_are, z, dimensions, extent=2, n=5, shape=(3, 4))
    rows = range(12) if dimensions is None else dimensions
    grid = np.array(cut(ax, 5)).reshape(len(rows), 5, 12)
    for images, k in zip(grid, rows, strict=True):
        np.testing.assert_allclose(images[:, k], [-2, -1, 0, 1, 2])
        np.testing.assert_array_equal(np.delete(images, k, axis=1), np.tile(np.delete(z, k), (5, 1)))
    subscripts = "₁ ₂ ₃ ₄ ₅ ₆ ₇ ₈ ₉ ₁₀ ₁₁ ₁₂".split()
    assert names(ax.yaxis) == {f"z{subscripts[k]}": row + 0.5 for row, k in enumerate(rows)}
    assert names(ax.xaxis) == {"−2.00": 0.5, "−1.00": 1.5, "0.00": 2.5, "1.00": 3.5, "2.00": 4.5}
    np.testing.assert_array_equal(z, WIDE[0])


def test_traversals_reach_three_standard_deviations_in_eleven_steps():
    steps = np.array(cut(plots.traversals(as_they_are, np.ones(4), [2]), 11))[0, :, 1, 0]
    np.testing.assert_allclose(steps, np.linspace(-3, 3, 11))


def test_interpolation_walks_straight_from_start_to_end():
    start, end = WIDE[:2], WIDE[3:]
    ax = plots.interpolation(as_they_are, start, end, n=5, shape=(3, 4))
    grid = np.array(cut(ax, 5)).reshape(2, 5, 12)
    np.testing.assert_array_equal(grid[:, 0], start)
    np.testing.assert_array_equal(grid[:, -1], end)
    np.testing.assert_allclose(grid[:, 1], start + (end - start) / 4)
    np.testing.assert_allclose(grid[:, 3], end + (start - end) / 4)
    assert names(ax.xaxis) == {"0.00": 0.5, "0.25": 1.5, "0.50": 2.5, "0.75": 3.5, "1.00": 4.5}
    assert names(ax.yaxis) == {}
    assert len(cut(plots.interpolation(as_they_are, start, end, shape=(3, 4)), 11)) == 2


@pytest.mark.parametrize("n", [2, 5, 10, 11, 12, 14, 15, 21, 40])
def test_walks_never_crowd_their_axis(n):
    for ax in (plots.traversals(as_they_are, np.ones(4), [0], n=n),
               plots.interpolation(as_they_are, np.eye(4), np.eye(4)[::-1], n=n)):
        assert 2 <= len(ax.get_xticks()) <= 11 and names_are_apart(ax)


# ---- which dimensions are used ---------------------------------------------------------------------------------------

def bars(ax):
    """Where each bar stands, how high it is and what its group is called."""
    return {round(bar.get_x() + bar.get_width() / 2, 9): (bar.get_height(), group.get_label())
            for group in ax.containers for bar in group}


def test_kl_stands_above_the_name_of_its_dimension_largest_first():
    ax = plots.kl_by_dimension(KL)
    places, shown = names(ax.xaxis), bars(ax)
    assert list(places) == ["3", "5", "1", "4", "6", "2"]                   # of equals the first comes first
    assert list(places.values()) == [1, 2, 3, 4, 5, 6]
    for name, at in places.items():
        assert shown[at] == (KL[int(name) - 1], "total: 4.253 nats per example")
    assert legend(ax) == ["total: 4.253 nats per example"]
    assert ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > 2


def test_kl_tells_inactive_units_apart():
    active = np.array([True, False, True, False, True, False])              # of the equal dimensions 1 and 4, one
    ax = plots.kl_by_dimension(KL, active)
    shown = bars(ax)
    for name, at in names(ax.xaxis).items():
        assert shown[at] == (KL[int(name) - 1], f"{'active' if active[int(name) - 1] else 'inactive'}: 3 of 6 units")
    assert legend(ax) == ["active: 3 of 6 units", "inactive: 3 of 6 units"]
    assert ax.get_legend().get_title().get_text() == "total: 4.253 nats per example"
    used, unused = (group[0] for group in ax.containers)
    assert used.get_hatch() != unused.get_hatch() and used.get_facecolor() != unused.get_facecolor()


@pytest.mark.parametrize("active, said", [
    (ACTIVE, ["active: 4 of 6 units", "inactive: 2 of 6 units"]), (ACTIVE | True, ["active: 6 of 6 units"]),
    (list(ACTIVE & False), ["inactive: 6 of 6 units"])])
def test_kl_counts_its_units(active, said):
    assert legend(plots.kl_by_dimension(list(KL), active)) == said


@pytest.mark.parametrize("K", [1, 2, 10, 20, 30, 31, 50, 200])
def test_kl_names_are_legible_or_ranks(K):
    ax = plots.kl_by_dimension(np.linspace(1, 0, K)[::-1] if K > 1 else [0.5])
    assert names_are_apart(ax)
    assert [bars(ax)[at][0] for at in range(1, K + 1)] == sorted([bar[0] for bar in bars(ax).values()], reverse=True)
    if K > 30:
        assert ax.get_xlabel() == "rank of the latent dimension by its KL" and len(ax.get_xticks()) < 15
    else:
        assert list(names(ax.xaxis)) == [str(k) for k in range(K, 0, -1)]


def test_kl_of_collapsed_units_is_drawn():
    ax = plots.kl_by_dimension([0.0, -1e-8])                                # rounding gives a zero either sign
    assert ax.get_ylim()[1] == 1.05


@pytest.mark.parametrize("call, error, message", [
    (lambda: plots.manifold(GREY), TypeError, "decode must be a function"),
    (lambda: plots.manifold(two_pixels, (1, 2), n=1), ValueError, "n must be an integer of at least 2"),
    (lambda: plots.manifold(two_pixels, (1, 2), extent=0), ValueError, "extent must be"),
    (lambda: plots.manifold(lambda z: z[:3], (1, 2)), ValueError, "decode must return a row for each of the 225 codes"),
    (lambda: plots.manifold(two_pixels), ValueError, r"columns of decode\(z\)"),
    (lambda: plots.latent_plane(GREY[:, :1]), ValueError, r"dimensions must be columns from 0 to 0, got \[0, 1\]"),
    (lambda: plots.latent_plane(GREY, dimensions=(0, 12)), ValueError, "dimensions must be columns from 0 to 11"),
    (lambda: plots.latent_plane(GREY, dimensions=(0, 1, 2)), ValueError, "dimensions must be two columns of Z"),
    (lambda: plots.latent_plane(GREY, dimensions=(-1, 0)), ValueError, "dimensions must be an integer of at least 0"),
    (lambda: plots.latent_plane(GREY, dimensions=2), TypeError, "dimensions must be a list .* from 0 to 11, got 2"),
    (lambda: plots.latent_plane(CODES, CLASSES[:5]), ValueError, "y must be 40 integers"),
    (lambda: plots.latent_plane(CODES, CLASSES / 2), ValueError, "y must be 40 integers"),
    (lambda: plots.latent_plane(CODES, np.arange(40)), ValueError, "at most 10 classes"),
    (lambda: plots.traversals(GREY, WIDE[0]), TypeError, "decode must be a function"),
    (lambda: plots.traversals(as_they_are, WIDE), ValueError, "z must be a list of one or more numbers, got shape"),
    (lambda: plots.traversals(as_they_are, WIDE[0] * np.nan), ValueError, "z must be finite numbers, got"),
    (lambda: plots.traversals(as_they_are, [0.0, np.inf], shape=(1, 2)), ValueError, "z must be finite numbers, got"),
    (lambda: plots.traversals(as_they_are, np.ones(21)), ValueError, "dimensions must be at most 20 .* got 21; choose"),
    (lambda: plots.traversals(as_they_are, WIDE[0], [12]), ValueError, "dimensions must be columns from 0 to 11"),
    (lambda: plots.traversals(as_they_are, WIDE[0], []), TypeError, "dimensions must be a list"),
    (lambda: plots.traversals(as_they_are, WIDE[0], [0.5]), TypeError, "dimensions must be an integer"),
    (lambda: plots.traversals(as_they_are, WIDE[0], WIDE[0] > 0), TypeError, "dimensions must be an integer"),
    (lambda: plots.traversals(as_they_are, WIDE[0], extent=-1), ValueError, "extent must be"),
    (lambda: plots.traversals(as_they_are, WIDE[0], n=1), ValueError, "n must be an integer of at least 2"),
    (lambda: plots.traversals(as_they_are, WIDE[0]), ValueError, r"shape must be .* columns of decode\(z\)"),
    (lambda: plots.interpolation(GREY, WIDE, WIDE), TypeError, "decode must be a function"),
    (lambda: plots.interpolation(as_they_are, WIDE, WIDE[:2]), ValueError, r"end must have the shape of start, \(5"),
    (lambda: plots.interpolation(as_they_are, WIDE[0], WIDE[1]), ValueError, "start: Expected 2D array"),
    (lambda: plots.interpolation(as_they_are, WIDE, WIDE * np.inf), ValueError, "end contains NaN or infinity"),
    (lambda: plots.interpolation(as_they_are, WIDE, WIDE, n=1), ValueError, "n must be an integer of at least 2"),
    (lambda: plots.interpolation(lambda z: z[:3], WIDE, WIDE, shape=(3, 4)), ValueError, "each of the 55 codes"),
    (lambda: plots.kl_by_dimension(GREY), ValueError, "kl must be a list of one or more numbers"),
    (lambda: plots.kl_by_dimension([1, -0.5]), ValueError, "kl must be finite numbers of at least"),
    (lambda: plots.kl_by_dimension([1, np.nan]), ValueError, "kl must be finite numbers"),
    (lambda: plots.kl_by_dimension([1, 0], [True]), ValueError, "active must be 2 of True or False"),
    (lambda: plots.kl_by_dimension([1, 0], [1, 0]), ValueError, "active must be 2 of True or False"),
])
@pytest.mark.filterwarnings("error")
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
