"""The rules of the house, read from its source: arrows, lazy imports, tags, docstrings, and what is nowhere to be."""
import ast
import configparser
import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from tinyvae.checks.ledger import TAGS

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "tinyvae").rglob("*.py"))
LESSONS = sorted((ROOT / "lessons").rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES + LESSONS}

# From the ground up; a room imports from the lines above its own.
FLOORS = [["validation", "kernels"], ["ops", "corruption"], ["distributions"], ["full_gaussian"], ["bounds"], ["params"],
          ["mlp"], ["penalties"], ["optim"], ["train"], ["estimator"], ["likelihood"],
          ["linear", "autoencoder", "vae", "classifiers"], ["checks", "datasets", "plots"], ["files"],
          ["reports", "student"], ["cli"], ["__main__"]]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ONLY = dict.fromkeys(["checks", "datasets", "plots", "corruption"], {"validation"})             # they know no model


def name_of(path):
    return str(path.relative_to(ROOT))


def imports(path):
    """Dotted names of all modules, and names of modules, that a source imports, also inside functions."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[:len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [start, node.module]))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room(module):
    """The room of a dotted name such as tinyvae.checks.ledger.TAGS, or None outside."""
    parts = module.split(".")
    return parts[1] if parts[0] == "tinyvae" and len(parts) > 1 else None


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


# ---- who imports whom ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_arrows_only_point_down(path):
    here = path.relative_to(ROOT / "tinyvae").with_suffix("").parts[0]
    if here == "__init__":
        assert not any(map(room, imports(path)))                            # it loads names when they are first used
        return
    assert here in FLOOR, f"give {here} its floor in FLOORS"
    for other in {room(module) for module in imports(path)} - {None, "__version__", here}:
        assert other in FLOOR and FLOOR[other] < FLOOR[here], f"{here} imports {other}"
        assert here not in ONLY or other in ONLY[here], f"{here} imports {other}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_what_no_room_imports(path):
    roots = {module.split(".")[0] for module in imports(path)}
    assert not roots & {"lessons", "tests", "pickle", "shelve", "marshal", "joblib", "requests", "socket"}
    assert "urllib" not in roots or name_of(path) == "tinyvae/datasets/fetch.py"
    assert "numba" not in roots or path.name == "kernels.py"
    assert "matplotlib" not in roots or path.parent.name == "plots"
    third_party = roots - set(sys.stdlib_module_names) - {"tinyvae"}
    assert third_party <= {"numpy", "scipy", "numba", "matplotlib", "tqdm", "sklearn"}
    if "sklearn" in third_party:                                        # never a requirement: inside what only it calls
        assert path.name in ("estimator.py", "classifiers.py")


def loaded(code, *names):
    """Which of these modules a fresh interpreter has loaded after `code`."""
    report = f"{code}; import sys, json; print(json.dumps([n for n in {names!r} if n in sys.modules]))"
    return json.loads(output(sys.executable, "-c", report))


def output(*command):
    """Standard output of a command at the root of the repository; raises if it fails."""
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_import_tinyvae_is_light():
    heavy = "numba", "matplotlib", "scipy", "tqdm", "sklearn"
    assert loaded("import tinyvae", "tinyvae", *heavy) == ["tinyvae"]
    assert loaded("import tinyvae.cli", "tinyvae.cli", "matplotlib") == ["tinyvae.cli"]    # help waits for no figures
    train = "import tinyvae, numpy; tinyvae.VAE(1, n_epochs=1).fit(numpy.eye(4))"
    assert not {"matplotlib", "sklearn"} & set(loaded(train, *heavy))


def test_every_lazy_name_is_there():
    import tinyvae

    for name in tinyvae.__all__:
        assert getattr(tinyvae, name) is not None and name in dir(tinyvae)
    assert tinyvae.plots.__name__ == "tinyvae.plots"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tinyvae.nothing


# ---- tags ------------------------------------------------------------------------------------------------------------


TAG = r"[A-Z]{2,3}\.(?:\d+E?|[A-Za-z])"
TAG_LIST = rf"{TAG}(?:(?:, |–)(?:{TAG}|\w+))*"


def tags(text):
    """Tags of a text: [EL.3], [PCA.1–3], [AE.1, AE.2], "Tags EL.0–EL.3, EL.a–d", claim_true("EL.1", …"""
    lists = re.findall(rf"\[({TAG_LIST})\]|Tags ({TAG_LIST})|claim_\w+\(\s*\"({TAG})\"", text)
    for item in ", ".join(filter(None, sum(lists, ()))).split(", "):
        first, _, last = item.partition("–")
        if not last:
            yield from filter(None, [first])
            continue
        family, start = first.split(".")
        yield from (f"{family}.{chr(code)}" for code in range(ord(start), ord(last.split(".")[-1]) + 1))


def test_tags_are_read_as_they_are_written():
    text = """x   [EL.3]  [PCA.1–3] [AE.1, NL.1E] # Tags EL.0–EL.2, EL.a–d, GM.E · 5 s   x[K.1] [np.abs]
    claim_equal(
        "CV.1", claim_true("SP.E", 1)"""
    expected = "EL.3 PCA.1 PCA.2 PCA.3 AE.1 NL.1E EL.0 EL.1 EL.2 EL.a EL.b EL.c EL.d GM.E CV.1 SP.E"
    assert list(tags(text)) == expected.split()


@pytest.mark.parametrize("path", SOURCES + LESSONS, ids=name_of)
def test_every_tag_is_in_the_ledger(path):
    assert set(tags(path.read_text(encoding="utf-8"))) <= set(TAGS)


def test_the_formulas_of_the_models_are_tagged():
    found = {tag for path in SOURCES if path.name != "ledger.py" for tag in tags(path.read_text(encoding="utf-8"))}
    expected = ("AE.1 AE.2 PCA.1 PCA.2 NL.1 NL.2 NL.3 SP.1 DN.1 CT.1 LV.1 LV.2 LV.6 LV.7 LV.8 LV.9 KL.5 "
                "EL.1 EL.2 EL.3 RP.1 RP.2 RP.3 OP.1 OP.2 GM.1 CV.1")
    assert set(expected.split()) <= found


# ---- what every source has, and what none has ------------------------------------------------------------------------


def public(node):
    """Public functions, classes and methods below a module or class."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_everything_public_has_a_docstring(path):
    assert ast.get_docstring(TREES[path])
    assert [node.name for node in public(TREES[path]) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", SOURCES + LESSONS, ids=name_of)
def test_no_global_random_state(path):
    allowed = {"Generator", "RandomState", "default_rng", "PCG64", "SeedSequence"}
    used = {node.attr for node in ast.walk(TREES[path]) if isinstance(node, ast.Attribute)
            and ast.unparse(node.value) in ("np.random", "numpy.random")}
    assert used <= allowed
    assert "random" not in {module.split(".")[0] for module in imports(path)}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_is_printed_evaluated_or_silenced(path):
    called = {ast.unparse(call.func) for call in calls(TREES[path])}
    assert not called & {"eval", "exec", "input", "breakpoint", "plt.show", "np.seterr", "warnings.filterwarnings"}
    assert "print" not in called or name_of(path) in ("tinyvae/checks/claims.py", "tinyvae/cli.py")
    assert not any(name.endswith("rcParams.update") for name in called)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_size(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 450
    assert [f"{path.name}:{i}" for i, line in enumerate(lines, 1) if len(line) > 120] == []


def test_no_path_of_a_machine():
    texts = [path for folder in ("tinyvae", "lessons", "tests", ".ci") for path in (ROOT / folder).rglob("*")
             if path.suffix in (".py", ".md", ".cfg", ".toml", "") and path.is_file()]
    texts += [path for path in ROOT.iterdir() if path.suffix in (".md", ".cfg", ".toml")]
    machine = re.compile(r"/(?:home|Users|root|work|tmp|opt|mnt)/\w")
    assert len(texts) > 30
    assert [name_of(path) for path in texts if machine.search(path.read_text(encoding="utf-8"))] == []


# ---- the folder ------------------------------------------------------------------------------------------------------


def test_top_level_of_the_repository():
    try:
        listed = output("git", "ls-files").splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    top = {Path(name).parts[0] for name in listed}
    assert top <= {"tinyvae", "lessons", "tests", "setup.cfg", "README.md"} | {"pyproject.toml", ".ci", ".gitignore",
                                                                                "LICENSE"}
    assert not [name for name in listed if name.endswith((".pyc", ".nbi", ".nbc", ".pkl")) or "/out/" in name]


def test_pyproject_holds_the_build_system_alone():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text()).keys() == {"build-system"}


def test_readme_and_ci_run_the_same_command():
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("no README.md yet")
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 1 and "pytest" in commands[0]
    assert commands[0] in [line.strip() for line in readme.read_text(encoding="utf-8").splitlines()]


def test_package_data_is_found_and_shipped():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = [pattern.strip() for pattern in config["options.package_data"]["tinyvae.datasets"].split(",")]
    files = [item for item in resources.files("tinyvae.datasets").iterdir()
             if item.is_file() and not item.name.endswith(".py")]
    assert {item.name for item in files} >= {"digits.npz", "mnist5k.npz", "NOTICE"}
    assert all(any(fnmatch.fnmatch(item.name, pattern) for pattern in patterns) for item in files)
    for item in files:
        if item.name.endswith(".npz"):
            with item.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                assert len(arrays.files) > 0
    assert all((folder / "__init__.py").exists() for folder in {path.parent for path in SOURCES})
