"""Which layer of a stack has a wrong backward?   Each is held against its own forward, fed with a true gradient."""
import textwrap
from dataclasses import dataclass

import numpy as np

from ..validation import check_rng
from .gradient import check_gradient


@dataclass(frozen=True)
class LayerReport:
    """Which layers of a stack have a wrong backward: `layer`, the first from the output down, or None if all are ok.

    reports : a GradientReport for each layer, in the order of the stack; its blocks are "input" and the parameters
    """
    layer: int | None
    reports: tuple

    @property
    def ok(self):
        """Whether every layer's backward is the derivative of its forward."""
        return self.layer is None

    def __str__(self):
        if self.ok:
            return f"All {len(self.reports)} layers ok: each backward is the derivative of its forward."
        wrong = [str(i) for i, report in enumerate(self.reports) if not report.ok]
        others = f" (wrong: {', '.join(wrong)})" if wrong[1:] else ""
        head = (f"Layer {self.layer} of 0–{len(self.reports) - 1} is the first, from the output down, whose backward "
                f"is not the derivative of its forward{others}:")
        return f"{textwrap.fill(head, 80, subsequent_indent='  ')}\n{self.reports[self.layer]}"


def check_layers(layers, params, x, rng=None):
    """Holds each layer's backward against its own forward, at the inputs of the true forward pass: a LayerReport.

        f_l(x, θ_l) = ⟨c_l, forward_l(x, θ_l)⟩,   c_l random,        must have the gradient backward_l(c_l, x, θ_l)

    No layer's error reaches another: what comes from above is the true gradient c_l of f_l, whatever backward gave.

    layers : pairs of forward(x, params) → y and backward(dy, x, params) → (dx, dparams), from the input up. dx is
             None where nobody asks for it; dparams is a dict like params.
    params : a dict of named arrays for each layer, {} for none
    x      : the first layer's input
    rng    : Generator or seed for the cotangents and directions. Default: seed 0.
    Raises what the functions raise; ValueError if layers and params differ in length, or are empty.
    """
    if not layers or len(layers) != len(params):
        raise ValueError(f"layers and params must have one length of at least 1, got {len(layers)} and {len(params)}")
    rng, reports = check_rng(0 if rng is None else rng), []
    x = np.array(x, dtype=float)
    for layer, theta in zip(layers, params):
        report, x = _check_layer(*layer, theta, x, rng)
        reports.append(report)
    wrong = [i for i, report in enumerate(reports) if not report.ok]
    return LayerReport(wrong[-1] if wrong else None, tuple(reports))


def _check_layer(forward, backward, params, x, rng):
    """One layer's GradientReport, and its output."""
    y = np.array(forward(x.copy(), {name: np.array(value, dtype=float) for name, value in params.items()}))
    cotangent = rng.standard_normal(y.shape)
    no_dx = backward(cotangent.copy(), x.copy(), params)[0] is None
    theta = dict(params) if no_dx else {"input": x, **params}

    def split(theta):
        return (x.copy() if no_dx else theta["input"]), {name: theta[name] for name in params}

    def f(theta):
        return np.sum(cotangent * forward(*split(theta)))

    def grad(theta):
        dx, dparams = backward(cotangent.copy(), *split(theta))
        return dict(dparams) if no_dx else {"input": dx, **dparams}

    return check_gradient(f, grad, theta, rng=rng), y
