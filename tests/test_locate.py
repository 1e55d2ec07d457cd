"""Planted errors are found where they are, with few evaluations, and what cannot be seen is not claimed."""
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from tinyvae.checks.locate import BUDGET, locate
from tinyvae.checks.slopes import EPS

# ---- functions under test, and what is planted -----------------------------------------------------------------------


def waves(rng, n):
    """Smooth and not quadratic: Σ sin(a θ + b) / n + tanh(u·θ)."""
    a, b, u = rng.normal(size=n), rng.normal(size=n), rng.normal(size=n) / np.sqrt(n)
    return (lambda t: float(np.mean(np.sin(a * t + b)) + np.tanh(u @ t)),
            lambda t: a * np.cos(a * t + b) / n + u * (1 - np.tanh(u @ t) ** 2), rng.normal(size=n))


def bowl(rng, n):
    """Costs little at any size: Σ a (θ − b)² / 2n."""
    a, b = rng.uniform(0.5, 2, n), rng.normal(size=n)
    return lambda t: float(np.dot(a * (t - b), t - b) / 2 / n), lambda t: a * (t - b) / n, rng.normal(size=n)


def network(rng, D, H, O=3, B=8):
    """ReLU network, half squared error; θ = W1 (D, H), b1 (H), W2 (H, O)."""
    x, y, ends = rng.normal(size=(B, D)), rng.normal(size=(B, O)), [D * H, D * H + H]

    def forward(t):
        W1, b1, W2 = np.split(t, ends)
        W2 = W2.reshape(H, O)
        a = x @ W1.reshape(D, H) + b1
        return a, W2, np.maximum(a, 0) @ W2 - y

    def grad(t):
        a, W2, r = forward(t)
        da = r @ W2.T * (a > 0) / B
        return np.concatenate([(x.T @ da).ravel(), da.sum(axis=0), (np.maximum(a, 0).T @ r / B).ravel()])

    return lambda t: float(np.sum(forward(t)[2] ** 2) / 2 / B), grad, rng.normal(size=D * H + H + H * O) / np.sqrt(D)


def planted(kind, shape, rng):
    """A mask of the block, True where the gradient is to be wrong."""
    mask = np.zeros((int(np.prod(shape[:-1])), shape[-1]), bool)
    R, C = mask.shape
    if kind in ("one entry", "two entries"):
        mask.flat[rng.choice(mask.size, 1 + (kind == "two entries"), replace=False)] = True
    elif kind == "row":
        mask[rng.integers(R)] = True
    elif kind == "two rows":
        mask[rng.choice(R, 2, replace=False)] = True
    elif kind == "column":
        mask[:, rng.integers(C)] = True
    elif kind == "half":
        mask[:, C // 2:] = True
    elif kind == "first rows":
        mask[:max(1, R // 3)] = True
    else:
        mask[:] = True
    return mask.reshape(shape)


def marked(found, shape):
    """The mask that a Location tells."""
    mask = np.zeros(shape, bool)
    if found.kind == "block":
        mask[:] = True
    elif found.kind == "columns":
        for index in found.indices:
            mask[(..., *index)] = True
    elif found.kind == "part":
        for row in found.indices[0]:
            for column in found.indices[1]:
                mask[(*row, *column)] = True
    else:
        for index in found.indices:
            mask[index] = True
    return mask


def search(f, grad, theta, shape, mask, factor, start=3, **options):
    """A block of theta from `start`, spoilt under the mask; the Location, with the calls of f counted."""
    gradient, where = grad(theta), np.arange(start, start + mask.size)
    wrong = where[mask.ravel()]
    weak = np.abs(gradient[wrong]) < 0.1 * np.abs(gradient).mean()
    gradient[wrong] = np.where(weak, gradient[wrong] + 0.1 * np.abs(gradient).mean(), gradient[wrong] * factor)
    calls, before = [], theta.copy()

    def counted(t):
        calls.append(1)
        assert t is not theta and t.dtype == np.float64
        value = f(t)
        t[:] = np.nan                                                        # the copy is f's own
        return value

    found = locate(counted, theta, gradient, where, shape, **options)
    assert found.n_evaluations == len(calls) <= options.get("budget", BUDGET)
    np.testing.assert_array_equal(theta, before)
    assert all(len(line) <= 80 for line in str(found).splitlines())
    return found


# ---- found, and found exactly ----------------------------------------------------------------------------------------

MOST = {"one entry": 190, "two entries": 430, "row": 320, "two rows": 420, "column": 320, "half": 460,
        "first rows": 500, "block": 420}
KINDS = {"one entry": ["one entry"], "two entries": ["entries"], "row": ["rows"], "two rows": ["rows"],
         "column": ["columns"], "half": ["columns"], "first rows": ["rows"], "block": ["block"]}


@pytest.mark.parametrize("shape", [(4, 5), (17, 16), (4, 5, 7), (90, 60)], ids=str)
@pytest.mark.parametrize("kind", MOST)
def test_planted_errors_are_found_exactly(shape, kind):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        f, grad, theta = waves(rng, int(np.prod(shape)) + 5)
        mask = planted(kind, shape, rng)
        found = search(f, grad, theta, shape, mask, rng.choice([-1, 0, 0.5, 2, 1.01]), rng=seed)
        assert found.complete and found.n_evaluations <= MOST[kind]
        np.testing.assert_array_equal(marked(found, shape), mask)
        assert found.share == pytest.approx(mask.mean())
        assert kind == "two entries" or found.kind in KINDS[kind]


@pytest.mark.parametrize("n", [1, 2, 6, 40, 300])
@pytest.mark.parametrize("kind", ["one entry", "two entries", "half", "block"])
def test_vectors_have_entries_only(n, kind):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        f, grad, theta = waves(rng, n + 5)
        mask = planted(kind if n > 2 else "block", (n,), rng)
        found = search(f, grad, theta, (n,), mask, 1.5, rng=seed)
        np.testing.assert_array_equal(marked(found, (n,)), mask)
        assert found.kind in ("one entry", "entries", "block") and found.complete and found.n_evaluations < 300


def test_a_number_is_a_block():
    found = search(*waves(np.random.default_rng(0), 5), (), np.array(True), 2)
    assert found.kind == "block" and found.entries[0].index == () and found.share == 1


@pytest.mark.parametrize("kind, most", [("one entry", 300), ("row", 300), ("column", 300), ("block", 400)])
def test_four_hundred_thousand_parameters(kind, most):
    shape = (784, 512)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        mask = planted(kind, shape, rng)
        found = search(*bowl(rng, 784 * 512 + 5), shape, mask, 1.01, rng=seed)
        np.testing.assert_array_equal(marked(found, shape), mask)
        assert found.complete and found.n_evaluations <= most


@pytest.mark.parametrize("D, H, most", [(6, 5, 300), (64, 32, 400), (120, 60, 400)])
def test_kinks_do_not_mislead(D, H, most):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        f, grad, theta = network(rng, D, H)
        gradient = np.abs(grad(theta))
        for start, shape in ((0, (D, H)), (D * H, (H,))):
            block = gradient[start:start + int(np.prod(shape))]
            mask = np.zeros(block.size, bool)
            mask[rng.choice(np.flatnonzero(block > 0.1 * block.max()))] = True        # 1 % of it, not the smallest
            found = search(f, grad, theta, shape, mask.reshape(shape), 1.01, start, rng=seed)
            np.testing.assert_array_equal(marked(found, shape).ravel(), mask)
            assert found.complete and found.n_evaluations <= most


def test_a_column_of_a_relu_layer_is_found():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        f, grad, theta = network(rng, 40, 20)
        gradient = grad(theta)[:800].reshape(40, 20)
        mask = np.zeros((40, 20), bool)
        mask[:, np.abs(gradient).sum(axis=0).argmax()] = True
        found = search(f, grad, theta, (40, 20), mask, 2, 0, rng=seed)
        assert found.kind == "columns"
        np.testing.assert_array_equal(marked(found, (40, 20)), mask)


def test_errors_of_very_different_size_are_found_one_after_the_other():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        f, grad, theta = bowl(rng, 600)
        gradient = grad(theta)
        gradient[[31, 500]] += [1.0, 1e-5]
        found = locate(f, theta, gradient, np.arange(600), (30, 20), rng=seed)
        assert found.complete and found.kind == "entries" and found.indices == ((1, 11), (25, 0))


def test_four_scattered_entries_are_found_one_by_one():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        mask = np.zeros((30, 20), bool)
        mask[rng.choice(30, 4, replace=False), rng.choice(20, 4, replace=False)] = True
        found = search(*bowl(rng, 605), (30, 20), mask, 1.3, rng=seed)
        assert found.complete and found.kind == "entries"
        np.testing.assert_array_equal(marked(found, (30, 20)), mask)


def test_a_search_cut_short_lists_no_entry_that_is_right():
    mask = np.zeros((30, 20), bool)
    mask[[4, 21, 28], [3, 7, 18]] = True
    for budget in range(144, 560, 12):
        found = search(*bowl(np.random.default_rng(9), 605), (30, 20), mask, 1.3, budget=budget)
        said = marked(found, (30, 20))
        assert (said == mask).all() or not found.complete
        assert said.sum() > 12 or not (said & ~mask).any()
    f, grad, theta = bowl(np.random.default_rng(10), 600)
    gradient = grad(theta)
    gradient[::9] += 1e-6
    gradient[123] += 1
    for budget in range(250, 640, 30):                                       # what was found is not lost in the rest
        found = locate(f, theta, gradient, np.arange(600), (30, 20), budget=budget)
        assert (6, 3) in found.indices and not found.complete and "right" not in str(found.entries)


def test_equal_and_opposite_errors_do_not_hide_each_other():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        f, grad, theta = bowl(rng, 64)
        gradient = grad(theta)
        gradient[[9, 10]] += [0.01, -0.01]
        assert locate(f, theta, gradient, np.arange(64), (8, 8), rng=seed).indices == ((1, 1), (1, 2))


def test_silent_rows_do_not_hide_that_all_is_wrong():
    rng = np.random.default_rng(1)
    c = rng.normal(size=(30, 12))
    c[rng.permutation(30)[:15]] = 0                                          # pixels that are always 0
    f, theta = (lambda t: float(np.sin(t) @ c.ravel())), rng.normal(size=360)
    found = locate(f, theta, 2 * np.cos(theta) * c.ravel(), np.arange(360), (30, 12))
    assert found.complete and found.kind in ("block", "rows")
    assert marked(found, (30, 12))[c.any(axis=1)].all()
    assert all(entry.verdict == "wrong" for entry in found.entries)


# ---- nothing is claimed that is not seen -----------------------------------------------------------------------------

def test_nothing_is_located_in_a_correct_gradient():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for f, grad, theta in (waves(rng, 45), network(rng, 7, 5)):
            found = search(f, grad, theta, (8, 5), np.zeros((8, 5), bool), 1, rng=seed)
            assert (found.kind, found.indices, found.share, found.entries) == ("not located", (), 0.0, ())
            assert found.complete and "Nothing located" in str(found)


def test_an_error_below_the_bar_is_not_located():
    f, grad, theta = bowl(np.random.default_rng(2), 4000)
    gradient = grad(theta)

    def offset(t):
        return 1e6 + f(t)                                                    # the grain of its values is 1e-10

    gradient[7] += 1e-10
    assert locate(offset, theta, gradient, np.arange(4000), (80, 50)).kind == "not located"
    gradient[7] += 1e-3
    assert locate(offset, theta, gradient, np.arange(4000), (80, 50)).indices == ((0, 7),)


def test_errors_elsewhere_are_not_this_block():
    f, grad, theta = bowl(np.random.default_rng(3), 100)
    gradient = grad(theta)
    gradient[60:] *= -1
    assert locate(f, theta, gradient, np.arange(60), (6, 10)).kind == "not located"
    places = np.random.default_rng(3).permutation(100)                       # a block's places may be in any order
    gradient = grad(theta)
    gradient[places[17]] += 1
    assert locate(f, theta, gradient, places[:60], (6, 10)).indices == ((1, 7),)


@pytest.mark.parametrize("spoil", ["half of all entries", "noise"])
def test_what_has_no_pattern_ends_within_the_budget(spoil):
    rng = np.random.default_rng(4)
    f, grad, theta = bowl(rng, 3000)
    gradient, noise = grad(theta), np.random.default_rng(5)
    if spoil == "noise":
        found = locate(lambda t: f(t) + noise.normal(), theta, gradient, np.arange(3000), (60, 50), budget=300)
        assert found.kind == "not located" or not found.complete
        return
    gradient[rng.random(3000) < 0.5] *= 2
    found = locate(f, theta, gradient, np.arange(3000), (60, 50), budget=400)
    assert found.kind == "block" and found.n_evaluations <= 400 and 0.1 < found.share < 0.9
    assert {entry.verdict for entry in found.entries} == {"right", "wrong"}
    assert "Part of theta is wrong (" in str(found) and not found.complete and "unfinished" in str(found)


# ---- the result ------------------------------------------------------------------------------------------------------

def test_entries_are_measured_against_the_truth():
    rng = np.random.default_rng(6)
    f, grad, theta = waves(rng, 400)
    truth = grad(theta)
    gradient = truth.copy()
    gradient[[41, 222]] *= [-1, 1.01]
    found = locate(f, theta, gradient, np.arange(400), (20, 20))
    assert [entry.index for entry in found.entries] == [(2, 1), (11, 2)] == list(found.indices)
    for entry, place in zip(found.entries, (41, 222)):
        assert entry.analytic == gradient[place] and entry.verdict == "wrong"
        assert abs(entry.numeric - truth[place]) <= 5 * entry.bar < 1e-6 * abs(truth[place]) + 1e3 * EPS
    one, two = (locate(f, theta, 2 * truth, np.arange(400), (20, 20)) for _ in range(2))
    assert one == two and len(one.entries) == 6                              # a report repeats itself, samples too
    with pytest.raises(FrozenInstanceError):
        found.kind = "block"


@pytest.mark.parametrize("where, words", [
    (np.s_[:, 3], "In W2 column 3 is wrong (6 of 6 entries measured there)"), (np.s_[5], "In W2 row 5 is wrong"),
    (np.s_[4:9], "In W2 rows 4–8 are wrong"), (np.s_[:], "All of W2 is wrong"), (np.s_[4, 7], "entry (4, 7) is wrong:"),
    (np.s_[2:18:15, 5], "entries (2, 5), (17, 5) are wrong: at"), (np.s_[:10, :8], "rows 0–9 × columns 0–7 are wrong"),
])
def test_the_sentence_says_what_is_known(where, words):
    f, grad, theta = bowl(np.random.default_rng(7), 320)
    mask = np.zeros((20, 16), bool)
    mask[where] = True
    found = locate(f, theta, np.where(mask.ravel(), 2, 1) * grad(theta), np.arange(320), (20, 16), name="W2")
    text = str(found).replace("\n ", "")
    assert words in text and "analytic" in text and "numeric" in text
    assert ("The rest shows no error." in text) == (not mask.all())


@pytest.mark.parametrize("change, message", [
    (dict(shape=(3, 3)), "shape must be that of the 6 entries"), (dict(where=[], shape=(0,)), "at least one"),
    (dict(gradient=np.ones(7)), "vectors of one length"), (dict(gradient=np.full(6, np.nan)), "finite in 'W'"),
    (dict(budget=10), "budget must be an integer of at least 144"),
])
def test_what_does_not_fit_is_refused(change, message):
    good = dict(f=np.sum, theta=np.ones(6), gradient=np.ones(6), where=np.arange(6), shape=(2, 3), name="W")
    with pytest.raises(ValueError, match=message):
        locate(**good | change)
