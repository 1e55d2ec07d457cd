"""The lessons' runner on throw-away courses, and the form of the real lessons. The course itself is not run here."""
import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lessons.__main__ import FOLDER, main
from tinyvae.checks import claims
from tinyvae.checks.ledger import TAGS

PASSING = '''# %% [markdown]
# # 10 · A sum
# **Question.** Do two routes
# to one number agree?
# Tags AE.1, KL.3 · 1 s
# %%
import sys
from tinyvae.checks.claims import claim_equal, claim_true
claim_equal("AE.1", "1 + 1 = 2", 1 + 1, 2, tol=1e-12)
claim_true("KL.3", "0.5 > 0", 0.5 > 0, 0.5)
sys.exit(0)
'''
FAILING = '''# %% [markdown]
# # 20 · A wrong sum
# **Question.** What if not?
# Tags AE.1, PCA.1 · 1 s
# %%
from tinyvae.checks.claims import claim_equal
claim_equal("PCA.1", "2 = 2", 2.0, 2.0, tol=1e-12)
claim_equal("AE.1", "1 + 1 = nan", 2, float("nan"), tol=1e-12)
print("never printed")
'''
RAISING = '''# %% [markdown]
# # 30 · A slip
# **Question.** And if it breaks?
# Tags AE.2 · 1 s
# %%
def divide(a, b):
    return a / b
divide(1, 0)
'''
COURSE = {"10_sum.py": PASSING, "20_wrong.py": FAILING, "30_slip.py": RAISING}


@pytest.fixture
def course(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "RECORDS", [])
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for name in reversed(COURSE):                           # reading order must not be that of the directory
        (tmp_path / name).write_text(COURSE[name], encoding="utf-8")
    (tmp_path / "notes_10.py").write_text("raise RuntimeError('not a lesson')")
    return tmp_path


def ledger(folder):
    return json.loads((folder / "out" / "ledger.json").read_text(encoding="utf-8"))


# ---- the runner ----------------------------------------------------------------------------------------------------

def test_a_course_goes_on_after_failures_and_reports_them(course, capsys):
    assert main([], folder=course) == 1
    out = capsys.readouterr().out
    assert re.findall(r"^\[(\d/3)\] (\d\d) · (.+)$", out, re.MULTILINE) == [
        ("1/3", "10", "A sum"), ("2/3", "20", "A wrong sum"), ("3/3", "30", "A slip")]
    assert re.findall(r"^\[\d/3\] (ended well|FAILED) after \d+\.\d s$", out, re.MULTILINE) == [
        "ended well", "FAILED", "FAILED"]
    assert "ClaimFailed: [AE.1] 1 + 1 = nan" in out and "never printed" not in out
    assert "ZeroDivisionError" in out and "30_slip.py" in out and "runpy" not in out
    assert f"2 of {len(TAGS)} tags verified by 4 claims" in out                 # AE.1 passed once and failed once
    assert "AE.1 in 20_wrong: 1 + 1 = nan" in out
    assert out.rstrip().endswith("lessons that did not end well: 20 30")
    open_tags = out.split("open:\n")[1].split("claims that")[0].split()
    assert open_tags == [tag for tag in TAGS if tag not in ("PCA.1", "KL.3")]
    assert max(map(len, out.split("open:\n")[1].splitlines())) <= 100


def test_the_ledger_file_holds_the_records_of_the_run(course):
    main([], folder=course)
    records = ledger(course)
    assert [(r["tag"], r["lesson"], r["ok"]) for r in records] == [
        ("AE.1", "10_sum", True), ("KL.3", "10_sum", True), ("PCA.1", "20_wrong", True), ("AE.1", "20_wrong", False)]
    assert records[3]["rhs"] == records[3]["error"] == "nan" and records[3]["claim"] == "1 + 1 = nan"
    assert [path.name for path in (course / "out").iterdir()] == ["ledger.json"]
    assert main(["10"], folder=course) == 0                 # a shorter run has a shorter ledger
    assert ledger(course) == records[:2]


def test_some_lessons_run_in_reading_order(course, capsys):
    assert main(["30", "10"], folder=course) == 1
    assert re.findall(r"^\[./2\] (\d\d) ·", capsys.readouterr().out, re.MULTILINE) == ["10", "30"]


@pytest.mark.parametrize("last_line, status", [
    ("raise SystemExit('stop')", 1), ("sys.exit(3)", 1), ("sys.exit(0)", 0), ("this is no python", 1),
    ("try: claim_equal('AE.1', 'caught', 1, 2, tol=1e-9)\nexcept AssertionError: pass", 1)])
def test_how_a_lesson_ends_decides(last_line, status, course):
    (course / "10_sum.py").write_text(PASSING.replace("sys.exit(0)", last_line), encoding="utf-8")
    assert main(["10"], folder=course) == status


def test_list_shows_titles_and_questions_and_runs_nothing(course, capsys):
    assert main(["--list"], folder=course) == 0
    assert capsys.readouterr().out.splitlines() == [
        "10 · A sum", "  Do two routes to one number agree?", "20 · A wrong sum", "  What if not?",
        "30 · A slip", "  And if it breaks?"]
    assert main(["--list", "20"], folder=course) == 0
    assert capsys.readouterr().out.splitlines() == ["20 · A wrong sum", "  What if not?"]
    assert not (course / "out").exists()


def test_an_unknown_number_is_refused_in_one_line(course, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["10", "99", "x"], folder=course)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "no lesson 99 x; there are: 10 20 30\n"


def test_an_empty_folder_is_not_a_success(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([], folder=tmp_path)
    assert "there are: none" in capsys.readouterr().err


def test_the_command_works_from_anywhere_on_a_plain_terminal(course):
    lessons = course / "lessons"
    lessons.mkdir()
    shutil.copy(FOLDER / "__main__.py", lessons)
    shutil.copy(course / "20_wrong.py", lessons)
    (lessons / "30_backend.py").write_text("import os\nprint(os.environ['MPLBACKEND'], 'λ')\n", encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    env |= {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(FOLDER.parent)}

    def run(*numbers):
        return subprocess.run([sys.executable, lessons / "__main__.py", *numbers], cwd=course, env=env,
                              capture_output=True, text=True, timeout=60)

    everything, well = run(), run("30")
    assert everything.returncode == 1 and everything.stderr == ""
    assert "  ok\n" in everything.stdout and "  FAILED\n" in everything.stdout and "Agg ?" in everything.stdout
    assert well.returncode == 0 and ledger(lessons) == []


# ---- the form of the real lessons ----------------------------------------------------------------------------------

LESSONS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
MOST_LINES = 12                                             # of prose, or of code, in one cell


def header_tags(text):
    """The tags that a header line such as "# Tags EL.0–EL.3, EL.a–d, KL.5 · needs 50 · 6 s" names, ranges filled in."""
    order, tags = list(TAGS), set()
    for part in re.search(r"^# Tags ([^·\n]+)", text, re.MULTILINE)[1].strip().split(", "):
        first, _, last = part.partition("–")
        last = last if "." in last else first[:first.index(".") + 1] + last if last else first
        tags.update(order[order.index(first):order.index(last) + 1])
    return tags


def cells(text):
    """(first line's number, lines) of every cell, without its marker; number 0 stands before the first one."""
    found = [(0, [])]
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("# %%"):
            found.append((number, []))
        elif line.strip(" #"):
            found[-1][1].append(line)
    return found


def test_header_tags_fills_in_ranges():
    assert header_tags("# Tags EL.0–EL.1, KL.4–5, CV.1 · needs 50") == {
        "EL.0", "EL.a", "EL.b", "EL.c", "EL.d", "EL.1", "KL.4", "KL.5", "CV.1"}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_says_what_it_asks_and_what_it_covers(path):
    before, first = cells(path.read_text(encoding="utf-8"))[:2]
    assert before[1] == [] and path.read_text(encoding="utf-8").startswith("# %% [markdown]")
    assert re.fullmatch(rf"# # {path.name[:2]} · \S.*", first[1][0])
    assert sum(line.startswith("# **Question.** ") for line in first[1]) == 1
    assert sum(line.startswith("# Tags ") for line in first[1]) == 1


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_claims_only_tags_of_its_header(path):
    text = path.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    named = {node.value for node in nodes if isinstance(node, ast.Constant) and node.value in TAGS}
    claims_made = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                   and node.func.id in ("claim_equal", "claim_mean", "claim_true")]
    claimed = {node.args[0].value for node in claims_made if isinstance(node.args[0], ast.Constant)}
    assert named | claimed and named | claimed <= header_tags(text)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_goes_in_small_steps(path):
    long = {number: len(lines) for number, lines in cells(path.read_text(encoding="utf-8")) if len(lines) > MOST_LINES}
    assert not long, f"cells with more than {MOST_LINES} lines, by the line where they begin: {long}"
