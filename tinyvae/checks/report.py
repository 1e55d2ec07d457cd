"""What `check_gradient` found, as data and as text for a terminal of 80 columns."""
import textwrap
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .evidence import Diagnosis
from .locate import Location
from .slopes import BARS

LEGEND = f"bar: how far the numeric slope may be off; an error above {BARS} bars is wrong."


class Check(NamedTuple):
    """One block along one direction v, or what is wrong with f or grad as a whole; what does not apply is nan."""
    block: str | None
    size: int = 0
    verdict: str = "ok"               # ok, wrong, undecided (kink or noise), not finite (grad), unfit (f or grad)
    message: str = ""                 # the finding as a sentence; "" when ok
    analytic: float = np.nan          # ⟨grad, v⟩
    numeric: float = np.nan           # Ridders, with its bar
    error: float = np.nan             # |analytic - numeric|
    bar: float = np.nan
    complex_step: float = np.nan      # only where it is proved safe
    complex_error: float = np.nan     # |analytic - complex step| / norm of the block's gradient
    n_evaluations: int = 0            # of f, for this check; the search and the diagnosis not among them
    kink: tuple = ()                  # slopes from the left and from the right at theta, where f has a kink there
    taylor: tuple = ()                # (t, |f(θ + tv) - f(θ)|, |f(θ + tv) - f(θ) - t ⟨grad, v⟩|) for each step t
    diagnosis: Diagnosis | None = None
    location: Location | None = None  # where no diagnosis explains the whole block


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradient` found: `ok`, `findings` and `blocks` as data, str() as a report of at most 80 columns."""
    blocks: tuple                     # a Check for each block
    findings: tuple                   # what is found about f and grad as a whole, then the checks that are not ok
    n_evaluations: int                # of f, all together

    @property
    def ok(self):
        """Whether nothing was found."""
        return not self.findings

    @property
    def first(self):
        """The Check to look at first: the last that is explained, since mistakes travel from the output down."""
        explained = [check for check in self.blocks if check.diagnosis]
        known = [check for check in explained if check.diagnosis.key != "other"]
        return (known or explained or [None])[-1]

    @property
    def diagnosis(self):
        """The Diagnosis of the block to look at first, or None."""
        return self.first and self.first.diagnosis

    def __str__(self):
        lines = [] if not self.blocks else [_row("block", "size", "analytic", "numeric", "error", "bar", "verdict")]
        lines += [_row(str(b.block), b.size, f"{b.analytic:.3e}", f"{b.numeric:.3e}", f"{b.error:.1e}", f"{b.bar:.1e}",
                       b.verdict) for b in self.blocks]
        notes = [] if self.ok else [LEGEND]
        notes += _notes(self.blocks) + [f"- {_named(found)}{found.message}" for found in self.findings
                                       if not found.diagnosis] + _explanations(self.findings, self.first)
        verdict = "Gradient ok" if self.ok else f"Gradient NOT ok, {len(self.findings)} finding(s)"
        notes.append(f"{verdict}; {self.n_evaluations} evaluations of f.")
        return "\n".join(lines + [line for note in notes for line in _wrap(note)])


def _row(*cells):
    return "{:<18.18} {:>8} {:>11} {:>11} {:>8} {:>8} {}".format(*cells)


def _named(found):
    return "" if found.block is None else f"block {found.block!r}: "


def _explanations(findings, first):
    """What is said of the wrong blocks, the one to look at first before all; blocks of one diagnosis together."""
    sentences = {}
    for check in sorted(findings, key=lambda check: check is not first):
        if check.diagnosis:
            there = check.location and check.location.kind in ("rows", "columns", "entries", "one entry")
            words = f"{'There the gradient' if there else 'The gradient'} {check.diagnosis.sentence}"
            sentences.setdefault(words, []).append(check)
    notes = []
    for words, checks in sentences.items():
        notes.append(f"- {'Look here first: ' * (checks[0] is first and len(sentences) > 1)}"
                     f"{', '.join(repr(check.block) for check in checks)}. {words}")
        notes += [f"  {check.location.sentence}" for check in checks if check.location]
    return notes


def _wrap(note):
    return textwrap.wrap(" ".join(note.split()), 80, initial_indent=" " * (len(note) - len(note.lstrip())),
                         subsequent_indent="  ")


def _notes(blocks):
    """What is worth knowing beside the table."""
    ok = [b for b in blocks if b.verdict == "ok"]
    notes = [f"Block {b.block!r} is proved only to ±{BARS * b.bar:.1e}: rounding of f hides smaller errors."
             for b in ok if BARS * b.bar > 0.01 * abs(b.numeric) > 0]
    notes += [f"Block {b.block!r}: f has a kink at theta, with slope {b.kink[0]:.4g} on its left and {b.kink[1]:.4g} "
              "on its right along the direction; it was held at a point nearby instead."
              for b in blocks if b.kink and b.verdict != "undecided"]
    exact = [b.complex_error for b in ok if np.isfinite(b.complex_error)]
    if exact:
        notes.append(f"Complex step proved safe in {len(exact)} ok block(s): it differs from the gradient by at most "
                     f"{max(exact):.1e} of a block's norm.")
    return notes
