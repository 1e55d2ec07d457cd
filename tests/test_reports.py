"""The table says what the models say; the figures are those that suit the model, and nothing of them stays open."""
import re

import numpy as np
import pytest
from matplotlib import pyplot

from tests.drawn import cut
from tinyvae import PCA, VAE, Autoencoder, plots, reports
from tinyvae.reports import Part

RNG = np.random.default_rng(5)                  # 0 draws the binary pixels: its grey levels would be its thresholds
GREY = RNG.random((70, 16), dtype=np.float32) ** 2
TRAIN, TEST = Part(GREY[:50], np.arange(50) % 3, 1), Part(GREY[50:], np.arange(20) % 3, 1)
BYTES = Part((GREY * 255).astype(np.uint8), np.arange(70) % 10, 1 / 255)
OPTIONS = {"hidden": (5,), "n_epochs": 2, "random_state": 0}


def vae(K=2, part=TRAIN, **options):
    options = {"likelihood": "bernoulli", "binarize": True, **OPTIONS, **options}
    return VAE(K, input_scale=part.scale, **options).fit(part.X)


def autoencoder(K=2, part=TRAIN, **options):
    return Autoencoder(K, input_scale=part.scale, **OPTIONS, **options).fit(part.X)


@pytest.mark.parametrize("dtype, scale", [(np.uint8, 1 / 255), (np.float32, 1)])
def test_binary_pixels_are_drawn_for_each_image_on_its_own(dtype, scale):
    """With the grey levels as probabilities: 2,000 equal rows, none like another, have their mean; to 5 σ."""
    grey = np.linspace(0, 1, 16)
    part = Part(np.tile((grey / scale).astype(dtype), (2000, 1)), np.zeros(2000, int), scale)
    X = part.as_measured(vae(2))
    assert X.dtype == dtype and set(np.unique(X)) == {0, round(1 / scale)}
    assert np.all(np.abs(np.mean(X * scale, axis=0) - part.images(0)) <= 5 * 0.5 / np.sqrt(2000))
    assert len(np.unique(X, axis=0)) > 1000 and np.all(X[:, 0] == 0) and np.all(X[:, -1] > 0)
    assert part.as_measured(vae(2, likelihood="gaussian", binarize=False)) is part.X
    grey = VAE(2, likelihood="bernoulli")                   # trained on grey levels, and scored on binary pixels
    assert np.array_equal(part.as_measured(grey), X)
    assert np.array_equal(part._replace(X=X).as_measured(grey), X)


# ---- the table -------------------------------------------------------------------------------------------------------


def read(table):
    """The unit, the rows as {words: [(mean, standard error) of the training images, … held out]}, and what follows."""
    (unit, heads), *lines = [(line[:48].rstrip(), line[48:].strip()) if "  " in line else (line, "")
                             for line in table.split("\n")]
    assert heads.split("  ")[0] == "trained on" and heads.split()[-2:] == ["held", "out"]
    rows = {name: [tuple(map(float, cell.split(" ± "))) for cell in re.split(r"\s{2,}", cells)]
            for name, cells in lines if cells}
    return unit, rows, [name for name, cells in lines if not cells]


def says(row, *values):
    assert len(row) == len(values) == 2
    for (mean, error), of_images in zip(row, values):
        assert mean == pytest.approx(np.mean(of_images), abs=0.00501)
        assert error == pytest.approx(np.std(of_images) / np.sqrt(20), abs=0.00501) and np.std(of_images) > 0


@pytest.mark.parametrize("options", [{}, {"likelihood": "gaussian", "binarize": False, "beta": 3.0}], ids=str)
def test_the_table_of_a_vae(options):
    model = vae(3, **options)
    model.theta_ += np.random.default_rng(3).normal(scale=0.6, size=model.theta_.size).astype(np.float32)
    model.parameters_["encoder.1.W"][:, 1] = 0              # the second latent dimension tells nothing
    unit, rows, rest = read(reports.table(model, TRAIN, TEST, n_samples=7))
    parts = TRAIN._replace(X=TRAIN.X[:20]).as_measured(model), TEST.as_measured(model)
    (log_px, kl), (log_px_test, kl_test) = (model.elbo_terms(X, 7) for X in parts)
    assert unit == "nats per image" and len(rows) == 4
    says(rows["reconstruction, −E log p(x|z)"], -log_px, -log_px_test)
    says(rows["KL(q(z|x) ‖ p(z))"], kl, kl_test)
    says(rows["−ELBO, their sum"], *(-model.elbo(X, 7) for X in parts))
    says(rows["−log p(x), by 7 importance samples"], *(-model.log_likelihood(X, 7) for X in parts))
    assert model.active_units(TEST.as_measured(model)).tolist() == [True, False, True]
    assert rest == ["active latent dimensions, Var μ(x) > 0.01: 2 of 3"]


def test_the_table_of_an_autoencoder():
    for loss, unit_, name in (("squared", "squared grey levels per image (0 white, 1 black)", "error ‖x − x̂‖²"),
                              ("bernoulli", "nats per image", "error, cross-entropy")):
        model = autoencoder(loss=loss)
        unit, rows, rest = read(reports.table(model, TRAIN, TEST, n_samples=7))
        assert unit == unit_ and list(rows) == [f"reconstruction {name}"] and not rest
        says(rows[f"reconstruction {name}"], *(model.reconstruction_error(X) for X in (TRAIN.X[:20], TEST.X)))


def test_the_table_of_pca():
    model = PCA(3).fit(TRAIN.X)
    unit, rows, rest = read(reports.table(model, TRAIN, TEST, n_samples=7))
    W = model.components_.T
    centred = TRAIN.X[:20] - model.mean_, TEST.X - model.mean_
    errors = [np.linalg.norm(x - x @ W @ W.T, axis=1) ** 2 for x in centred]
    assert unit.startswith("squared grey levels per image") and not rest
    says(rows["reconstruction error ‖x − x̂‖²"], *errors)


def test_bytes_and_grey_levels_have_one_table():
    grey = Part(BYTES.X / np.float32(255), BYTES.y, 1)
    tables = [reports.table(autoencoder(part=part, dtype="float64"), part, part, 1) for part in (grey, BYTES)]
    assert tables[0] == tables[1]
    assert BYTES.images(slice(3)).dtype == np.float32
    assert np.allclose(BYTES.images([4, 2]), GREY[[4, 2]], atol=1 / 255)


# ---- the pictures ----------------------------------------------------------------------------------------------------

ALWAYS, PLANE = {"reconstructions", "interpolation"}, {"latent_plane"}
LEARNED, OF_A_VAE, OF_PCA = {"training", "filters"}, {"samples", "kl", "traversals"}, {"spectrum", "components"}


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """What `figures` draws, by name, instead of files."""
    def draw(model, test=TEST):
        axes = {}
        monkeypatch.setattr(plots, "save_figure", lambda ax, path: axes.setdefault(path.stem, ax) and path)
        paths = reports.figures(model, test, tmp_path)
        assert [path.stem for path in paths] == list(axes) and {path.parent for path in paths} == {tmp_path}
        return axes

    return draw


@pytest.mark.parametrize("model, names", [
    (lambda: vae(1), LEARNED | OF_A_VAE), (lambda: vae(2), LEARNED | OF_A_VAE | PLANE | {"manifold"}),
    (lambda: vae(3, hidden=()), LEARNED | OF_A_VAE | PLANE), (lambda: vae(25), LEARNED | OF_A_VAE | PLANE),
    (lambda: vae(n_epochs=0), {"filters", "manifold"} | OF_A_VAE | PLANE), (lambda: autoencoder(1), LEARNED),
    (lambda: autoencoder(2), LEARNED | PLANE), (lambda: autoencoder(3, tied=True), LEARNED | PLANE),
    (lambda: PCA(1).fit(TRAIN.X), OF_PCA), (lambda: PCA(16).fit(TRAIN.X), OF_PCA | PLANE)])
def test_each_model_has_its_figures(model, names, drawn):
    assert set(drawn(model())) == ALWAYS | names


def test_figures_are_files_and_none_stays_open(tmp_path):
    before = pyplot.get_fignums()
    paths = reports.figures(vae(2), TEST, tmp_path)
    assert sorted(paths) == sorted(tmp_path.iterdir()) and len(paths) == 9
    assert all(path.suffix == ".png" and path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in paths)
    assert pyplot.get_fignums() == before


def test_reconstructions_are_of_held_out_images(drawn):
    model = vae(part=BYTES)
    upper, lower = cut(drawn(model, BYTES)["reconstructions"], 12)
    np.testing.assert_allclose(upper, GREY[:12].reshape(-1, 4, 4), atol=1 / 255)
    np.testing.assert_allclose(lower, model.reconstruct(BYTES.X[:12]).reshape(-1, 4, 4), rtol=1e-6)


def test_interpolation_goes_between_classes(drawn):
    model = autoencoder()
    y = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 1] + [0] * 8)
    rows = cut(drawn(model, TEST._replace(y=y))["interpolation"], 11)
    images = model.reconstruct(TEST.X).reshape(-1, 4, 4)
    ends = {tuple(np.argmin([np.abs(row[at] - image).sum() for image in images]) for at in (0, -1)) for row in rows}
    assert ends == {(0, 3), (2, 3), (4, 10), (6, 10), (8, 10), (10, 11)}


@pytest.mark.parametrize("part", [TEST._replace(y=np.zeros(20, int)), Part(TEST.X[:1], TEST.y[:1], 1)],
                         ids=["alike", "one"])
def test_few_images_or_one_class_are_enough(part, drawn):
    for model in (vae(), autoencoder(), PCA(2).fit(TRAIN.X)):
        assert len(drawn(model, part)["interpolation"].images) == 1
        assert reports.table(model, TRAIN, part, 2)


def test_the_plane_shows_the_two_dimensions_that_tell_most(drawn):
    model = vae(4)
    last = len(model.hidden)
    model.parameters_[f"encoder.{last}.W"][:, [0, 2]] = 0
    axes = drawn(model)
    assert set(np.argsort(model.kl_by_dimension(TEST.as_measured(model)))[2:]) == {1, 3}
    assert "dimension 2" in axes["latent_plane"].get_xlabel() and "dimension 4" in axes["latent_plane"].get_ylabel()
    model = autoencoder(3)
    model.parameters_["encoder.1.W"][:, 1] = 0
    plane = drawn(model)["latent_plane"]
    assert (plane.get_xlabel(), plane.get_ylabel()) == ("code, entry 1", "code, entry 3")


def test_more_than_ten_classes_are_plain_dots(drawn):
    assert len(drawn(autoencoder(), TEST._replace(y=np.arange(20) % 10))["latent_plane"].collections) == 10
    plane = drawn(autoencoder(), TEST._replace(y=np.arange(20) % 11))["latent_plane"]
    assert len(plane.collections) == 1 and len(plane.collections[0].get_offsets()) == 20


def test_units_of_the_training_curve(drawn):
    for model, unit in ((vae(), "nats per image"), (autoencoder(loss="bernoulli"), "nats per image"),
                        (autoencoder(), "squared grey levels per image (0 white, 1 black)")):
        assert drawn(model)["training"].get_ylabel() == unit


def test_filters_are_the_first_layers_largest_units(drawn):
    model = Autoencoder(2, hidden=(40,), n_epochs=1, random_state=0).fit(TRAIN.X)
    W = model.parameters_["encoder.0.W"]
    W *= np.linspace(1, 3, 40)
    length = np.sqrt((W**2).sum(axis=0))
    grid = [cell for row in cut(drawn(model)["filters"], 10) for cell in row]
    largest = W[:, np.argsort(-length)[:30]]
    np.testing.assert_allclose(grid, (largest / np.abs(largest).max(axis=0)).T.reshape(-1, 4, 4), rtol=1e-6)


def test_bars_and_traversals_are_of_the_held_out_kl(drawn):
    model = vae(12)
    axes, kl = drawn(model), model.kl_by_dimension(TEST.as_measured(model))
    heights = sorted((bar.get_height() for bar in axes["kl"].patches if bar.get_height()), reverse=True)
    np.testing.assert_allclose(heights, np.sort(kl)[::-1], rtol=1e-6)
    rows = [text.get_text() for text in axes["traversals"].get_yticklabels()]
    assert rows == [f"z{k + 1}".translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")) for k in np.argsort(-kl)[:10]]
