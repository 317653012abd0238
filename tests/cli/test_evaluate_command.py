"""`blur evaluate`: options, presets, interruptions; nothing is played."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_toys import OLD_NAME, Capture, error_of
from report_toys import RECORDS

from blur.cli import evaluate_command
from blur.cli.main import EXIT_INTERRUPTED, main
from blur.evaluation.presets import PRESETS
from blur.evaluation.records import EvaluationRecord
from blur.rules.optax_mlp import OptaxMLP


def test_evaluate_passes_its_options_on(
    tmp_path: Path, adam: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    calls = []
    monkeypatch.setattr(evaluate_command, "compare", lambda *arguments: calls.append(arguments))
    renamed = adam.rename(tmp_path / "mine.safetensors")
    options = "--task mnist --resolution 28 --hidden 64 --steps 10 50 --baselines sgd adam --episodes 100"
    assert main(["evaluate", str(renamed), *options.split(), "--out", str(tmp_path / "out")]) == 0
    [learner], [plan], out = calls[0]
    assert (learner.name, learner.rule) == ("mine", OptaxMLP(hidden=(16,), optimizer="adam"))
    assert (plan.tasks, plan.resolutions, plan.hidden, plan.steps) == (("mnist",), (28,), (64,), (10, 50))
    assert (plan.baselines, plan.episodes, out) == (("sgd", "adam"), 100, tmp_path / "out")
    genome = renamed.rename(tmp_path / "genome.safetensors")
    assert evaluate_command.read_learner(str(genome)).name == tmp_path.name
    assert "no genome was given" in error_of(["evaluate", "--out", "x"], capsys)
    assert main(["evaluate", str(genome), *options.replace("--steps", "--unroll").split(), "--out", "x"]) == 0
    assert calls[1][1] == (plan,)
    assert capsys.readouterr().err == OLD_NAME


def test_a_preset_takes_options_that_are_no_axes(
    adam: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(evaluate_command, "compare", lambda *arguments: calls.append(arguments))
    command = ["evaluate", str(adam), "--out", str(tmp_path / "out"), "--preset", "zoo"]
    assert main(command) == 0
    assert calls[0][1] == PRESETS["zoo"].plans
    options = "--episodes 3 --tuning_episodes 4 --seed 5 --baseline-sizes width synapses --data-dir d"
    assert main([*command, *options.split()]) == 0
    fields = {"episodes": 3, "tuning_episodes": 4, "seed": 5, "baseline_sizes": ("width", "synapses"), "data_dir": "d"}
    assert calls[1][1] == tuple(dataclasses.replace(plan, **fields) for plan in PRESETS["zoo"].plans)
    capsys.readouterr()
    message = error_of([*command, "--batch-size", "128", "--task", "digits"], capsys)  # even if they are the defaults
    assert "--preset zoo decides --task and --batch-size itself" in message
    assert "--preset is 'zo'; did you mean 'zoo'?" in error_of([*command[:-1], "zo"], capsys)
    assert not (tmp_path / "out").exists()


def test_presets_are_in_the_help(capsys: Capture) -> None:
    assert main(["evaluate", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}:" in shown for name in PRESETS)


def test_an_interrupted_evaluation_leaves_what_is_finished(
    tmp_path: Path, adam: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupted(*_: Any, **__: Any) -> Iterator[list[EvaluationRecord]]:
        yield RECORDS
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_command, "evaluate_conditions", interrupted)
    out = tmp_path / "out"
    assert main(["evaluate", str(adam), "--out", str(out)]) == EXIT_INTERRUPTED
    assert len(json.loads((out / "results.json").read_text())) == len(RECORDS)
    assert "learning_rate" in (out / "report.html").read_text()
    assert str(out / "summary.md") in capsys.readouterr().out


@pytest.mark.parametrize("name", ["sine_transformer", "linear_attention_1"])
@pytest.mark.usefixtures("no_type_checks")
def test_rules_that_learn_in_context_are_not_evaluated(name: str, tmp_path: Path, capsys: Capture) -> None:
    message = error_of(["evaluate", name, "--out", str(tmp_path / "out")], capsys)
    assert f"{name} (" in message
    assert "scripts/claims/run.py A3" in message
    assert "hidden" not in message
    assert not (tmp_path / "out").exists()
