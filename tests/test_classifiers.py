"""Linear classifiers: gradients, the optimum against scikit-learn, and scikit-learn's own checks."""
import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, target
from hypothesis import strategies as st
from scipy import optimize
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from tests import naive
from tests.campaigns.gradients import TOL, complex_gradient
from tinyvae import PCA, LinearSVM, SoftmaxClassifier, load_digits
from tinyvae.classifiers import cross_entropy, cross_entropy_ds, squared_hinge, squared_hinge_ds
from tinyvae.estimator import NotFittedError
from tinyvae.params import size

CLASSES = [SoftmaxClassifier, LinearSVM]
LOSSES = {"cross entropy": (cross_entropy, cross_entropy_ds), "squared hinge": (squared_hinge, squared_hinge_ds)}
each_class = pytest.mark.parametrize("cls", CLASSES)
each_loss = pytest.mark.parametrize("loss", LOSSES)
scores = given(B=st.integers(1, 7), C=st.integers(2, 6), scale=st.sampled_from([0.1, 1.0, 5.0]),
               seed=st.integers(0, 2**32 - 1))


def data(n_rows=60, n_columns=4, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % n_classes
    return rng.standard_normal((n_rows, n_columns)) + 1.5 * np.eye(n_classes, n_columns)[y], y


def random_scores(B, C, scale, seed):
    """Scores off the kinks of the hinge, class numbers, and row weights of either sign."""
    rng = np.random.default_rng(seed)
    s = scale * rng.standard_normal((B, C))
    s[np.abs(np.abs(s) - 1) < 1e-6] = 0.5
    return s, rng.integers(C, size=B), rng.standard_normal(B)


# ---- losses and gradients   [NL.3] -----------------------------------------------------------------------------------


@scores
def test_the_losses_are_their_loops(B, C, scale, seed):
    s, y, _ = random_scores(B, C, scale, seed)
    entropies = [naive.log_sum_exp(row) - row[label] for row, label in zip(s.tolist(), y)]
    hinges = [sum(max(0.0, 1 - (s_c if c == label else -s_c)) ** 2 for c, s_c in enumerate(row))
              for row, label in zip(s.tolist(), y)]
    np.testing.assert_allclose(cross_entropy(s, y), entropies, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(squared_hinge(s, y), hinges, rtol=1e-13)


@each_loss
@scores
def test_the_derivative_by_the_scores_is_the_complex_step(loss, B, C, scale, seed):
    f, d = LOSSES[loss]
    s, y, w = random_scores(B, C, scale, seed)
    exact = complex_gradient(lambda flat: w @ f(flat.reshape(B, C), y), s.ravel()).reshape(B, C)
    worst = np.max(np.abs(d(s, y, w) - exact)) / np.max(np.abs(w))
    target(worst)
    assert worst <= TOL * max(1, scale)
    two = d(s, y, 2 * w) - d(s, y, w) - d(s, y, w)                          # linear in w, row by row
    assert np.max(np.abs(two)) <= 1e-14 * np.max(np.abs(w)) * max(1, scale)
    for b in range(B):
        np.testing.assert_allclose(d(s, y, w * (np.arange(B) == b))[b], d(s, y, w)[b], rtol=1e-15)


@each_loss
def test_loud_scores_neither_overflow_nor_warn(loss):
    s, y = np.array([[1000.0, -1000.0, 0.0], [0.0, 800.0, -800.0]]), np.array([1, 1])
    f, d = LOSSES[loss]
    assert np.all(np.isfinite(f(s, y))) and np.all(np.isfinite(d(s, y, np.ones(2))))
    assert cross_entropy(s, y).tolist() == [2000, 0] and squared_hinge(s, y).tolist() == [1001**2 * 2 + 1, 1 + 0]


def test_at_the_margin_the_squared_hinge_is_flat():
    s, y = np.array([[1.0, -1.0], [3.0, -2.0]]), np.array([0, 0])
    assert not np.any(squared_hinge(s, y)) and not np.any(squared_hinge_ds(s, y, np.ones(2)))


@each_class
@given(B=st.integers(1, 6), D=st.integers(1, 5), C=st.integers(2, 5), l2=st.floats(0, 3),
       seed=st.integers(0, 2**32 - 1))
def test_the_gradient_by_theta_is_the_complex_step(cls, B, D, C, l2, seed):
    rng = np.random.default_rng(seed)
    model = cls(l2=l2)
    model.n_features_in_, model.classes_ = D, np.arange(C)
    theta, x, y = rng.standard_normal(size(model._shapes(D))), rng.standard_normal((B, D)), rng.integers(C, size=B)
    grad = np.full_like(theta, np.nan)
    model.backward(model.params(theta), x, y, model.params(grad))
    exact = complex_gradient(lambda theta: model.mean_loss(model.params(theta), x, y), theta)
    worst = np.max(np.abs(grad - exact)) / max(1, np.max(np.abs(exact)))
    target(worst)
    assert worst <= TOL


# ---- the optimum -----------------------------------------------------------------------------------------------------


def optimum(model, X, y):
    """The smallest mean loss that there is: both are convex."""
    def f(theta):
        grad = np.empty_like(theta)
        model.backward(model.params(theta), X, y, model.params(grad))
        return model.mean_loss(model.params(theta), X, y), grad
    return optimize.minimize(f, np.zeros_like(model.theta_), jac=True, method="L-BFGS-B",
                             options={"maxiter": 5000, "maxfun": 10_000, "ftol": 0, "gtol": 1e-10})


@each_class
def test_long_training_comes_within_a_thousandth_of_the_optimum(cls):
    X, y = data(300)
    model = cls(l2=0.01, n_epochs=150, learning_rate=0.02, batch_size=50, random_state=0).fit(X, y)
    best, ours = optimum(model, X, y).fun, model.mean_loss(model.params(), X, y)
    assert best <= ours <= best * (1 + 1e-3)
    assert 0.99 * best < model.history_["loss"][-1] < 1.01 * best < model.history_["loss"][0]


def test_the_softmax_optimum_is_scikit_learns():
    X, y = data(200)
    l2 = 0.02
    model = SoftmaxClassifier(l2=l2, n_epochs=0).fit(X, y)
    found = optimum(model, X, y)
    theirs = LogisticRegression(C=1 / (l2 * len(X)), tol=1e-10, max_iter=10_000).fit(X, y)    # C Σ loss + ½ ‖W‖²
    model.theta_[:] = np.concatenate([theirs.coef_.T.ravel(), theirs.intercept_])
    assert model.mean_loss(model.params(), X, y) == pytest.approx(found.fun, rel=1e-9)
    model.theta_[:] = found.x
    np.testing.assert_allclose(model.parameters_["W"], theirs.coef_.T, atol=1e-4)
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    assert np.array_equal(model.predict(X), theirs.predict(X))


def test_the_svm_optimum_is_scikit_learns():
    """Theirs is C Σ hinge² + ½ (‖W‖² + b²): the bias is a weight of a constant feature, whose penalty that feature's
    size S makes 1 / S² of what it is for others."""
    X, y = data(200)
    l2, S = 0.02, 1e3
    model = LinearSVM(l2=l2, n_epochs=0).fit(X, y)
    found = optimum(model, X, y)
    theirs = LinearSVC(loss="squared_hinge", C=1 / (l2 * len(X)), dual=False, intercept_scaling=S, tol=1e-10,
                       max_iter=100_000).fit(X, y)
    model.theta_[:] = np.concatenate([theirs.coef_.T.ravel(), theirs.intercept_])
    assert model.mean_loss(model.params(), X, y) == pytest.approx(found.fun, rel=1e-6)
    model.theta_[:] = found.x
    np.testing.assert_allclose(model.decision_function(X), theirs.decision_function(X), atol=1e-3)
    assert np.array_equal(model.predict(X), theirs.predict(X))


@each_class
def test_digits_are_told_apart(cls):
    X, y = load_digits()[:2]
    X = X / X.max()
    model = cls(n_epochs=30, random_state=0).fit(X[:1000], y[:1000])
    assert model.score(X[1000:], y[1000:]) > 0.88 and model.score(X[:1000], y[:1000]) > 0.95
    assert model.score(X[:1000], (y[:1000] + 1) % 10) < 0.05


@each_class
def test_the_penalty_shrinks_the_matrix_and_leaves_the_bias_free(cls):
    X, y = data(90, n_classes=3)
    y[:60] = 0                                                              # unequal classes: a bias is needed
    models = [cls(l2=l2, n_epochs=100, learning_rate=0.05, random_state=0).fit(X, y) for l2 in (0.0, 0.1, 100.0)]
    norms = [np.linalg.norm(model.parameters_["W"]) for model in models]
    assert norms[0] > 1.1 * norms[1] > 30 * norms[2]
    assert np.ptp(models[2].parameters_["b"]) > 0.5 and set(models[2].predict(X)) == {0}


# ---- the face --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*does not inherit from `sklearn.base.BaseEstimator`:UserWarning")      # by design
@pytest.mark.filterwarnings("ignore:Skipping check:sklearn.exceptions.SkipTestWarning")
@each_class
def test_scikit_learns_own_checks(cls):
    by_design = {"check_dtype_object": "object arrays are refused",
                 "check_supervised_y_2d": "a column is no list of classes",
                 "check_estimators_unfitted": "NotFittedError is the project's own"}
    results = check_estimator(cls(), on_fail=None, expected_failed_checks=by_design)
    assert [(result["check_name"], result["exception"]) for result in results if result["status"] == "failed"] == []
    assert sum(result["status"] == "passed" for result in results) > 45


@each_class
def test_in_a_pipeline_with_cross_validation(cls):
    X, y = data(120)
    pipeline = make_pipeline(PCA(3), cls(n_epochs=30, random_state=0))
    assert np.min(cross_val_score(pipeline, X, y, cv=3)) > 0.5
    fresh = clone(cls(l2=0.3).fit(X, y))
    assert fresh.l2 == 0.3 and not hasattr(fresh, "theta_") and repr(fresh) == f"{cls.__name__}(l2=0.3)"
    assert not hasattr(fresh, "transform")


@each_class
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", ["words", "numbers", "floats", "booleans"])
def test_classes_of_any_kind(cls, n_classes, kind):
    X, number = data(60, n_classes=n_classes)
    names = {"words": ["ape", "bee", "cat"], "numbers": [-5, 3, 40], "floats": [-1.0, 0.0, 7.0],
             "booleans": [False, True, True]}[kind]
    y = np.array(names)[number]
    order = np.random.default_rng(1).permutation(60)
    model = cls(n_epochs=40, random_state=0).fit(X[order], y[order])
    n_found = len(set(names[:n_classes]))
    assert np.array_equal(model.classes_, np.unique(y)) and model.classes_.dtype == y.dtype
    assert model.parameters_["W"].shape == (4, n_found) and model.parameters_["b"].shape == (n_found,)
    guess = model.predict(X)
    assert guess.dtype == y.dtype and guess.shape == (60,) and np.mean(guess == y) == model.score(X, y) > 0.7
    s = model.decision_function(X)
    assert s.shape == ((60,) if n_found == 2 else (60, n_found))
    raw = X @ model.parameters_["W"] + model.parameters_["b"]
    np.testing.assert_allclose(s, raw[:, 1] - raw[:, 0] if n_found == 2 else raw, rtol=1e-12, atol=1e-13)
    assert np.array_equal(guess, model.classes_[np.argmax(raw, axis=1)])
    by_list = cls(n_epochs=40, random_state=0).fit(X[order].tolist(), y[order].tolist())
    assert np.array_equal(by_list.predict(X), guess)


def test_probabilities():
    for n_classes in (2, 3):
        X, y = data(60, n_classes=n_classes)
        model = SoftmaxClassifier(n_epochs=20, random_state=0).fit(X, y)
        p = model.predict_proba(X)
        assert p.shape == (60, n_classes) and np.all(p > 0) and np.max(np.abs(p.sum(axis=1) - 1)) <= 1e-15 * n_classes
        assert np.array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))
        raw = X @ model.parameters_["W"] + model.parameters_["b"]
        np.testing.assert_allclose(p, naive.softmax(raw.tolist()), rtol=1e-12)
    assert not hasattr(LinearSVM(), "predict_proba")


@each_class
def test_more_rows_than_a_chunk_are_predicted_in_order(cls):
    X, y = data(60)
    model = cls(n_epochs=5, random_state=0).fit(X, y)
    many = np.tile(X, (50, 1))
    assert np.array_equal(model.predict(many), np.tile(model.predict(X), 50))
    assert np.allclose(model.decision_function(many)[-60:], model.decision_function(X), rtol=1e-12)


@each_class
def test_every_row_keeps_its_label(cls):
    """In batches, in any order: one step of all rows is the step of the gradient by hand."""
    X, y = data(50)
    model = cls(optimizer="sgd", learning_rate=0.1, batch_size=50, n_epochs=1, random_state=0).fit(X, y)
    fresh = cls(n_epochs=0, random_state=0).fit(X, y)
    grad = np.empty_like(fresh.theta_)
    fresh.backward(fresh.params(), X, y, fresh.params(grad))
    np.testing.assert_allclose(model.theta_, fresh.theta_ - 0.1 * grad, rtol=1e-12, atol=1e-14)
    assert model.history_["loss"][0] == pytest.approx(fresh.mean_loss(fresh.params(), X, y), rel=1e-13)


@each_class
def test_partial_fit_goes_on_where_fit_stands(cls):
    X, y = data()
    whole = cls(n_epochs=4, random_state=0).fit(X, y)
    parts = cls(n_epochs=2, random_state=0).fit(X, y).partial_fit(X, y).partial_fit(X, y)
    steps = cls(random_state=0)
    for _ in range(4):
        assert steps.partial_fit(X, y) is steps
    assert np.array_equal(whole.theta_, parts.theta_) and np.array_equal(whole.theta_, steps.theta_)
    assert whole.history_ == steps.history_ and steps.n_iter_ == 4


@each_class
def test_partial_fit_knows_classes_that_it_has_not_met(cls):
    X, y = data()
    names = np.array(["a", "b", "c"])
    model = cls(random_state=0, learning_rate=0.05)
    for k in (2, 0, 1) * 40:
        model.partial_fit(X[y == k], names[y[y == k]], classes=names[::-1])
    assert model.classes_.tolist() == ["a", "b", "c"] and model.score(X, names[y]) > 0.6
    before = model.theta_.copy()
    with pytest.raises(ValueError, match="y must be classes of the first call"):
        model.partial_fit(X, np.where(y == 1, "z", names[y]))
    with pytest.raises(ValueError, match="5 features"):
        model.partial_fit(np.ones((3, 5)), ["a", "b", "c"])
    assert np.array_equal(model.theta_, before)
    with pytest.raises(ValueError, match="first call"):
        cls().partial_fit(X, y, classes=[0, 1])


@each_class
@pytest.mark.parametrize("y, words", [
    (np.zeros(60, int), "at least 2 classes, got only one class"),
    (None, "requires y to be passed"),
    (np.arange(59) % 3, r"y must be a class for each row of X, \(60,\), got shape \(59,\)"),
    (np.zeros((60, 1), int), "got shape"),
    (np.linspace(0, 1, 60), "Unknown label type: continuous"),
    (np.where(np.arange(60) % 2, np.nan, 1.0), "y must be classes"),
], ids=["one class", "missing", "too short", "column", "continuous", "nan"])
def test_labels_that_are_refused_change_nothing(cls, y, words):
    X, good = data()
    model = cls(n_epochs=2, random_state=0).fit(X, good)
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match=words):
        model.fit(X, y)
    if words.startswith("at least"):                                        # a batch may well hold one class
        copy.deepcopy(model).partial_fit(X, y)
    else:
        with pytest.raises(ValueError, match=words):
            model.partial_fit(X, y)
    assert pickle.dumps(model) == before


@each_class
def test_other_refusals(cls):
    X, y = data()
    for method in ("predict", "decision_function"):
        with pytest.raises(NotFittedError, match=f"{cls.__name__}.*not fitted"):
            getattr(cls(), method)(X)
    for bad in (-1e-9, np.nan):
        with pytest.raises(ValueError, match="^l2 must be"):
            cls(l2=bad).fit(X, y)
    with pytest.raises(TypeError, match="^l2 must be"):
        cls(l2="small").fit(X, y)
    with pytest.raises(ValueError, match="^batch_size must be"):
        cls(batch_size=0).fit(X, y)
    model = cls(n_epochs=3, random_state=0).fit(X, y)
    theta, classes = model.theta_.copy(), model.classes_.copy()
    spoilt = X.copy()
    spoilt[2, 1] = np.nan
    with pytest.raises(ValueError, match="X contains NaN"):
        model.fit(spoilt, np.where(y == 2, 7, y))
    with pytest.raises(ValueError, match="random_state"):
        model.set_params(random_state=-1).fit(X, np.where(y == 2, 7, y))
    assert np.array_equal(model.theta_, theta) and np.array_equal(model.classes_, classes)
    assert not hasattr(model, "_labels")


@each_class
def test_a_score_is_of_a_label_for_each_row(cls):
    X, y = data()
    model = cls(n_epochs=20, random_state=0).fit(X, y)
    assert model.score(X, y) == np.mean(model.predict(X) == y) and model.score(X, y.tolist()) == model.score(X, y)
    assert model.score(X, np.full(60, 9)) == 0
    for bad in (y[:59], y[:1], y[:, None], 0):
        with pytest.raises(ValueError, match="y must be a class for each row"):
            model.score(X, bad)


@each_class
def test_a_refused_first_call_leaves_nothing(cls):
    X, y = data()
    model = cls()
    for call in (lambda: model.partial_fit(X, y, classes=[0, 1]), lambda: model.set_params(random_state=-1).fit(X, y)):
        with pytest.raises(ValueError):
            call()
        assert vars(model).keys() == model.get_params().keys()


@each_class
def test_number_types_and_scaled_bytes(cls):
    X, y = data()
    single = cls(n_epochs=3, random_state=0).fit(X.astype(np.float32), y)
    assert single.theta_.dtype == single.decision_function(X).dtype == np.float32
    if cls is SoftmaxClassifier:
        assert single.predict_proba(X).dtype == np.float32
    bytes_ = np.clip(60 * X + 120, 0, 255).astype(np.uint8)
    scaled = cls(n_epochs=3, input_scale=1 / 255, random_state=0).fit(bytes_, y)
    plain = cls(n_epochs=3, random_state=0).fit(bytes_ * (1 / 255), y)
    assert np.array_equal(scaled.theta_, plain.theta_) and np.array_equal(scaled.predict(bytes_), plain.predict(
        bytes_ * (1 / 255)))
