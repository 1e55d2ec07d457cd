"""A museum of mistakes: gradients with one wrong line, each beside the loss that it should be the gradient of.

    MISTAKES["bias_mean"].reason           why it is wrong
    problem("bias_mean", rng).grad         the gradient with the mistake, of a problem of random size

Every topic is one file, to be read from top to bottom: a setup, the right gradient, then the wrong ones. A file imports
nothing of the library but `planted.py`, as a student's would, and ends with MISTAKES, its list.

    dense, activations, losses     a network's parts
    autoencoders, penalties        tied weights, PCA, denoising; L1, KL sparsity, contraction
    kl                             a VAE's KL term and its reparameterization
    likelihoods, full_covariance   Bernoulli and Gaussians; a full covariance in the posterior and in the likelihood
    iwae                           the importance-weighted bound
"""
from importlib import import_module

from ...validation import check_choice, check_rng
from .planted import DIAGNOSES, Mistake, Problem

TOPICS = "dense", "activations", "losses", "autoencoders", "penalties", "kl", "likelihoods", "full_covariance", "iwae"
MISTAKES = {mistake.name: mistake for topic in TOPICS
            for mistake in import_module(f"{__name__}.{topic}").MISTAKES}

__all__ = ["DIAGNOSES", "MISTAKES", "TOPICS", "Mistake", "Problem", "problem"]


def problem(name, rng):
    """The problem of a planted mistake, of random size and values: a Problem.

    name : a key of MISTAKES        rng : Generator or seed
    Raises ValueError for a name that is not among them.
    """
    check_choice("name", name, MISTAKES)
    return MISTAKES[name].make(check_rng(rng))
