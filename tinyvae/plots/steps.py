"""What a step does to a measured derivative: its error in two precisions, and the order of Taylor's remainder."""
import numpy as np
from matplotlib.lines import Line2D

from .curves import ZERO_ERROR, check_curves
from .figure import COLOURS, DASHES, MARKERS, check_rising, new_axes

LINES = {"linestyle": "-", "fillstyle": "full"}, {"linestyle": DASHES[2], "fillstyle": "none"}     # float64, float32


def step_errors(steps, float64, float32, ax=None):
    """How far measured slopes are from the truth, against the step, in both precisions; both axes logarithmic.

    steps : (M,) positive, rising
    float64, float32 : dicts of method → (M,) relative errors; an error of 0 is drawn at 1e-17. A method has one colour
        and one marker: filled on a solid line in float64, hollow on a dotted one in float32
    """
    steps = _check_steps(steps)
    tables = {name: check_curves(name, table, len(steps), low=0)
              for name, table in (("float64", float64), ("float32", float32))}
    style = {method: {"color": COLOURS[i % 10], "marker": MARKERS[i % 10], "markersize": 6}
             for i, method in enumerate(float64 | float32)}
    ax = new_axes(ax, 6.4, 5.0)
    keys = [Line2D([], [], linewidth=0, label=method, **style[method]) for method in style]
    for (name, curves), line in zip(tables.items(), LINES):
        keys.append(Line2D([], [], color="0.3", marker="o", label=name, **line))
        for method, errors in curves.items():
            ax.plot(steps, np.maximum(errors, ZERO_ERROR), **line, **style[method])
    if min(np.min(errors) for curves in tables.values() for errors in curves.values()) <= ZERO_ERROR:
        keys.append(ax.axhline(ZERO_ERROR, color="0.45", linewidth=1, zorder=1, label="an error of 0 is drawn here"))
    ax.set(xscale="log", yscale="log", xlabel="step t", ylabel="relative error of the measured slope")
    ax.legend(handles=keys, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return ax


def taylor_orders(steps, remainders, ax=None):
    """Taylor's remainder against the step t: of order 2 if g is the gradient of f, of order 1 if it is not.

        |f(θ + t v) − f(θ) − t ⟨g, v⟩|  =  |t ⟨∇f − g, v⟩ + t²/2 f'' + …|

    steps : (M,) positive, rising, above about 1e-7, where rounding begins
    remainders : dict of name → (M,), none negative; 0 has no place on a logarithmic axis and is left out. The legend
        gives the order of each, fitted to the lower half of its steps; grey lines show what orders 1 and 2 look like
    """
    steps = _check_steps(steps)
    curves = check_curves("remainders", remainders, len(steps), low=0)
    ax = new_axes(ax, 6.4, 4.4)
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(steps, np.where(values > 0, values, np.nan), color=COLOURS[i % 10], linestyle=DASHES[i % 4],
                linewidth=1.6, marker=MARKERS[i % 10], markersize=6, markerfacecolor="none",
                label=f"{name}: {_order(steps, values)}")
    top = 5 * max(map(np.max, curves.values())) or 1.0                                  # clear of the curves
    for order, dash in ((1, DASHES[1]), (2, DASHES[2])):
        ax.plot(steps, top * (steps / steps[-1]) ** order, color="0.45", linestyle=dash, linewidth=1, zorder=1,
                label=f"order {order}")
    ax.set(xscale="log", yscale="log", xlabel="step t", ylabel="Taylor remainder")
    ax.legend(frameon=False)
    return ax


def _order(steps, values):
    """The power of the step by which the values grow, in words."""
    lower = np.flatnonzero(values)
    lower = lower[:max(2, len(lower) // 2)]
    if len(lower) < 2:
        return "no remainder"
    return f"order {np.polyfit(np.log(steps[lower]), np.log(values[lower]), 1)[0]:.2f}"


def _check_steps(steps):
    """Rising positive numbers."""
    steps = check_rising("steps", steps)
    if steps[0] <= 0:
        raise ValueError(f"steps must be positive, as they stand on a logarithmic axis, got {steps[0]:g}")
    return steps
