"""What one wants to see of a model trained on images: a table of figures with their units, and pictures."""
from typing import NamedTuple

import numpy as np

from . import plots
from .linear import PCA
from .vae import VAE


class Part(NamedTuple):
    """Images (N, D) as the model takes them, their classes (N,), and the factor that puts grey levels into [0, 1]."""
    X: np.ndarray
    y: np.ndarray
    scale: float

    def images(self, rows):
        """Some of the images, in [0, 1]."""
        return self.X[rows] * np.float32(self.scale)

    def as_measured(self, model):
        """X as a VAE is scored on it. For a Bernoulli likelihood binary pixels are drawn once, also for one that was
        trained on grey levels, which have no likelihood; and for each image on its own: with the thresholds that an
        evaluation shares among images, a mean over images would scatter more than ± says.
        """
        if model.likelihood != "bernoulli":
            return self.X
        ink = np.random.default_rng(0).random(self.X.shape, np.float32) < self.images(slice(None))
        return ink * self.X.dtype.type(round(1 / self.scale))


# ---- the table -------------------------------------------------------------------------------------------------------


def table(model, train, test, n_samples):
    """Means over images ± their standard errors, of as many training images as are held out; `n_samples` for a VAE."""
    train = train._replace(X=train.X[:len(test.X)])
    columns = [_figures(model, part, n_samples) for part in (train, test)]
    lines = [f"{_unit(model):48}{'trained on':>18}{'held out':>18}"]
    for name in columns[0]:
        lines.append(f"{name:48}" + "".join(f"{_mean(column[name]):>18}" for column in columns))
    if isinstance(model, VAE):
        active = model.active_units(test.as_measured(model))
        lines.append(f"active latent dimensions, Var μ(x) > 0.01: {np.sum(active)} of {len(active)}")
    return "\n".join(lines)


def _figures(model, part, n_samples):
    """The rows of the table, by name: a number for every image."""
    if isinstance(model, VAE):
        X = part.as_measured(model)
        log_px_z, kl = model.elbo_terms(X, n_samples)
        return {"reconstruction, −E log p(x|z)": -log_px_z, "KL(q(z|x) ‖ p(z))": kl, "−ELBO, their sum": kl - log_px_z,
                f"−log p(x), by {n_samples} importance samples": -model.log_likelihood(X, n_samples)}
    if isinstance(model, PCA):
        x = part.images(slice(None))
        return {"reconstruction error ‖x − x̂‖²": np.sum((x - model.reconstruct(part.X)) ** 2, axis=1)}
    name = {"squared": "reconstruction error ‖x − x̂‖²", "bernoulli": "reconstruction error, cross-entropy"}[model.loss]
    return {name: model.reconstruction_error(part.X)}


def _unit(model):
    in_nats = isinstance(model, VAE) or getattr(model, "loss", None) == "bernoulli"
    return "nats per image" if in_nats else "squared grey levels per image (0 white, 1 black)"


def _mean(values):
    return f"{np.mean(values):.2f} ± {np.std(values) / np.sqrt(len(values)):.2f}"


# ---- the pictures ----------------------------------------------------------------------------------------------------


def figures(model, test, folder):
    """Draws all that suits the model and its latent dimensions into `folder`; returns the paths."""
    pictures = {"reconstructions": plots.reconstructions(test.images(slice(12)), model.reconstruct(test.X[:12])),
                "interpolation": _interpolation(model, test)}
    if model.n_components >= 2:
        pictures["latent_plane"] = _latent_plane(model, test)
    if isinstance(model, PCA):
        pictures |= {"spectrum": plots.spectrum(model.eigenvalues_, model.n_components),
                     "components": plots.filters(model.components_[:30].T)}
        shown = min(len(model.eigenvalues_), 40 + 2 * model.n_components)       # of 784, the rest would be a line
        pictures["spectrum"].set_xlim(0.5, shown + 0.5)
    else:
        pictures["filters"] = _filters(model)
        if model.history_:                                  # no epoch, no curve
            pictures["training"] = plots.training_curve(model.history_)
            pictures["training"].set_ylabel(_unit(model))
    if isinstance(model, VAE):
        pictures |= _of_a_vae(model, test)
    return [plots.save_figure(ax, folder / f"{name}.png") for name, ax in pictures.items()]


def _of_a_vae(model, test):
    K, X = model.n_components, test.as_measured(model)
    kl = model.kl_by_dimension(X)
    z = np.random.default_rng(0).standard_normal((60, K))
    start = model.transform(test.X[:1])[0]
    pictures = {"samples": plots.images(model.inverse_transform(z)),
                "kl": plots.kl_by_dimension(kl, active=model.active_units(X)),
                "traversals": plots.traversals(model.inverse_transform, start, dimensions=_largest(kl, 10))}
    if K == 2:
        pictures["manifold"] = plots.manifold(model.inverse_transform)
    return pictures


def _interpolation(model, test):
    """Between pairs of held-out images of different classes, where there are such."""
    codes, y = model.transform(test.X[:12]), test.y[:12]
    pairs = {i: j for j in range(len(y) - 1, 0, -1) for i in range(0, j, 2) if y[i] != y[j]}    # the nearest j is last
    pairs = pairs or {0: len(y) - 1}
    return plots.interpolation(model.inverse_transform, codes[list(pairs)], codes[list(pairs.values())])


def _latent_plane(model, test):
    """A thousand codes in the two latent dimensions that tell most: by KL, or else by variance."""
    Z, y = model.transform(test.X[:1000]), test.y[:1000]
    weight = model.kl_by_dimension(test.as_measured(model)) if isinstance(model, VAE) else np.var(Z, axis=0)
    first, second = sorted(_largest(weight, 2))
    ax = plots.latent_plane(Z, y if len(np.unique(y)) <= 10 else None, dimensions=(first, second))
    if not isinstance(model, VAE):                          # whose codes have no prior to measure them by
        ax.set(xlabel=f"code, entry {first + 1}", ylabel=f"code, entry {second + 1}")
    return ax


def _filters(model):
    """The inputs of the first layer's 30 units with the largest weights."""
    W = model.parameters_["encoder.0.W"]
    return plots.filters(W[:, _largest(np.linalg.norm(W, axis=0), 30)])


def _largest(values, n):
    """Indices of the n largest, largest first."""
    return [int(i) for i in np.argsort(-np.asarray(values), kind="stable")[:n]]
