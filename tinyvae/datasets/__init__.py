"""Data to learn from: two sets of real digits, and toy laws whose density and score are known exactly."""
from .embedded import load_digits, load_mnist5k
from .toy import Banana, GaussianMixture, Ring

__all__ = ["Banana", "GaussianMixture", "Ring", "load_digits", "load_mnist5k"]
