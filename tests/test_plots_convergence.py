"""The curves of a convergence are the gaps that they were given."""
import numpy as np
import pytest

from tests.drawn import legend
from tinyvae import plots


def test_convergence_draws_every_gap_by_its_step():
    ax = plots.convergence({"EM": [4.0, 2.0, 1.0, -1e-16], "gradient": np.array([3.0, 1e-9])})
    em, gradient = ax.lines
    np.testing.assert_array_equal(em.get_xydata(), [[1, 4], [2, 2], [3, 1], [4, np.nan]])
    np.testing.assert_array_equal(gradient.get_xydata(), [[1, 3], [2, 1e-9]])
    assert legend(ax) == ["EM", "gradient"] and (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert em.get_linestyle() != gradient.get_linestyle() and em.get_color() != gradient.get_color()
    own = plots.convergence({"EM": [1.0]}).figure.subplots()
    assert plots.convergence({"EM": [1.0]}, ax=own) is own


@pytest.mark.parametrize("gaps, error, words", [
    ([1.0], TypeError, "gaps must be a dict"), ({}, TypeError, "at least one entry"),
    ({"EM": []}, ValueError, r"gaps\['EM'\]"), ({"EM": [[1.0]]}, ValueError, r"gaps\['EM'\]"),
    ({"EM": [1.0, np.nan]}, ValueError, "finite"), ({"EM": [np.inf]}, ValueError, "finite")])
def test_convergence_refuses_what_it_cannot_draw(gaps, error, words):
    with pytest.raises(error, match=words):
        plots.convergence(gaps)
