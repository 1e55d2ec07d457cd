"""The scikit-learn-shaped face: scikit-learn's own checks, parameters, number types, images, refitting, copies."""
import copy
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from tests.test_train import Watched
from tests.test_vae import FixedNoise
from tinyvae import PCA, VAE, Autoencoder, ProbabilisticPCA
from tinyvae.estimator import NotFittedError
from tinyvae.optim import Adam

EXACT = PCA, ProbabilisticPCA                               # no networks
each_class = pytest.mark.parametrize("cls", [*EXACT, Autoencoder, VAE])
each_network = pytest.mark.parametrize("cls", [Autoencoder, VAE])
IMAGES = {Autoencoder: {"loss": "bernoulli"}, VAE: {"likelihood": "bernoulli", "binarize": True}}


def small(cls, **options):
    common = {} if cls in EXACT else {"hidden": (4,), "n_epochs": 2, "random_state": 0}
    return cls(2, **{**common, **options})


def data(n_rows=30, n_columns=5, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_columns))


def greys(n_rows=30, n_columns=5):
    return np.random.default_rng(1).random((n_rows, n_columns))


def state(model):
    """A copy of all that a fit leaves behind."""
    return copy.deepcopy({name: value for name, value in vars(model).items() if name.endswith("_")})


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


# ---- scikit-learn's checks -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*does not inherit from `sklearn.base.BaseEstimator`:UserWarning")      # by design
@pytest.mark.filterwarnings("ignore:Skipping check:sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:EM has not converged:UserWarning")
@pytest.mark.parametrize("model", [PCA(1), ProbabilisticPCA(1), ProbabilisticPCA(1, "em"),
                                   *(cls(1, hidden=(3,), n_epochs=2) for cls in (Autoencoder, VAE)),
                                   VAE(2, hidden=(), n_epochs=2, posterior="full", likelihood="gaussian_full",
                                       objective="iwae", gradient="dreg", n_samples=2, warm_up=3)], ids=repr)
def test_scikit_learns_own_checks(model):
    by_design = {"check_dtype_object": "object arrays are refused"}
    results = check_estimator(model, on_fail=None, expected_failed_checks=by_design)
    assert len(results) > 40 and sum(result["status"] == "passed" for result in results) > 40
    assert [(result["check_name"], result["exception"]) for result in results if result["status"] == "failed"] == []


@each_class
def test_in_a_pipeline(cls):
    X = data() * 3 + 2
    pipeline = make_pipeline(StandardScaler(), small(cls)).fit(X)
    assert np.array_equal(pipeline.transform(X), small(cls).fit_transform((X - X.mean(axis=0)) / X.std(axis=0)))
    assert list(pipeline[-1].get_feature_names_out()) == [f"{cls.__name__.lower()}{k}" for k in range(2)]


# ---- parameters ------------------------------------------------------------------------------------------------------


@each_class
def test_parameters_are_stored_as_given_and_cloned(cls):
    given = {"n_components": object()}
    if cls not in EXACT:
        given |= {"hidden": [3, object()], "optimizer": Adam(0.1)}
    model = cls(**given)
    assert all(getattr(model, name) is value for name, value in given.items())
    assert model.get_params().items() >= given.items() and list(vars(model)) == list(model.get_params())
    fitted = small(cls).fit(data())
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params() and not hasattr(fresh, "n_features_in_")
    assert repr(small(cls)) == cls.__name__ + ("()" if cls in EXACT else "(hidden=(4,), n_epochs=2, random_state=0)")


@each_class
def test_set_params_changes_all_or_nothing(cls):
    model = small(cls)
    assert model.set_params(n_components=3) is model and model.n_components == 3
    before = model.get_params()
    with pytest.raises(ValueError, match="'colour'"):
        model.set_params(n_components=4, colour="red")
    assert model.get_params() == before and not hasattr(model, "colour")


@each_class
def test_an_unfitted_model_says_so(cls):
    more = {PCA: [], ProbabilisticPCA: ["posterior", "score_samples", "score", "sample"],
            Autoencoder: ["reconstruction_error", "loss_and_grad"],
            VAE: ["encode", "elbo", "elbo_terms", "kl_by_dimension", "active_units", "log_likelihood", "score_samples",
                  "score", "sample"]}[cls]
    for call in ["transform", "reconstruct", "inverse_transform", *more]:
        with pytest.raises(NotFittedError, match=f"{cls.__name__}.*not fitted.*fit"):
            getattr(cls(), call)(*([] if call == "sample" else [data()]))
    assert issubclass(NotFittedError, ValueError) and issubclass(NotFittedError, AttributeError)


# ---- number types ----------------------------------------------------------------------------------------------------


@each_network
@pytest.mark.parametrize("dtype", [None, "float32", "float64", np.float32])
@pytest.mark.parametrize("given", ["float32", "float64", "float16", "longdouble", "int16", "bool", "list"])
def test_number_types(cls, given, dtype):
    X = (10 * data()).round()
    X = X.astype(int).tolist() if given == "list" else X.astype(given)
    expected = np.dtype(dtype or ("float32" if given == "float32" else "float64"))
    model = small(cls, dtype=dtype).fit(X)
    code = model.transform(X)
    assert {a.dtype for a in (model.theta_, code, model.inverse_transform(code), model.reconstruct(X))} == {expected}
    assert {view.dtype for view in model.parameters_.values()} == {expected}
    assert np.all(np.isfinite(model.theta_))
    model.partial_fit(X)
    assert model.theta_.dtype == expected


def test_a_vae_of_float32_samples_float32_and_scores_in_float64():
    for likelihood in ("gaussian", "gaussian_diagonal", "gaussian_full", "bernoulli"):
        X = (data() > 0).astype(np.float32)
        model = small(VAE, likelihood=likelihood).fit(X)
        assert model.sample(3).dtype == np.float32 and {a.dtype for a in model.encode(X)} == {np.dtype("float32")}
        assert model.elbo(X).dtype == model.log_likelihood(X).dtype == np.float64
        wide = small(VAE, likelihood=likelihood, n_epochs=0).fit(X.astype(float))
        wide.theta_[:] = model.theta_
        # sums of some ten terms of size 10 in float32
        assert np.allclose(model.log_likelihood(X, 5), wide.log_likelihood(X, 5), atol=1e-4)


@each_class
def test_any_layout_of_the_same_numbers(cls):
    X = data()
    model, codes = small(cls).fit(X), small(cls).fit(X).transform(X)
    read_only = X.copy()
    read_only.flags.writeable = False
    for Y in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X[::-1].copy()[::-1], read_only):
        assert np.allclose(model.transform(Y), codes, rtol=1e-12)           # BLAS may sum in another order,
        assert np.allclose(small(cls).fit(Y).transform(Y), codes, rtol=1e-9)       # and steps of training add that up


@each_network
def test_fit_and_every_method_leave_the_data_alone(cls):
    X = np.round(greys())
    before = X.copy()
    model = small(cls, **IMAGES[cls]).fit(X)
    for method in ("transform", "reconstruct", "partial_fit", *(["elbo", "log_likelihood"] if cls is VAE else [])):
        getattr(model, method)(X)
    assert np.array_equal(X, before)
    assert not np.shares_memory(X, model._rows(X, slice(None)))             # a step may write over its batch


# ---- images: uint8 with a scale, grey levels and binary x ------------------------------------------------------------


@each_network
def test_uint8_with_a_scale_is_the_same_as_floats(cls):
    bytes_ = (255 * greys()).astype(np.uint8)
    floats = bytes_.astype(np.float32) * np.float32(1 / 255)
    scaled = small(cls, input_scale=1 / 255, dtype="float32", **IMAGES[cls]).fit(bytes_)
    plain = small(cls, **IMAGES[cls]).fit(floats)
    assert np.array_equal(scaled.theta_, plain.theta_) and scaled.history_ == plain.history_
    assert np.array_equal(scaled.transform(bytes_), plain.transform(floats))
    assert np.array_equal(scaled.reconstruct(bytes_), plain.reconstruct(floats))
    if cls is VAE:
        assert np.array_equal(scaled.elbo(bytes_), plain.elbo(floats))


def test_training_binarises_afresh_for_every_batch():
    X = np.tile([0.0, 0.2, 0.7, 1.0], (50, 1))
    model = Watched(1, hidden=(), batch_size=25, n_epochs=40, random_state=0, **IMAGES[VAE]).fit(X)
    x = np.stack([x for x, _ in model.steps])                               # (80 steps, 25 rows, 4 columns)
    assert set(np.unique(x)) == {0, 1}
    n = x[..., 0].size
    assert np.all(np.abs(x.mean(axis=(0, 1)) - X[0]) <= 5 * np.sqrt(X[0] * (1 - X[0]) / n))
    assert len({step.tobytes() for step in x}) == len(x)
    assert abs(np.corrcoef(x[1:, :, 1].ravel(), x[:-1, :, 1].ravel())[0, 1]) < 5 / np.sqrt(n)  # nothing is carried over
    assert abs(np.corrcoef(x[:, 1:, 1].ravel(), x[:, :-1, 1].ravel())[0, 1]) < 5 / np.sqrt(n)


@pytest.mark.parametrize("method", ["elbo", "log_likelihood"])
def test_evaluation_binarises_greys_and_leaves_binary_x(method):
    X = greys()
    model = small(VAE, likelihood="bernoulli", binarize=True).fit(X)
    plain = small(VAE, likelihood="bernoulli", n_epochs=0).fit(X > 0.5)
    plain.theta_[:] = model.theta_
    scores = getattr(model, method)
    noise = np.random.default_rng(2).standard_normal((7, 2))
    halves = getattr(plain, method)((X > 0.5).astype(float), 7, FixedNoise(noise))   # whose uniform numbers are all 1/2
    assert np.array_equal(scores(X, 7, FixedNoise(noise)), halves)
    assert np.array_equal(scores(X, 7, 3), scores(X, 7, 3)) and not np.allclose(scores(X, 7, 3), scores(X, 7, 4))
    binary = (X > 0.4).astype(float)
    assert np.array_equal(scores(binary, 7, 3), getattr(plain, method)(binary, 7, 3))
    # The same thresholds for every row, wherever it stands.
    assert np.allclose(scores(X[5:9], 7, 3), scores(X, 7, 3)[5:9], rtol=1e-12)


def test_the_mean_score_of_greys_is_the_mean_over_binarisations():
    X = greys(1, 4)
    model = small(VAE, likelihood="bernoulli", binarize=True).fit(X)
    drawn = np.array([model.elbo(X, 20, seed)[0] for seed in range(1000)])
    patterns = np.array(np.meshgrid(*4 * [[0.0, 1.0]])).reshape(4, -1).T    # all 16 binary x and their probabilities
    weights = np.prod(np.where(patterns == 1, X, 1 - X), axis=1)
    assert abs(drawn.mean() - weights @ model.elbo(patterns, 20_000)) < 5 * drawn.std() / np.sqrt(len(drawn))


@pytest.mark.parametrize("scale", [1.0, 0.5, 1 / 255])
def test_greys_without_binarize_warn_exactly_once(scale):
    model = small(VAE, likelihood="bernoulli", input_scale=scale)
    with pytest.warns(UserWarning, match="binarize=True") as caught:
        model.fit(greys() / scale).partial_fit(greys() / scale)
        model.fit(greys() / scale).score(greys() / scale)
    assert len(caught) == 1 and caught[0].filename == __file__
    for binary in (greys() > 0.5, np.round(greys()) / scale, (np.round(greys()) / scale).astype(np.float32)):
        small(VAE, likelihood="bernoulli", input_scale=scale if binary.dtype != bool else 1.0).fit(binary)
    small(VAE, likelihood="bernoulli", binarize=True).fit(greys())
    small(VAE).fit(greys())


def test_a_warning_made_an_error_leaves_an_earlier_fit_alone():
    model = small(VAE, likelihood="bernoulli").fit(np.round(greys()))
    before = state(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            model.fit(greys())
    assert same(state(model), before)


@pytest.mark.parametrize("X, scale", [(greys() + 0.1, 1.0), (greys() - 0.1, 1.0), (greys() * 300, 1 / 255),
                                      (greys(), 2.0), (np.full((3, 5), 2, np.uint8), 1.0)])
@each_network
def test_targets_outside_the_unit_interval_are_refused(cls, X, scale):
    with pytest.raises(ValueError, match=r"X must lie in \[0, 1\].*got values from.*input_scale"):
        small(cls, input_scale=scale, **IMAGES[cls]).fit(X)


# ---- refits, copies --------------------------------------------------------------------------------------------------


@each_class
def test_a_refused_refit_leaves_everything_as_it_was(cls):
    model = small(cls).fit(data())
    before = state(model)
    spoilt = data()
    spoilt[3, 2] = np.nan
    for X in (spoilt, data().astype(complex), data()[0], data()[:0]):
        for method in ("fit", "partial_fit") if cls not in EXACT else ("fit",):
            with pytest.raises(ValueError):
                getattr(model, method)(X)
    bad = {"n_components": 0, "batch_size": 0, "optimizer": "x", "random_state": -1}
    for name, value in list(bad.items())[:1 if cls in EXACT else None]:
        kept = getattr(model, name)
        with pytest.raises(ValueError, match=name):
            model.set_params(**{name: value}).fit(data())
        model.set_params(**{name: kept})
    assert same(state(model), before)
    assert np.array_equal(model.transform(data()), small(cls).fit(data()).transform(data()))


@each_class
def test_a_refit_forgets_another_width(cls):
    X = data(n_columns=3)
    model, fresh = small(cls).fit(data()).fit(X), small(cls).fit(X)
    assert same(state(model), state(fresh)) and model.n_features_in_ == 3


@each_class
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_a_copy_is_the_same_model_and_goes_on_alike(cls, copied):
    model = small(cls).fit(data())
    twin = copied(model)
    assert same(state(model), state(twin)) and twin.get_params() == model.get_params()
    assert np.array_equal(twin.transform(data()), model.transform(data()))
    if cls not in EXACT:
        model.partial_fit(data())
        assert not np.array_equal(twin.theta_, model.theta_)                # a copy, its optimiser and generator
        assert np.array_equal(twin.partial_fit(data()).theta_, model.theta_)       # where they stood


def test_a_copy_has_the_same_repr():
    assert repr(pickle.loads(pickle.dumps(VAE(3)))) == repr(VAE(3))


@each_network
def test_parameters_are_views_of_theta(cls):
    model = small(cls).fit(data())
    names = list(model.parameters_)
    assert names[:4] == ["encoder.0.W", "encoder.0.b", "encoder.1.W", "encoder.1.b"] and names[4] == "decoder.0.W"
    assert np.array_equal(np.concatenate([view.ravel() for view in model.parameters_.values()]), model.theta_)
    before = model.transform(data())
    model.parameters_["encoder.0.W"][:] *= 2
    assert not np.allclose(model.transform(data()), before)


@each_network
def test_widths_changed_after_fit_are_refused(cls):
    model = small(cls).fit(data()).set_params(hidden=(3,))
    with pytest.raises(ValueError, match="hidden"):
        model.transform(data())
