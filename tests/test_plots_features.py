"""Figures of hidden features carry the numbers that they were given."""
import matplotlib

matplotlib.use("Agg")
import numpy as np
import pytest
from matplotlib import pyplot

from tests.drawn import RNG, legend
from tinyvae import plots

CODES = {"λ = 0": RNG.normal(size=(30, 4)), "λ = 1": np.maximum(RNG.normal(size=(20, 4)) - 1, 0)}
SPECTRA = {"plain": np.sort(RNG.random((9, 6)), axis=1)[:, ::-1], "contractive": np.tile([3.0, 2.0, 0.0], (4, 1))}
DRAW = {"activation_histograms": lambda ax=None: plots.activation_histograms(CODES, ax=ax),
        "singular_values": lambda ax=None: plots.singular_values(SPECTRA, ax=ax)}


@pytest.mark.parametrize("draw, x, y", [
    (DRAW["activation_histograms"], "activation", "share of all activations in a bin"),
    (DRAW["singular_values"], "rank", "singular value of ∂h/∂x")], ids=DRAW)
def test_draws_where_it_is_told_and_names_its_axes(draw, x, y):
    own = draw().figure.subplots()
    assert draw(own) is own and (own.get_xlabel(), own.get_ylabel()) == (x, y)
    with pytest.raises(TypeError, match="ax must be"):
        draw(own.figure)


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_is_saved_and_leaves_nothing_behind(draw, tmp_path):
    before = dict(matplotlib.rcParams)
    assert plots.save_figure(draw(), tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before and pyplot.get_fignums() == []


def test_activation_histograms_give_the_shares_of_common_bins():
    ax = plots.activation_histograms(CODES, n_bins=8)
    low, high = min(H.min() for H in CODES.values()), max(H.max() for H in CODES.values())
    assert ax.get_yscale() == "log"
    for step, H in zip(ax.patches, CODES.values(), strict=True):
        share, edges, _ = step.get_data()
        np.testing.assert_allclose(edges, np.linspace(low, high, 9))
        inside = [np.sum((H >= a) & (H < b)) for a, b in zip(edges, edges[1:])]
        inside[-1] += np.sum(H == high)
        np.testing.assert_allclose(np.nan_to_num(share) * H.size, inside)
        assert np.all(share[~np.isnan(share)] > 0)                  # an empty bin is a gap, not a line to −∞
    zeros = 100 * np.mean(CODES["λ = 1"] == 0)
    assert legend(ax) == ["λ = 0: 0 % are 0", f"λ = 1: {zeros:.0f} % are 0"]


def test_activation_histograms_draw_a_code_that_is_silent():
    (share, edges, _), = (step.get_data() for step in plots.activation_histograms({"a": np.zeros((3, 2))}).patches)
    assert np.nansum(share) == 1 and edges[0] == 0 and np.all(np.diff(edges) > 0) and len(edges) == 41


def test_singular_values_show_median_and_quartiles_by_rank():
    ax = plots.singular_values(SPECTRA)
    for line, band, s in zip(ax.lines, ax.collections, SPECTRA.values(), strict=True):
        rank = np.arange(1, s.shape[1] + 1)
        np.testing.assert_array_equal(line.get_xdata(), rank)
        np.testing.assert_allclose(line.get_ydata(), np.median(s, axis=0))
        corners = band.get_paths()[0].vertices
        for r in rank:
            at = corners[corners[:, 0] == r, 1]
            np.testing.assert_allclose([at.min(), at.max()], np.percentile(s[:, r - 1], [25, 75]))
    assert legend(ax) == list(SPECTRA) and ax.get_ylim()[0] == 0
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()


@pytest.mark.parametrize("call, error, message", [
    (lambda: plots.activation_histograms([CODES]), TypeError, "activations must be a dict of matrices"),
    (lambda: plots.activation_histograms({}), TypeError, "activations must be a dict of matrices"),
    (lambda: plots.activation_histograms({"a": [1.0, 2.0]}), ValueError, r"activations\['a'\]"),
    (lambda: plots.activation_histograms({"a": [[np.nan]]}), ValueError, r"activations\['a'\]"),
    (lambda: plots.activation_histograms(CODES, n_bins=1), ValueError, "n_bins must be an integer of at least 2"),
    (lambda: plots.singular_values(SPECTRA["plain"]), TypeError, "spectra must be a dict of matrices"),
    (lambda: plots.singular_values({"a": [[1.0, 2.0]]}), ValueError, r"spectra\['a'\] must have .* largest first"),
    (lambda: plots.singular_values({"a": [[1.0, -2.0]]}), ValueError, r"spectra\['a'\] must have .* none negative"),
    (lambda: plots.singular_values({"a": [[1.0, np.inf]]}), ValueError, r"spectra\['a'\]"),
])
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
