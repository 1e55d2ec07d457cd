"""`tinyvae check`: a student's file is run and leaves nothing; the report and the status are those of the checkers."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyvae import check_gradient, check_objective, cli, student
from tinyvae.checks.objective import Functions

ROOT = Path(__file__).resolve().parents[1]

QUARTIC = """
theta = [0.3, -1.2, 2.0]

def f(w):
    return ((w - 1) ** 4).sum()

def grad(w):
    return 4 * (w - 1) ** 3
"""
LINEAR = """
import numpy as np

rng = np.random.default_rng(0)
A, y = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
theta = {"W": rng.normal(size=(3, 2)), "b": rng.normal(size=2)}

def error(P):
    return A @ P["W"] + P["b"] - y

def fit(P):
    return (error(P) ** 2).sum() / 2

def penalty(P):
    return 0.1 * (P["W"] ** 2).sum()

def f(P):
    return fit(P) + penalty(P)

def grad(P):
    return {"W": A.T @ error(P) + 0.2 * P["W"], "b": error(P).sum(axis=0)}
"""
FORGOTTEN = LINEAR.replace(" + 0.2 * P[", " + 0 * P[") + 'terms = {"fit": fit, "penalty": penalty}\n'
NOISY = """
import numpy as np

noise = np.random.default_rng(0).normal(size=3)
theta = np.array([1.0, -2.0, 0.5])

def f(w, eps):
    return np.sum((w + np.exp(w) * eps) ** 2)

def grad(w, eps):
    return 2 * (w + np.exp(w) * eps) * (1 + np.exp(w) * eps)
"""
PAIR = """
import numpy as np

theta = np.array([0.3, -1.2])

def loss_and_grad(w):
    return w @ w, 2 * w

def wrong(w):
    return w @ w, w

def number(w):
    return w @ w
"""
VAE = """
import numpy as np

rng = np.random.default_rng(0)
X = (rng.random((50, 5)) < 0.4) * 1.0
W, V = rng.normal(size=(5, 4)), rng.normal(size=(2, 5))

def encode(x):
    return np.split(np.tanh(x @ W), 2, axis=1)

def draw(x, eps):
    mu, logvar = encode(x)
    return mu + np.exp(logvar / 2) * eps

def kl(x):
    mu, logvar = encode(x)
    return np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=1) / 2

def log_prob(x, z):
    return np.sum(x * (z @ V) - np.logaddexp(0, z @ V), axis=1)
"""
NO_HALF = VAE.replace("axis=1) / 2", "axis=1)")


@pytest.fixture
def check(tmp_path, capsys, monkeypatch):
    """Writes a source and runs `tinyvae check` on it, in a folder of its own: status, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def check(source, *words, name="own.py", function=""):
        if source is not None:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(source, encoding="utf-8")
        path = sys.path.copy()
        status = cli.main(["check", name + function, *map(str, words)])
        assert sys.path == path
        return status, *capsys.readouterr()

    return check


def refused(check, source, *words, **names):
    """What a file that cannot be checked is told: status 2, nothing on standard output, nothing of our own source."""
    status, out, err = check(source, *words, **names)
    assert status == 2 and not out and err.startswith("tinyvae: error: ")
    assert not any(word in err for word in ("Traceback", "student.py", "gradient.py", "runpy", "site-packages"))
    return err.removeprefix("tinyvae: error: ").rstrip()


def defined(source):
    names = {}
    exec(source, names)
    return names


# ---- what is checked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source, status, words", [
    (QUARTIC, 0, "Gradient ok"), (QUARTIC.replace("4 *", "8 *"), 1, "twice the derivative"), (LINEAR, 0, "Gradient ok"),
    (LINEAR.replace('error(P) + 0.2', 'error(P) / 9 + 0.2'), 1, "wrong"),
    (QUARTIC.replace("f(w)", "loss(w)"), 0, "Gradient ok"), (FORGOTTEN, 1, "'penalty'"), (NOISY, 0, "Gradient ok"),
    (NOISY.replace("return 2 *", "return 1 *"), 1, "half of the derivative"),
    (QUARTIC + "blocks = {'first': [0], 'rest': slice(1, None)}", 0, "rest")],
    ids="flat factor dict wrong-dict loss terms noise wrong-noise blocks".split())
def test_the_report_is_that_of_check_gradient(source, status, words, check):
    names = defined(source)
    options = {name: names.get(name) for name in ("blocks", "terms", "noise")}
    report = check_gradient(names.get("f") or names["loss"], names["grad"], names["theta"], **options)
    assert check(source) == (status, f"{report}\n", "")
    assert report.ok == (status == 0) and words in str(report)
    assert max(map(len, str(report).splitlines())) <= 80


@pytest.mark.parametrize("source", [VAE, NO_HALF], ids=["right", "kl-without-half"])
def test_the_report_is_that_of_check_objective(source, check):
    names = defined(source)
    report = check_objective({name: names[name] for name in student.PARTS}, names["X"])
    assert check(source) == (int(source is NO_HALF), f"{report}\n", "")
    assert report.ok == (source is VAE)


def test_more_parts_and_options_reach_the_objective(check, monkeypatch):
    asked = []
    monkeypatch.setattr(student, "check_objective", lambda *args: asked.append(args) or check_objective(*args))
    more = "".join(f"\ndef {name}({words}):\n    raise ValueError\n" for name, words in student.MORE_PARTS.items())
    more += "\nreduction, beta, objective, n_samples = 'sum', 2.0, 'elbo', 3\nlog_q = None\n"
    check(VAE + more)
    functions, X, _ = asked[0]
    assert functions.keys() == {*Functions._fields} - {"log_q"} and X.shape == (50, 5)
    assert [functions[name] for name in student.OPTIONS] == ["sum", 2.0, "elbo", 3]
    assert [*student.PARTS, *student.MORE_PARTS, *student.OPTIONS] == [*Functions._fields]


def test_both_and_a_loss_that_belongs_to_one_of_them(check, monkeypatch):
    both = VAE + QUARTIC
    status, out, err = check(both)
    gradient, objective = out.split("\n\n")
    assert (status, err) == (0, "") and "Gradient ok" in gradient and "Objective ok" in objective
    assert check(NO_HALF + QUARTIC)[0] == check(VAE + QUARTIC.replace("4 *", "8 *"))[0] == 1

    asked = []
    monkeypatch.setattr(student, "check_objective", lambda functions, *rest: asked.append(functions.keys()))
    for source, has_loss in ((VAE + QUARTIC.replace("f(w)", "loss(w)"), False),
                             (both + "\ndef loss(x, eps):\n    return 0.0\n", True),
                             (VAE + "\ntheta = [1.0]\ndef loss(x, eps):\n    return 0.0\n", True)):
        with pytest.raises(AttributeError):                                 # None is no report
            check(source)
        assert ("loss" in asked.pop()) == has_loss


def test_a_function_that_returns_the_pair(check):
    names = defined(PAIR)
    report = check_gradient(lambda w: w @ w, lambda w: 2 * w, names["theta"])
    assert check(PAIR, function=":loss_and_grad") == (0, f"{report}\n", "")
    status, out, _ = check(PAIR, function=":wrong")
    assert status == 1 and "half of the derivative" in out
    noisy = NOISY + "\ndef both(w, eps):\n    return [f(w, eps), grad(w, eps)]\n"
    assert check(noisy, function=":both")[1] == check(noisy)[1]
    for triple in ("w @ w, 2 * w, w", "w"):
        refused(check, PAIR.replace("w @ w, w", triple), function=":wrong")
    forgotten = FORGOTTEN + "\ndef both(P):\n    return f(P), grad(P)\n"
    assert check(forgotten, function=":both")[1] == check(forgotten)[1]


def test_the_seed(check):
    first, again, other = (check(QUARTIC, "--seed", seed)[1] for seed in (3, 3, 4))
    names = defined(QUARTIC)
    assert first == again != other and first == f"{check_gradient(names['f'], names['grad'], names['theta'], rng=3)}\n"
    assert check(QUARTIC, "--seed", 0) == check(QUARTIC)
    names = defined(VAE)
    report = check_objective({name: names[name] for name in student.PARTS}, names["X"], rng=3)
    assert check(VAE, "--seed", 3)[1] == f"{report}\n" != check(VAE)[1]
    assert refused(check, QUARTIC, "--seed", -1) == "--seed must be an integer of at least 0, got -1"


# ---- as JSON ---------------------------------------------------------------------------------------------------------


def refuse(constant):
    raise ValueError(constant)


def test_json_is_the_report_as_data(check):
    source = FORGOTTEN + NO_HALF.replace("import numpy as np", "print('hello')")
    status, out, err = check(source, "--json")
    data = json.loads(out, parse_constant=refuse)                           # nan is not JSON
    assert status == 1 and err == "hello\n" and out.count("\n") == 1 and data.keys() == {"ok", "gradient", "objective"}
    names = defined(source)
    gradient = check_gradient(names["f"], names["grad"], names["theta"], terms=names["terms"])
    found, objective = data["gradient"], data["objective"]
    assert data["ok"] is found["ok"] is objective["ok"] is False and found["n_evaluations"] == gradient.n_evaluations
    assert [block["block"] for block in found["blocks"]] == ["W", "b"]
    (finding,) = found["findings"]
    assert finding == found["blocks"][0] and finding["verdict"] == "wrong" and finding["kink"] == []
    assert (finding["analytic"], finding["bar"]) == (gradient.findings[0].analytic, gradient.findings[0].bar)
    diagnosis = gradient.findings[0].diagnosis
    assert finding["diagnosis"] == diagnosis._asdict() == found["diagnosis"] and "penalty" in diagnosis.sentence
    assert {"kl"} <= {finding["key"] for finding in objective["findings"]} and len(objective["checks"]) > 4


def test_json_of_what_is_ok(check):
    data = json.loads(check(PAIR, "--json", function=":loss_and_grad")[1])
    assert data["ok"] is True and data.keys() == {"ok", "gradient"} and data["gradient"]["findings"] == []
    assert data["gradient"]["blocks"][0]["diagnosis"] is None
    unsafe = json.loads(check(QUARTIC.replace("** 4).sum()", "** 4).real.sum()"), "--json")[1])
    assert unsafe["gradient"]["blocks"][0]["complex_step"] is None


def test_every_value_becomes_one_that_json_has():
    value = {"a": np.float64(2.5), 3: np.arange(3), "n": np.int64(4), "t": (1, [np.nan, np.inf]), "b": np.bool_(True),
             "s": "n/a", "o": None, "m": np.array([[1.0, np.nan]])}
    expected = {"a": 2.5, "3": [0, 1, 2], "n": 4, "t": [1, [None, None]], "b": True, "s": "n/a", "o": None,
                "m": [[1.0, None]]}
    assert student.as_data(value) == expected and json.loads(json.dumps(student.as_data(value))) == expected


# ---- where the file stands, and what it leaves -----------------------------------------------------------------------


def test_a_file_in_another_folder_imports_its_neighbours_when_it_runs_and_when_it_is_called(check):
    late = QUARTIC.replace("return 4 *", "import package.part\n    from neighbour import four\n    return four *")
    early = f"from neighbour import four\n{QUARTIC.replace('4 *', 'four *')}"
    for folder, four, status in (("one", 4, 0), ("two/deeper", 8, 1)):                  # neighbours of the same name
        Path(folder, "package").mkdir(parents=True)
        Path(folder, "package/part.py").write_text("")
        Path(folder, "neighbour.py").write_text(f"four = {four}\n")
        modules = set(sys.modules)
        for source in (late, early):
            assert check(source, name=f"{folder}/own.py")[0] == status
            assert check(source, name=str(Path(folder, "own.py").resolve()))[0] == status
        assert not {"own", "neighbour", "package", "package.part", "<run_path>"} & (sys.modules.keys() - modules)


def test_what_a_file_does_to_the_folders_is_undone_and_does_not_hide_its_errors(check, tmp_path):
    assert check("import sys\nsys.path.insert(0, '..')\n" + QUARTIC)[0] == 0           # the fixture compares sys.path
    assert check(f"import os\nos.chdir({str(tmp_path.parent)!r})\n" + QUARTIC)[0] == 0
    os.chdir(tmp_path)
    source = f"import os\nos.chdir({str(tmp_path.parent)!r})\n" + QUARTIC.replace("((w - 1)", "((w - [1, 2])")
    assert refused(check, source).startswith("own.py, line 7, in f: ValueError: operands")


def test_a_colon_in_a_path(check):
    assert check(QUARTIC, name="a:b.py")[0] == check(QUARTIC, name="c:d")[0] == 0
    assert check(PAIR, name="a:b.py", function=":wrong")[0] == 1
    for text, file in (("C:\\none.py", "C:\\none.py"), ("none.py", "none.py"), ("none.py:f", "none.py"), (".", "."),
                       ("a:b.py:", "a:b.py:"), (":f", ":f"), ("a:b.py:no.f", "a:b.py:no.f")):
        assert refused(check, None, name=text).endswith(f"there is no file {file!r}")


def test_what_is_under_main_is_not_run_and_prints_are_no_part_of_the_report(check):
    source = QUARTIC + "print('loading')\nif __name__ == '__main__':\n    raise ValueError('trained')\n"
    assert check(source) == (0, check(QUARTIC)[1], "loading\n")


@pytest.mark.filterwarnings("default")
def test_a_warning_has_its_place(check):
    status, _, err = check("import numpy as np\ninfinity = np.float64(1) / 0\n" + QUARTIC)
    assert status == 0 and err == "tinyvae: warning: own.py, line 2: divide by zero encountered in scalar divide\n"


# ---- what cannot be checked ------------------------------------------------------------------------------------------


def test_names_that_are_missing(check):
    err = refused(check, "import numpy as np\nfrom math import pi\nweights = np.ones(3)\ndef gradient(w): return w\n")
    assert err == ("own.py must define f (or loss), grad and theta, to have a gradient checked, or encode, draw, kl, "
                   "log_prob and X, to have an objective checked; it defines pi, weights, gradient. One function that "
                   "returns the pair (value, gradient) is checked as own.py:function")
    assert "it defines nothing." in refused(check, "")
    many = "".join(f"a{i} = {i}\n" for i in range(30))
    assert "a0, a1" in refused(check, many) and "a11, …." in refused(check, many)
    assert refused(check, PAIR, function=":los").startswith("own.py must define los; it defines theta, loss_and_grad,")
    assert refused(check, "", function=":f").startswith("own.py must define f and theta; it defines nothing")
    for source in (PAIR, QUARTIC.replace("grad", "gradient"), VAE.replace("kl(", "KL(")):
        refused(check, source)


def test_one_name_of_a_set_that_is_missing_is_told(check):
    status, out, err = check(QUARTIC + VAE.replace("kl(", "KL("))
    assert status == 0 and out == check(QUARTIC)[1]
    assert err == "tinyvae: warning: no objective is checked: own.py does not define kl\n"
    status, out, err = check(VAE + QUARTIC.replace("grad(", "gradient("))
    assert status == 0 and out == check(VAE)[1]
    assert err == "tinyvae: warning: no gradient is checked: own.py does not define grad\n"
    assert check(VAE + "theta = [1.0]\ndef loss(x, eps): return 0.0\n")[2] == check(QUARTIC + "X, kl = 1, 2\n")[2] == ""


SECOND = "; where the file defines noise, it is the second argument"


@pytest.mark.parametrize("source, function, words", [
    (PAIR, ":number", "number must return the pair (value, gradient), got np.float64(1.53)"),
    (PAIR, ":theta", "theta must be a function of (theta), got array([ 0.3, -1.2])"),
    (QUARTIC + "noise = [1.0]", "", f"f must be a function of (theta, noise), got f(w){SECOND}"),
    (NOISY.replace("noise", "frozen"), "", f"f must be a function of (theta), got f(w, eps){SECOND}"),
    (QUARTIC + "grad = 3", "", "grad must be a function of (theta), got 3"),
    (VAE.replace("kl(x)", "kl(mu, logvar)"), "", "kl must be a function of (x), got kl(mu, logvar)"),
    (VAE + "beta = -1", "", "beta must be a finite number"), (VAE + "X = [1.0]", "", "X: Expected 2D array"),
    (QUARTIC + "terms = [f]", "", "terms must be a dict"),
    (QUARTIC + "blocks = {'a': [0]}", "", "every entry of theta must be in one block"),
    (QUARTIC.replace("** 3", "** 3 @ w"), "", "what grad returns must have shape (3,), got ()"),
    (QUARTIC.replace("3\n", "3 > 0\n"), "", "what grad returns must be float64, got bool")],
    ids="pair pair-theta noise no-noise grad kl beta X terms blocks shape dtype".split())
def test_wrong_forms(source, function, words, check):
    error = refused(check, source, function=function)
    assert error.startswith(words) and "\n" not in error


@pytest.mark.parametrize("source, words", [
    ("import numpy as np\n\ndef f(x:\n    return 1\n", "own.py, line 3: SyntaxError: '(' was never closed\n"),
    ("if True:\nx = 1\n", "own.py, line 2: IndentationError: expected an indented block"),
    ("import broken\n", "broken.py, line 2: SyntaxError: invalid syntax\n"),
    ("import not_there\n", "own.py, line 1, in <module>: ModuleNotFoundError: No module named 'not_there'\n"),
    ("import sys\nsys.exit()\n", "own.py, line 2, in <module>: SystemExit\n"),
    (QUARTIC.replace("((w - 1)", "((w - [1, 2])"), "own.py, line 5, in f: ValueError: operands could not be broadcast"),
    (QUARTIC.replace("4 *", "four *"), "own.py, line 8, in grad: NameError: name 'four' is not defined\n"),
    (QUARTIC.replace("4 *", "import_it() *") + "import broken as import_it", "broken.py, line 2: SyntaxError"),
    (QUARTIC.replace("4 *", "np.linalg.inv(np.zeros((3, 3))) @") + "import numpy as np",
     "own.py, line 8, in grad: LinAlgError: Singular matrix\n"),
    (VAE.replace("log_prob(x, z):", "log_prob(x, z):\n    assert 0 > 1, 'one\\n two'"),
     "own.py, line 20, in log_prob: AssertionError: one two\n")], ids="syntax indent neighbour import exit f "
    "grad late numpy objective".split())
def test_exceptions_of_the_file_have_their_place(source, words, check):
    Path("broken.py").write_text("x = 1\nx = = 2\n")
    error = refused(check, source)
    assert error.startswith(words)
    lines = error.splitlines()[1:]
    assert lines[0].startswith(f'  File "{Path().resolve()}') and len(lines) <= 6


def test_a_traceback_is_short(check):
    error = refused(check, QUARTIC + "def f(w):\n    return f(w)\n")
    assert error.startswith("own.py, line 10, in f: RecursionError") and len(error.splitlines()) < 13
    calls = ["def f0(w):\n    return 1 / 0\n", *(f"def f{i}(w):\n    return f{i - 1}(w)\n" for i in range(1, 6))]
    error = refused(check, QUARTIC + "".join(calls) + "f = f5\n")
    places = [line.split(", ", 1)[1] for line in error.splitlines() if "File" in line]
    assert places == ["line 16, in f3", "line 14, in f2", "line 12, in f1", "line 10, in f0"]


def test_what_the_functions_of_the_room_raise(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("1 / 0")
    with pytest.raises(student.StudentError, match="own.py, line 1, in <module>: ZeroDivisionError") as caught:
        student.check_file(path)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    path.write_text("theta, f = [1.0, 2.0], max\ndef grad(w): return [0.0, 1.0]")   # max does not tell its arguments
    assert student.check_file(path)["gradient"].ok


def test_an_error_that_is_not_the_files_is_not_laid_at_its_door(check, monkeypatch):
    def broken(*args, **options):
        raise IndexError("ours")

    monkeypatch.setattr(student, "check_gradient", broken)
    with pytest.raises(IndexError, match="ours"):
        check(QUARTIC)


def test_interrupted(check):
    status, out, err = check("raise KeyboardInterrupt\n")
    assert (status, out, err) == (130, "", "tinyvae: interrupted\n")


# ---- the command itself ----------------------------------------------------------------------------------------------


def test_the_status_of_the_command(tmp_path):
    for source, status, words in ((QUARTIC.replace("4 *", "print(1) or 8 *"), 1, '{"ok": false'), ("f = 1", 2, "")):
        (tmp_path / "own.py").write_text(source)
        command = [sys.executable, "-m", "tinyvae", "check", str(tmp_path / "own.py"), "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == status and done.stdout.startswith(words) and bool(words) == bool(done.stdout)
        assert done.stderr.startswith("1\n1\n" if words else "tinyvae: error: ")
    with pytest.raises(SystemExit) as caught:
        cli.main(["check"])
    assert caught.value.code == 2


def test_the_example_of_the_readme(check):
    """What is said of the file is what the README shows; digits that are rounding are not compared."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Checking your own code")[1]
    source, shown = (text.split(fence)[1].split("```")[0] for fence in ("```python", "says:\n\n```\n"))
    status, out, _ = check(source, name="ae.py")
    same = [re.sub(r"\d+ evaluations|\d\.?\d*e-1\d", "…", report) for report in (out, shown)]
    assert status == 1 and same[0] == same[1]
    names = defined(source)
    P = names["theta"]
    for _ in range(2000):
        G = names["grad"](P)
        P = {name: P[name] - 0.05 * G[name] for name in P}
    assert [round(names["f"](parameters), 2) for parameters in (names["theta"], P)] == [10.3, 0.01]
    assert check(source.replace('@ P["V"] *', '@ P["V"].T *'), name="ae.py")[0] == 0


def test_help_tells_the_names(capsys):
    with pytest.raises(SystemExit):
        cli.main(["check", "--help"])
    text = capsys.readouterr().out
    parts = [f"{name}({arguments})" for name, arguments in {**student.PARTS, **student.MORE_PARTS}.items()]
    names = [*parts, *student.OPTIONS, "f(theta)", "grad(theta)", "terms", "blocks", "noise", "X", "--json", "--seed"]
    assert [name for name in names if name not in text] == [] and max(map(len, text.splitlines())) <= 80
