"""Run the lessons in reading order and close with the ledger: which tags of the lecture this run has verified.

    python -m lessons            all of them
    python -m lessons 30 70      some
    python -m lessons --list     what there is

Exit status: 0 if every lesson ended well and every claim held, 1 if not, 2 for a lesson that does not exist.
"""
import argparse
import json
import os
import re
import runpy
import sys
import textwrap
import time
import traceback
from pathlib import Path
from typing import NamedTuple

# Before NumPy is loaded: the lessons' matrices are small, and two BLAS threads that wait for each other on a busy machine
# make them ten times slower than one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tinyvae.checks import claims  # noqa: E402
from tinyvae.checks.ledger import TAGS  # noqa: E402

FOLDER = Path(__file__).resolve().parent
WIDTH = 100


class Lesson(NamedTuple):
    path: Path
    number: str
    title: str
    question: str


def main(argv=None, folder=FOLDER):
    """Do what `argv` asks for with the lessons of `folder`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lessons", description="Run the lessons and verify the ledger.")
    parser.add_argument("numbers", nargs="*", metavar="NUMBER", help="lessons to run, such as 30 70 (default: all)")
    parser.add_argument("--list", action="store_true", help="show each lesson's number, title and question")
    args = parser.parse_args(argv)

    lessons = [read_header(path) for path in sorted(folder.glob("[0-9][0-9]_*.py"))]
    existing = [lesson.number for lesson in lessons]
    unknown = [number for number in args.numbers if number not in existing]
    if unknown or not lessons:
        parser.exit(2, f"no lesson {' '.join(unknown or ['at all'])}; there are: {' '.join(existing) or 'none'}\n")
    if args.numbers:
        lessons = [lesson for lesson in lessons if lesson.number in args.numbers]
    if args.list:
        for lesson in lessons:
            print(f"{lesson.number} · {lesson.title}", wrapped(lesson.question), sep="\n")
        return 0

    os.environ.setdefault("MPLBACKEND", "Agg")              # lessons save their figures, no window is needed
    claims.RECORDS.clear()
    failed = [lesson.number for k, lesson in enumerate(lessons, 1) if not run(lesson, f"{k}/{len(lessons)}")]
    write_ledger(claims.RECORDS, folder / "out")
    report(claims.RECORDS, failed)
    return 0 if not failed and all(record["ok"] for record in claims.RECORDS) else 1


def read_header(path):
    """Number, title and question, as the lesson's first cell states them."""
    text = path.read_text(encoding="utf-8")
    title = re.search(r"^# # \d+ · (.+)$", text, re.MULTILINE)
    question = re.search(r"^# \*\*Question\.\*\* (.+(?:\n# (?!Tags ).+)*)", text, re.MULTILINE)
    return Lesson(path, path.name[:2], title[1].strip() if title else path.stem,
                  question[1].replace("\n# ", " ") if question else "")


def run(lesson, progress):
    """Run one lesson as a script, in this process; True if it ended well. What it raises is shown, not passed on."""
    print(f"\n[{progress}] {lesson.number} · {lesson.title}", flush=True)
    start = time.perf_counter()
    error = None
    try:
        runpy.run_path(str(lesson.path), run_name="__main__")
    except Exception as exc:
        error = exc
    except SystemExit as exc:
        error = exc if exc.code else None
    if error is not None:
        print(short_traceback(error, lesson.path), end="")
    print(f"[{progress}] {'ended well' if error is None else 'FAILED'} after {time.perf_counter() - start:.1f} s",
          flush=True)
    return error is None


def short_traceback(error, path):
    """The traceback from the lesson's own line on, without the frames that brought us there."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((i for i, frame in enumerate(frames) if frame.filename == str(path)), len(frames))
    return "".join(traceback.format_list(frames[first:]) + traceback.format_exception_only(error))


def report(records, failed):
    """Print the ledger. A tag is verified when it has a claim and none of its claims failed."""
    refuted = [record for record in records if not record["ok"]]
    verified = {record["tag"] for record in records} - {record["tag"] for record in refuted}
    print(f"\n{len(verified)} of {len(TAGS)} tags verified by {len(records)} claims")
    if len(verified) < len(TAGS):
        print("open:", wrapped(" ".join(tag for tag in TAGS if tag not in verified)), sep="\n")
    if refuted:
        print("claims that do not hold:")
    for record in refuted:
        print(f"  {record['tag']} in {record['lesson']}: {record['claim']}")
        print(f"    lhs {record['lhs']}, rhs {record['rhs']}, error {record['error']}, tol {record['tol']}")
    if failed:
        print("lessons that did not end well:", " ".join(failed))


def write_ledger(records, out):
    """The records as out/ledger.json, whole or not at all."""
    out.mkdir(exist_ok=True)
    temporary = out / "ledger.json.tmp"
    temporary.write_text(json.dumps(records, ensure_ascii=False, allow_nan=False, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, out / "ledger.json")


def wrapped(text):
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")                # a symbol that the terminal lacks becomes a question mark
    sys.exit(main())
