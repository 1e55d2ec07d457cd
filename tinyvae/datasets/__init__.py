"""Data to learn from: two sets of real digits, toy laws whose density and score are known exactly, and IDX folders."""
from .embedded import load_digits, load_mnist5k
from .fetch import fetch_mnist
from .idx import load_idx
from .toy import Banana, GaussianMixture, Ring

__all__ = ["Banana", "GaussianMixture", "Ring", "fetch_mnist", "load_digits", "load_idx", "load_mnist5k"]
