"""What all figures share: where they are drawn, how they are saved, how their lines are told apart."""
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

# Ten colours told apart under the common colour-vision deficiencies: Petroff 2021, arXiv:2107.02270.
COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
MARKERS = "osD^vP*X<>"


class _Figure(Figure):
    """A Figure that a notebook shows without having been told to use matplotlib."""
    def _repr_png_(self):
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
        return buffer.getvalue()


def save_figure(ax_or_figure, path):
    """Writes the figure (or that of an Axes) as PNG, 150 dots an inch, cropped; closes it and returns the path.

    path : str or Path ending in .png; missing folders are made, a file of that name is overwritten
    """
    if not isinstance(ax_or_figure, (Axes, FigureBase)):
        raise TypeError(f"ax_or_figure must be a matplotlib Axes or Figure, got {type(ax_or_figure).__name__}")
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"path must end in .png, got {str(path)!r}")
    figure = ax_or_figure.figure.canvas.figure              # by way of the canvas: an Axes may sit in a subfigure
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=150, bbox_inches="tight")
    pyplot.close(figure)                                    # of ours pyplot knows nothing; the caller's may be its own
    return path


def new_axes(ax, width, height):
    """The caller's Axes, or those of a new figure of that size in inches."""
    if not isinstance(ax, (Axes, type(None))):
        raise TypeError(f"ax must be a matplotlib Axes or None, got {type(ax).__name__}")
    return _Figure(figsize=(width, height), layout="constrained").subplots() if ax is None else ax


def check_vector(name, values, length=None, low=None):
    """`values` as a 1-D array of floats, of that length, finite and at least `low` where one is given."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values) or length not in (None, len(values)):
        raise ValueError(f"{name} must be a list of {length or 'one or more'} numbers, got shape {values.shape}")
    if low is not None and not np.all(np.isfinite(values) & (values >= low)):
        bound = "" if low == -np.inf else f" of at least {low}"
        raise ValueError(f"{name} must be finite numbers{bound}, got {values}")
    return values


def check_rising(name, values):
    """`values` as two or more floats, each larger than the one before: the ticks of an axis."""
    values = check_vector(name, values, low=-np.inf)
    if len(values) < 2 or np.any(np.diff(values) <= 0):
        raise ValueError(f"{name} must be two or more rising numbers, got {values}")
    return values
