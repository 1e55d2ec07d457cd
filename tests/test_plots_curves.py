"""Curves and bars carry the numbers that they were given."""
import numpy as np
import pytest

from tests.drawn import HISTORY, STEPS, legend, names
from tinyvae import plots


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


SPLITS = {"pixels": np.array([[0.6, 0.8], [0.7, 0.9], [0.95, 0.4]]), "codes": np.array([[0.9, 0.5], [0.7, 1.0]])}


def test_accuracy_over_labels_draws_mean_and_standard_error():
    ax = plots.accuracy_over_labels([50, 1000], SPLITS)
    assert ax.get_xscale() == "log" and legend(ax) == ["pixels", "codes"]
    assert names(ax.xaxis) == {"50": 50, "1000": 1000}
    for A, bars in zip(SPLITS.values(), ax.containers, strict=True):
        line, caps, (segments,) = bars
        np.testing.assert_allclose(line.get_xydata(), np.column_stack([[50, 1000], 100 * A.mean(axis=0)]))
        low, high = np.array(segments.get_segments())[:, :, 1].T
        np.testing.assert_allclose((high + low) / 2, 100 * A.mean(axis=0))
        np.testing.assert_allclose(high - low, 2 * 100 * np.sqrt(A.var(axis=0, ddof=1) / len(A)))
    assert len({bars[0].get_marker() for bars in ax.containers}) == 2


def test_estimates_over_draws_shows_medians_and_quartiles():
    errors = {"n = 1": np.array([[-4.0, 0], [-2, 1], [0, 2], [6, 3], [9, 9]]), "n = 9": np.full((3, 2), -7.0)}
    ax = plots.estimates_over_draws([1, 100], errors)
    truth, one, nine = ax.lines
    assert ax.get_xscale() == "log" and legend(ax) == ["the exact value", "n = 1", "n = 9"]
    assert set(truth.get_ydata()) == {0} and one.get_marker() != nine.get_marker()
    np.testing.assert_array_equal(one.get_xydata(), [[1, 0], [100, 2]])
    np.testing.assert_array_equal(nine.get_xydata(), [[1, -7], [100, -7]])
    corners = {tuple(corner) for corner in ax.collections[0].get_paths()[0].vertices}
    assert corners == {(1, -2), (1, 6), (100, 1), (100, 3)}


@pytest.mark.parametrize("call, error, message", [
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
    (lambda: plots.accuracy_over_labels([50, 20], SPLITS), ValueError, "n_labels must rise"),
    (lambda: plots.accuracy_over_labels([0, 20], SPLITS), ValueError, "n_labels must be finite numbers of at least 1"),
    (lambda: plots.accuracy_over_labels([50, 90], {}), TypeError, "accuracies must be a dict of arrays"),
    (lambda: plots.accuracy_over_labels([50, 90], STEPS), TypeError, "accuracies must be a dict of arrays"),
    (lambda: plots.accuracy_over_labels([50, 90], {"a": STEPS[:2]}), ValueError, r"accuracies\['a'\] must be of shape"),
    (lambda: plots.accuracy_over_labels([50, 90], {"a": STEPS[None, :2]}), ValueError, r"\(2 or more splits, 2\), got"),
    (lambda: plots.accuracy_over_labels([50], SPLITS), ValueError, r"\(2 or more splits, 1\), got \(3, 2\)"),
    (lambda: plots.accuracy_over_labels([50, 90], {"a": np.eye(2) * 90}), ValueError, "must be shares between 0 and 1"),
    (lambda: plots.accuracy_over_labels([50, 90], {"a": np.eye(2) * np.nan}), ValueError, "must be shares between"),
    (lambda: plots.estimates_over_draws([9, 9], {"a": np.eye(2)}), ValueError, "n_draws must rise"),
    (lambda: plots.estimates_over_draws([0, 9], {"a": np.eye(2)}), ValueError, "n_draws must be finite .* at least 1"),
    (lambda: plots.estimates_over_draws([1, 9], np.eye(2)), TypeError, "errors must be a dict of matrices"),
    (lambda: plots.estimates_over_draws([1, 9], {"a": np.eye(3)}), ValueError, r"errors\['a'\] has 3 features"),
    (lambda: plots.estimates_over_draws([1, 9], {"a": np.full((2, 2), np.inf)}), ValueError, "contains NaN or infinity"),
])
@pytest.mark.filterwarnings("error")
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
