"""A whole benchmark of a tiny network: cases, records, the file, tables, picture and verdicts."""

from __future__ import annotations

import dataclasses
import io
import json
import math

import jax
import numpy as np
import pytest
from benchmark_toys import record
from rich.console import Console

from blur.benchmark.contestants import Case, contestants, engine, naive
from blur.benchmark.measure import Contestant
from blur.benchmark.plot import plot_benchmark
from blur.benchmark.runs import BenchmarkPlan, benchmark, read_records, write_records
from blur.benchmark.tables import HEADING, TARGET_HEADING, describe, rows, table, target_rows
from blur.benchmark.targets import TARGETS, judge
from blur.benchmark.workloads import Workload, flop

TINY = Workload("tiny", (4, 3, 2), states=2, batch=8, steps=1)


def test_a_benchmark_of_a_tiny_network(monkeypatch):
    ran = []

    def stand_in(case):
        ran.append(case)
        return {
            name: Contestant(lambda: None, 1.5, 2**21) for name in ("engine", "naive", "sgd")[: 4 - case.population]
        }

    monkeypatch.setattr("blur.benchmark.runs.contestants", stand_in)
    heard = []
    plan = BenchmarkPlan((TINY, dataclasses.replace(TINY, gradient_only=True)), (3,), seconds=0.01, gemm_size=32)
    records = benchmark(plan, heard.append)
    expected = [("forward", 1), ("forward", 3), ("gradient", 1), ("gradient", 1)]
    assert [(each.mode, each.population) for each in records] == [(c.mode, c.population) for c in ran] == expected
    assert heard[1] == "[2/4] tiny forward, 3 genomes"
    for each in records:
        assert each.flop == flop(TINY, each.mode, each.population)
        assert each.roofline_ratio == pytest.approx(each.flop / (each.median_ms * 1e6 * each.gemm_gflops))
        assert (each.compile_s, each.peak_mib) == (1.5, 2.0)
        assert 0 < each.gemm_gflops <= each.machine.gemm_gflops["default"]
    assert records[1].naive_ms is records[1].sgd_ms is None
    assert records[0].naive_ms >= 0


@pytest.mark.parametrize("mode", ["forward", "gradient"])
def test_the_engine_and_the_naive_reference_are_timed_on_the_same_thing(mode):
    results = [player(Case(TINY, mode)).run() for player in (engine, naive)]
    for got, want in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("mapping", ["map", "vmap"])
def test_members_of_a_population_play_the_same_episode_with_genomes_of_their_own(mapping):
    case = Case(TINY, population=3, mapping=mapping)
    scores, losses = engine(case).run(), naive(case).run()
    assert scores.loss.shape == (3, 1)
    for members in (scores.loss, losses):
        assert np.all(np.isfinite(members))
        assert len(np.unique(members)) == 3
    np.testing.assert_allclose(scores.chance, np.log(2), rtol=1e-6)  # two classes, outputs of zero


def test_large_populations_play_without_rivals(monkeypatch):
    for player in ("engine", "naive", "_playing"):
        monkeypatch.setattr(f"blur.benchmark.contestants.{player}", lambda *_: Contestant(lambda: None, 0.0, 0))
    assert list(contestants(Case(TINY, population=16))) == ["engine", "naive", "sgd"]
    assert list(contestants(Case(TINY, population=17))) == ["engine"]


def test_the_default_plan_measures_everything_that_the_targets_are_about():
    cases = [(case.workload.name, case.mode, case.population) for case in BenchmarkPlan().cases]
    assert len(cases) == len(set(cases)) == 4 * 4 + 1
    assert {target.case for target in TARGETS if target.case} <= set(cases)


def test_records_survive_the_file(tmp_path):
    records = [record("wide"), record("small", population=16)]
    path = write_records(records, tmp_path / "new")
    entries = json.loads(path.read_text())
    assert entries[0]["workload"] == "wide"
    assert entries[0]["sgd_ms"] is None
    again = read_records(tmp_path / "new")
    assert again == records
    assert describe(again[0].machine) == "cpu, 2 CPU cores, JAX 0.10.2; GEMM 400, at best 450 (default) GFLOP/s"


def verdicts(records):
    return {verdict.target.name: verdict for verdict in (judge(target, records) for target in TARGETS)}


def test_verdicts():
    found = verdicts(
        [
            record("wide", ms=19.0),
            record("wide", "gradient", ms=1000.0, compile_s=10.04),
            record("boolean", "gradient", ms=2.6, compile_s=4.0),
            record("small", population=16, ms=16.0),
            record("small", population=256, ms=256.0),
            record("deep", population=16, ms=16.0),
            record("deep", population=256, ms=256 * 1.02),
        ]
    )
    assert (found["wide forward-only"].measured, found["wide forward-only"].met) == (0.756, True)
    assert found["wide forward-only"].reference_ms == pytest.approx(20.0)  # 19 ms at 400 GFLOP/s
    assert found["wide gradient meta-step"].met is False
    assert found["small gradient meta-step"].met is found["small gradient meta-step"].reference_ms is None
    assert (found["boolean gradient meta-step"].measured, found["boolean gradient meta-step"].met) == (2.6, False)
    assert (found["a genome's cost, 256 to 16"].measured, found["a genome's cost, 256 to 16"].met) == (1.02, False)
    assert (found["slowest compilation, gradient"].measured, found["slowest compilation, gradient"].met) == (10.0, True)


def test_tables_fit_80_columns_and_show_what_was_not_measured(tmp_path):
    long = record("shallow", population=256, ms=12345.0, spread_ms=37826.0, peak_mib=14321.0, compile_s=100.0)
    records = [record("boolean", "gradient", naive_ms=None), dataclasses.replace(long, naive_ms=99999.0, sgd_ms=9999.0)]
    for heading, body in ((HEADING, rows(records)), (TARGET_HEADING, target_rows(records))):
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(table("title", heading, body))
        text = console.export_text()
        assert "…" not in text
        assert all(cell in text for row in body for cell in row)
    assert rows(records)[0][5:7] == ("–", "–")
    assert rows(records)[1][2] == "12,345"
    assert not any(math.isnan(each.roofline_ratio) for each in records)
    picture = plot_benchmark(records, tmp_path / "benchmark.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
