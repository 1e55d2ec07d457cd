"""The lecture's pictures: an autoencoder and a VAE in blocks, and the ELBO's computational graph with its gradient.

A picture is a table of nodes and a table of edges. Its unit is a hundredth of an inch where it is 7 inches wide, and
its labels are outlines in that unit, not text of a fixed size: in a panel of any size it stays the same picture.
"""
from typing import NamedTuple

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Ellipse, FancyBboxPatch, PathPatch, Polygon
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from ..validation import check_bool
from .figure import COLOURS, new_axes

WIDTH = 700
INK, GRADIENT = "0.15", COLOURS[2]
BESIDE = 5.5                           # how far the forward arrow and its gradient run from the middle of their edge
FONT = FontProperties(math_fontfamily="stix")
FILLS = {"data": "0.86", "parameter": "#c9e1f8", "operation": "white", "narrowing": "white", "widening": "white",
         "draw": "#ffe9b8", "law": "#f3f4f5", "frame": "#f3f4f5"}


class Node(NamedTuple):
    """A shape of that width and height around (x, y). A frame holds other nodes, its label stands above them."""
    kind: str
    x: float
    y: float
    width: float
    height: float
    label: str


TOP, BOTTOM, PRIOR = 216, 98, 22       # rows of the block diagram
BLOCKS = {
    "x, autoencoder": Node("data", 24, TOP, 36, 36, "$x$"),
    "f": Node("narrowing", 110, TOP, 80, 64, "encoder\n$f$"),
    "h": Node("operation", 344, TOP, 36, 36, "$h$"),
    "g": Node("widening", 430, TOP, 80, 64, "decoder\n$g$"),
    "x̂, autoencoder": Node("operation", 668, TOP, 36, 36, r"$\hat{x}$"),
    "x": Node("data", 24, BOTTOM, 36, 36, "$x$"),
    "encoder": Node("narrowing", 110, BOTTOM, 80, 64, "encoder\n$\\phi$"),
    "q": Node("law", 234, BOTTOM, 116, 64, "$q(z|x) =$\n$\\mathcal{N}(\\mu_\\phi(x),\\, \\Sigma_\\phi(x))$"),
    "z": Node("draw", 344, BOTTOM, 40, 40, "$z$"),
    "decoder": Node("widening", 430, BOTTOM, 80, 64, "decoder\n$\\theta$"),
    "p": Node("law", 555, BOTTOM, 116, 64, "$p(x|z) =$\n$\\mathcal{N}(\\mu_\\theta(z),\\, \\Sigma_\\theta(z))$"),
    "x̂": Node("draw", 668, BOTTOM, 40, 40, r"$\hat{x}$"),
    "prior": Node("law", 344, PRIOR, 116, 34, r"$p(z) = \mathcal{N}(0,\, I)$"),
}
BLOCK_EDGES = [("x, autoencoder", "f"), ("f", "h"), ("h", "g"), ("g", "x̂, autoencoder"), ("x", "encoder"),
               ("encoder", "q"), ("q", "z"), ("z", "decoder"), ("decoder", "p"), ("p", "x̂"), ("prior", "z")]
BLOCK_LABELS = [(344, TOP + 33, "$h = f(x)$"), (668, TOP + 33, r"$\hat{x} = g(h)$"),
                (344, BOTTOM + 33, r"$z \sim q(z|x)$"), (668, BOTTOM + 33, r"$\hat{x} \sim p(x|z)$")]

X, ENCODER, Q, Z, DECODER, P, OUT = 20, 98, 211, 332, 440, 546, 651         # columns of the graph
BOUND, ROW, ABOVE, OVER = 66, 152, 238, 270                                 # its rows, and that of x → log p(x|z)
GRAPH = {
    "x": Node("data", X, ROW, 32, 32, "$x$"),
    "phi": Node("parameter", ENCODER, ABOVE, 32, 32, r"$\phi$"),
    "encoder": Node("operation", ENCODER, ROW, 70, 56, "encoder\nnetwork"),
    "q": Node("frame", Q, ROW + 10, 90, 112, "$q(z|x)$"),
    "mu": Node("operation", Q, ROW + 21, 74, 34, r"$\mu_\phi(x)$"),
    "root": Node("operation", Q, ROW - 21, 74, 34, r"$\Sigma_\phi^{1/2}(x)$"),
    "KL": Node("operation", Q, BOUND, 134, 38, r"$\mathrm{KL}(q(z|x)\,\Vert\,p(z))$"),
    "theta": Node("parameter", DECODER, ABOVE, 32, 32, r"$\theta$"),
    "decoder": Node("operation", DECODER, ROW, 70, 56, "decoder\nnetwork"),
    "p": Node("frame", P, ROW + 10, 80, 112, "$p(x|z)$"),
    "mean": Node("operation", P, ROW + 21, 64, 34, r"$\mu_\theta(z)$"),
    "covariance": Node("operation", P, ROW - 21, 64, 34, r"$\Sigma_\theta(z)$"),
    "log p": Node("operation", OUT, ROW, 78, 44, r"$\log\,p(x|z)$"),
    "ELBO": Node("operation", OUT, BOUND, 86, 50, "ELBO\n$\\log\\,p - \\mathrm{KL}$"),
}
# From, to, and the derivative's way back: "<" it passes, "|" it is stopped, " " no parameter lies behind.
EDGES = [("x", "encoder", " "), ("phi", "encoder", "<"), ("encoder", "q", "<"), ("q", "KL", "<"), ("KL", "ELBO", "<"),
         ("z", "decoder", "<"), ("theta", "decoder", "<"), ("decoder", "p", "<"), ("p", "log p", "<"),
         ("x", "log p", " "), ("log p", "ELBO", "<")]
DRAWN = {"z": Node("draw", Z, ROW, 80, 50, r"$z \sim q(z|x)$")}, [("q", "z", "|")]
REPARAMETERIZED = (
    {"z": Node("operation", Z, ROW, 84, 90, "$z =$\n$\\mu_\\phi(x)\\, +$\n$\\Sigma_\\phi^{1/2}(x)\\,\\varepsilon$"),
     "epsilon": Node("draw", Z, ABOVE, 104, 38, r"$\varepsilon \sim \mathcal{N}(0,\, I)$")},
    [("mu", "z", "<"), ("root", "z", "<"), ("epsilon", "z", " ")])
LEGEND = [("data", 17, "data"), ("parameter", 101, "parameter"), ("operation", 223, "deterministic"),
          ("draw", 364, "random draw")]


def vae_diagram(ax=None):
    """A VAE in blocks beneath an autoencoder: where that computes h and x̂, this infers a law and draws from it.

        h = f(x),  x̂ = g(h)        against        z ~ q(z|x) = N(μ_φ(x), Σ_φ(x)),  x̂ ~ p(x|z) = N(μ_θ(z), Σ_θ(z))

    A new x is generated by drawing z from the prior p(z) instead.   [LV.1]
    """
    ax = _canvas(ax, 286, BLOCKS)
    for source, target in BLOCK_EDGES:
        _arrow(ax, f"{source} → {target}", _straight(BLOCKS[source], BLOCKS[target]),
               linestyle=(0, (4, 2)) if source == "prior" else "-")
    for x, y, text in BLOCK_LABELS:
        _label(ax, x, y, text)
    _label(ax, 6, TOP + 56, "Autoencoder", size=14, align="left")
    _label(ax, 6, BOTTOM + 54, "Variational autoencoder", size=14, align="left")
    _label(ax, 412, PRIOR, "to generate, draw $z$ from here instead", align="left")
    return ax


def elbo_graph(reparameterized, ax=None):
    """The computational graph of the ELBO with one draw of z, and the way of its gradient back to θ and φ.   [RP.2]

        ELBO = log p(x|z) − KL(q(z|x) ‖ p(z)),    q(z|x) = N(μ_φ(x), Σ_φ(x)),    p(x|z) = N(μ_θ(z), Σ_θ(z))

    reparameterized : False, z itself is drawn: the gradient ends there and reaches φ by way of the KL only;
                      True,  z = μ_φ(x) + Σ_φ^{1/2}(x) ε: only ε is drawn, and the gradient passes z on its way to φ
    Source: Kingma and Welling 2014, section 2.4.
    """
    more_nodes, more_edges = REPARAMETERIZED if check_bool("reparameterized", reparameterized) else DRAWN
    nodes = GRAPH | more_nodes
    ax = _canvas(ax, 318, nodes)
    title = (r"With the reparameterization: $\varepsilon$ is drawn, $z$ is computed" if reparameterized else
             "As it stands: $z$ is drawn")
    _label(ax, 6, 302, title, size=14, align="left")
    for source, target, back in EDGES + more_edges:
        a, b = nodes[source], nodes[target]
        way = _straight(a, b, 0 if back == " " else BESIDE)
        if (source, target) == ("x", "log p"):              # all others are between neighbours
            way = np.array([(a.x, a.y + a.height / 2), (a.x, OVER), (b.x, OVER), (b.x, b.y + b.height / 2)])
        _arrow(ax, f"{source} → {target}", way)
        if back != " ":
            _gradient(ax, f"{source} ← {target}", _straight(a, b, -BESIDE)[::-1], back == "|")
    if not reparameterized:
        _label(ax, Z, ROW - 46, "no derivative\nthrough a draw", colour=GRADIENT)
    _legend(ax)
    return ax


def _canvas(ax, height, nodes):
    """An Axes that shows a plane of WIDTH by `height` units with these nodes, and nothing else."""
    ax = new_axes(ax, WIDTH / 100, height / 100)
    ax.set_axis_off()
    ax.set(xlim=(0, WIDTH), ylim=(0, height), aspect="equal")
    for name, node in nodes.items():
        _shape(ax, name, node)
    return ax


def _shape(ax, name, node):
    """A node and its label."""
    kind, x, y, w, h, label = node
    style = {"facecolor": FILLS[kind], "edgecolor": "0.6" if kind in ("law", "frame") else INK, "linewidth": 1.2,
             "gid": f"node {name}"}
    if kind == "draw":
        patch = Ellipse((x, y), w, h, linestyle=(0, (3, 1.6)), **style)
    elif kind in ("narrowing", "widening"):
        left, right = (h / 2, h / 3) if kind == "narrowing" else (h / 3, h / 2)
        patch = Polygon([(x - w / 2, y - left), (x + w / 2, y - right), (x + w / 2, y + right), (x - w / 2, y + left)],
                        **style)
    else:
        corners = {"parameter": f"round,pad=0,rounding_size={0.3 * h}", "law": "round,pad=0,rounding_size=6"}
        patch = FancyBboxPatch((x - w / 2, y - h / 2), w, h, corners.get(kind, "square,pad=0"), **style)
    ax.add_patch(patch)
    _label(ax, x, y + h / 2 - 12 if kind == "frame" else y, label, of=name)


def _label(ax, x, y, text, size=12, align="center", colour=INK, of="the picture"):
    """Lines of text about (x, y); formulas are larger than words."""
    lines, leading = text.splitlines(), 21 if "$" in text else 16.5
    for i, line in enumerate(lines):
        path = TextPath((0, 0), line, 15.5 if line.startswith("$") else size, prop=FONT)
        box = path.get_extents()
        start = x - box.x0 - (box.width / 2 if align == "center" else 0)
        base = y - 4.3 + leading * ((len(lines) - 1) / 2 - i)
        ax.add_patch(PathPatch(Affine2D().translate(start, base).transform_path(path), facecolor=colour, linewidth=0,
                               gid=f"text of {of}: {line}"))


def _straight(a, b, beside=0):
    """From a's border to b's, across or upright at the middle of the smaller one, so far above or to the right."""
    centres, halves = np.array([(a.x, a.y), (b.x, b.y)]), np.array([(a.width, a.height), (b.width, b.height)]) / 2
    along = int(abs(b.x - a.x) < np.sum(halves[:, 0]))      # 0: across; 1: upright, since one is above the other
    level = centres[np.argmin(halves[:, 1 - along]), 1 - along] + beside
    towards = np.sign(centres[1, along] - centres[0, along]) * np.array([1, -1])
    reach = halves[:, along] * [np.sqrt(1 - ((level - c) / h) ** 2) if node.kind == "draw" else 1
                                for node, c, h in zip((a, b), centres[:, 1 - along], halves[:, 1 - along])]
    ends = centres[:, along] + towards * reach
    return np.column_stack([np.full(2, level), ends] if along else [ends, np.full(2, level)])


def _arrow(ax, name, way, colour=INK, linewidth=1.2, linestyle="-"):
    """A line through points (n, 2) with a head at the last."""
    forward = (way[-1] - way[-2]) / np.linalg.norm(way[-1] - way[-2])
    neck, side = way[-1] - 9 * forward, 4 * forward[::-1]
    ax.add_patch(Polygon(np.vstack([way[:-1], neck]), closed=False, fill=False, edgecolor=colour, linewidth=linewidth,
                         linestyle=linestyle, gid=f"line {name}"))
    ax.add_patch(Polygon([way[-1], neck + side, neck - side], facecolor=colour, linewidth=0, gid=f"head {name}"))


def _gradient(ax, name, way, stopped=False):
    """The derivative's way back; where a draw stops it, only as far as a bar."""
    if stopped:
        way = np.array([way[0], way[0] + 0.66 * (way[1] - way[0])])
        ax.add_patch(Polygon(way[1] + [(0, -9), (0, 6), (-3.5, 6), (-3.5, -9)], facecolor=GRADIENT, linewidth=0,
                             gid=f"bar {name}"))
    _arrow(ax, name, way, GRADIENT, 1.8, (0, (2.4, 1.1)))


def _legend(ax):
    for kind, x, text in LEGEND:
        _shape(ax, f"of the legend, {kind}", Node(kind, x, 16, 22, 16, ""))
        _label(ax, x + 18, 16, text, align="left")
    _arrow(ax, "forward", np.array([(492, 16), (524, 16)]))
    _label(ax, 531, 16, "forward", align="left")
    _gradient(ax, "gradient", np.array([(638, 16), (606, 16)]))
    _label(ax, 645, 16, "gradient", align="left")
