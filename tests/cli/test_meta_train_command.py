"""`blur meta-train`: options, mixtures, runs that are resumed; nothing is meta-trained."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import jax
import pytest
from cli_toys import OLD_NAME, Capture, error_of

from blur.cli import meta_train_command
from blur.cli.main import EXIT_ERROR, main
from blur.files.genomes import save_genome
from blur.meta import MetaTraining, MetaTrainResult, Setting
from blur.rules.bidirectional import Bidirectional
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.optax_mlp import OptaxMLP


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Collects what `meta_train` is called with, instead of running it."""
    collected = []

    def record(settings: list[Setting], config: MetaTraining, **options: Any) -> MetaTrainResult:
        collected.append((settings, config, options))
        return MetaTrainResult({}, 0.25, 0.75, 1, 2, {})

    monkeypatch.setattr(meta_train_command, "meta_train", record)
    return collected


def test_meta_train_passes_its_options_on(tmp_path: Path, runs: list, capsys: Capture) -> None:
    options = "--steps 3 --batch-size 16 --hidden 4 5 --states 2 --outer CMA_ES --population 8 --seed 7 --devices 1"
    assert main(["meta-train", "xor", "--out", str(tmp_path), *options.split()]) == 0
    assert "validation fitness 0.25, accuracy 0.75" in capsys.readouterr().out
    [setting], config, others = runs[0]
    assert (setting.rule, setting.task.name) == (Bidirectional(hidden=(4, 5), states=2), "xor")
    assert (setting.steps, setting.batch_size) == (3, 16)
    assert config == MetaTraining(outer="CMA_ES", population=8, seed=7)
    command = f"blur meta-train xor --out {tmp_path} {options}"
    assert others == {"init": None, "out": tmp_path, "resume": False, "command": command, "devices": 1}


def test_meta_train_mixes_all_combinations(tmp_path: Path, runs: list, capsys: Capture) -> None:
    command = [
        "meta-train",
        "xor",
        "--out",
        str(tmp_path),
        *["--batch-size", "16", "128", "--depth", "1", "2", "--hidden", "4"],
    ]
    assert main([*command, "--steps", "5", "10", "20"]) == 0
    combinations = {(setting.rule, setting.steps, setting.batch_size) for setting in runs[0][0]}
    rules = [Bidirectional(hidden=hidden) for hidden in ((4,), (4, 4))]
    assert len(runs[0][0]) == 12
    assert combinations == set(itertools.product(rules, (5, 10, 20), (16, 128)))
    capsys.readouterr()
    assert "--depth is 1 2 and --hidden 4 5; expected depths of at least 1 and one width" in error_of(
        [*command, "5"], capsys
    )


def test_a_resumed_run_keeps_its_options(tmp_path: Path, runs: list, capsys: Capture) -> None:
    command = ["meta-train", "xor", "--out", str(tmp_path)]
    assert main([*command, *["--steps", "3", "--states", "2", "--seed", "7"]]) == 0
    assert main([*command, "--resume"]) == 0
    assert main([*command, "--resume", "--steps", "3"]) == 0
    assert [options["resume"] for _, _, options in runs] == [False, True, True]
    for settings, config, _ in runs:
        assert [(setting.rule, setting.steps) for setting in settings] == [(Bidirectional(states=2), 3)]
        assert config == MetaTraining(seed=7)
    assert [options["command"] for _, _, options in runs] == [runs[0][2]["command"]] * 3
    capsys.readouterr()
    for options, message in (
        (["--states", "3"], "was started with --states 2, not 3"),
        (["--meta-steps", "2001"], "was started with --meta-steps 2000, not 2001"),
        (["--seed", "0"], "was started with --seed 7, not 0"),  # the default, but given
        (["--steps", "4", "5"], f"the run in {tmp_path} was started with --steps 3, not 4 5; leave the option out"),
        (["--meta-steps", "9"], "was started with --meta-steps 2000, not 9"),
    ):
        assert message in error_of([*command, "--resume", *options], capsys)
    assert "was started with task xor, not and" in error_of(
        ["meta-train", "and", "--out", str(tmp_path), "--resume"], capsys
    )


@pytest.mark.parametrize("option", [["--unroll", "3", "5"], ["--unroll=3", "5"]])
def test_the_old_name_of_steps_works_and_says_the_new_one(
    option: list[str], tmp_path: Path, runs: list, capsys: Capture
) -> None:
    assert main(["meta-train", "xor", "--out", str(tmp_path), *option]) == 0
    assert [setting.steps for setting in runs[0][0]] == [3, 5]
    assert capsys.readouterr().err == OLD_NAME
    assert main(["meta-train", "xor", "--out", str(tmp_path), "--resume", *option]) == 0
    assert capsys.readouterr().err == OLD_NAME
    assert main(["meta-train", "xor", "--out", str(tmp_path), "--steps", "4", *option]) == EXIT_ERROR
    assert "--unroll and --steps are two names of one option" in capsys.readouterr().err


def test_a_run_with_the_old_name_is_resumed(tmp_path: Path, runs: list, capsys: Capture) -> None:
    command = ["meta-train", "xor", "--out", str(tmp_path)]
    assert main([*command, "--steps", "3", "--seed", "7"]) == 0
    file = tmp_path / "command.json"
    saved = json.loads(file.read_text())
    saved["unroll"] = saved.pop("steps")
    saved["words"] = ["--unroll" if word == "--steps" else word for word in saved["words"]]
    file.write_text(json.dumps(saved))
    assert main([*command, "--resume"]) == 0
    assert main([*command, "--resume", "--steps", "3"]) == 0
    assert [([setting.steps for setting in settings], config.seed) for settings, config, _ in runs] == [([3], 7)] * 3
    capsys.readouterr()
    assert main([*command, "--resume", "--unroll", "4"]) == EXIT_ERROR
    assert capsys.readouterr().err.startswith(
        f"{OLD_NAME}blur: error: the run in {tmp_path} was started with --steps 3"
    )


def test_meta_train_starts_from_a_genome(tmp_path: Path, adam: Path, runs: list, capsys: Capture) -> None:
    command = ["meta-train", "xor", "--out", str(tmp_path), "--init", str(adam)]
    assert main(command) == 0
    assert main([*command, "--hidden", "5"]) == 0
    rules = [setting.rule for [setting], _, _ in runs]
    assert rules == [OptaxMLP(hidden=(width,), optimizer="adam") for width in (16, 5)]
    assert float(runs[0][2]["init"]["learning_rate"]) == pytest.approx(1e-2)
    capsys.readouterr()
    for states in ("3", str(Bidirectional().states)):
        assert "only --hidden goes with it" in error_of([*command, "--states", states], capsys)


def test_attention_is_meta_trained_further_on_its_task(tmp_path: Path, runs: list) -> None:
    rule = LinearAttention(10)
    file = save_genome(tmp_path / "attention.safetensors", rule, rule.init_genome(jax.random.key(0)))
    options = ["--init", str(file), "--steps", "1", "--batch-size", "10", "--out", str(tmp_path / "run")]
    assert main(["meta-train", "in_context_regression", *options]) == 0
    [setting] = runs[0][0]
    assert (setting.rule, setting.steps, setting.batch_size) == (rule, 1, 10)
    episode = setting.sample(jax.random.key(0))
    assert episode.steps == 1
    assert episode.support.inputs.shape == (10, 10)
    assert episode.query.inputs.shape == (100, 10)


def test_hidden_layers_of_the_default_width_count_if_they_were_asked_for(
    tmp_path: Path, adam: Path, runs: list, capsys: Capture
) -> None:
    [width] = map(str, Bidirectional().hidden)
    assert main(["meta-train", "xor", "--out", str(tmp_path), "--init", str(adam), "--hidden", width]) == 0
    assert runs[0][0][0].rule.hidden == Bidirectional().hidden


def test_resuming_nothing_writes_nothing(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "run"
    assert "holds no run to resume" in error_of(["meta-train", "xor", "--out", str(out), "--resume"], capsys)
    assert not out.exists()


def test_there_is_no_accuracy_in_regression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    result = MetaTrainResult({}, 0.25, float("nan"), 1, 2, {})
    monkeypatch.setattr(meta_train_command, "meta_train", lambda *_, **__: result)
    assert main(["meta-train", "sine", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("validation fitness 0.25 (candidate 1)\n")
