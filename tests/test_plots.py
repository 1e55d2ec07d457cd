"""The figures carry the data that they were given, in the right place, and leave nothing behind."""
from copy import deepcopy

import matplotlib

matplotlib.use("Agg")
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import norm

from tinyvae import plots

RNG = np.random.default_rng(20)
GREY = RNG.random((7, 12))                             # seven images of 3 × 4
CODES = RNG.normal(size=(40, 2))
CLASSES = np.arange(40) % 10
STEPS = 10.0 ** np.arange(-8, 0)
HISTORY = {"loss": [9.0, 7.0, 6.5], "reconstruction": [8.0, 5.0, 4.0], "kl": [1.0, 2.0, 2.5]}

DRAW = {
    "images": lambda ax=None: plots.images(GREY, (3, 4), n_columns=3, labels="abcdefg", ax=ax),
    "images, signed": lambda ax=None: plots.images(GREY - 0.5, (3, 4), signed=True, ax=ax),
    "reconstructions": lambda ax=None: plots.reconstructions(GREY, GREY / 2, (3, 4), ax=ax),
    "manifold": lambda ax=None: plots.manifold(two_pixels, (1, 2), n=4, ax=ax),
    "latent_plane": lambda ax=None: plots.latent_plane(CODES, CLASSES, ax=ax),
    "latent_plane, no classes": lambda ax=None: plots.latent_plane(CODES, ax=ax),
    "training_curve": lambda ax=None: plots.training_curve(HISTORY, floor=6.0, ax=ax),
    "spectrum": lambda ax=None: plots.spectrum([4, 3, 2, 1], 2, ax=ax),
    "error_against_step": lambda ax=None: plots.error_against_step(STEPS, {"central": STEPS**2}, ax=ax),
}
every_figure = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)


def two_pixels(z):
    """An image whose two grey levels say which code it was made from."""
    return norm.cdf(z)


def cut(ax, n_columns):
    """The images of a grid, found as what lies between its blank rows and columns."""
    tiles = np.ma.filled(ax.images[0].get_array().astype(float), np.nan)
    rows, columns = (np.flatnonzero(np.isfinite(tiles).any(axis=axis)) for axis in (1, 0))
    rows, columns = (np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) for at in (rows, columns))
    assert len(columns) == n_columns
    return [[tiles[np.ix_(r, c)] for c in columns] for r in rows]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    before = deepcopy(dict(matplotlib.rcParams))
    yield
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []


# ---- what holds for every figure -------------------------------------------------------------------------------------

@every_figure
def test_draws_on_the_axes_given_and_else_on_its_own(draw):
    own = Figure().subplots()
    assert draw(own) is own and own.has_data()
    assert draw().figure is not draw().figure


@every_figure
def test_is_saved_as_png(draw, tmp_path):
    ax = draw()
    path = plots.save_figure(ax, tmp_path / "new" / "folder" / "figure.png")
    assert path == tmp_path / "new" / "folder" / "figure.png"
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 2000
    assert ax.figure._repr_png_().startswith(b"\x89PNG")            # and a notebook still shows it afterwards


@every_figure
def test_refuses_what_is_no_axes(draw):
    with pytest.raises(TypeError, match="ax must be"):
        draw(Figure())


LATENT = "latent dimension {} (prior standard deviations)"


@pytest.mark.parametrize("name, x, y", [
    ("manifold", LATENT.format(1), LATENT.format(2)),
    ("latent_plane", LATENT.format(1), LATENT.format(2)),
    ("training_curve", "epoch", "nats per example"),
    ("spectrum", "principal direction", "share of the variance (%)"),
    ("error_against_step", "step h", "relative error of the derivative")])
def test_axes_are_labelled(name, x, y):
    ax = DRAW[name]()
    assert (ax.get_xlabel(), ax.get_ylabel()) == (x, y)


@pytest.mark.parametrize("name", ["images", "images, signed", "manifold"])
def test_images_do_not_depend_on_global_settings(name):
    plain = DRAW[name]().figure._repr_png_()
    with matplotlib.rc_context({"image.cmap": "viridis", "image.origin": "lower", "axes.grid": True}):
        assert DRAW[name]().figure._repr_png_() == plain


# ---- saving ----------------------------------------------------------------------------------------------------------

def test_saving_closes_a_figure_of_pyplot(tmp_path):
    figure, ax = pyplot.subplots()
    plots.save_figure(ax, str(tmp_path / "a.png"))
    assert pyplot.get_fignums() == [] and (tmp_path / "a.png").exists()


def test_saving_takes_figures_and_axes_of_subfigures(tmp_path):
    figure = Figure(figsize=(8, 4))
    left, right = figure.subfigures(1, 2)
    DRAW["spectrum"](left.subplots())
    ax = DRAW["images"](right.subplots())
    files = [plots.save_figure(thing, tmp_path / f"{i}.png").read_bytes() for i, thing in enumerate((figure, left, ax))]
    assert files[0] == files[1] == files[2]


def test_saving_refuses(tmp_path):
    with pytest.raises(TypeError, match="ax_or_figure must be"):
        plots.save_figure("figure", tmp_path / "a.png")
    with pytest.raises(ValueError, match="path must end in .png"):
        plots.save_figure(DRAW["spectrum"](), tmp_path / "new" / "a.pdf")
    assert not (tmp_path / "new").exists()


# ---- images ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("n_columns", [1, 3, 7, 10])
def test_images_stand_in_reading_order(n_columns):
    ax = plots.images(GREY, (3, 4), n_columns=n_columns)
    grid = [image for row in cut(ax, min(n_columns, 7)) for image in row]
    for x, image in zip(GREY, grid, strict=False):
        np.testing.assert_array_equal(image, x.reshape(3, 4))
    assert all(np.isnan(image).all() for image in grid[7:])         # places without an image stay blank
    assert ax.images[0].get_clim() == (0, 1)


def test_images_are_centred_on_squares_of_side_one():
    picture = plots.images(GREY[:6], (3, 4), n_columns=3).images[0]
    left, right, bottom, top = picture.get_extent()
    finite = ~np.ma.getmaskarray(picture.get_array())
    rows, columns = (np.flatnonzero(finite.any(axis=axis)) + 0.5 for axis in (1, 0))
    x = left + columns * (right - left) / finite.shape[1]
    y = top + rows * (bottom - top) / finite.shape[0]
    np.testing.assert_allclose(x.reshape(3, 4).mean(axis=1), [0.5, 1.5, 2.5])
    np.testing.assert_allclose(y.reshape(2, 3).mean(axis=1), [0.5, 1.5])


def test_images_are_ink_on_paper_and_upright():
    ax = plots.images([[1.0, 1, 0, 0]])                             # the upper half is ink
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=2)

    def shade(y):
        column, row = ax.transData.transform((0.5, y)).astype(int)
        return pixels[len(pixels) - row, column]

    assert shade(0.4) == 0 and shade(0.8) == 255


def test_captions_stand_above_their_images():
    ax = plots.images(GREY, (3, 4), n_columns=3, labels=range(7))
    np.testing.assert_array_equal(cut(ax, 3)[1][0], GREY[3].reshape(3, 4))
    assert [t.get_text() for t in ax.texts] == list("0123456")
    places = np.array([t.get_position() for t in ax.texts])
    np.testing.assert_allclose(places[:, 0], np.arange(7) % 3 + 0.5)
    tiles, (left, right, bottom, top) = ax.images[0].get_array(), ax.images[0].get_extent()
    rows = ((places[:, 1] - top) / (bottom - top) * len(tiles)).astype(int)
    assert np.ma.getmaskarray(tiles)[rows].all()                    # on the blank strip, not on an image
    np.testing.assert_array_equal(np.floor(places[:, 1]), np.arange(7) // 3)


def test_signed_images_are_symmetric_about_white():
    ax = plots.images([[-0.25, 0, 0.1, 0.5]], signed=True)
    picture = ax.images[0]
    assert picture.get_clim() == (-0.5, 0.5) and picture.colorbar is not None
    red, _, blue, _ = np.transpose(picture.to_rgba([-0.5, 0.0, 0.5]))
    assert blue[0] > red[0] and abs(red[1] - blue[1]) < 0.01 and red[1] > 0.95 and red[2] > blue[2]
    plots.images(np.zeros((1, 4)), signed=True)                     # no scale of its own: nothing to divide by


def test_integers_up_to_one_are_images_and_larger_are_not():
    plots.images(np.eye(4, dtype=np.uint8))
    plots.images(np.full((1, 4), -3), signed=True)
    with pytest.raises(ValueError, match=r"X must be grey levels in \[0, 1\], got integers up to 16"):
        plots.images(np.full((1, 4), 16, dtype=np.uint8))


def test_reconstructions_stand_beneath_their_originals():
    ax = plots.reconstructions(GREY, GREY**2, (3, 4))
    upper, lower = cut(ax, 7)
    np.testing.assert_array_equal(upper, GREY.reshape(7, 3, 4))
    np.testing.assert_array_equal(lower, (GREY**2).reshape(7, 3, 4))
    named = dict(zip((t.get_text() for t in ax.get_yticklabels()), ax.get_yticks()))
    assert named == {"original": 0.5, "reconstruction": 1.5}        # in axes units a row of images has height 1
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


@pytest.mark.parametrize("extent, steps", [(None, norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9])), (2, [-2, -1, 0, 1, 2])])
def test_manifold_puts_each_code_at_its_place(extent, steps):
    ax = plots.manifold(two_pixels, (1, 2), n=5, extent=extent)
    grid = np.array(cut(ax, 5)).reshape(5, 5, 2)                    # (row, column, the two coordinates)
    np.testing.assert_allclose(norm.ppf(grid[..., 0]), np.tile(steps, (5, 1)), atol=1e-12)
    np.testing.assert_allclose(norm.ppf(grid[..., 1]), np.tile(steps, (5, 1)).T[::-1], atol=1e-12)
    x = {t.get_text(): at for t, at in zip(ax.get_xticklabels(), ax.get_xticks())}
    y = {t.get_text(): at for t, at in zip(ax.get_yticklabels(), ax.get_yticks())}
    for i, step in enumerate(steps):
        name = f"{abs(step):.2f}" if step > -1e-9 else f"−{abs(step):.2f}"
        assert x[name] == i + 0.5 and y[name] == 5 - 0.5 - i


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 9, 10, 12, 15, 16, 20, 21, 30])
def test_manifold_never_crowds_its_axes(n):
    at = plots.manifold(two_pixels, (1, 2), n=n).get_xticks()
    assert 2 <= len(at) <= 8 and len(set(np.diff(at))) == 1
    np.testing.assert_allclose(at + at[::-1], n)                    # as many images left out at either end


# ---- codes and curves ------------------------------------------------------------------------------------------------

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


def test_training_curve_draws_every_quantity_by_epoch():
    ax = plots.training_curve(HISTORY, floor=6.25)
    lines = {line.get_label(): line for line in ax.lines}
    assert legend(ax) == ["loss", "reconstruction", "KL", "cannot do better than this (6.25)"]
    for name, values in HISTORY.items():
        line = lines["KL" if name == "kl" else name]
        np.testing.assert_array_equal(line.get_xydata(), np.column_stack([[1, 2, 3], values]))
    assert len({line.get_linestyle() + str(line._unscaled_dash_pattern) for line in ax.lines[:3]}) == 3
    assert set(ax.lines[3].get_ydata()) == {6.25}
    assert HISTORY.keys() == {"loss", "reconstruction", "kl"}       # the caller's dict is whole
    assert len(plots.training_curve({"kl": [1.0]}).lines) == 1


def test_training_curve_shows_that_training_diverged():
    assert np.isnan(plots.training_curve({"loss": [1.0, np.nan]}).lines[0].get_ydata()[1])


@pytest.mark.parametrize("n_kept", [0, 1, 3, 4])
def test_spectrum_gives_the_shares_and_their_sums(n_kept):
    ax = plots.spectrum([5, 3, 2, -1e-17], n_kept)                  # a zero eigenvalue as eigh may give it
    kept, discarded = (step.get_data() for step in ax.patches)
    np.testing.assert_allclose(np.concatenate([kept.values, discarded.values]), [50, 30, 20, 0])
    np.testing.assert_array_equal(kept.edges, np.arange(n_kept + 1) + 0.5)
    np.testing.assert_array_equal(discarded.edges, np.arange(n_kept, 5) + 0.5)
    share = [0, 50, 80, 100, 100][n_kept]
    assert legend(ax) == [f"kept: {n_kept} of 4, {share:.1f} % of the variance",
                          f"discarded: {4 - n_kept} of 4, {100 - share:.1f} % of the variance"]


def test_error_against_step_is_logarithmic_and_shows_zeros():
    errors = {"central": STEPS**2, "complex step": np.zeros(8)}
    ax = plots.error_against_step(STEPS, errors)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    central, exact, floor = ax.lines
    np.testing.assert_array_equal(central.get_xydata(), np.column_stack([STEPS, np.maximum(STEPS**2, 1e-17)]))
    np.testing.assert_array_equal(exact.get_ydata(), 1e-17)
    assert set(floor.get_ydata()) == {1e-17}
    assert legend(ax) == ["central", "complex step", "an error of 0 is drawn here"]
    assert central.get_marker() != exact.get_marker()
    assert legend(plots.error_against_step(STEPS, {"forward": STEPS})) == ["forward"]


# ---- what is refused -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("call, error, message", [
    (lambda: plots.images(GREY), ValueError, "shape must be .* 12, the columns of X .* got None"),
    (lambda: plots.images(GREY, (3, 5)), ValueError, r"shape must be .* got \(3, 5\)"),
    (lambda: plots.images(GREY, 12), ValueError, "shape must be .* got 12"),
    (lambda: plots.images(GREY, (-3, -4)), ValueError, "shape must be an integer of at least 1, got -3"),
    (lambda: plots.images(GREY, (3.0, 4)), TypeError, "shape must be an integer"),
    (lambda: plots.images(GREY, (3, 4), n_columns=0), ValueError, "n_columns must be an integer of at least 1, got 0"),
    (lambda: plots.images(GREY, (3, 4), signed="yes"), TypeError, "signed must be True or False"),
    (lambda: plots.images(GREY, (3, 4), labels="ab"), ValueError, "labels must be 7 captions"),
    (lambda: plots.images(GREY[0], (3, 4)), ValueError, "X: Expected 2D array"),
    (lambda: plots.images(GREY * np.nan, (3, 4)), ValueError, "X contains NaN"),
    (lambda: plots.reconstructions(GREY, GREY[:3], (3, 4)), ValueError, r"X_hat must have the shape of X, \(7, 12\)"),
    (lambda: plots.reconstructions(GREY[:, :4], GREY), ValueError, "columns of X_hat"),
    (lambda: plots.manifold(GREY), TypeError, "decode must be a function"),
    (lambda: plots.manifold(two_pixels, (1, 2), n=1), ValueError, "n must be an integer of at least 2"),
    (lambda: plots.manifold(two_pixels, (1, 2), extent=0), ValueError, "extent must be"),
    (lambda: plots.manifold(lambda z: z[:3], (1, 2)), ValueError, "decode must return a row for each of the 225 codes"),
    (lambda: plots.manifold(two_pixels), ValueError, r"columns of decode\(z\)"),
    (lambda: plots.latent_plane(GREY), ValueError, "Z has 12 features, but the latent plane is expecting 2"),
    (lambda: plots.latent_plane(CODES, CLASSES[:5]), ValueError, "y must be 40 integers"),
    (lambda: plots.latent_plane(CODES, CLASSES / 2), ValueError, "y must be 40 integers"),
    (lambda: plots.latent_plane(CODES, np.arange(40)), ValueError, "at most 10 classes"),
    (lambda: plots.training_curve([1, 2]), TypeError, "history must be a dict"),
    (lambda: plots.training_curve({}), TypeError, "history must be a dict"),
    (lambda: plots.training_curve({"loss": [1, 2], "kl": [1]}), ValueError, r"history\['kl'\] must be a list of 2"),
    (lambda: plots.training_curve({"loss": []}), ValueError, r"history\['loss'\] must be a list of one or more"),
    (lambda: plots.training_curve(HISTORY, floor="low"), TypeError, "floor must be a number"),
    (lambda: plots.spectrum([1, 2, 3], 1), ValueError, r"eigenvalues must be .* \[::-1\]"),
    (lambda: plots.spectrum([3, 2, -1], 1), ValueError, "eigenvalues must be"),
    (lambda: plots.spectrum([0, 0], 1), ValueError, "eigenvalues must be"),
    (lambda: plots.spectrum([np.inf, 1], 1), ValueError, "eigenvalues must be"),
    (lambda: plots.spectrum([3, np.nan], 1), ValueError, "eigenvalues must be"),
    (lambda: plots.spectrum(np.eye(2), 1), ValueError, "eigenvalues must be a list"),
    (lambda: plots.spectrum([2, 1], 3), ValueError, "n_kept must be at most 2"),
    (lambda: plots.spectrum([2, 1], -1), ValueError, "n_kept must be an integer of at least 0"),
    (lambda: plots.error_against_step(-STEPS, {"a": STEPS}), ValueError, "steps must be finite numbers"),
    (lambda: plots.error_against_step(STEPS, STEPS), TypeError, "errors must be a dict"),
    (lambda: plots.error_against_step(STEPS, {"a": STEPS[:2]}), ValueError, r"errors\['a'\] must be a list of 8"),
    (lambda: plots.error_against_step(STEPS, {"a": -STEPS}), ValueError, r"errors\['a'\] must be finite .* at least 0"),
    (lambda: plots.error_against_step(STEPS, {"a": STEPS * np.nan}), ValueError, r"errors\['a'\] must be finite"),
])
@pytest.mark.filterwarnings("error")
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
