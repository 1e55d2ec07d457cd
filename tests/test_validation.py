"""Every public door refuses what it cannot use, and changes nothing: an error names the argument and what came.

Tables of (what is passed, the error, words of its message): first data, then the options of every model, then numbers
of draws and noise, then the validators themselves.
"""
import copy
import pickle
import re

import numpy as np
import pytest
from scipy import sparse

from tinyvae import PCA, VAE, Autoencoder, ProbabilisticPCA
from tinyvae.corruption import MaskingNoise
from tinyvae.ops import ACTIVATIONS
from tinyvae.optim import SGD
from tinyvae.penalties import L1, KLSparsity
from tinyvae.validation import check_bool, check_choice, check_int, check_labels, check_matrix, check_number, check_rng

N, D, K = 12, 5, 2
GOOD = np.random.default_rng(0).random((N, D))
CODE = np.random.default_rng(1).standard_normal((N, K))
MODELS = {"PCA": PCA(K), "ProbabilisticPCA": ProbabilisticPCA(K, random_state=0),
          "Autoencoder": Autoencoder(K, hidden=(4,), n_epochs=1, random_state=0),
          "VAE": VAE(K, hidden=(4,), n_epochs=1, random_state=0)}
FITTED = {name: copy.deepcopy(model).fit(GOOD) for name, model in MODELS.items()}
DATA_DOORS = [(name, door) for name, doors in {
    "PCA": ["fit", "fit_transform", "transform", "reconstruct"],
    "ProbabilisticPCA": ["fit", "fit_transform", "transform", "posterior", "reconstruct", "score_samples", "score"],
    "Autoencoder": ["fit", "fit_transform", "partial_fit", "transform", "reconstruct", "reconstruction_error",
                    "loss_and_grad"],
    "VAE": ["fit", "fit_transform", "partial_fit", "transform", "encode", "reconstruct", "elbo", "elbo_terms",
            "kl_by_dimension", "active_units", "log_likelihood", "score_samples", "score",
            "loss_and_grad"]}.items() for door in doors]


def planted(value, dtype=float):
    X = GOOD.astype(dtype)
    X[3, 1] = value
    return X


def refused(model, call, error, *words):
    """`call` raises `error` with every word in its message, and all of the model, its generator too, is as it was."""
    before = pickle.dumps(vars(model))
    with pytest.raises(error) as caught:
        call(model)
    assert type(caught.value) is error
    assert all(re.search(word, str(caught.value)) for word in words), (words, str(caught.value))
    assert pickle.dumps(vars(model)) == before


# ---- data ------------------------------------------------------------------------------------------------------------


BAD_DATA = {
    "nan": (planted(np.nan), ValueError, "NaN", "row 3, column 1"),
    "nan in float32": (planted(np.nan, np.float32), ValueError, "NaN", "row 3, column 1"),
    "inf": (planted(np.inf), ValueError, "infinity", "row 3, column 1.*inf"),
    "-inf in float16": (planted(-np.inf, np.float16), ValueError, "infinity", "-inf"),
    "1-D": (GOOD[0], ValueError, "2D", r"\(5,\)"),
    "3-D": (GOOD[None], ValueError, "2D", r"\(1, 12, 5\)"),
    "a number": (3.0, ValueError, "2D", r"\(\)"),
    "no rows": (GOOD[:0], ValueError, "0 sample", r"\(0, \d\)"),
    "no columns": (GOOD[:, :0], ValueError, "0 feature", r"\(12, 0\)"),
    "complex": (GOOD + 1j, ValueError, "[Cc]omplex", "complex128"),
    "objects": (GOOD.astype(object), TypeError, "real numbers", "object"),
    "none": (None, TypeError, "real numbers", "object"),
    "strings": (GOOD.astype(str), TypeError, "real numbers", "<U"),
    "dates": (np.full((N, D), np.datetime64("2020-01-01")), TypeError, "real numbers", "datetime64"),
    "sparse": (sparse.csr_matrix(GOOD), TypeError, "sparse", "toarray"),
    "sparse array": (sparse.coo_array(GOOD), TypeError, "sparse", "toarray"),
}


@pytest.mark.parametrize("X, error, words", [(X, error, words) for X, error, *words in BAD_DATA.values()], ids=BAD_DATA)
def test_bad_data_at_every_door(X, error, words):
    for name, door in DATA_DOORS:
        more = [CODE] if (name, door) == ("VAE", "loss_and_grad") else []
        refused(FITTED[name], lambda model: getattr(model, door)(X, *more), error, r"\bX\b", *words)
        if "fit" in door:
            refused(copy.deepcopy(MODELS[name]), lambda model: getattr(model, door)(X), error, r"\bX\b", *words)
    code = X[:, :K] if isinstance(X, np.ndarray) and X.ndim == 2 else X
    for model in FITTED.values():
        refused(model, lambda model: model.inverse_transform(code), error, r"\b[ZH]\b", *words)


def test_another_width_at_every_door():
    wide = np.ones((3, D + 1))
    for name, door in DATA_DOORS:
        if door not in ("fit", "fit_transform"):                            # these begin afresh
            more = [CODE[:3]] if (name, door) == ("VAE", "loss_and_grad") else []
            refused(FITTED[name], lambda model: getattr(model, door)(wide, *more), ValueError,
                    f"X has 6 features, but {name} is expecting 5 features")
    for name, model in FITTED.items():
        refused(model, lambda model: model.inverse_transform(wide), ValueError, f"6 features, but {name} .* 2 features")


def test_pca_needs_two_rows_and_as_many_as_components():
    refused(PCA(1), lambda model: model.fit(GOOD[:1]), ValueError, r"\bX\b", "at least 2|minimum of 2", r"\(1, 5\)")
    refused(PCA(4), lambda model: model.fit(GOOD[:3]), ValueError, "n_components", "at most .*3", "got 4")


@pytest.mark.parametrize("method", ["closed_form", "em"])
def test_probabilistic_pca_needs_variance_for_its_noise(method):
    for X in (GOOD, GOOD[:6], GOOD[:3], GOOD[:4, :3]):
        for many in (min(len(X) - 1, X.shape[1]), 7):
            refused(ProbabilisticPCA(many, method), lambda model: model.fit(X), ValueError, "n_components", "less than",
                    f"{len(X)} row", f"{X.shape[1]} feature", f"got {many}")
    flat = {"rank 2": CODE @ np.random.default_rng(2).random((2, D)) + 1e3, "constant": np.full((N, D), 0.1),
            "float32": np.tile(CODE[:, :1].astype(np.float32) / 3, (1, D)) * np.float32(0.7)}
    for X, seed in [(X, seed) for X in flat.values() for seed in (0, 70, 107, 127)]:   # EM from some seeds came to a halt
        refused(ProbabilisticPCA(K, method, max_iter=10_000, random_state=seed), lambda model: model.fit(X), ValueError, r"\bX\b",
                "no variance", "n_components", "rank")


# ---- options ---------------------------------------------------------------------------------------------------------


INTEGERS = [(-1, ValueError, "-1"), (1.5, TypeError, "1.5"), (2.0, TypeError, "float"), (True, TypeError, "bool"),
            ("3", TypeError, "'3'"), (None, TypeError, "None"), ([2], TypeError, r"\[2\]")]
POSITIVE = [(0, ValueError, "0"), (-1, ValueError, "-1"), (np.nan, ValueError, "nan"), (np.inf, ValueError, "inf"),
            ("a", TypeError, "'a'"), (True, TypeError, "bool"), (1j, TypeError, "complex"),
            ([1.0], TypeError, r"\[1.0\]")]
NAMES = [("magic", ValueError, "'magic'"), (3, ValueError, "3"), (None, ValueError, "None"),
         (["tanh"], ValueError, "tanh")]
BOOLEANS = [(1, TypeError, "1"), ("no", TypeError, "'no'"), (None, TypeError, "None")]
BOTH = {
    "n_components": [(0, ValueError, "0"), *INTEGERS],
    "hidden": [(5, TypeError, "5"), ("64", TypeError, "'64'"), (None, TypeError, "None"), ((0,), ValueError, "0"),
               ((3, -2), ValueError, "-2"), ((2.5,), TypeError, "2.5"), ((True,), TypeError, "bool"),
               (np.array([4]), TypeError, "array")],
    "activation": NAMES,
    "optimizer": [*NAMES, (SGD, ValueError, "SGD"), (object(), ValueError, "object")],
    "learning_rate": POSITIVE,
    "batch_size": [(0, ValueError, "0"), *INTEGERS],
    "n_epochs": INTEGERS,
    "random_state": [(-1, ValueError, "-1"), (1.5, TypeError, "1.5"), ("a", TypeError, "'a'"),
                     (True, TypeError, "bool"), (np.random.PCG64(0), TypeError, "PCG64")],
    "dtype": [("float16", ValueError, "float16"), (int, ValueError, "int"), ("magic", ValueError, "magic"),
              (32, ValueError, "32")],
    "input_scale": [*POSITIVE, (None, TypeError, "None")],
    "verbose": [(-1, ValueError, "-1"), ("yes", TypeError, "'yes'"), (None, TypeError, "None")],
    "callback": [(3, TypeError, "3"), ("print", TypeError, "print")],
}
BAD_OPTIONS = {
    "PCA": {"n_components": BOTH["n_components"]},
    "ProbabilisticPCA": {"n_components": BOTH["n_components"], "method": NAMES, "max_iter": BOTH["batch_size"],
                         "tol": [case for case in POSITIVE if case[0] != 0], "random_state": BOTH["random_state"]},
    "Autoencoder": {**BOTH, "output_activation": NAMES, "loss": NAMES, "tied": BOOLEANS, "pretrain": BOOLEANS,
                    "penalties": [(L1(0.1), TypeError, r"L1\(lam=0.1"), ([0.1], TypeError, r"\[0.1\]"),
                                  ([L1], TypeError, "class"), ([L1(0.1), None], TypeError, "None"),
                                  (None, TypeError, "None"), ("L1", TypeError, "'L1'")],
                    "corruption": [(0.3, TypeError, "0.3"), ("masking", TypeError, "'masking'"),
                                   (MaskingNoise, TypeError, "class"), ([MaskingNoise(0.1)], TypeError, r"\[Masking")]},
    "VAE": {**BOTH, "posterior": NAMES, "likelihood": NAMES, "sd": POSITIVE, "binarize": BOOLEANS, "objective": NAMES,
            "gradient": NAMES, "control_variate": BOOLEANS, "n_samples": BOTH["batch_size"], "warm_up": INTEGERS,
            "beta": [case for case in POSITIVE if case[0] != 0] + [(None, TypeError, "None")]},
}


@pytest.mark.parametrize("name, option", [(name, option) for name in BAD_OPTIONS for option in BAD_OPTIONS[name]])
def test_bad_options_are_refused_by_fit_and_before_anything_changes(name, option):
    for value, error, came in BAD_OPTIONS[name][option]:
        def call(model):
            getattr(model, door)(GOOD)

        for door in ("fit", "partial_fit") if hasattr(MODELS[name], "partial_fit") else ("fit",):
            refused(copy.deepcopy(MODELS[name]).set_params(**{option: value}), call, error, option, came)
            if (option, door) != ("random_state", "partial_fit"):           # a generator that has started goes on
                refused(copy.deepcopy(FITTED[name]).set_params(**{option: value}), call, error, option, came)


@pytest.mark.parametrize("model, words", [
    (Autoencoder(loss="bernoulli", output_activation="tanh"), ["output_activation", "bernoulli", "'tanh'"]),
    (VAE(likelihood="bernoulli", sd=0.5), ["sd", "likelihood", "0.5.*'bernoulli'"]),
    (VAE(binarize=True), ["binarize", "likelihood='bernoulli'", "'gaussian'"]),
    (VAE(likelihood="gaussian_full", sd=0.5), ["sd", "likelihood", "0.5.*'gaussian_full'"]),
    (VAE(gradient="dreg"), ["gradient", "objective='elbo'", "'stl'", "got 'dreg'"]),
    (VAE(control_variate=True, n_samples=5), ["control_variate", "gradient='score'", "got 'pathwise'"]),
    (VAE(control_variate=True, gradient="score"), ["control_variate", "n_samples", "at least 2", "1"]),
    (VAE(control_variate=True, gradient="dreg", objective="iwae", n_samples=5), ["control_variate", "got 'dreg'"]),
    *[(Autoencoder(activation=name, penalties=[L1(0.1), KLSparsity(0.1, 1)]), ["KLSparsity", "'sigmoid'", f"'{name}'"])
      for name in ACTIVATIONS if name != "sigmoid"],
    (VAE(optimizer=SGD(), learning_rate=0.1), ["learning_rate", "optimizer", "0.1"]),
], ids=repr)
def test_options_that_contradict_each_other(model, words):
    refused(model, lambda model: model.fit(GOOD), ValueError, *words)


def test_every_option_is_in_the_tables():
    for name, model in MODELS.items():
        assert BAD_OPTIONS[name].keys() == model.get_params().keys()


# ---- numbers of draws, seeds, noise ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value, error, came", [(0, ValueError, "0"), *INTEGERS])
def test_a_bad_number_of_draws(value, error, came):
    for call in (lambda m: m.elbo(GOOD, value), lambda m: m.elbo_terms(GOOD, value),
                 lambda m: m.log_likelihood(GOOD, value), lambda m: m.sample(value)):
        refused(FITTED["VAE"], call, error, "n_samples", came)
    refused(FITTED["ProbabilisticPCA"], lambda m: m.sample(value), error, "n_samples", came)


@pytest.mark.parametrize("value, error, came", BOTH["random_state"])
def test_a_bad_seed(value, error, came):
    for call in (lambda m: m.elbo(GOOD, 2, value), lambda m: m.log_likelihood(GOOD, 2, value),
                 lambda m: m.sample(2, value)):
        refused(FITTED["VAE"], call, error, "random_state", came)
    refused(FITTED["ProbabilisticPCA"], lambda m: m.sample(2, value), error, "random_state", came)


@pytest.mark.parametrize("eps, error, words", [
    *[(eps, ValueError, [r"\(N, K\) = \(12, 2\)", r"\(S, N, K\)", re.escape(f"got shape {eps.shape}")]) for eps in
      (CODE[:3], CODE[:, :1], CODE.T, CODE[None, :3], CODE[:, None], np.stack([CODE, CODE], axis=1))],
    (CODE[0], ValueError, [r"\(2,\)"]), (CODE[None, None], ValueError, [r"\(1, 1, 12, 2\)"]),
    (CODE[None][:0], ValueError, [r"\(0, "]),
    (CODE * np.nan, ValueError, ["NaN"]), (np.stack([CODE, CODE * np.inf]), ValueError, ["infinity"]),
    (CODE + 0j, ValueError, ["complex128"]), (None, TypeError, ["object"]), (CODE.astype(str), TypeError, ["<U"]),
    (CODE[None].astype(object), TypeError, ["object"]), (sparse.csr_matrix(CODE), TypeError, ["sparse"]),
])
def test_bad_noise(eps, error, words):
    refused(FITTED["VAE"], lambda model: model.loss_and_grad(GOOD, eps), error, r"\beps\b", *words)


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_one_draw_has_no_others_for_its_control(objective):
    model = VAE(K, hidden=(4,), objective=objective, gradient="score", control_variate=True, n_samples=2, n_epochs=0)
    for eps in (CODE, CODE[None]):
        refused(model.fit(GOOD), lambda model: model.loss_and_grad(GOOD, eps), ValueError, "control_variate",
                "at least 2 draws", re.escape(f"{eps.shape}"))
    assert np.all(np.isfinite(model.loss_and_grad(GOOD, np.stack([CODE, -CODE]))[1]))


@pytest.mark.parametrize("model, doors", [
    (VAE(1, likelihood="bernoulli", n_epochs=1), ["partial_fit", "elbo", "log_likelihood", "score"]),
    (Autoencoder(1, loss="bernoulli", n_epochs=1), ["partial_fit", "reconstruction_error", "loss_and_grad"])], ids=repr)
def test_scores_of_targets_outside_the_unit_interval(model, doors):
    model.fit(np.round(GOOD))
    for door in doors:
        refused(model, lambda model: getattr(model, door)(GOOD * 2), ValueError, "X", r"\[0, 1\]", "got")


# ---- the validators themselves ---------------------------------------------------------------------------------------


def test_validators_return_what_the_caller_computes_with():
    assert type(check_int("n", np.int8(3))) is int and check_int("n", 0, minimum=0) == 0
    assert type(check_number("a", np.float32(0.5))) is float
    assert check_number("a", 2, 0, 2) == 2 and check_number("a", 0, 0) == 0
    assert check_bool("b", np.True_) is True and check_bool("b", False) is False
    assert check_choice("c", "x", {"x": 1}) == "x"
    classes, numbers = check_labels("y", ["b", "a", "b"], 3)
    assert classes.tolist() == ["a", "b"] and numbers.tolist() == [1, 0, 1]
    assert check_labels("y", [4.0, 4.0], least=1)[1].tolist() == [0, 0]
    X = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert check_matrix("X", X) is X and check_matrix("X", [[1, 2]], 2).dtype.kind == "i"
    assert check_matrix("X", np.full((2, 2), 1e308)).max() == 1e308          # whose sum overflows, but no entry does


@pytest.mark.parametrize("call, error, words", [
    (lambda: check_number("rate", 1, 0, 1, open_high=True), ValueError, ["rate", r"\[0, 1\)", "got 1"]),
    (lambda: check_number("rate", 0, 0, 1, open_low=True), ValueError, ["rate", r"\(0, 1\]", "got 0"]),
    (lambda: check_number("rate", 1.5, 0, 1), ValueError, ["rate", r"\[0, 1\]", "got 1.5"]),
    (lambda: check_matrix("X", np.ones((2, 2)), min_rows=3), ValueError, ["X", "3", "got 2|2 sample|2 row"]),
    (lambda: check_int("n", 4, minimum=5), ValueError, ["n must be an integer of at least 5, got 4"]),
    (lambda: check_labels("y", [1, 1]), ValueError, ["y must have at least 2 classes"]),
    (lambda: check_labels("y", [1, 2], 3), ValueError, [r"y must be a class for each row of X, \(3,\), got .*\(2,\)"]),
    (lambda: check_labels("y", [0.5, 1]), ValueError, ["y must be classes", "not whole"]),
    (lambda: check_labels("y", None), ValueError, ["y", "None"]),
    (lambda: check_bool("flag", "a" * 500), TypeError, ["flag must be True or False", r"aaa\.\.\..*\(str\)"]),
])
def test_ranges_and_words(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert all(re.search(word, str(caught.value)) for word in words) and len(str(caught.value)) < 300


def test_every_kind_of_random_state():
    generator = np.random.default_rng(5)
    assert check_rng(generator) is generator
    assert check_rng(5).random() == check_rng(np.int32(5)).random() == np.random.default_rng(5).random()
    assert check_rng(None).random() != check_rng(None).random()
    old = np.random.RandomState(5)
    assert check_rng(old).random() != check_rng(old).random()
    assert check_rng(np.random.RandomState(5)).random() == check_rng(np.random.RandomState(5)).random()
