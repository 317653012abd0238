"""`blur benchmark`; nothing is timed."""

from __future__ import annotations

import pytest
from benchmark_toys import record

from blur.benchmark.profile import PhaseTime, Profile, read_profiles
from blur.benchmark.storage import StorageRecord
from blur.cli import benchmark_command as command
from blur.cli.main import main

PROFILE = Profile((PhaseTime("hebbian", "first", 6.0, 2.0),), 0.5, 1.5, 10.0)


@pytest.fixture
def plans(monkeypatch):
    """The plans that the command asked for; each is answered with two records."""
    asked = []

    def stand_in(plan, report):
        asked.append(plan)
        report("[1/2] small forward")
        return [record("small", population=16), record("small", "gradient")]

    monkeypatch.setattr(command, "benchmark", stand_in)
    monkeypatch.setattr(command, "profile", lambda workload, mode: PROFILE)
    return asked


def test_tables_files_and_progress(plans, tmp_path, capsys):
    out = tmp_path / "results"
    assert main(["benchmark", "--workload", "small", "small", "--mapping", "map", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["benchmark.json", "benchmark.png", "profiles.json"]
    assert list(read_profiles(out)) == ["small gradient"]
    assert set(read_profiles(out).values()) == {PROFILE}
    printed = capsys.readouterr()
    assert "small gradient: 80% of the time has a name" in printed.out
    assert printed.err == "[1/2] small forward\n"
    assert "small forward-only, 16 genomes" in printed.out
    assert "GEMM 400, at best 450 (default) GFLOP/s" in printed.out
    (plan,) = plans
    assert ([workload.name for workload in plan.workloads], plan.mapping) == (["small"], "map")
    assert plan.populations == (16, 256)


def test_quick_has_no_large_population_and_all_workloads_are_the_default(plans, tmp_path):
    assert main(["benchmark", "--quick", "--out", str(tmp_path)]) == 0
    (plan,) = plans
    assert plan.populations == (16,)
    assert plan.seconds < 1
    assert [workload.name for workload in plan.workloads] == ["small", "wide", "shallow", "deep", "boolean"]


def test_profiles_of_both_modes_are_printed_and_nothing_is_written(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "profile", lambda workload, mode: PROFILE)
    assert main(["benchmark", "--profile", "wide"]) == 0
    printed = capsys.readouterr().out
    assert "wide forward: 80% of the time" in printed
    assert "wide gradient: 80% of the time" in printed
    assert "hebbian" in printed
    assert list(tmp_path.iterdir()) == []


def test_dense_and_dual_synapses_are_compared_instead(monkeypatch, tmp_path, capsys):
    asked = []

    def stand_in(plan, report):
        asked.append(plan)
        return [StorageRecord("wide", plan.population, 5, 16, 64.0, 32.0, 20.0, 10.0, "dual", "cpu")]

    monkeypatch.setattr(command, "compare_storage", stand_in)
    assert main(["benchmark", "--dual", "--quick", "--out", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["storage.json"]
    assert "2.00" in capsys.readouterr().out
    assert main(["benchmark", "--dual", "--out", str(tmp_path)]) == 0
    assert [(plan.population, len(plan.steps)) for plan in asked] == [(16, 2), (256, 4)]
    assert main(["benchmark", "--dual", "--workload", "small"]) == 2
    assert "leave out --workload" in capsys.readouterr().err


def test_an_unknown_workload_is_one_line(capsys):
    assert main(["benchmark", "--workload", "huge"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "huge" in error
