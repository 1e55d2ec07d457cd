"""Proofs that a model computes what its formulas say."""
from tinyvae.checks.gradient import check_gradient

__all__ = ["check_gradient"]
