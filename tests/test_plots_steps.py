"""Errors of measured slopes in two precisions, and Taylor remainders with their orders, as they were given."""
import numpy as np
import pytest

from tests.drawn import STEPS, legend
from tinyvae import plots


def test_step_errors_draws_both_precisions_of_every_method():
    double, single = {"central": STEPS**2, "complex step": np.zeros(8)}, {"central": STEPS}
    ax = plots.step_errors(STEPS, double, single)
    central, exact, central32, floor = ax.lines
    np.testing.assert_array_equal(central.get_xydata(), np.column_stack([STEPS, np.maximum(STEPS**2, 1e-17)]))
    np.testing.assert_array_equal(central32.get_xydata(), np.column_stack([STEPS, STEPS]))
    assert set(exact.get_ydata()) == set(floor.get_ydata()) == {1e-17}
    assert legend(ax) == ["central", "complex step", "float64", "float32", "an error of 0 is drawn here"]
    assert double.keys() == {"central", "complex step"} and single.keys() == {"central"}
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step t", "relative error of the measured slope")


def test_step_errors_tells_methods_and_precisions_apart_without_colour():
    ax = plots.step_errors(STEPS, {"forward": STEPS, "central": STEPS**2}, {"central": STEPS, "complex step": STEPS})
    forward, central, central32, complex32 = ax.lines                       # no error is 0: no line at the floor
    keys = dict(zip(legend(ax), ax.get_legend().legend_handles))
    assert list(keys) == ["forward", "central", "complex step", "float64", "float32"]
    assert central.get_color() == central32.get_color() == keys["central"].get_color()
    assert central.get_marker() == central32.get_marker() == keys["central"].get_marker()
    assert complex32.get_marker() == keys["complex step"].get_marker()
    assert len({line.get_marker() for line in (forward, central, complex32)}) == 3
    for double, single in ((central, central32), (keys["float64"], keys["float32"])):
        assert (double.get_fillstyle(), single.get_fillstyle()) == ("full", "none")
        assert double.get_linestyle() == "-" != single.get_linestyle()


def test_taylor_orders_fits_the_smaller_steps_and_shows_both_orders():
    bent = 1e-3 * STEPS + STEPS**2                                          # order 1 up to 1e-3, then 2
    ax = plots.taylor_orders(STEPS, {"right": 3 * STEPS**2, "wrong": bent})
    right, wrong, one, two = ax.lines
    assert legend(ax) == ["right: order 2.00", "wrong: order 1.00", "order 1", "order 2"]
    np.testing.assert_array_equal(right.get_xydata(), np.column_stack([STEPS, 3 * STEPS**2]))
    np.testing.assert_array_equal(wrong.get_ydata(), bent)
    for line, order in ((one, 1), (two, 2)):
        x, y = line.get_data()
        np.testing.assert_allclose(np.diff(np.log(y)) / np.diff(np.log(x)), order)
        assert np.all(y[-1] > [3 * STEPS[-1]**2, bent[-1]])
    assert right.get_marker() != wrong.get_marker() and right.get_color() != wrong.get_color()
    assert one._unscaled_dash_pattern != two._unscaled_dash_pattern
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step t", "Taylor remainder")
    assert legend(plots.taylor_orders([1e-2, 1e-1], {"two points": [1e-4, 1e-2]}))[0] == "two points: order 2.00"


def test_taylor_orders_leaves_out_remainders_of_zero():
    ax = plots.taylor_orders(STEPS, {"some": STEPS**2 * (np.arange(8) > 2), "a plane": 0 * STEPS})
    assert legend(ax)[:2] == ["some: order 2.00", "a plane: no remainder"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [np.nan] * 3 + list(STEPS[3:]**2))
    assert np.isnan(ax.lines[1].get_ydata()).all()
    assert plots.taylor_orders(STEPS, {"a plane": 0 * STEPS}).figure._repr_png_()


@pytest.mark.parametrize("draw", [lambda ax=None: plots.step_errors(STEPS, {"a": STEPS}, {"a": STEPS}, ax=ax),
                                  lambda ax=None: plots.taylor_orders(STEPS, {"a": STEPS}, ax=ax)])
def test_draws_where_it_is_told_to(draw):
    own = draw().figure.subplots()
    assert draw(own) is own and own.has_data()
    with pytest.raises(TypeError, match="ax must be"):
        draw("here")


@pytest.mark.parametrize("call, error, words", [
    (lambda: plots.step_errors(STEPS[::-1], {"a": STEPS}, {"a": STEPS}), ValueError, "steps must be .* rising"),
    (lambda: plots.step_errors(STEPS - 1e-8, {"a": STEPS}, {"a": STEPS}), ValueError, "steps must be positive"),
    (lambda: plots.step_errors(STEPS, STEPS, {"a": STEPS}), TypeError, "float64 must be a dict"),
    (lambda: plots.step_errors(STEPS, {"a": STEPS}, {}), TypeError, "float32 must be a dict"),
    (lambda: plots.step_errors(STEPS, {"a": STEPS}, {"a": STEPS[:2]}), ValueError, r"float32\['a'\] must be a list of 8"),
    (lambda: plots.step_errors(STEPS, {"a": -STEPS}, {"a": STEPS}), ValueError, r"float64\['a'\] must be .* at least 0"),
    (lambda: plots.taylor_orders(STEPS[:1], {"a": STEPS[:1]}), ValueError, "steps must be two or more"),
    (lambda: plots.taylor_orders(STEPS, STEPS), TypeError, "remainders must be a dict"),
    (lambda: plots.taylor_orders(STEPS, {"a": STEPS[:3]}), ValueError, r"remainders\['a'\] must be a list of 8"),
    (lambda: plots.taylor_orders(STEPS, {"a": -STEPS}), ValueError, r"remainders\['a'\] must be finite .* at least 0"),
    (lambda: plots.taylor_orders(STEPS, {"a": STEPS * np.nan}), ValueError, r"remainders\['a'\] must be finite")])
def test_refuses_what_it_cannot_draw(call, error, words):
    with pytest.raises(error, match=words):
        call()
