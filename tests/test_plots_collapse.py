"""A line for every latent dimension of every run, and a count of those in use."""
import numpy as np
import pytest

from tests.drawn import legend
from tinyvae import plots

USED = np.array([[0.1, 0.0, 0.2], [0.5, 0.02, 0.011], [1.5, 0.003, 0.02]])


def test_every_dimension_of_every_run_is_a_line():
    ax = plots.kl_over_epochs({"plain": USED[:2, :2], "warm-up": USED})
    assert len(ax.lines) == 5
    for line, values in zip(ax.lines, [*USED[:2, :2].T, *USED.T]):
        np.testing.assert_array_equal(line.get_xydata(), np.column_stack([np.arange(1, len(values) + 1), values]))
    looks = [(line.get_color(), line.get_linestyle()) for line in ax.lines]
    assert len(set(looks[:2])) == len(set(looks[2:])) == 1 and looks[0][0] != looks[2][0] and looks[0][1] != looks[2][1]
    assert legend(ax) == ["plain: 2 of 2 in use", "warm-up: 2 of 3 in use"]
    assert ax.get_xlabel() == "epoch" and "nats" in ax.get_ylabel()
    own = ax.figure.subplots()
    assert plots.kl_over_epochs({"a": USED}, ax=own) is own


@pytest.mark.parametrize("kl, error, words", [
    (USED, TypeError, "kl must be a dict"), ({}, TypeError, "at least one entry"),
    ({"a": USED[0]}, ValueError, r"kl\['a'\]: Expected 2D array"), ({"a": USED * np.nan}, ValueError, "contains NaN")])
def test_what_cannot_be_drawn_is_refused(kl, error, words):
    with pytest.raises(error, match=words):
        plots.kl_over_epochs(kl)
