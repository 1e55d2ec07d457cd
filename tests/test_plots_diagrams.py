"""The diagrams, read from what is drawn: no overlap, ends that touch, and a gradient that goes where it can."""
from copy import deepcopy
from functools import cache
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.transforms import Bbox

from tinyvae import plots

DRAW = {"vae_diagram": plots.vae_diagram,
        "elbo_graph, drawn": lambda ax=None: plots.elbo_graph(False, ax=ax),
        "elbo_graph, reparameterized": lambda ax=None: plots.elbo_graph(True, ax=ax)}
every_picture = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
every_size = pytest.mark.parametrize("size", [(7, 3.2), (3, 4), (15, 9)], ids=str)
PARTS = {"q": {"mu", "root"}, "p": {"mean", "covariance"}}              # who stands inside whom

# What each node is computed from: the ELBO of one draw, as the lecture has it.
FROM = {"encoder": {"x", "phi"}, "q": {"encoder"}, "KL": {"q"}, "z": {"q"}, "decoder": {"z", "theta"},
        "p": {"decoder"}, "log p": {"x", "p"}, "ELBO": {"log p", "KL"}}
FROM_NOISE = FROM | {"z": {"mu", "root", "epsilon"}}
PARAMETERS = {"phi", "theta"}
WHOLE = {part: whole for whole, parts in PARTS.items() for part in parts}


class Picture:
    """What is drawn on an Axes, by the names that its patches bear; outlines in pixels."""

    def __init__(self, ax):
        ax.figure.draw_without_rendering()
        self.ax, self.unit = ax, ax.transData.transform([(0, 0), (1, 0)])[1, 0] - ax.transData.transform((0, 0))[0]
        self.patches = list(ax.patches)

    def named(self, prefix):
        return {patch.get_gid().removeprefix(prefix): patch for patch in self.patches
                if patch.get_gid().startswith(prefix)}

    def texts(self):
        """(node or "the picture", line, patch) of every line of text."""
        for name, patch in self.named("text of ").items():
            yield *name.split(": ", 1), patch

    def ends(self, mark):
        """(name, name) → first point, tip of the head, points between; of "→", forward, or of "←", gradients."""
        heads = self.named("head ")
        for name, line in self.named("line ").items():
            if mark in name:
                points = line.get_path().transformed(line.get_transform()).vertices
                yield tuple(name.split(f" {mark} ")), points[0], pixels(heads[name])[0], points

    def edges(self, mark):
        return {names for names, *_ in self.ends(mark)}


@cache
def pixels(patch):
    """The outline of a patch as a closed polygon (n, 2)."""
    return np.concatenate(patch.get_path().transformed(patch.get_transform()).to_polygons(closed_only=False))


def distance(point, polygon):
    """From a point to the border of a polygon."""
    a, way = polygon[:-1], np.diff(polygon, axis=0)
    length = np.maximum(np.sum(way**2, axis=1), 1e-300)
    t = np.clip(np.sum((point - a) * way, axis=1) / length, 0, 1)
    return np.min(np.linalg.norm(a + t[:, None] * way - point, axis=1))


def box(patch):
    return Bbox.from_extents(*pixels(patch).min(axis=0), *pixels(patch).max(axis=0))


def apart(a, b, gap=0.0):
    """Whether boxes a and b, both with a margin of gap/2, have no point in common."""
    return max(a.x0, b.x0) - min(a.x1, b.x1) > gap or max(a.y0, b.y0) - min(a.y1, b.y1) > gap


@cache
def picture(draw, size=(7, 3.2)):
    return Picture(draw(ax=Figure(figsize=size).subplots()))


# ---- the drawing -----------------------------------------------------------------------------------------------------

@every_size
@every_picture
def test_nodes_stand_apart_but_for_the_parts_of_a_law(draw, size):
    seen = picture(draw, size)
    nodes = {name: box(patch) for name, patch in seen.named("node ").items()}
    for (a, at_a), (b, at_b) in combinations(nodes.items(), 2):
        inner, outer = (a, b) if WHOLE.get(a) == b else (b, a)
        if "mu" in nodes and WHOLE.get(inner) == outer:
            within, around = nodes[inner], nodes[outer]
            assert (around.x0 < within.x0 and within.x1 < around.x1 and around.y0 < within.y0 and within.y1 < around.y1)
        else:
            assert apart(at_a, at_b, 5 * seen.unit), (a, b)


@every_size
@every_picture
def test_every_label_fits_into_its_node(draw, size):
    seen = picture(draw, size)
    nodes = seen.named("node ")
    for name, line, patch in seen.texts():
        if name != "the picture":
            outline = nodes[name].get_path().transformed(nodes[name].get_transform())
            letters = box(patch).padded(2 * seen.unit)
            assert np.all(outline.contains_points(letters.corners())), (name, line)


@every_size
@every_picture
def test_texts_are_inside_the_picture_and_cover_nothing(draw, size):
    seen = picture(draw, size)
    view = Bbox.from_extents(*seen.ax.transData.transform(np.array(seen.ax.viewLim)).ravel())
    for patch in seen.patches:
        assert all(view.contains(*corner) for corner in box(patch).corners()), patch.get_gid()
    texts = [(name, box(patch)) for name, _, patch in seen.texts()]
    for (_, a), (_, b) in combinations(texts, 2):
        assert apart(a, b)
    for name, text in texts:
        for node, patch in seen.named("node ").items():
            if node != name and WHOLE.get(name) != node:
                assert apart(text, box(patch), seen.unit), (name, node)
        for mark in "→←":
            for names, *_, points in seen.ends(mark):
                for leg in map(Bbox, zip(points, points[1:])):
                    assert apart(text, Bbox([leg.min, leg.max]), seen.unit), (name, names)


@every_size
@every_picture
def test_every_edge_touches_its_two_nodes_and_no_other(draw, size):
    seen = picture(draw, size)
    nodes, bars = seen.named("node "), seen.named("bar ")
    assert len(list(seen.ends("→"))) >= 11
    for mark in "→←":
        for (source, target), start, tip, points in seen.ends(mark):
            first, last = (source, target) if mark == "→" else (target, source)
            stopped = bars.get(f"{source} ← {target}") if mark == "←" else None
            assert distance(start, pixels(nodes[first])) < 0.5 * seen.unit, (source, target)
            assert distance(tip, pixels(stopped or nodes[last])) < 0.5 * seen.unit, (source, target)
            assert np.linalg.norm(tip - points[-2]) > 14 * seen.unit        # a head, and enough of a line to see
            if stopped:
                assert all(apart(box(stopped), box(patch), 5 * seen.unit) for patch in nodes.values())
            allowed = {source, target, WHOLE.get(source)}
            corners = np.vstack([points, tip])
            between = np.concatenate([np.linspace(a, b, 50)[1:-1] for a, b in zip(corners, corners[1:])])
            for name, patch in nodes.items():
                if name not in allowed and name not in PARTS.get(source, ()) and name not in PARTS.get(target, ()):
                    assert not np.any(box(patch).padded(seen.unit).count_contains(between)), (source, target, name)
                elif name in (source, target):
                    assert not box(patch).padded(-3 * seen.unit).count_contains(between), (source, target, name)


@every_picture
def test_it_is_the_same_picture_at_every_size(draw):
    def drawn(size):
        ax = draw(ax=Figure(figsize=size).subplots())
        assert ax.get_aspect() == 1 and not ax.axison and not ax.texts
        return {patch.get_gid(): patch.get_path().transformed(patch.get_patch_transform()).vertices
                for patch in ax.patches}

    small, large = drawn((3, 4)), drawn((15, 9))
    assert small.keys() == large.keys()
    assert all(np.array_equal(small[name], large[name]) for name in small)


@every_picture
def test_draws_on_its_own_and_on_panels_and_leaves_nothing_behind(draw, tmp_path):
    before = deepcopy(dict(matplotlib.rcParams))
    upper, lower = Figure(figsize=(7, 6.4), layout="constrained").subplots(2, 1)
    assert draw(ax=lower) is lower and lower.has_data() and not upper.has_data()
    own = draw()
    assert own.figure is not draw().figure and own.figure.get_size_inches()[0] == 7
    for ax in (own, lower):
        assert plots.save_figure(ax, tmp_path / "diagram.png").stat().st_size > 10_000
    assert dict(matplotlib.rcParams) == before and pyplot.get_fignums() == []


# ---- the graph -------------------------------------------------------------------------------------------------------

def graph(reparameterized):
    """The picture of a graph, with what it has to show."""
    return (picture(DRAW["elbo_graph, reparameterized" if reparameterized else "elbo_graph, drawn"]),
            FROM_NOISE if reparameterized else FROM, "epsilon" if reparameterized else "z")


def depends_on_a_parameter(node, graph):
    node = WHOLE.get(node, node)
    return node in PARAMETERS or any(depends_on_a_parameter(source, graph) for source in graph.get(node, ()))


def reached(seen, without=()):
    """All nodes that the gradient comes to from the ELBO, along the arrows drawn that no bar stops."""
    arrows = seen.edges("←") - {tuple(name.split(" ← ")) for name in seen.named("bar ")}
    found, before = {"ELBO"}, set()
    while found != before:
        before = set(found)
        found |= {source for source, target in arrows if target in found and source not in without}
        found |= {WHOLE[node] for node in found if node in WHOLE}
    return found


@pytest.mark.parametrize("reparameterized", [False, True])
def test_the_edges_are_those_of_the_elbo(reparameterized):
    seen, expected, _ = graph(reparameterized)
    assert seen.edges("→") == {(source, target) for target, sources in expected.items() for source in sources}


@pytest.mark.parametrize("reparameterized", [False, True])
def test_a_gradient_goes_back_to_all_that_parameters_made_and_stops_at_draws(reparameterized):
    seen, expected, drawn = graph(reparameterized)
    carries = {(source, target) for source, target in seen.edges("→") if depends_on_a_parameter(source, expected)}
    assert seen.edges("←") == carries
    assert set(seen.named("bar ")) == {f"{source} ← {target}" for source, target in carries if target == drawn}


def test_the_gradient_reaches_phi_by_way_of_z_only_when_reparameterized():
    before, after = (graph(reparameterized)[0] for reparameterized in (False, True))
    for seen in (before, after):
        assert PARAMETERS | {"z"} <= reached(seen) and not {"x", "epsilon"} & reached(seen)
        assert "phi" in reached(seen, without={"z"})                    # by way of the KL
    assert "theta" in reached(before, without={"KL"}) and "phi" not in reached(before, without={"KL"})
    assert {"phi", "mu", "root"} <= reached(after, without={"KL"})
    assert len(before.named("bar ")) == 1 and not after.named("bar ")


@pytest.mark.parametrize("reparameterized", [False, True])
def test_draws_parameters_and_gradients_look_different(reparameterized):
    seen, _, drawn = graph(reparameterized)
    nodes = seen.named("node ")
    looks = {name: (type(patch), patch.get_facecolor(), patch.get_linestyle()) for name, patch in nodes.items()}
    assert {name for name, patch in nodes.items() if isinstance(patch, Ellipse)} == {drawn, "of the legend, draw"}
    assert all((looks[name][2] != "solid") == isinstance(patch, Ellipse) for name, patch in nodes.items())
    sample = {"phi": "parameter", "theta": "parameter", "x": "data", drawn: "draw", "ELBO": "operation",
              "decoder": "operation", "mu": "operation", "covariance": "operation"}
    assert all(looks[name] == looks[f"of the legend, {kind}"] for name, kind in sample.items())
    assert len({look[1] for look in looks.values()}) == 5               # four kinds, and the frames of the two laws
    lines = {mark: {(line.get_edgecolor(), line.get_linestyle()) for name, line in seen.named("line ").items()
                    if mark in name} for mark in ("→", "←", "forward", "gradient")}
    assert lines["→"] == lines["forward"] and lines["←"] == lines["gradient"] and len(lines["→"] | lines["←"]) == 2


def test_labels_are_in_the_symbols_of_the_lecture():
    def texts(draw):
        found = {}
        for name, line, _ in picture(draw).texts():
            found.setdefault(name, []).append(line)
        return {name: " ".join(lines) for name, lines in found.items()}

    before, after, blocks = (texts(DRAW[name]) for name in ("elbo_graph, drawn", "elbo_graph, reparameterized",
                                                            "vae_diagram"))
    assert r"z \sim q(z|x)" in before["z"] and "no derivative through a draw" in before["the picture"]
    for symbols in (r"\mu_\phi(x)", r"\Sigma_\phi^{1/2}(x)", r"\varepsilon"):
        assert symbols in after["z"]
    assert r"\varepsilon \sim \mathcal{N}(0" in after["epsilon"] and "no derivative" not in after["the picture"]
    for word in ("data", "parameter", "deterministic", "random draw", "forward", "gradient"):
        assert word in before["the picture"] and word in after["the picture"]
    assert r"\mu_\phi(x)" in blocks["q"] and r"\Sigma_\phi(x)" in blocks["q"] and r"\Sigma_\theta(z)" in blocks["p"]


# ---- the blocks ------------------------------------------------------------------------------------------------------

def test_the_vae_is_the_autoencoder_with_laws_and_draws_in_between():
    seen = picture(plots.vae_diagram)
    plain, laws = ["x, autoencoder", "f", "h", "g", "x̂, autoencoder"], ["x", "encoder", "q", "z", "decoder", "p", "x̂"]
    assert seen.edges("→") == {*zip(plain, plain[1:]), *zip(laws, laws[1:]), ("prior", "z")} and not seen.edges("←")
    nodes = seen.named("node ")
    assert {name for name, patch in nodes.items() if isinstance(patch, Ellipse)} == {"z", "x̂"}
    for above, below in zip(plain, [name for name in laws if name not in ("q", "p")], strict=True):     # in columns
        a, b = box(nodes[above]), box(nodes[below])
        assert a.x0 + a.x1 == pytest.approx(b.x0 + b.x1) and a.y0 > b.y1
    texts = [line for name, line, _ in seen.texts() if name == "the picture"]
    for text in ("$h = f(x)$", r"$\hat{x} = g(h)$", r"$z \sim q(z|x)$", r"$\hat{x} \sim p(x|z)$"):
        assert text in texts


@pytest.mark.parametrize("call, error, message", [
    (lambda: plots.elbo_graph(1), TypeError, "reparameterized must be True or False, got 1"),
    (lambda: plots.elbo_graph("yes"), TypeError, "reparameterized must be True or False, got 'yes'"),
    (lambda: plots.elbo_graph(True, ax=3), TypeError, "ax must be a matplotlib Axes or None, got int"),
    (lambda: plots.vae_diagram("x"), TypeError, "ax must be a matplotlib Axes or None, got str"),
])
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
