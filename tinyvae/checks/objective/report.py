"""What `check_objective` says: one Check for each thing that it looked at, or could not look at."""
import textwrap
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SAMPLER = "not possible while the sampler is wrong"
OVERFLOW = "log_prob is nan or infinite at large z; write log(1 + exp(a)) as np.logaddexp(0, a)"


class Check(NamedTuple):
    """One thing that was looked at, and what was found."""
    key: str                          # shape, rows, sampler, kl, log_q, log_prob, bound, loss, elbo, iwae, sample
    verdict: str                      # ok, wrong, unchecked
    message: str                      # a sentence with its numbers; where unchecked, the reason
    cause: str = ""                   # the probable mistake, or a remark, in a word or two; "" where none is known
    value: float = np.nan             # the caller's number, where one number says it,
    expected: float = np.nan          # and what it should be


def wrong_shape(name, got, expected):
    """The finding that a function returns another shape than it should; None if it does not."""
    message = f"{name} returns shape {got}, expected {expected}."
    return None if got == expected else Check("shape", "wrong", message, "shape")


@dataclass(frozen=True)
class ObjectiveReport:
    """What `check_objective` found: `ok`, `findings` and `checks` as data, str() as a report of at most 80 columns."""
    checks: tuple                     # a Check for each thing that was looked at, or could not be

    @property
    def findings(self):
        """The checks whose verdict is wrong; the first often explains the others."""
        return tuple(check for check in self.checks if check.verdict == "wrong")

    @property
    def ok(self):
        """Whether nothing was found."""
        return not self.findings

    def __str__(self):
        reasons, lines = {}, []
        for key, verdict, message, *_ in self.checks:
            if verdict == "unchecked":
                reasons.setdefault(message, []).append(key)
            else:
                lines.append(f"{key:<9} {verdict:<6} {message}")
        lines += [f"not checked: {', '.join(keys)}: {message}" for message, keys in reasons.items()]
        verdict = "Objective ok" if self.ok else f"Objective NOT ok, {len(self.findings)} finding(s)"
        lines.append(f"{verdict}; {len(self.checks)} checks, {sum(map(len, reasons.values()))} not possible.")
        return "\n".join(part for line in lines for part in textwrap.wrap(line, 80, subsequent_indent=" " * 17))
