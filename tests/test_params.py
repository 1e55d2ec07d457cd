"""The flat vector and its views: names, order, no gap, no overlap, no copy; and how a fresh θ is drawn."""
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvae.params import Layer, initial, size, slices, stack, stack_shapes, views

SHAPES = {**stack_shapes("encoder", (5, 4, 6)), **stack_shapes("decoder", (3, 5)), "likelihood.logvar": (1,)}
NAMES = ["encoder.0.W", "encoder.0.b", "encoder.1.W", "encoder.1.b", "decoder.0.W", "decoder.0.b", "likelihood.logvar"]


def test_names_shapes_and_order():
    assert list(SHAPES) == list(slices(SHAPES)) == list(views(np.zeros(size(SHAPES)), SHAPES)) == NAMES
    assert SHAPES == {"encoder.0.W": (5, 4), "encoder.0.b": (4,), "encoder.1.W": (4, 6), "encoder.1.b": (6,),
                      "decoder.0.W": (3, 5), "decoder.0.b": (5,), "likelihood.logvar": (1,)}
    assert size(SHAPES) == 5 * 4 + 4 + 4 * 6 + 6 + 3 * 5 + 5 + 1
    assert stack_shapes("nothing", (5,)) == {} and size({}) == 0


@given(st.dictionaries(st.text("abW.", min_size=1), st.lists(st.integers(0, 4), max_size=3).map(tuple), max_size=6))
def test_slices_cover_the_vector_once_and_in_order(shapes):
    covered = np.concatenate([np.arange(size(shapes))[place] for place in slices(shapes).values()] or [[]])
    np.testing.assert_array_equal(covered, np.arange(size(shapes)))
    theta = np.arange(size(shapes))
    found = views(theta, shapes)
    assert {name: view.shape for name, view in found.items()} == shapes
    np.testing.assert_array_equal(np.concatenate([view.ravel() for view in found.values()] or [[]]), theta)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, complex])
def test_views_write_through_and_keep_the_dtype(dtype):
    theta = np.zeros(size(SHAPES), dtype)
    for i, view in enumerate(views(theta, SHAPES).values(), start=1):
        assert np.shares_memory(view, theta) and view.flags.c_contiguous and view.dtype == dtype
        view += i
    np.testing.assert_array_equal(theta, np.repeat(np.arange(1, 8), [math.prod(shape) for shape in SHAPES.values()]))
    theta[-1] = 99
    assert views(theta, SHAPES)["likelihood.logvar"] == [99]


def test_a_stack_is_its_layers_in_order_and_views_too():
    theta = np.arange(float(size(SHAPES)))
    named = views(theta, SHAPES)
    encoder, decoder = stack(named, "encoder"), stack(named, "decoder")
    assert (len(encoder), len(decoder), stack(named, "likelihood")) == (2, 1, [])
    assert all(isinstance(layer, Layer) for layer in encoder + decoder)
    for name, array in zip(NAMES, [array for layer in encoder + decoder for array in layer]):
        assert array is named[name]
    decoder[0].b[:] = -1
    np.testing.assert_array_equal(theta[-6:-1], -1)


def test_a_stack_of_more_than_ten_layers_stays_in_order():
    shapes = stack_shapes("deep", range(1, 15))
    layers = stack(views(np.zeros(size(shapes)), shapes), "deep")
    assert [layer.W.shape for layer in layers] == [(i, i + 1) for i in range(1, 14)]


# ---- a fresh θ -------------------------------------------------------------------------------------------------------

WIDE = {**stack_shapes("net", (300, 200, 50)), "likelihood.logvar": (1,)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_weights_are_uniform_with_variance_2_over_in_plus_out_and_all_else_is_0(dtype):
    """z-tests with a fixed seed, |z| < 5. Uniform on ±a: variance a²/3, variance of w² (1/5 − 1/9) a⁴."""
    theta = initial(WIDE, np.random.default_rng(0), dtype)
    assert theta.dtype == dtype and theta.shape == (size(WIDE),)
    for name, view in views(theta.astype(float), WIDE).items():
        if not name.endswith("W"):
            assert not view.any()
            continue
        limit, variance, n = math.sqrt(6 / sum(view.shape)), 2 / sum(view.shape), view.size
        assert np.max(np.abs(view)) <= limit * (1 + np.finfo(dtype).eps) and np.max(np.abs(view)) > 0.999 * limit
        assert abs(view.mean()) < 5 * math.sqrt(variance / n)
        assert abs((view**2).mean() - variance) < 5 * limit**2 * math.sqrt((1 / 5 - 1 / 9) / n)
        assert abs((np.abs(view) < limit / 2).mean() - 1 / 2) < 5 * math.sqrt(0.25 / n)               # flat, that is


def test_initial_depends_on_the_seed_alone():
    one, same, other = (initial(WIDE, np.random.default_rng(seed), np.float64) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    first, second = (views(one, WIDE)[name].ravel()[:50] for name in ("net.0.W", "net.1.W"))
    assert not np.array_equal(one, other) and not np.array_equal(first, second)
