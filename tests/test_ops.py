"""One suite over all that has a derivative: the OPS table, and the distributions' methods with a `_d` or `_dparams`.

A derivative is proved by one number: the complex step of the function in a random direction, weighted by a random
cotangent (random row weights, where a row has one number), against ⟨vjp(cotangent), direction⟩. Activations have more
to prove in test_mlp.py. The second half holds every compiled twin to its NumPy text.
"""
import importlib
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import example, given, target
from hypothesis import strategies as st
from scipy import special

import tinyvae
from tests import naive, test_distributions, test_optim
from tinyvae import distributions, ops
from tinyvae.ops import ACTIVATIONS, OPS

# ---- the table -------------------------------------------------------------------------------------------------------
# A row is an `ops.Op`; beside it stands the slow oracle of f. vjp gives the derivative by the first inputs; those after
# them have none.

CASES = {**OPS, **test_distributions.TABLE}
NAIVE = {"dense": naive.dense, "softmax": naive.softmax, "squared_error": naive.squared_error,
         **{name: lambda a, name=name: naive.activation(name, a) for name in ACTIVATIONS}, **test_distributions.NAIVE}


def test_the_table_lists_every_derivative():
    classes = [c for c in vars(distributions).values() if isinstance(c, type)]
    methods = [(c.__name__, m) for c in classes for m in vars(c) if m.endswith(("_d", "_dparams"))]
    assert {f"{owner}.{m.rsplit('_', 1)[0]}" for owner, m in methods} == set(test_distributions.TABLE)
    assert set(OPS) == {"dense", "softmax", "squared_error", *ACTIVATIONS}


# ---- what Hypothesis draws -------------------------------------------------------------------------------------------
# Every letter's size from 1 to 7: one row, one unit, wider than tall and taller than wide; L = 2K. Scales: 0.01, where
# formulas may cancel; 1; and 4, where |a| reaches 15, tanh is flat to 1e-12 and variances are e^±15. Biases are random
# too: zeros could hide a mistake.

problems = given(B=st.integers(1, 7), n=st.integers(1, 7), m=st.integers(1, 7),
                 scale=st.sampled_from([0.01, 1.0, 4.0]), seed=st.integers(0, 2**32 - 1))
over_the_table = pytest.mark.parametrize("name", CASES)


def random_problem(case, B, n, m, scale, seed, dtype=np.float64):
    """(rng, inputs, cotangent): all random, in the sizes drawn."""
    sizes = {"B": B, "I": n, "H": n, "D": n, "K": n, "L": 2 * n, "O": m, "1": 1}
    rng = np.random.default_rng(seed)
    inputs = [(scale * rng.normal(size=[sizes[letter] for letter in shape])).astype(dtype) for shape in case.shapes]
    return rng, inputs, rng.normal(size=case.f(*inputs).shape).astype(dtype)


def vjp(case, dy, inputs):
    return case.vjp(dy, case.f(*inputs), *inputs)


def along(case, dy, inputs, directions, t):
    """Σ dy f(inputs + t directions); inputs that have no direction stay."""
    moved = [x + t * d for x, d in zip(inputs, directions)]
    return np.sum(dy * case.f(*moved, *inputs[len(moved):]))


def size(*arrays):
    return sum(np.max(np.abs(a)) for a in arrays)


def assert_close(got, want, scale):
    """To 64 units of rounding of what was summed: no sum here is longer than 14, each term is rounded a few times."""
    assert got.dtype == want.dtype and got.shape == want.shape
    assert np.max(np.abs(got - want)) <= 64 * np.finfo(got.dtype).eps * (scale + size(want))


def assert_vjp_is_the_complex_step(case, rng, inputs, dy):
    """Along random directions of all inputs at once."""
    grads = vjp(case, dy, inputs)
    directions = [rng.normal(size=g.shape) for g in grads]
    assert [g.shape for g in grads] == [x.shape for x in inputs[:len(grads)]]
    exact = np.imag(along(case, dy, inputs, directions, 1e-30j)) / 1e-30
    terms = [g * d for g, d in zip(grads, directions)]
    # Where φ' from h, or p (dp − Σ p dp), saturates, it cancels: rounding is relative to the cotangent, hence its size.
    largest = sum(np.sum(np.abs(t)) for t in terms) + size(dy) * size(*directions)
    error = abs(sum(map(np.sum, terms)) - exact) / largest
    target(error)
    assert error <= 1e-13


# ---- the properties --------------------------------------------------------------------------------------------------

@over_the_table
@problems
def test_vjp_is_the_derivative(name, B, n, m, scale, seed):
    assert_vjp_is_the_complex_step(CASES[name], *random_problem(CASES[name], B, n, m, scale, seed))


@over_the_table
def test_complex_step_and_richardson_agree(name):
    """The path is complex-safe: two central differences, extrapolated, see the same slope without complex numbers."""
    case = CASES[name]
    rng, inputs, dy = random_problem(case, 5, 3, 4, 1.0, seed=8)
    directions = [rng.normal(size=g.shape) for g in vjp(case, dy, inputs)]
    if name in ("relu", "elu"):
        assert np.all(np.abs(inputs[0]) > 2e-3 * np.abs(directions[0]))                   # the steps stay off the kink
    one, two = ((along(case, dy, inputs, directions, h) - along(case, dy, inputs, directions, -h)) / (2 * h)
                for h in (1e-3, 2e-3))
    exact = np.imag(along(case, dy, inputs, directions, 1e-30j)) / 1e-30
    # h⁴ times a fifth derivative (some 100 for the log-densities), and eps / h, are some 1e-10 and 1e-12
    assert abs((4 * one - two) / 3 - exact) <= 1e-9 * (abs(exact) + size(dy))


@over_the_table
@problems
def test_vjp_is_linear_in_the_cotangent(name, B, n, m, scale, seed):
    case = CASES[name]
    rng, inputs, u = random_problem(case, B, n, m, scale, seed)
    v = rng.normal(size=u.shape)
    for both, from_u, from_v in zip(*(vjp(case, dy, inputs) for dy in (2.5 * u - 1.5 * v, u, v))):
        assert_close(both, 2.5 * from_u - 1.5 * from_v, size(u, v) * size(*inputs) + size(from_u, from_v))


@over_the_table
@problems
def test_nothing_given_is_changed_and_backward_twice_is_the_same(name, B, n, m, scale, seed):
    case = CASES[name]
    _, inputs, dy = random_problem(case, B, n, m, scale, seed)
    y = case.f(*inputs)
    handed = [*inputs, dy, y]
    before = [a.copy() for a in handed]
    first = [g.copy() for g in case.vjp(dy, y, *inputs)]
    second = case.vjp(dy, y, *inputs)
    for got, want in zip([*handed, *second, case.f(*inputs)], [*before, *first, before[-1]], strict=True):
        np.testing.assert_array_equal(got, want)


@over_the_table
@problems
@example(B=5, n=6, m=1, scale=4.0, seed=5)                               # log p = −24,640, and 37 is left of its sum
def test_float32_stays_float32(name, B, n, m, scale, seed):
    """… and is what float64 gives for the same numbers."""
    case = CASES[name]
    _, inputs, dy = random_problem(case, B, n, m, scale, seed, np.float32)
    double, dy64 = [a.astype(np.float64) for a in inputs], dy.astype(np.float64)
    y = case.f(*double)
    summed = size(dy) * (1 + size(y)) + size(*inputs)                    # a derivative by logvar sums dy y over the rows
    for single, exact in zip([case.f(*inputs), *vjp(case, dy, inputs)], [y, *vjp(case, dy64, double)]):
        assert_close(single, exact.astype(np.float32), summed)


LAYOUTS = {"strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2], "Fortran": np.asfortranarray,
           "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1]}


@over_the_table
@problems
def test_any_layout_gives_the_same(name, B, n, m, scale, seed):
    case = CASES[name]
    _, inputs, dy = random_problem(case, B, n, m, scale, seed)
    want = [case.f(*inputs), *vjp(case, dy, inputs)]
    for layout in LAYOUTS.values():
        moved = [layout(a) for a in inputs]
        for a, b in zip([case.f(*moved), *vjp(case, layout(dy), moved)], want):
            assert_close(a, b, size(dy) * size(*inputs) + size(*inputs))


@over_the_table
@problems
def test_function_equals_the_slow_oracle(name, B, n, m, scale, seed):
    case = CASES[name]
    _, inputs, _ = random_problem(case, B, n, m, scale, seed)
    assert_close(case.f(*inputs), np.array(NAIVE[name](*(a.tolist() for a in inputs))), 1 + size(*inputs))


@over_the_table
@problems
def test_rows_one_at_a_time_and_in_another_order(name, B, n, m, scale, seed):
    """Row b of a result is that of row b alone; a parameter's derivative is the sum of the rows'; order is nothing."""
    case = CASES[name]
    rng, inputs, dy = random_problem(case, B, n, m, scale, seed)
    has_rows = [shape.startswith("B") for shape in case.shapes]

    def results(rows):
        chosen = [a[rows] if of_rows else a for a, of_rows in zip(inputs, has_rows)]
        return [case.f(*chosen), *vjp(case, dy[rows], chosen)]

    batch, order = results(slice(None)), rng.permutation(B)
    by_row = zip([True, *has_rows], batch, results(order), *(results([b]) for b in range(B)))
    for of_rows, whole, permuted, *ones in by_row:
        scale_of_sums = size(dy) * size(*inputs) + size(*inputs) + size(*ones)
        assert_close(permuted, whole[order] if of_rows else whole, scale_of_sums)
        assert_close(np.concatenate(ones) if of_rows else np.sum(ones, axis=0), whole, scale_of_sums)


# ---- dense and rows --------------------------------------------------------------------------------------------------

def test_dense_writes_into_out_and_its_derivatives_are_the_oracles():
    rng = np.random.default_rng(2)
    x, W, b, dy = (rng.normal(size=shape) for shape in [(3, 4), (4, 2), (2,), (3, 2)])
    y, dx, dW, db = (np.full(shape, np.nan) for shape in [(3, 2), (3, 4), (4, 2), (2,)])       # no NaN may be left
    assert ops.dense(x, W, b, out=y) is y and ops.dense_dx(dy, W, out=dx) is dx
    ops.dense_dparams(dy, x, dW, db)
    for got, want in zip((y, dx, dW, db), (naive.dense(x, W, b), naive.dense_dx(dy, W), *naive.dense_dparams(dy, x))):
        assert_close(got, np.array(want), size(x) * size(dy, W))


def test_rows_against_scipy():
    a = np.random.default_rng(3).normal(size=(6, 5)) * [[0.1], [1], [10], [100], [700], [700]]
    np.testing.assert_allclose(ops.softmax(a), special.softmax(a, axis=1), rtol=4e-15, atol=1e-300)
    for axis, rows in ((1, a), (0, a.T)):
        got = ops.log_sum_exp(a, axis)
        np.testing.assert_allclose(got, special.logsumexp(a, axis=axis), rtol=1e-15)
        np.testing.assert_allclose(got, [naive.log_sum_exp(row) for row in rows.tolist()], rtol=1e-15)
    assert ops.log_sum_exp(a.astype(np.float32), axis=0).dtype == np.float32
    inf, nan = np.inf, np.nan
    np.testing.assert_array_equal(ops.log_sum_exp(np.array([[-inf, -inf], [-inf, 3], [inf, 3], [nan, 1]]), axis=1),
                                  [-inf, 3, inf, nan])


# ---- compiled twins --------------------------------------------------------------------------------------------------
# Every function that `@compiled` stands above, wherever it is; a new one cannot escape. A row of the table makes
# arguments, and tells of each that is overwritten what the slow oracle writes there, and the size of what is summed,
# which is what rounding is relative to.

def _activation_dbias(activation):
    phi = ACTIVATIONS[activation]

    def arguments(rng, B, n, dtype):
        a, dh = rng.choice([0.1, 3, 30], size=(B, n)) * rng.normal(size=(2, B, n))
        a, dh = a.astype(dtype), dh.astype(dtype)
        da, db = naive.activation_dbias(activation, dh.tolist(), a.tolist())
        written = {0: (da, np.abs(dh)), 3: (db, np.sum(np.abs(dh), axis=0))}
        return (dh, phi.f(a.copy()), phi, np.empty(n, dtype)), written
    return arguments


def _bias_relu(rng, B, n, dtype):
    a, b = rng.normal(size=(B, n)).astype(dtype), rng.normal(size=n).astype(dtype)
    rows = [[naive.ACTIVATIONS["relu"][0](x + y) for x, y in zip(row, b.tolist())] for row in a.tolist()]
    return (a, b), {0: (rows, np.abs(a) + np.abs(b))}


TWINS = {"bias_relu": _bias_relu,
         **{f"activation_dbias {a}": _activation_dbias(a) for a in ACTIVATIONS if ACTIVATIONS[a].number is not None},
         **test_distributions.TWINS, **test_optim.TWINS}
IN_PLACE = {"bias_relu", "activation_dbias", *test_optim.TWINS}         # all that is overwritten was read before, but db
COMPILED = {name: getattr(importlib.import_module(f"tinyvae.{path.stem}"), name)
            for path in Path(tinyvae.__file__).parent.glob("*.py")
            for name in re.findall(r"^@compiled\(.*\)\ndef (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)}
over_twins = pytest.mark.parametrize("dtype, name", list(itertools.product([np.float64, np.float32], TWINS)))
# Rows shorter and longer than a vector register, with and without a remainder; short ones in plain Python: it is slow.
LENGTHS = [1, 2, 3, 8] if numba.config.DISABLE_JIT else [1, 2, 3, 8, 37, 70]


def twin_of(name):
    return COMPILED[name.split()[0]]


def text_of(name):
    return twin_of(name).__wrapped__


def copied(args):
    return [a.copy() if isinstance(a, np.ndarray) else a for a in args]


def after(function, args):
    """The arrays among the arguments, by position, after a call with copies of them."""
    copies = copied(args)
    function(*copies)
    return {i: a for i, a in enumerate(copies) if isinstance(a, np.ndarray)}


def test_every_compiled_function_is_in_the_table():
    from tinyvae import kernels
    own = {name for name, kernel in vars(kernels).items() if getattr(kernel, "__module__", "") == kernels.__name__}
    jitted = {name for name in own if not name.startswith("_")} - {"jit"}
    assert set(COMPILED) == {name.split()[0] for name in TWINS} == jitted


@over_twins
@given(B=st.integers(1, 4), n=st.sampled_from(LENGTHS), seed=st.integers(0, 2**32 - 1))
def test_twin_equals_text_equals_oracle(dtype, name, B, n, seed):
    """To 16 units of rounding: some ten operations an entry, then sums of up to 70 entries, reordered."""
    args, written = TWINS[name](np.random.default_rng(seed), B, n, dtype)
    twin, text = after(twin_of(name), args), after(text_of(name), args)
    for i in twin.keys() - written.keys():
        np.testing.assert_array_equal(twin[i], args[i])
        np.testing.assert_array_equal(text[i], args[i])
    for i, (oracle, size_of_terms) in written.items():
        for got, want in ((twin[i], oracle), (text[i], oracle), (twin[i], text[i])):
            assert np.all(np.abs(got - np.array(want)) <= 16 * np.finfo(dtype).eps * size_of_terms)


LAYOUTS_OF_THE_TEXT = {
    "strided": LAYOUTS["strided"], "Fortran": np.asfortranarray, "complex": lambda a: a.astype(complex),
    "long double": lambda a: a.astype(np.longdouble)}


@pytest.mark.parametrize("name", TWINS)
def test_contiguous_floats_of_one_type_are_handed_over_and_all_else_runs_the_text(name, monkeypatch):
    args, written = TWINS[name](np.random.default_rng(9), 3, 5, np.float64)
    handed_over = []
    monkeypatch.setattr(ops, "_twin", lambda called: lambda *args: handed_over.append(called))
    twin_of(name)(*args)
    assert handed_over == [name.split()[0]]
    for layout, convert in LAYOUTS_OF_THE_TEXT.items():
        if name in test_optim.TWINS and layout == "Fortran":                              # there all arrays are vectors
            continue
        moved = [convert(a.copy()) if isinstance(a, np.ndarray) else a for a in args]
        twin_of(name)(*moved)
        for i, want in after(text_of(name), args).items():
            np.testing.assert_allclose(moved[i], want, rtol=1e-13, atol=1e-13)
    mixed = [a.astype(np.float32) if i == min(written) else a for i, a in enumerate(copied(args))]
    twin_of(name)(*mixed)
    for i, want in after(text_of(name), args).items():
        np.testing.assert_allclose(mixed[i], want, rtol=2e-6, atol=1e-6)
    assert len(handed_over) == 1


@pytest.mark.parametrize("name", ["activation_dbias tanh", *test_distributions.TWINS, *test_optim.TWINS])
def test_twin_reads_read_only_arrays(name):
    args, written = TWINS[name](np.random.default_rng(10), 3, 5, np.float64)
    want = after(twin_of(name), args)
    for i in want.keys() - written.keys():
        args[i].flags.writeable = False
    twin_of(name)(*args)
    for i in written:
        np.testing.assert_array_equal(args[i], want[i])


@pytest.mark.parametrize("name", TWINS)
def test_shapes_that_do_not_fit_are_refused(name):
    """Each array in turn lacks its last row, or entry. It is a view of the whole one, so that no wrong read crashes."""
    args, _ = TWINS[name](np.random.default_rng(13), 3, 5, np.float64)
    for i in after(text_of(name), args):
        if name == "bias_relu" and i == 0:                                  # fewer rows of a are another batch
            continue
        for function in (text_of(name), twin_of(name)):
            short = copied(args)
            short[i] = short[i][:-1]
            with pytest.raises(ValueError):
                function(*short)


@over_twins
def test_nan_and_infinity_come_out_of_a_twin_as_out_of_its_text(dtype, name):
    """Every array that is read is poisoned in turn, in the part of a row that is vectorised and in its remainder."""
    args, written = TWINS[name](np.random.default_rng(11), 2, 37, dtype)
    read = [i for i, a in enumerate(args) if isinstance(a, np.ndarray)
            and (i not in written or name.split()[0] in IN_PLACE and (name.split()[0], i) != ("activation_dbias", 3))]
    for i, place, poison in itertools.product(read, (0, 1, 2, 3, 40, -1), (np.nan, np.inf, -np.inf)):
        poisoned = copied(args)
        poisoned[i].flat[min(place, args[i].size - 1)] = poison
        with np.errstate(all="ignore"):
            twin, text = after(twin_of(name), poisoned), after(text_of(name), poisoned)
        for j, kind in itertools.product(written, (np.isnan, np.isposinf, np.isneginf)):
            np.testing.assert_array_equal(kind(twin[j]), kind(text[j]))
        lost = i == 1 and (name in ("activation_dbias identity", "activation_dbias relu")   # φ' from h = NaN is 1, or 0
                           or name == "diagonal_draw_d" and 0 <= place < 37)                # mu is not read
        assert lost or not np.isnan(poison) or any(np.isnan(twin[j]).any() for j in written)


# ---- other machines, as new processes --------------------------------------------------------------------------------

ROOT = Path(tinyvae.__file__).parents[1]


def python(*arguments, cwd, **environment):
    done = subprocess.run([sys.executable, "-B", *arguments], cwd=cwd, env={**os.environ, **environment},
                          capture_output=True, text=True)
    return f"{done.stdout}{done.stderr}exit {done.returncode}"


def test_twins_as_plain_python_equal_the_texts():
    """NUMBA_DISABLE_JIT=1 leaves the kernels as they are written, for a debugger and for coverage."""
    test = f"{__file__}::test_twin_equals_text_equals_oracle"
    printed = python("-m", "pytest", "-p", "no:cacheprovider", "--runxfail", test, cwd=ROOT, NUMBA_DISABLE_JIT="1",
                     CI="1")
    assert f"{2 * len(TWINS)} passed" in printed, printed


def test_kernels_compile_where_no_cache_folder_is_writable(tmp_path):
    """Every folder that Numba tries lies under a plain file, which stops root too; cache=True alone raises there."""
    shutil.copytree(ROOT / "tinyvae", tmp_path / "tinyvae", ignore=shutil.ignore_patterns("__pycache__", "datasets"))
    (tmp_path / "tinyvae" / "__pycache__").touch()
    nowhere = str(tmp_path / "tinyvae" / "__pycache__" / "cache")
    (tmp_path / "run.py").write_text("""if True:
        import numba, numpy as np
        from tinyvae import kernels, ops
        try:
            numba.njit(cache=True)(kernels.adam.py_func)
        except RuntimeError as error:
            print(error)
        da, db = np.ones((2, 3)), np.empty(3)
        ops.activation_dbias(da, np.full((2, 3), 0.5), ops.ACTIVATIONS["tanh"], db)
        print(kernels.__file__, len(kernels.activation_dbias.signatures), db)
        """)
    printed = python("run.py", cwd=tmp_path, NUMBA_CACHE_DIR=nowhere, XDG_CACHE_HOME=nowhere, HOME=nowhere,
                     PYTHONPATH=str(tmp_path))
    refusal, result, end = printed.splitlines()
    assert refusal.startswith("cannot cache function 'adam'")
    assert result == f"{tmp_path / 'tinyvae' / 'kernels.py'} 1 [1.5 1.5 1.5]" and end == "exit 0"
