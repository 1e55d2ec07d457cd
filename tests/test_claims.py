"""Claims: what passes, what never passes, what is printed and what is kept."""
import io
import json
import re

import numpy as np
import pytest

from tinyvae.checks import claims
from tinyvae.checks.claims import ClaimFailed, claim_equal, claim_mean, claim_true
from tinyvae.checks.ledger import TAGS

KEYS = ["tag", "lesson", "claim", "lhs", "rhs", "error", "tol", "ok"]
NAN, INF = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def records(monkeypatch):
    monkeypatch.setattr(claims, "RECORDS", [])
    return claims.RECORDS


# ---- what holds and what does not ----------------------------------------------------------------------------------

def test_equal_shows_the_worst_entry(records, capsys):
    claim_equal("EL.1", "gap = KL", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.25], [3.0, 4.125]]), tol=0.3)
    assert records[0] | {"lesson": ""} == {"tag": "EL.1", "lesson": "", "claim": "gap = KL", "lhs": 2.0, "rhs": 2.25,
                                           "error": 0.25, "tol": 0.3, "ok": True}
    line, = capsys.readouterr().out.splitlines()
    assert line.split() == ["EL.1", "gap", "=", "KL", "2", "2.25", "0.25", "<", "0.3", "✓"]


def test_equal_fails_one_wrong_entry_and_says_where(records, capsys):
    with pytest.raises(ClaimFailed, match=r"\[PCA.2\] spans: 7.0 against 6.0 at entry \[1, 2\]; error 1 is not below"):
        claim_equal("PCA.2", "spans", np.array([[0, 0, 0], [0, 0, 7]]), np.array([[0, 0, 0], [0, 0, 6]]), tol=1e-12)
    assert capsys.readouterr().out.rstrip().endswith("✗")
    assert records[0]["ok"] is False and issubclass(ClaimFailed, AssertionError)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
def test_equal_subtracts_in_float64(dtype, records):
    with pytest.raises(ClaimFailed):                        # 0 − 1 wraps in uint8, and is refused between bools
        claim_equal("AE.1", "differ", np.zeros(2, dtype), np.ones(2, dtype), tol=0.5)
    assert records[0]["error"] == 1.0


def test_relative_error_is_measured_by_the_largest_entry_of_rhs(records):
    lhs, rhs = np.array([0.0, -1000.0]), np.array([1.0, -1000.0])
    claim_equal("AE.2", "gradient", lhs, rhs, tol=0.002, relative=True)
    assert records[0]["error"] == 0.001
    with pytest.raises(ClaimFailed):
        claim_equal("AE.2", "gradient", lhs, rhs, tol=0.002)
    with pytest.raises(ValueError, match="rhs.*relative"):
        claim_equal("AE.2", "gradient", lhs, 0 * rhs, tol=0.002, relative=True)


def test_mean_is_judged_in_standard_errors(records):
    claim_mean("EL.2", "unbiased", 1.49, 0.1, 1.0)
    assert records[0]["error"] == pytest.approx(4.9) and records[0]["tol"] == 5
    for mean in (1.51, 0.49):
        with pytest.raises(ClaimFailed, match="not below 5"):
            claim_mean("EL.2", "unbiased", mean, 0.1, 1.0)


def test_mean_of_an_array_is_judged_by_its_largest_z(records):
    claim_mean("LV.1", "moments", np.array([1.0, 2.3]), np.array([1.0, 0.1]), np.array([0.0, 2.0]))
    assert records[0]["lhs"] == 2.3 and records[0]["error"] == pytest.approx(3)


@pytest.mark.parametrize("shown, text", [("2 > 1", "2 > 1"), (2.5, "2.5"), ((1, np.float32(0.25)), "1, 0.25"),
                                         (INF, "inf")])
def test_true_shows_its_evidence(shown, text, records, capsys):
    claim_true("KL.3", "KL is not negative", np.bool_(True), shown)
    assert records[0]["lhs"] == text and records[0]["rhs"] is records[0]["error"] is records[0]["tol"] is None
    assert text in capsys.readouterr().out
    with pytest.raises(ClaimFailed, match=rf"\[KL.3\] KL is not negative: shown: {re.escape(text)}"):
        claim_true("KL.3", "KL is not negative", False, shown)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("lhs, rhs", [(NAN, 1.0), (1.0, NAN), (NAN, NAN), (INF, INF), (1.0, INF),
                                      ([0.0, NAN], [0.0, 1.0]), ([INF, 0.0], [1.0, 5.0]), ([1.0, 2.0], [INF, 2.0])])
def test_what_is_not_finite_never_equals(lhs, rhs, relative):
    with pytest.raises(ClaimFailed):
        claim_equal("EL.1", "equal", lhs, rhs, tol=1e300, relative=relative)


def test_nan_passes_nowhere_else():
    with pytest.raises(ClaimFailed):
        claim_mean("EL.2", "unbiased", NAN, 1.0, 0.0)
    with pytest.raises(ValueError, match="standard_error"):
        claim_mean("EL.2", "unbiased", 0.0, NAN, 0.0)
    with pytest.raises(ClaimFailed):
        claim_true("KL.3", "not negative", True, (1.0, NAN))


# ---- what is refused, before anything is recorded ------------------------------------------------------------------

@pytest.mark.parametrize("error, names, call", [
    (ValueError, "XY.9", lambda: claim_equal("XY.9", "s", 1, 1, 1e-9)),
    (ValueError, "XY.9", lambda: claim_mean("XY.9", "s", 1, 1, 1)),
    (ValueError, "XY.9", lambda: claim_true("XY.9", "s", True, "")),
    (ValueError, "statement", lambda: claim_equal("AE.1", " ", 1, 1, 1e-9)),
    (ValueError, r"lhs \(3,\), rhs \(1,\)", lambda: claim_equal("AE.1", "s", np.ones(3), np.ones(1), 1e-9)),
    (ValueError, "one shape", lambda: claim_mean("AE.1", "s", np.ones(3), 1.0, np.ones(3))),
    (ValueError, "lhs.*entry", lambda: claim_equal("AE.1", "s", [], [], 1e-9)),
    (TypeError, "lhs.*complex", lambda: claim_equal("AE.1", "s", 1j, 1.0, 1e-9)),
    (TypeError, "shown", lambda: claim_true("AE.1", "s", True, None)),
    (TypeError, "condition", lambda: claim_true("AE.1", "s", np.array([True, True]), "")),
    (TypeError, "condition", lambda: claim_true("AE.1", "s", 1, "")),
    (ValueError, "standard_error", lambda: claim_mean("AE.1", "s", 1.0, 0.0, 1.0)),
    (ValueError, "standard_error", lambda: claim_mean("AE.1", "s", 1.0, INF, 1.0)),
    *[(ValueError, "tol", lambda tol=tol: claim_equal("AE.1", "s", 1, 1, tol)) for tol in (0, -1e-9, NAN, INF)],
])
def test_bad_arguments_are_refused(error, names, call, records, capsys):
    with pytest.raises(error, match=names):
        call()
    assert records == [] and capsys.readouterr().out == ""


# ---- what is kept and what is printed ------------------------------------------------------------------------------

def test_records_survive_json(records, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/course/30_pca.py"])
    claim_equal("PCA.1", "two\n  lines", np.float32(1), np.int64(1), tol=np.float64(1e-9))
    claim_mean("EL.2", "mean", np.float64(0), np.float64(1), np.float64(0))
    claim_true("KL.2", "strict", np.bool_(True), np.float64(1))
    for lhs, rhs in ((NAN, 0.0), (INF, -INF)):
        with pytest.raises(ClaimFailed):
            claim_equal("KL.1", "not finite", lhs, rhs, tol=1.0)
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    assert all(list(record) == KEYS and record["lesson"] == "30_pca" for record in records)
    assert records[0]["claim"] == "two lines"
    assert records[3]["lhs"] == records[3]["error"] == "nan" and records[4]["rhs"] == "-inf"
    assert float(records[4]["error"]) == INF


@pytest.mark.parametrize("encoding, marks", [("utf-8", "✓✗"), ("cp1252", ("ok", "FAILED")),
                                             ("ascii", ("ok", "FAILED"))])
def test_lines_fit_any_terminal(encoding, marks, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding))
    long = "∇‖x − x̂‖² " * 20
    claim_equal("PCA.1", long, -1.23456e-5, -1.23456e-5, tol=1.5e-12, relative=True)
    claim_equal("PCA.1", "short x̂ = x̃", 1.0, 1.0, tol=1e-12)
    claim_mean("EL.a", long, -1e-300, 1e-300, -2e-300)
    claim_true("NL.3E", long, True, long)
    with pytest.raises(ClaimFailed):
        claim_true("NL.3E", long, False, long)
    lines = raw.getvalue().decode(encoding).splitlines()
    assert [line.split()[-1] for line in lines] == [marks[0]] * 4 + [marks[1]]
    assert max(map(len, lines)) <= 110                      # 100 and the accents, each of which may become a "?"
    columns = [len(line.replace("\u0302", "").replace("\u0303", "")) for line in lines[:4]]
    if encoding == "utf-8":                                 # accents take no column: all marks stand in one
        assert columns == [95] * 4


def test_the_ledger_has_one_sentence_a_tag():
    assert all(re.fullmatch(r"[A-Z]{2,3}\.(\d?E|\d|[a-d])", tag) for tag in TAGS)
    assert len(set(TAGS.values())) == len(TAGS) == 54
    assert all("\n" not in text and text == text.strip() and text[0].isprintable() for text in TAGS.values())
