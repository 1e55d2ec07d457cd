"""What no gradient check can see: whether the loss, its bound and its evaluation are what they are said to be."""
from .functions import Functions
from .objective import check_objective
from .report import ObjectiveReport

__all__ = ["Functions", "ObjectiveReport", "check_objective"]
