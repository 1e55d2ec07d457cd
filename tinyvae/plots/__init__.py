"""The figures of the lessons and of the command line. The library's only matplotlib.

Every function takes `ax=None` and returns the Axes it drew on. Without an `ax` it makes a figure that pyplot does not
know: nothing stays open. To see it, `save_figure(ax, "a.png")`, or end a notebook cell with `ax.figure`.
Images are ink on paper: 0 is white, 1 black. Where colour tells things apart, a glyph, a marker or a dash does so too.
"""
from .codes import interpolation, kl_by_dimension, latent_plane, manifold, traversals
from .curves import accuracy_over_labels, error_against_step, spectrum, training_curve
from .features import activation_histograms, singular_values
from .fields import vector_fields
from .figure import COLOURS, save_figure
from .grids import filters, images, reconstructions

__all__ = ["COLOURS", "accuracy_over_labels", "activation_histograms", "error_against_step", "filters", "images",
           "interpolation", "kl_by_dimension", "latent_plane", "manifold", "reconstructions", "save_figure",
           "singular_values", "spectrum", "training_curve", "traversals", "vector_fields"]
