"""Vector fields in the plane, side by side: what a network points to beside the truth."""
import numpy as np
from scipy.spatial import cKDTree

from ..validation import check_matrix
from .figure import check_vector, new_axes

SHARES = (0.01, 0.1, 0.3, 0.6, 1)      # contours of a density, as shares of its largest value in sight
GREYS = ("0.95", "0.88", "0.8", "0.7")
LONGEST = 1.3                          # the longest arrow, in gaps between neighbouring points
STRIP = 0.65                           # inches beneath the panels, for their ticks and the scale


def vector_fields(points, fields, density=None, ax=None):
    """A panel for each field, in it an arrow from every point; all arrows are on one scale, which is stated.   [DN.2]

    points  : (n, 2), at least two different ones
    fields  : dict of name → (n, 2), such as {"score": law.score(points), …}
    density : function of points (m, 2) → (m,), beneath the arrows in greys that begin at 1, 10, 30 and 60 % of its
              largest value in sight; None: not drawn
    The Axes that is returned holds the panels as its `child_axes` and shows nothing else.
    """
    points, fields = _check_fields(points, fields)
    gap = np.median(cKDTree(np.unique(points, axis=0)).query(points, k=2)[0][:, 1])
    longest = max(np.max(np.linalg.norm(vectors, axis=1)) for vectors in fields.values()) or 1.0
    scale = longest / (LONGEST * gap)                       # the vector that is one unit of x long
    low, high = points.min(axis=0) - 1.5 * gap, points.max(axis=0) + 1.5 * gap
    shades = None if density is None else _shades(density, low, high)
    n, height = len(fields), 4.2 * min((high[1] - low[1]) / (high[0] - low[0]), 2)
    strip = STRIP / (STRIP + height)
    ax = new_axes(ax, 4.2 * n, STRIP + height)
    ax.set_axis_off()
    for i, (name, vectors) in enumerate(fields.items()):
        panel = ax.inset_axes([i / n, strip, 0.96 / n, 1 - strip])
        if shades is not None:
            panel.contourf(*shades, colors=GREYS)
        arrows = panel.quiver(*points.T, *vectors.T, color="k", angles="xy", scale_units="xy", scale=scale,
                              width=0.004)
        panel.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", title=name)
        panel.tick_params(labelleft=i == 0)
    unit = _round_number(longest)
    panel.quiverkey(arrows, 0.93, -0.9 * strip / (1 - strip), unit, f"an arrow of length {unit:g}, in every panel:",
                    labelpos="W")
    return ax


def _check_fields(points, fields):
    """points and fields as floats, of shapes that belong together."""
    points = check_matrix("points", points, 2, "a plane").astype(float)
    if len(np.unique(points, axis=0)) < 2:
        raise ValueError(f"points must have at least two different rows, got {len(points)} row(s) at one place")
    if not isinstance(fields, dict) or not fields:
        raise TypeError(f"fields must be a dict of (n, 2) arrays with at least one entry, got {fields!r:.60}")
    checked = {name: check_matrix(f"fields[{name!r}]", vectors, 2, "a plane").astype(float)
               for name, vectors in fields.items()}
    for name, vectors in checked.items():
        if len(vectors) != len(points):
            raise ValueError(f"fields[{name!r}] must have a row for each of the {len(points)} points, "
                             f"got {len(vectors)}")
    return points, checked


def _shades(density, low, high, n=121):
    """x, y (n,), the density on their grid (n, n), and the levels of its contours."""
    if not callable(density):
        raise TypeError(f"density must be a function of points (m, 2), got {density!r:.60}")
    x, y = np.linspace(low[0], high[0], n), np.linspace(low[1], high[1], n)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    values = check_vector("density(points)", density(grid), len(grid), low=0)
    if not values.any():
        raise ValueError("density(points) must be positive somewhere near the points, got zeros")
    return x, y, values.reshape(n, n), np.max(values) * np.array(SHARES)


def _round_number(x):
    """The largest of 1, 2 and 5 times a power of ten that is not above x."""
    power = 10.0 ** np.floor(np.log10(x))
    return max(m * power for m in (0.5, 1, 2, 5) if m * power <= x)         # 0.5: where log10 was rounded up
