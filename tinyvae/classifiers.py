"""Linear classifiers, to ask what features are good for: s = x W + b, a score for every class.   [NL.3]

Both minimise the mean over rows of a loss of the scores, plus ½ l2 ‖W‖².
"""
import numpy as np

from .estimator import GradientEstimator
from .ops import dense, dense_dparams, log_sum_exp, softmax
from .params import Layer, views
from .validation import check_labels, check_matrix, check_number


def cross_entropy(s, y):
    """−log softmax(s)_y of every row, nats.   [NL.3]        s (B, C), y (B,) class numbers   returns (B,)"""
    return log_sum_exp(s, axis=1) - s[np.arange(len(s)), y]


def cross_entropy_ds(s, y, w):
    """Row b times w_b of its derivative by s:  w (softmax(s) − onehot(y))        w (B,)   returns (B, C)"""
    ds = softmax(s)
    ds[np.arange(len(s)), y] -= 1
    return w[:, None] * ds


def squared_hinge(s, y):
    """Σ_c max(0, 1 − t_c s_c)², t_y = 1 and −1 for all other classes: one machine against the rest for each class.

    s (B, C), y (B,) class numbers   returns (B,).   [NL.3]   Source: Rifkin and Klautau 2004; Tang 2013.
    """
    return np.sum(_violation(s, y) ** 2, axis=1)


def squared_hinge_ds(s, y, w):
    """Row b times w_b of its derivative by s:  −2 w t max(0, 1 − t s)        w (B,)   returns (B, C)"""
    return -2 * w[:, None] * _signs(s, y) * _violation(s, y)


def _signs(s, y):
    """t (B, C): 1 at the row's class, else −1."""
    t = np.full(s.shape, -1, np.real(s).dtype)
    t[np.arange(len(s)), y] = 1
    return t


def _violation(s, y):
    """max(0, 1 − t s); NumPy orders complex numbers by their real part first, as a complex step needs."""
    return np.maximum(1 - _signs(s, y) * s, 0)


class LinearClassifier(GradientEstimator):
    """What `SoftmaxClassifier` and `LinearSVM` share; a subclass names its loss.

    l2 : strength of ½ l2 ‖W‖²; the bias is free
    optimizer … callback : how it is trained, as in `GradientEstimator`

    After `fit`: classes_ (C,), theta_, parameters_ ("W" (D, C), "b" (C,)), history_ ({"loss"}), n_iter_,
    n_features_in_. Few rows of many features need more epochs than the default to come near the optimum.
    """

    def __init__(self, *, l2=1e-4, optimizer="adam", learning_rate=0.01, batch_size=100, n_epochs=100,
                 random_state=None, dtype=None, input_scale=1.0, verbose=0, callback=None):
        self.l2 = l2
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.random_state = random_state
        self.dtype = dtype
        self.input_scale = input_scale
        self.verbose = verbose
        self.callback = callback

    def fit(self, X, y):
        """Learn to tell the classes y (N,) of the rows of X (N, D) apart: numbers or words, at least two of them."""
        self._check_parameters()
        X = check_matrix("X", X)
        classes, targets = check_labels("y", y, len(X))
        return self._with_labels(classes, targets, super().fit, X)

    def partial_fit(self, X, y, classes=None):
        """One pass over X in minibatches, from where training stands; the first call says which classes there will be
        (None: those of its y). Returns self.
        """
        self._check_parameters()
        fitted = self.__sklearn_is_fitted__()
        X = self._check_input(X) if fitted else check_matrix("X", X)
        found, number_of = check_labels("y", y, len(X), least=1)
        known = self.classes_ if fitted else check_labels("classes", found if classes is None else classes)[0]
        if not np.all(np.isin(found, known)):
            raise ValueError(f"y must be classes of the first call, {known}, got {found}")
        return self._with_labels(known, np.searchsorted(known, found)[number_of], super().partial_fit, X)

    def _with_labels(self, classes, targets, fit, X):
        """fit(X), during which `_initialise` and `_step` can look these up."""
        self._labels = classes, targets
        try:
            return fit(X)
        finally:
            del self._labels

    def _initialise(self, X, rng):
        self.classes_ = self._labels[0]
        super()._initialise(X, rng)

    def decision_function(self, X):
        """The scores s = x W + b of every row; of two classes, s₂ − s₁.        X (N, D)   returns (N, C), or (N,)"""
        X = self._check_input(X)
        P = self.params()
        s = np.concatenate([dense(x, P.W, P.b) for x in self._chunks(X)])
        return s[:, 1] - s[:, 0] if len(self.classes_) == 2 else s

    def predict(self, X):
        """The class of the largest score of every row.        X (N, D)   returns (N,)"""
        s = self.decision_function(X)
        return self.classes_[(s > 0).astype(int) if s.ndim == 1 else np.argmax(s, axis=1)]

    def score(self, X, y):
        """The share of rows of X (N, D) whose class y (N,) is predicted."""
        predicted = self.predict(X)
        classes, number_of = check_labels("y", y, len(predicted), least=1)
        return float(np.mean(predicted == classes[number_of]))

    def params(self, theta=None):
        """Named views of theta (None: of theta_): a Layer (W, b)."""
        return Layer(**views(self.theta_ if theta is None else theta, self._shapes(self.n_features_in_)))

    def mean_loss(self, P, x, y):
        """The mean over rows of the loss, plus ½ l2 ‖W‖².        x (B, D), y (B,) class numbers"""
        return self._mean_loss_of(P, dense(x, P.W, P.b), y)

    def _mean_loss_of(self, P, s, y):
        return np.mean(self._loss(s, y)) + self.l2 / 2 * np.sum(P.W * P.W)

    def backward(self, P, x, y, G):
        """The gradient of `mean_loss` into G, which is overwritten; returns `mean_loss`, known on the way."""
        w, s = np.full(len(x), 1 / len(x), x.dtype), dense(x, P.W, P.b)
        dense_dparams(self._loss_ds(s, y, w), x, G.W, G.b)
        np.add(G.W, x.dtype.type(self.l2) * P.W, out=G.W)
        return self._mean_loss_of(P, s, y)

    def __sklearn_tags__(self):
        from sklearn.utils import ClassifierTags, TargetTags

        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.transformer_tags = "classifier", None
        tags.classifier_tags, tags.target_tags = ClassifierTags(), TargetTags(required=True)
        return tags

    def _shapes(self, n_features):
        return {"W": (n_features, len(self.classes_)), "b": (len(self.classes_),)}

    def _step(self, P, G, x, rng, memory):
        return {"loss": self.backward(P, x, self._labels[1][memory["rows"]], G)}

    def _check_parameters(self):
        check_number("l2", self.l2, 0)
        self._check_training_parameters()

    def _check_data(self, X):
        pass


class SoftmaxClassifier(LinearClassifier):
    """Multinomial logistic regression: p(y|x) = softmax(x W + b), by the cross-entropy.   [NL.3]"""
    _loss, _loss_ds = staticmethod(cross_entropy), staticmethod(cross_entropy_ds)

    def predict_proba(self, X):
        """p(y|x) of every row.        X (N, D)   returns (N, C), in the order of classes_"""
        X = self._check_input(X)
        P = self.params()
        return np.concatenate([softmax(dense(x, P.W, P.b)) for x in self._chunks(X)])


class LinearSVM(LinearClassifier):
    """Support vector machines, one against the rest for each class, by the squared hinge.   [NL.3]"""
    _loss, _loss_ds = staticmethod(squared_hinge), staticmethod(squared_hinge_ds)
