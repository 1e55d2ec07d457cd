"""What every check takes, and how it compares: what agrees within rounding is right, else a mistake may explain it."""
from typing import NamedTuple

import numpy as np

from .functions import Functions
from .integrals import Law
from .report import Check

TOL = 1e-5                            # of a number's size: a float32's rounding passes, and an epsilon in a logarithm
LOG_2 = float(np.log(2))
UNKNOWN = "", "None of the usual mistakes explains the number."


class Case(NamedTuple):
    """What is checked: functions, at these rows."""
    f: Functions
    x: np.ndarray                     # (B, D), few rows
    rows: np.ndarray                  # (B,): their places in X
    values: tuple | None              # the two values of X's entries, where there are but two
    laws: dict                        # name → Law that q(z|x) may be meant as: the last, that of draw, if it has one
    rng: np.random.Generator

    @property
    def law(self) -> Law:
        """The law of draw at these rows."""
        return list(self.laws.values())[-1]

    @property
    def scales(self):
        """Mistakes of sign, unit and reduction: (cause, the factor that a number is then off by, in words)."""
        B, D = self.x.shape
        return [("sign", -1, "minus that"), ("zero", 0, "left out"), ("bits", 1 / LOG_2, "in bits, not in nats"),
                ("half", 0.5, "half of that" + ", as a mean over the 2 latents is" * (self.law.K == 2)),
                ("twice", 2, "twice that, as if a 1/2 were missing"),
                ("mean over columns", 1 / D, f"a mean over the {D} columns of x where a sum is meant"),
                ("loss over columns", -1 / D, f"minus that, and a mean over the {D} columns of x"),
                ("sum over columns", D, f"multiplied by the {D} columns of x"),
                ("mean over rows", 1 / B, f"divided by the {B} rows"), ("sum over rows", B, f"a sum over the {B} rows"),
                ("mean over rows and columns", 1 / (B * D), f"divided by the {B} rows and the {D} columns of x")]

    def explain(self, measured, right, mistakes, tol=TOL, otherwise=UNKNOWN):
        """`recognise`, with the mistakes of scale at the end."""
        scaled = [(cause, right * factor, f"It is {words}.") for cause, factor, words in self.scales]
        return recognise(measured, [*mistakes, *scaled], tol, otherwise)

    def compare(self, key, name, measured, right, what, mistakes=(), otherwise=UNKNOWN):
        """A Check that two arrays agree; where they do not, a mistake may explain it.

        Where `name` has a {}, rows are along the last axis, and the row that differs most is named there.
        """
        place = np.unravel_index(np.argmax(np.abs(measured - right)), right.shape)
        value, expected = float(measured[place]), float(right[place])
        name = name.format(f"X[{self.rows[place[-1]]}]") if "{}" in name else name
        if near(measured, right):
            return Check(key, "ok", f"{name} is {what}: {value:.6g}", "", value, expected)
        cause, why = self.explain(measured, right, mistakes, otherwise=otherwise)
        message = f"{name} is {value:.6g}, but {what} is {expected:.6g}. {why}"
        return Check(key, "wrong", message, cause, value, expected)


def near(a, b, tol=TOL):
    """Whether two arrays agree, relative to the size of b."""
    return bool(np.all(np.abs(a - b) <= tol * (1 + np.abs(b))))


def recognise(measured, mistakes, tol=TOL, otherwise=UNKNOWN):
    """The cause and the sentence of the first mistake, (cause, what it leads to, sentence), that explains a number."""
    return next(((cause, why) for cause, value, why in mistakes if np.all(np.isfinite(value)) and
                 near(measured, value, tol)), otherwise)
