"""Every planted mistake is what it says: the right gradient is the loss's own, the wrong one is wrong as named."""
import inspect
import itertools
import math
from functools import cache
from importlib import import_module

import numpy as np
import pytest

from tinyvae.checks.mistakes import DIAGNOSES, MISTAKES, TOPICS, problem
from tinyvae.checks.slopes import complex_step, ridders

SEEDS = 0, 1
each = pytest.mark.parametrize("name", MISTAKES)
seeds = pytest.mark.parametrize("seed", SEEDS)


def setup(name):
    """What draws the problem: mistakes with the same setup share f, right and theta."""
    make = MISTAKES[name].make
    return repr((make.func, make.args[:-1]))


A_MISTAKE_OF = {setup(name): name for name in MISTAKES}
of_each_setup = pytest.mark.parametrize("name", A_MISTAKE_OF.values())


# ---- gradients that owe nothing to backpropagation -------------------------------------------------------------------


def derivative(f, theta, noise=()):
    """The gradient of f, entry by entry, by complex steps, of which one random direction is compared with Ridders."""
    shapes, ends = {name: a.shape for name, a in theta.items()}, np.cumsum([a.size for a in theta.values()])
    flat = np.concatenate([a.ravel() for a in theta.values()])

    def unpack(vector):
        return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), np.split(vector, ends))}

    def g(vector):
        return f(unpack(vector), *noise)

    gradient = np.array([complex_step(g, flat, unit) for unit in np.eye(flat.size)])
    v = np.random.default_rng(0).normal(size=flat.size) / flat.size
    slope = ridders(lambda t: g(flat + t * v), h=1e-2)
    assert abs(gradient @ v - slope.value) <= 10 * slope.bar + 1e-12 * np.abs(gradient * v).sum()
    return unpack(gradient)


def frozen(p):
    """The noise as further arguments: none or one."""
    return () if p.noise is None else (p.noise,)


@cache
def truth(made_by, seed):
    """The gradient of a setup's loss and those of its terms, by steps."""
    p = problem(A_MISTAKE_OF[made_by], seed)
    return (derivative(p.f, p.theta, frozen(p)),
            {name: derivative(term, p.theta, frozen(p)) for name, term in p.terms.items()})


def gradients(p):
    """The wrong gradient, in arrays of its own."""
    return {block: np.array(g) for block, g in p.grad(p.theta, *frozen(p)).items()}


def apart(a, b):
    """|a − b| in units of |b|"""
    return np.linalg.norm(a - b) / (np.linalg.norm(b) or 1.0)


# ---- the collection --------------------------------------------------------------------------------------------------


def test_names_are_unique_and_reasons_are_one_line():
    listed = [(topic, mistake) for topic in TOPICS
              for mistake in import_module(f"tinyvae.checks.mistakes.{topic}").MISTAKES]
    assert len(listed) == len(MISTAKES) == 200                               # a dict would hide a second one
    for topic, mistake in listed:
        assert mistake.topic == topic and mistake.name == mistake.wrong.__name__ and MISTAKES[mistake.name] is mistake
        assert mistake.reason == mistake.reason.strip() and "\n" not in mistake.reason and len(mistake.reason) > 20
        assert mistake.reason.endswith(".") and mistake.diagnosis in DIAGNOSES and mistake.blocks
    told = [(mistake.topic, mistake.reason) for mistake in MISTAKES.values()]
    assert [pair for pair in told if told.count(pair) > 1] == []
    assert {mistake.diagnosis for mistake in MISTAKES.values()} == set(DIAGNOSES)


@each
def test_source_marks_one_wrong_line(name):
    source = inspect.getsource(MISTAKES[name].wrong)
    assert source.count("# wrong\n") == 1 and MISTAKES[name].reason in source
    assert MISTAKES[name].wrong in (problem(name, 0).grad.func, *problem(name, 0).grad.args)


def test_unknown_name():
    with pytest.raises(ValueError, match="name must be one of 'weight_transposed', .*, got 'nothing'"):
        problem("nothing", 0)


@of_each_setup
def test_sizes_and_values_follow_rng(name):
    first, again, other = (problem(name, seed).theta for seed in (0, 0, 1))
    assert first.keys() == again.keys() and all(np.array_equal(first[block], again[block]) for block in first)
    assert any(not np.array_equal(first[block], other[block]) for block in first)
    assert len({tuple(p.shape for p in problem(name, seed).theta.values()) for seed in range(12)}) > 1
    assert all(array.dtype == np.float64 and np.all(array != 0) for array in first.values())      # zeros hide mistakes


@pytest.mark.parametrize("seed", range(10))
@of_each_setup
def test_numbers_are_what_they_say(name, seed):
    p = problem(name, seed)
    x, n = p.grad.args[0].x, p.numbers
    counts = [v for v in n.values() if isinstance(v, int)]
    assert (n["B"], n["D"]) == x.shape and all(v >= 3 for v in counts)
    assert all(math.gcd(a, b) == 1 for a, b in itertools.combinations(counts, 2))      # n names one size, a ratio two
    assert all(isinstance(v, float) and v > 0 and abs(v - round(v)) > 1e-6 for v in n.values() if v not in counts)
    lengths = {length for array in p.theta.values() for length in array.shape}
    pairs = n.get("K", 0) * (n.get("K", 0) - 1) // 2                         # entries below the diagonal of L
    assert lengths <= {1, pairs, *counts} and {n[size] for size in "DHKM" if size in n} <= lengths
    if p.noise is not None:
        assert p.noise.shape in [(n["B"], n["D"]), (n["B"], n["K"]), (n.get("draws"), n["B"], n["K"])]


def test_every_topic_of_the_course_is_there():
    prefixes = ("tied", "pca", "l1", "sparse", "contractive", "kl", "draw", "bernoulli", "gaussian", "learned",
                "diagonal", "posterior", "likelihood", "iwae")
    assert all(sum(name.startswith(prefix + "_") for name in MISTAKES) >= 3 for prefix in prefixes)
    assert sum(mistake.make.func.__name__ == "denoising" for mistake in MISTAKES.values()) >= 3


# ---- one mistake -----------------------------------------------------------------------------------------------------


@seeds
@each
def test_right_gradient_is_the_derivative_and_only_the_named_blocks_are_wrong(name, seed):
    p, (true, _) = problem(name, seed), truth(setup(name), seed)
    right, wrong = p.right(p.theta, *frozen(p)), gradients(p)
    assert right.keys() == wrong.keys() == p.theta.keys() >= set(MISTAKES[name].blocks)
    for block, array in p.theta.items():
        assert right[block].shape == wrong[block].shape == array.shape and right[block].dtype == np.float64
        assert apart(right[block], true[block]) < 1e-9
    blamed = {block for block in true if apart(wrong[block], right[block]) > 1e-3}
    assert blamed == set(MISTAKES[name].blocks)
    assert all(apart(wrong[block], right[block]) < 1e-12 for block in true.keys() - blamed)


@each
def test_nothing_changes_theta_or_noise_and_the_loss_repeats_itself(name):
    p, before = problem(name, 0), problem(name, 0)
    values = [p.f(p.theta, *frozen(p))]
    for function in (p.right, p.grad, *p.terms.values()):
        function(p.theta, *frozen(p))
    values.append(p.f(p.theta, *frozen(p)))
    assert isinstance(values[0], float) and np.isfinite(values[0]) and values[0] == values[1]
    assert all(np.array_equal(p.theta[block], before.theta[block]) for block in p.theta)
    assert np.array_equal(p.noise, before.noise) if before.noise is not None else p.noise is None


@seeds
@of_each_setup
def test_terms_sum_to_the_loss(name, seed):
    p, (true, terms) = problem(name, seed), truth(setup(name), seed)
    assert len(terms) != 1
    if terms:
        values = [term(p.theta, *frozen(p)) for term in p.terms.values()]
        assert sum(values) == pytest.approx(p.f(p.theta, *frozen(p)), rel=1e-12, abs=1e-12)
        assert all(apart(sum(gradient[block] for gradient in terms.values()), true[block]) < 1e-9 for block in true)


@of_each_setup
def test_noise_is_respected(name):
    p = problem(name, 0)
    if p.noise is None:
        return
    steady = np.broadcast_to(p.noise[..., :1, :], p.noise.shape)             # the same in all rows
    for noise in (p.noise[..., ::-1, :], steady):
        assert p.f(p.theta, noise) != p.f(p.theta, p.noise)
        right, true = p.right(p.theta, noise), derivative(p.f, p.theta, (noise,))
        assert all(apart(right[block], true[block]) < 1e-9 for block in true)
        assert any(apart(right[block], p.right(p.theta, p.noise)[block]) > 1e-3 for block in true)
        if p.terms:
            assert sum(t(p.theta, noise) for t in p.terms.values()) == pytest.approx(p.f(p.theta, noise), rel=1e-12)


# ---- the diagnosis, where arithmetic can prove it --------------------------------------------------------------------

ON_THE_WAY = {"weight_not_transposed", "posterior_upper_for_lower", "likelihood_solved_twice_with_l",
              "likelihood_outer_exchanged", "iwae_rows_first"}               # what is transposed or permuted is no gradient
IN_PART = {"kl_of_one_dimension"}                                            # right in one column, so no block's whole


def factors(p, true, terms, residual):
    """1 + c for every sum of terms, the whole loss among them, whose gradient times c is the residual."""
    subsets = [chosen for n in range(1, len(terms) + 1) for chosen in itertools.combinations(terms.values(), n)]
    found = []
    for chosen in subsets or [[true]]:
        a, b = (np.concatenate([part[block].ravel() for block in residual]) for part in
                (residual, {block: sum(t[block] for t in chosen) for block in residual}))
        c = a @ b / (b @ b) if np.any(b) else np.nan
        found += [1 + c] if apart(c * b, a) < 1e-6 else []
    return found


def among(values, *expected):
    """Whether one of the values is one of those expected."""
    return any(abs(v - e) < 1e-6 for v in values for e in expected)


def counts(p):
    return [v for v in p.numbers.values() if isinstance(v, int)]


def strengths(p):
    """−1, ½, and what the loss's weights may have left."""
    return [-1, 0.5, *(v**power for v in p.numbers.values() if isinstance(v, float) for power in (-2, -1, 1, 2))]


def is_factor(p, true, terms, wrong, residual):
    return among(factors(p, true, {}, residual), 2, *strengths(p))


def is_sum_for_mean(p, true, terms, wrong, residual):
    return among(factors(p, true, terms, residual), *counts(p))


def is_mean_for_sum(p, true, terms, wrong, residual):
    return among(factors(p, true, terms, residual), *(1 / n for n in counts(p)))


def is_transpose(p, true, terms, wrong, residual):
    """Of the gradient, or of what it has of one term."""
    (block, r), *more = residual.items()
    square = not more and r.ndim == 2 and len(r) == len(r.T)
    return square and any(apart(r, t[block].T - t[block]) < 1e-6 for t in (true, *terms.values()))


def is_permuted(p, true, terms, wrong, residual):
    """The gradient, or what it has of one term, holds the right numbers in other places."""
    a, b = (np.concatenate([g[block].ravel() for block in residual]) for g in (wrong, true))
    parts = [b, *(np.concatenate([t[block].ravel() for block in residual]) for t in terms.values())]
    return any(apart(np.sort(a - b + part), np.sort(part)) < 1e-6 for part in parts if np.any(part))


def is_term_forgotten(p, true, terms, wrong, residual):
    return len(terms) > 1 and among(factors(p, true, terms, residual), 0)


def is_term_twice(p, true, terms, wrong, residual):
    return len(terms) > 1 and among(factors(p, true, terms, residual), 2)


def is_term_scaled(p, true, terms, wrong, residual):
    return len(terms) > 1 and among(factors(p, true, terms, residual), *strengths(p))


def is_accumulated(p, true, terms, wrong, residual):
    once, again = gradients(p), gradients(p)
    return all(apart(again[block] - once[block], true[block]) < 1e-6 for block in residual)


def is_zero(p, true, terms, wrong, residual):
    return not any(np.any(wrong[block]) for block in residual)


PROOFS = {
    "factor": is_factor, "sum for mean": is_sum_for_mean, "mean for sum": is_mean_for_sum, "transpose": is_transpose,
    "permuted": is_permuted, "term forgotten": is_term_forgotten, "term twice": is_term_twice,
    "term scaled": is_term_scaled, "accumulated": is_accumulated, "zero": is_zero,
}


@seeds
@each
def test_diagnosis_is_true(name, seed):
    """A proof holds in one of the wrong blocks at least: in those before it there is what comes back other ways."""
    mistake, p, (true, terms) = MISTAKES[name], problem(name, seed), truth(setup(name), seed)
    wrong = gradients(p)
    residuals = {block: wrong[block] - true[block] for block in mistake.blocks}
    groups = [(block,) for block in residuals]
    if mistake.diagnosis == "permuted":
        groups += itertools.combinations(residuals, 2)
    proved = {key for key, proof in PROOFS.items() for group in groups
              if sum(residuals[block].size for block in group) > 1 or key == mistake.diagnosis     # 1 number fits all
              if proof(p, true, terms, wrong, {block: residuals[block] for block in group})}
    if mistake.diagnosis in PROOFS and name not in ON_THE_WAY | IN_PART:
        assert mistake.diagnosis in proved
    elif mistake.diagnosis == "bias sum":
        assert proved <= {"mean for sum"} and all(r.ndim == 1 for r in residuals.values())
    else:
        assert not proved
    if mistake.diagnosis == "wrong array":
        assert all(r.ndim == 2 for r in residuals.values())                  # a weight's gradient; its bias's is right
    assert p.noise is not None or mistake.diagnosis != "noise"
