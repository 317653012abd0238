"""The harness of claims: verdicts, records and the command line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from claims_toys import claim_record
from harness.claim import Claim, Finding, above, at_least, at_most, examine, reported, timed
from harness.verdicts import put_record, read_records, table, to_json
from matplotlib.figure import Figure
from run import find_claims, load

RUN = Path(__file__).resolve().parents[2] / "scripts" / "claims" / "run.py"


def run(*arguments):
    return subprocess.run([sys.executable, RUN, *arguments], capture_output=True, text=True, check=False, timeout=120)


def toy(measured: float) -> Claim:
    return Claim("T1", "a toy", "nowhere", lambda limit: Finding([at_most("x", measured, limit)], Figure()), 1.0, 2.0)


@pytest.mark.parametrize(("value", "small", "large"), [(1.0, True, True), (2.0, False, True), (math.nan, False, False)])
def test_verdicts(value, small, large):
    assert at_most("x", value, 1.0).ok is small
    assert at_least("x", value, 1.0).ok is large
    assert above("x", value, 1.0).ok is (large and not small)
    assert reported("x", value).ok is None


@pytest.mark.parametrize(("measured", "full", "ok"), [(0.5, False, True), (1.5, False, False), (1.5, True, True)])
def test_a_record_says_what_was_measured(tmp_path, measured, full, ok):
    record = examine(toy(measured), full=full, out=tmp_path)
    assert record["ok"] is ok
    assert record["measured"] == {"x": measured}
    assert record["expected"] == {"x": "≤ 2" if full else "≤ 1"}
    assert record["preset"] == ("full" if full else "quick")
    assert record["verdicts"] == {"x": ok}
    assert read_records(tmp_path) == [record]
    assert (tmp_path / "T1.png").stat().st_size > 0


def test_figures_that_are_not_finite_are_text_in_records():
    assert json.loads(to_json([{"x": math.nan, "y": 1.0}])) == [{"x": "nan", "y": 1.0}]


@pytest.mark.parametrize(("cores", "limit", "ok"), [(2, 1.0, False), (2, 3.0, True), (2, None, None), (1, 1.0, None)])
def test_times_are_judged_on_two_cores(monkeypatch, cores, limit, ok):
    monkeypatch.setattr("harness.claim.usable_cores", lambda: cores)
    assert timed("seconds", 2.0, limit).ok is ok


def test_records_are_replaced_one_by_one_and_kept_in_order(tmp_path):
    for one in (
        claim_record("A10"),
        claim_record("B3"),
        claim_record("A2"),
        claim_record("A2", preset="full"),
        claim_record("A2", ok=False),
    ):
        put_record(tmp_path, one)
    found = [(one["id"], one["preset"], one["ok"]) for one in read_records(tmp_path)]
    assert found == [("A2", "full", True), ("A2", "quick", False), ("A10", "quick", True), ("B3", "quick", True)]


@pytest.mark.parametrize("content", ["[", "{}", '[{"id": "A1"}]', "[1]", json.dumps([claim_record("toy")]), "\udcff"])
def test_a_broken_file_of_records_is_one_line(tmp_path, content):
    (tmp_path / "claims.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=r"claims\.json holds no list of claims' records; expected .* move it away$"):
        read_records(tmp_path)


def test_the_runner_finds_a_broken_file_before_the_work(tmp_path):
    (tmp_path / "claims.json").write_text("[", encoding="utf-8")
    refused = run("A1", "--out", tmp_path)
    assert refused.returncode == 2
    assert "error: argument --out:" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_table_has_checks_with_a_verdict_and_failures_in_bold():
    assert table([claim_record("A1", statement="|a*| = b*"), claim_record("A2", ok=False)]).splitlines()[2:] == [
        r"| **A1** \|a\*\| = b\* | \|x\|: 0.1235 (≤ 1) | holds, 12 s, quick |",
        r"| **A2** It holds | **\|x\|: nan (≤ 1)** | **fails**, 12 s, quick |",
    ]


def test_every_claim_is_found_under_its_own_id():
    claims = find_claims()
    assert {f"A{number}" for number in range(1, 11)} <= set(claims)
    for name, module in claims.items():
        claim = load(module)
        assert claim.id == name
        assert type(claim.quick) is type(claim.full)


def test_the_runner_lists_and_refuses():
    listed = run("--list")
    assert listed.returncode == 0
    assert listed.stdout.startswith("A1: One constructed layer")
    unknown = run("A99")
    assert unknown.returncode == 2
    assert "there is no claim A99; there are A1, A2" in unknown.stderr
