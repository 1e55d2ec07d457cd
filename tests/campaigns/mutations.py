"""Which small mistakes the tests notice:   python -m tests.campaigns.mutations --mutants 300 --seed 0 --jobs 2

Needs `pip install cosmic-ray`. It lists all the small changes (an operator, a number, a comparison, a `not`, a
decorator …) of the five modules that hold the formulas. So many of them, drawn at random, are made one at a time in a
copy of the repository, and the tests are run there:

    nearest     the test files of NEAREST but for what is SLOW then, with the JIT off: nothing is compiled
    reaching    where those see nothing, all of REACHING, with the JIT on, since Monte Carlo needs it: no line of the
                five modules is ever compiled. Left out are the tests of plots, lessons, data sets and command line

Killed is a mutant whose tests fail, or need five times as long as without it. One that meets all of REACHING unseen has
survived: its diff is printed, to be judged. Prints a line for each module; the exit status is 1 below 95 % killed.
`--results FILE` keeps what has been found, a line of JSON for each mutant, and what it holds is not run again.
"""
import argparse
import difflib
import json
import multiprocessing
import os
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

try:
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names
    from cosmic_ray.testing import run_tests
    from cosmic_ray.work_item import TestOutcome
except ImportError as error:
    raise ImportError("tests.campaigns.mutations needs cosmic-ray: pip install cosmic-ray") from error

ROOT = Path(__file__).parents[2]
NEAREST = {
    "ops":           ["mlp", "ops"],
    "distributions": ["distributions", "ops"],
    "mlp":           ["mlp", "jacobian"],
    "penalties":     ["penalties", "jacobian"],
    "vae":           ["vae", "validation", "vae_family"],
}
SLOW = ["kernels_compile_where", "twins_as_plain_python", "sample_has_the_moments", "samples_have_the_moments",
        "all_evaluations_of_a_seed", "importance_sampled_likelihood_tends", "more_samples_are_closer"]
REACHING = ["ops", "distributions", "mlp", "penalties", "jacobian", "vae", "vae_family", "bounds", "full_gaussian",
            "autoencoder", "autoencoder_family", "corruption", "gradient", "likelihood", "exact", "annealing",
            "samples", "estimator", "validation", "train", "files", "ppca", "classifiers", "linear", "claims"]
PATIENCE = 5             # how many times longer than without a mutant the tests may take
ENOUGH = 0.95


class Mutant(NamedTuple):
    """One change of one module; `source` is the module's whole text with it, `diff` the lines that differ."""
    module: str
    operator: str
    occurrence: int
    source: str
    diff: str


class Found(NamedTuple):
    """What became of a mutant; `by` says which test killed it, "timeout", or nothing."""
    module: str
    operator: str
    occurrence: int
    diff: str
    by: str
    seconds: float


# ---- the mutants -----------------------------------------------------------------------------------------------------


def places():
    """(module, operator, occurrence) of every change that cosmic-ray knows for the modules of NEAREST."""
    operators = {name: get_operator(name) for name in operator_names()}
    for module in NEAREST:
        nodes = list(ast_nodes(get_ast(_path(module).read_text(encoding="utf-8"))))
        for name, operator in operators.items():
            if not operator.arguments():                                     # the others put one given name for another
                n = sum(1 for node in nodes for _ in operator().mutation_positions(node))
                yield from ((module, name, occurrence) for occurrence in range(n))


def mutant(module, operator, occurrence):
    """The change as a text."""
    text = _path(module).read_text(encoding="utf-8")
    changed = mutate_code(text, get_operator(operator)(), occurrence)
    lines = difflib.unified_diff(text.splitlines(), changed.splitlines(), f"{module}.py", f"{module}.py", "", "", 0, "")
    return Mutant(module, operator, occurrence, changed, "\n".join(list(lines)[2:]))


def _path(module, root=ROOT):
    return root / "tinyvae" / f"{module}.py"


# ---- the tests, in the copy where the process stands -----------------------------------------------------------------


def failure(names, jit, most=None):
    """The first test that fails in these files, "timeout" after `most` seconds, or "" where all pass."""
    os.environ.update(NUMBA_DISABLE_JIT="0" if jit else "1", OPENBLAS_NUM_THREADS="1", CI="true")
    files = [f"tests/test_{name}.py" for name in names]
    choice = [] if jit else ["-k", f"not ({' or '.join(SLOW)})"]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no", *choice, *files]
    outcome, output = run_tests(shlex.join(command), most)
    if outcome is TestOutcome.SURVIVED:
        return ""
    said = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))] or [output.strip()[-300:]]
    return said[0] or "no word of the tests"


def clean_seconds():
    """What the tests need without a mutant, which they must pass: {module: seconds}, and those of REACHING."""
    seconds = {}
    for key, names in {**NEAREST, "reaching": REACHING}.items():
        start = time.monotonic()
        failed = failure(names, jit=key == "reaching")
        if failed:
            raise RuntimeError(f"without any mutant, of the tests {', '.join(names)}: {failed}")
        seconds[key] = time.monotonic() - start
    return seconds


def copy(source, target):
    """The repository, and this process into it."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".git", ".venv", ".hypothesis"))
    os.chdir(target)


def copy_of_a_worker(source):
    copy(source, source.with_name(str(os.getpid())))


def look(task):
    """Make the change, run the tests, take it back."""
    change, seconds = task
    path, start = _path(change.module, Path.cwd()), time.monotonic()
    original = path.read_text(encoding="utf-8")
    path.write_text(change.source, encoding="utf-8")
    try:
        by = (failure(NEAREST[change.module], False, PATIENCE * seconds[change.module])
              or failure(REACHING, True, PATIENCE * seconds["reaching"]))
    finally:
        path.write_text(original, encoding="utf-8")
    return Found(change.module, change.operator, change.occurrence, change.diff, by, time.monotonic() - start)


# ---- the campaign ----------------------------------------------------------------------------------------------------


def campaign(changes, n_jobs):
    """A Found of each, in the order in which they end; each process has a copy of its own."""
    with tempfile.TemporaryDirectory() as folder:
        home, clean = Path.cwd(), Path(folder) / "clean"
        copy(ROOT, clean)
        try:
            seconds = clean_seconds()                    # compiles the kernels, and every copy of the copy has them
        finally:
            os.chdir(home)
        tasks = [(change, seconds) for change in changes]
        with multiprocessing.Pool(n_jobs, copy_of_a_worker, (clean,)) as pool:
            for found in tqdm(pool.imap_unordered(look, tasks), total=len(tasks), unit="mutant"):
                yield found


def table(results, n_places):
    """A line for each module, and the diffs of what survived."""
    print(f"{'module':<16}{'places':>8}{'mutants':>9}{'killed':>8}{'by time':>9}{'survived':>10}{'killed, %':>11}")
    for module in [*NEAREST, "all"]:
        of = [found for found in results if module in (found.module, "all")]
        killed, late = sum(bool(found.by) for found in of), sum(found.by == "timeout" for found in of)
        places = sum(n_places.values()) if module == "all" else n_places[module]
        print(f"{module:<16}{places:>8}{len(of):>9}{killed:>8}{late:>9}{len(of) - killed:>10}"
              f"{100 * killed / max(1, len(of)):>11.1f}")
    for found in results:
        if not found.by:
            print(f"\nsurvived: {found.module}, {found.operator} {found.occurrence}", found.diff, sep="\n")


def main(n_mutants, seed, n_jobs, results):
    every = list(places())
    drawn = np.random.default_rng(seed).permutation(len(every))[:n_mutants]
    changes = {change[:3] + (change.diff,): change for change in (mutant(*every[i]) for i in drawn)}
    known = [Found(*json.loads(line)) for line in results.read_text().splitlines()] if results.exists() else []
    found = {f[:4]: f for f in known if f[:4] in changes}
    for f in campaign([change for key, change in changes.items() if key not in found], n_jobs):
        found[f[:4]] = f
        with results.open("a") as file:
            file.write(json.dumps(f) + "\n")
    found = [found[key] for key in sorted(found)]
    table(found, {module: sum(place[0] == module for place in every) for module in NEAREST})
    return sum(bool(f.by) for f in found) < ENOUGH * len(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path(os.devnull))
    arguments = parser.parse_args()
    sys.exit(main(arguments.mutants, arguments.seed, arguments.jobs, arguments.results))
