"""One flat vector θ and the named views on it.

A model's parameters are described by `shapes`, an ordered dict from names ("encoder.0.W") to shapes. Optimisers,
gradient checks and scipy.optimize see the vector; the mathematics sees the views. Views never copy: writing through
one writes θ.
"""
import math
from typing import NamedTuple

import numpy as np


class Layer(NamedTuple):
    """The parameters of a dense layer, or their derivatives: W (I, O) and b (O,)."""
    W: np.ndarray
    b: np.ndarray


def stack_shapes(name, widths):
    """The shapes of a stack of dense layers of these widths: {"name.0.W": (I, O), "name.0.b": (O,), "name.1.W": …}."""
    shapes = {}
    for i, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
        shapes[f"{name}.{i}.W"] = (n_in, n_out)
        shapes[f"{name}.{i}.b"] = (n_out,)
    return shapes


def size(shapes):
    """How many numbers θ has."""
    return sum(math.prod(shape) for shape in shapes.values())


def slices(shapes):
    """An ordered dict from names to the slice of θ that each takes."""
    places, start = {}, 0
    for name, shape in shapes.items():
        places[name] = slice(start, start + math.prod(shape))
        start = places[name].stop
    return places


def views(theta, shapes):
    """An ordered dict from names to views of θ in their shapes; θ may be of any dtype, complex for a complex step.

    Raises ValueError when θ has another number of entries than the shapes ask for.
    """
    if theta.shape != (size(shapes),):
        raise ValueError(f"theta must have {size(shapes)} entries for these widths (n_components, hidden, …), got "
                         f"shape {theta.shape}; was a width changed after fit? Then fit again")
    return {name: theta[place].reshape(shapes[name]) for name, place in slices(shapes).items()}


def stack(named, name):
    """The list [Layer(W, b), …] of the stack `name` out of an ordered dict of views."""
    layers = []
    while f"{name}.{len(layers)}.W" in named:
        layers.append(Layer(named[f"{name}.{len(layers)}.W"], named[f"{name}.{len(layers)}.b"]))
    return layers


def initial(shapes, rng, dtype):
    """A fresh θ: W uniform on ±√(6 / (I + O)), everything else 0.

    So the variance of activations, and of derivatives, stays about the same from layer to layer.
    Source: Glorot and Bengio 2010, equation 16.
    """
    theta = np.zeros(size(shapes), dtype)
    for name, view in views(theta, shapes).items():
        if name.endswith("W"):
            limit = math.sqrt(6 / sum(view.shape))
            view[:] = rng.uniform(-limit, limit, view.shape)
    return theta
