"""Every figure draws where it is told to, says what its axes are, can be saved, and leaves nothing behind."""
from copy import deepcopy

import matplotlib

matplotlib.use("Agg")
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from tests.drawn import CLASSES, CODES, GREY, HISTORY, STEPS, WIDE, two_pixels
from tinyvae import plots

DRAW = {
    "images": lambda ax=None: plots.images(GREY, (3, 4), n_columns=3, labels="abcdefg", ax=ax),
    "images, signed": lambda ax=None: plots.images(GREY - 0.5, (3, 4), signed=True, ax=ax),
    "reconstructions": lambda ax=None: plots.reconstructions(GREY, GREY / 2, (3, 4), ax=ax),
    "manifold": lambda ax=None: plots.manifold(two_pixels, (1, 2), n=4, ax=ax),
    "filters": lambda ax=None: plots.filters(GREY.T - 0.5, (3, 4), n_columns=4, ax=ax),
    "traversals": lambda ax=None: plots.traversals(np.abs, WIDE[0], [0, 5], shape=(3, 4), ax=ax),
    "interpolation": lambda ax=None: plots.interpolation(np.abs, WIDE[:2], WIDE[2:4], shape=(3, 4), ax=ax),
    "kl_by_dimension": lambda ax=None: plots.kl_by_dimension(GREY[0], GREY[0] > 0.3, ax=ax),
    "latent_plane": lambda ax=None: plots.latent_plane(CODES, CLASSES, ax=ax),
    "latent_plane, no classes": lambda ax=None: plots.latent_plane(CODES, ax=ax),
    "training_curve": lambda ax=None: plots.training_curve(HISTORY, floor=6.0, ax=ax),
    "spectrum": lambda ax=None: plots.spectrum([4, 3, 2, 1], 2, ax=ax),
    "error_against_step": lambda ax=None: plots.error_against_step(STEPS, {"central": STEPS**2}, ax=ax),
}
every_figure = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)


# ---- what holds for every figure -------------------------------------------------------------------------------------

@every_figure
def test_draws_on_the_axes_given_and_else_on_its_own(draw):
    own = Figure().subplots()
    assert draw(own) is own and own.has_data()
    assert draw().figure is not draw().figure


@every_figure
def test_leaves_nothing_behind(draw):
    before = deepcopy(dict(matplotlib.rcParams))
    draw().figure._repr_png_()
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []


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
    ("traversals", "value of zₖ (prior standard deviations)", ""),
    ("interpolation", "share of the way from start to end", ""),
    ("kl_by_dimension", "latent dimension, largest KL first", "KL(q(zₖ|x) ‖ p(zₖ)) (nats per example)"),
    ("training_curve", "epoch", "nats per example"),
    ("spectrum", "principal direction", "share of the variance (%)"),
    ("error_against_step", "step h", "relative error of the derivative")])
def test_axes_are_labelled(name, x, y):
    ax = DRAW[name]()
    assert (ax.get_xlabel(), ax.get_ylabel()) == (x, y)


@pytest.mark.parametrize("name", ["images", "images, signed", "manifold", "filters", "traversals"])
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
