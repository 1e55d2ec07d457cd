"""The figures of the lessons and of the command line. The library's only matplotlib.

Every function takes `ax=None` and returns the Axes it drew on. Without an `ax` it makes a figure that pyplot does not
know: nothing stays open. To see it, `save_figure(ax, "a.png")`, or end a notebook cell with `ax.figure`.
Images are ink on paper: 0 is white, 1 black. Where colour tells things apart, a glyph, a marker or a dash does so too.
"""
from .codes import interpolation, kl_by_dimension, latent_plane, manifold, traversals
from .collapse import kl_over_epochs
from .convergence import convergence
from .curves import accuracy_over_labels, error_against_step, estimates_over_draws, spectrum, training_curve
from .densities import densities
from .diagrams import elbo_graph, vae_diagram
from .ellipses import posterior_ellipses
from .features import activation_histograms, singular_values
from .fields import vector_fields
from .figure import COLOURS, save_figure
from .gradients import gradient_report
from .grids import filters, images, reconstructions
from .landscapes import elbo_landscape
from .likelihoods import estimates_against_cost, gap_bars
from .posteriors import posterior_against_q
from .steps import step_errors, taylor_orders

__all__ = ["COLOURS", "accuracy_over_labels", "activation_histograms", "convergence", "densities", "elbo_graph",
           "elbo_landscape", "error_against_step", "estimates_against_cost", "estimates_over_draws", "filters",
           "gap_bars", "gradient_report", "images", "interpolation", "kl_by_dimension", "kl_over_epochs",
           "latent_plane", "manifold", "posterior_against_q", "posterior_ellipses", "reconstructions", "save_figure",
           "singular_values", "spectrum", "step_errors", "taylor_orders", "training_curve", "traversals",
           "vae_diagram", "vector_fields"]
