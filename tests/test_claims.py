"""Claims as scripts: verdicts, records and the runner; the exact claims hold at the smallest size."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

FOLDER = Path(__file__).resolve().parents[1] / "scripts" / "claims"
sys.path.insert(0, str(FOLDER))

import a01_constructed_layers  # noqa: E402
import a02_engine  # noqa: E402
from claim import Claim, Finding, at_least, at_most, examine, reported, to_json  # noqa: E402
from run import find_scripts, load  # noqa: E402


def run(*arguments):
    return subprocess.run(
        [sys.executable, FOLDER / "run.py", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def toy(measured: float) -> Claim:
    return Claim("T1", "a toy", "nowhere", lambda limit: Finding([at_most("x", measured, limit)], Figure()), 1.0, 2.0)


@pytest.mark.parametrize(("value", "small", "large"), [(1.0, True, True), (2.0, False, True), (math.nan, False, False)])
def test_verdicts(value, small, large):
    assert at_most("x", value, 1.0).ok is small
    assert at_least("x", value, 1.0).ok is large
    assert reported("x", value).ok is None


@pytest.mark.parametrize(("measured", "full", "ok"), [(0.5, False, True), (1.5, False, False), (1.5, True, True)])
def test_a_record_says_what_was_measured(tmp_path, measured, full, ok):
    record = examine(toy(measured), full=full, out=tmp_path)
    assert record["ok"] is ok
    assert record["measured"] == {"x": measured}
    assert record["expected"] == {"x": "≤ 2" if full else "≤ 1"}
    assert record["preset"] == ("full" if full else "quick")
    assert set(record) >= {"id", "statement", "source", "expected", "measured", "ok", "seconds"}
    assert (tmp_path / "T1.png").stat().st_size > 0


def test_figures_that_are_not_finite_are_text_in_records():
    assert json.loads(to_json([{"x": math.nan, "y": 1.0}])) == [{"x": "nan", "y": 1.0}]


def test_every_script_is_found_under_its_own_id():
    scripts = find_scripts()
    assert {f"A{number}" for number in range(1, 11)} <= set(scripts)
    for name, module in scripts.items():
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


def test_constructed_layers_hold_at_the_smallest_size():
    preset = dataclasses.replace(a01_constructed_layers.CLAIM.quick, sizes=((2, 3, 4, 3),), seeds=2)
    assert a01_constructed_layers.measure(preset).ok


def test_the_engine_s_identity_holds_at_the_smallest_size():
    assert a02_engine.measure(dataclasses.replace(a02_engine.CLAIM.quick, steps=3, seeds=2)).ok
