"""What a gradient check found: the error of every block, its Taylor remainders, and the entries that are wrong."""
from functools import partial

import numpy as np
from matplotlib.patches import Patch

from .curves import ZERO_ERROR
from .figure import COLOURS, new_axes
from .landscapes import ABOVE
from .steps import taylor_orders

BARS = 10                              # the error bars that check_gradient tolerates
N_CURVES, N_ENTRIES = 4, 16            # at most so many blocks in one Taylor panel, and so many entries
LINE, ABOVE_PANEL, BELOW_PANEL = 0.26, 0.75, 0.65           # inches
INK = "0.25"
STYLES = {                             # by verdict
    "ok": {"marker": "o", "color": INK, "markerfacecolor": "none", "markersize": 6},
    "wrong": {"marker": "X", "color": COLOURS[2], "markersize": 9},
    "undecided": {"marker": "D", "color": COLOURS[0], "markersize": 6},
}


def gradient_report(report, ax=None):
    """A report of `check_gradient` in up to three panels, one below the other.

    Errors: |analytic − numeric| of every block, relative to its slope, in front of the 10 error bars that are accepted;
    and that of the complex step where it is known. An error of 0 is drawn at 1e-17. On the right what is found.
    Taylor remainders (`taylor_orders`) of one block that is ok and the last four that are not; or of four that are ok.
    What is below 10 error bars × t is rounding, and left out.
    Entries: analytic beside numeric, for those that were measured in the block to look at first, or else in the last
    that was searched; of more than 16 the worst. On the right analytic / numeric.

    report : a GradientReport. Raises ValueError for one without blocks, as f was not fit to be checked.
    The last two panels are there if there is something to show. The Axes that is returned holds the panels as its
    `child_axes` and shows nothing else.
    """
    blocks = _check_report(report)
    measured = [block for block in blocks if block.location is not None and block.location.entries]
    panels = [(LINE * len(blocks), partial(_errors, report=report))]
    if len(_steps(_shown(blocks))) > 1:
        panels.append((3.4, partial(_taylor, blocks=_shown(blocks))))
    if measured:
        block = report.first if report.first in measured else measured[-1]
        panels.append((LINE * min(len(block.location.entries), N_ENTRIES), partial(_entries, block=block)))
    total = sum(ABOVE_PANEL + max(height, 2 * LINE) + BELOW_PANEL for height, _ in panels)
    ax = new_axes(ax, 7.2, total)
    ax.set_axis_off()
    top = 1.0
    for height, draw in panels:
        height, above, below = (inches / total for inches in (max(height, 2 * LINE), ABOVE_PANEL, BELOW_PANEL))
        draw(ax.inset_axes([0, top - above - height, 1, height]))
        top -= above + height + below
    return ax


def _check_report(report):
    """The report's blocks, at least one."""
    if not hasattr(report, "blocks") or not hasattr(report, "findings"):
        raise TypeError(f"report must be a GradientReport, as check_gradient returns it, got {type(report).__name__}")
    if not report.blocks:
        raise ValueError("report must have at least one block; this one says only: "
                         + " ".join(found.message for found in report.findings))
    return report.blocks


# ---- the panels ------------------------------------------------------------------------------------------------------

def _errors(ax, report):
    """The error of every block, in front of what is accepted."""
    blocks = report.blocks
    analytic, numeric, bar, exact = np.array([(b.analytic, b.numeric, b.bar, b.complex_step) for b in blocks]).T
    size = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), bar)       # the bar's, where there is no slope
    accepted, places = BARS * bar / size, np.arange(len(blocks))
    ridders, exact = (np.maximum(np.abs(analytic - slope) / size, ZERO_ERROR) for slope in (numeric, exact))
    drawn = np.concatenate([accepted, ridders, exact])
    drawn = drawn[np.isfinite(drawn)] if np.isfinite(drawn).any() else np.ones(1)
    low, high = np.min(drawn) / 5, np.max(drawn) * 5
    known = np.isfinite(accepted)
    ax.barh(places[known], accepted[known] - low, 0.8, left=low, facecolor="0.88")
    handles = [Patch(facecolor="0.88", label=f"accepted: {BARS} error bars")]
    for verdict, style in STYLES.items():
        these = [i for i, block in enumerate(blocks) if block.verdict == verdict]
        if these:
            handles += ax.plot(ridders[these], places[these], linestyle="none", label=verdict, **style)
    if np.isfinite(exact).any():
        handles += ax.plot(exact, places, linestyle="none", marker="|", markersize=11, markeredgewidth=1.8,
                           color=COLOURS[4], label="from the complex step")
    _name_lines(ax, [f"{block.block!s:.24}" for block in blocks], [_remark(block) for block in blocks])
    ax.set(xscale="log", xlim=(low, high), xlabel="|analytic − numeric| / slope along a random direction of the block")
    ax.set_title(_verdict(report), pad=26)
    ax.legend(handles=handles, **ABOVE | {"ncols": len(handles)})


def _taylor(ax, blocks):
    """Taylor's remainders of these blocks."""
    steps = _steps(blocks)
    taylor_orders(steps, {f"{b.verdict}, {b.block}": _remainders(b, steps) for b in blocks}, ax=ax)
    for line in ax.lines:                                   # a step that only other blocks took is no gap
        line.set_data(*line.get_xydata()[np.isfinite(line.get_ydata())].T)
    ax.set_title("order 2 where the gradient is right, 1 where it is wrong")
    ax.get_legend().set_frame_on(True)                      # it may have to lie on a curve


def _entries(ax, block):
    """The slope at every measured entry of a block, as it is and as it should be."""
    entries = block.location.entries
    worst = sorted(entries, key=lambda entry: abs(entry.analytic - entry.numeric), reverse=True)[:N_ENTRIES]
    worst.sort(key=lambda entry: entry.index)
    analytic, numeric, bar = np.array([(entry.analytic, entry.numeric, entry.bar) for entry in worst]).T
    places = np.arange(len(worst))
    ax.hlines(places, analytic, numeric, color="0.6", linewidth=1.4)
    handles = [ax.errorbar(numeric, places, xerr=BARS * bar, linestyle="none", marker="s", markersize=5, color=INK,
                           capsize=3, label=f"numeric ± {BARS} error bars")]
    wrong = np.array([entry.verdict == "wrong" for entry in worst])
    for these, verdict, label in ((~wrong, "ok", "analytic"), (wrong, "wrong", "analytic, wrong")):
        if these.any():
            handles += ax.plot(analytic[these], places[these], linestyle="none", label=label,
                               **STYLES[verdict] | {"markersize": 9})
    ratios = [f"× {a / n + 0.0:.5g}" if abs(n) > BARS * b else "" for a, n, b in zip(analytic, numeric, bar)]
    _name_lines(ax, [str(entry.index[0] if len(entry.index) == 1 else entry.index) for entry in worst], ratios)
    if np.prod(ax.get_xlim()) < 0:
        ax.axvline(0, color="0.45", linewidth=1, zorder=1)
    rest = f", the worst {len(worst)} of {len(entries)}" if len(entries) > len(worst) else ""
    ax.set(xlabel="slope of f at the entry", ylabel="entry")
    kind = {"block": "all of it"}.get(block.location.kind, block.location.kind)
    ax.set_title(f"where {block.block!s:.24} is wrong: {kind}{rest}", pad=26)
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.legend(handles=handles, **ABOVE)


# ---- their parts -----------------------------------------------------------------------------------------------------

def _shown(blocks):
    """The blocks whose Taylor remainders are drawn: more lines than these could not be told apart."""
    measured = [block for block in blocks if len(_steps([block]))]
    bad, ok = ([block for block in measured if (block.verdict == "ok") is good] for good in (False, True))
    return ok[:1] + bad[-N_CURVES:] if bad else ok[:N_CURVES]


def _steps(blocks):
    """All steps at which one of the blocks has a remainder."""
    return np.unique([t for block in blocks for t, _, rest in block.taylor if np.isfinite(rest)])


def _remainders(block, steps):
    """The block's remainders at these steps; 0, which is not drawn, where it has none that is more than rounding."""
    known = {t: rest for t, _, rest in block.taylor if np.isfinite(rest) and rest > BARS * block.bar * t}
    return np.array([known.get(t, 0.0) for t in steps])


def _name_lines(ax, names, remarks):
    """A name on the left and a remark on the right of every line, downwards."""
    ax.set_yticks(np.arange(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    for place, remark in enumerate(remarks):
        ax.text(1.015, place, remark.replace("-", "−"), transform=ax.get_yaxis_transform(), va="center", fontsize=9)


def _remark(block):
    """What is found of a block, in a few words."""
    if block.diagnosis is not None and block.diagnosis.key != "other":
        return f"{block.verdict}: {block.diagnosis.key}"
    words = [block.verdict] * (block.verdict != "ok") + ["kink at θ"] * bool(block.kink)
    return "; ".join(words)


def _verdict(report):
    """The report in one line."""
    if report.ok:
        return "Gradient ok"
    first = report.first
    return f"Gradient NOT ok, {len(report.findings)} finding(s)" + (f"; look first at {first.block}" if first else "")
