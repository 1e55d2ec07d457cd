"""Proofs that a model computes what its formulas say."""
from .gradient import check_gradient
from .layers import check_layers
from .objective import check_objective

__all__ = ["check_gradient", "check_layers", "check_objective"]
