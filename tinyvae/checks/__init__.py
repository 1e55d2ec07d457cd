"""Proofs that a model computes what its formulas say."""
from .gradient import check_gradient

__all__ = ["check_gradient"]
