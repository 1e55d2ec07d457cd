"""Hypothesis profiles: on a CI machine the examples are always the same; they are timed nowhere: the first compiles.

One BLAS thread, set before NumPy is loaded: the products here are tiny, and two threads that wait for each other on a
busy machine make them ten times slower.
"""
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hypothesis import settings  # noqa: E402

settings.register_profile("local", max_examples=30, deadline=None, print_blob=True)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
