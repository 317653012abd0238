"""The command line: a genome's whole life, help, and one line for every error."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from report_toys import RECORDS
from sklearn.datasets import load_digits

import blur
from blur.cli import evaluate as evaluate_command
from blur.cli import main as cli
from blur.cli import meta_train as meta_train_command
from blur.cli.main import COMMANDS, EXIT_ERROR, EXIT_INTERRUPTED, main
from blur.evaluation.presets import PRESETS
from blur.evaluation.records import EvaluationRecord
from blur.files.genomes import load_genome, save_genome
from blur.meta import MetaTraining, MetaTrainResult, Setting
from blur.rules.bidirectional import Bidirectional
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.optax_mlp import OptaxMLP
from blur.rules.original import OriginalNetwork

Capture = pytest.CaptureFixture[str]


def error_of(arguments: list[str], capsys: Capture) -> str:
    """Runs a command that must fail with one line on stderr, which is returned."""
    assert main(arguments) == EXIT_ERROR
    output = capsys.readouterr()
    assert output.err.startswith("blur: error: ")
    assert output.err.count("\n") == 1
    return output.err


@pytest.fixture
def adam(tmp_path: Path) -> Path:
    """A genome file: Adam on a small network."""
    rule = OptaxMLP(hidden=(16,), optimizer="adam")
    genome = {**rule.init_genome(jax.random.key(0)), "learning_rate": jax.numpy.asarray(1e-2)}
    return save_genome(tmp_path / "adam.safetensors", rule, genome, description="Adam")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """300 digits with labels."""
    data = load_digits()
    np.savez(tmp_path / "digits.npz", images=data.images[:300], labels=data.target[:300])
    return tmp_path / "digits.npz"


def test_train_and_predict(tmp_path: Path, adam: Path, digits: Path, capsys: Capture) -> None:
    model = tmp_path / "models" / "model.safetensors"
    assert main(["train", str(adam), "--data", str(digits), "--steps", "60", "--out", str(model)]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert main(["predict", str(model), "--data", str(digits)]) == 0
    output = capsys.readouterr()
    predicted = np.array([int(line) for line in output.out.split()])
    share = np.mean(predicted == load_digits().target[:300])
    assert share > 0.8
    assert output.err == f"accuracy {share:.4f}\n"

    np.savez(tmp_path / "one.npz", x=load_digits().images[0])
    assert main(["predict", str(model), "--data", str(tmp_path / "one.npz")]) == 0
    assert capsys.readouterr().out == f"{predicted[0]}\n"

    out = tmp_path / "predictions.npz"
    assert main(["predict", str(model), "--data", str(digits), "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out)["predictions"], predicted)


def test_train_with_other_hidden_layers(tmp_path: Path, adam: Path, digits: Path, capsys: Capture) -> None:
    out = tmp_path / "model.safetensors"
    options = ["--unroll", "2", "--hidden", "5", "4", "--out", str(out)]
    assert main(["train", str(adam), "--data", str(digits), *options]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("2 inner steps;")
    assert output.err == OLD_NAME
    assert main(["predict", str(out), "--data", str(digits)]) == 0


def test_genome_show_validate_and_convert(tmp_path: Path, adam: Path, capsys: Capture) -> None:
    assert main(["genome", "show", str(adam)]) == 0
    shown = capsys.readouterr().out
    assert "parameters: 3" in shown
    assert '"type": "OptaxMLP"' in shown
    assert "description: Adam" in shown
    assert main(["genome", "validate", str(adam), str(adam)]) == 0
    assert capsys.readouterr().out == f"{adam}: valid\n" * 2
    assert main(["genome", "convert", str(adam), str(tmp_path / "adam.json")]) == 0
    assert json.loads((tmp_path / "adam.json").read_text())["tensors"]["genome/output_scale"] == 1.0
    assert "only genomes of OriginalNetwork" in error_of(["genome", "convert", str(adam), "x.npz"], capsys)
    assert "known are .safetensors to .json" in error_of(["genome", "convert", str(adam), "x.pkl"], capsys)


def test_the_original_s_dictionary_goes_out_and_in(tmp_path: Path, capsys: Capture) -> None:
    network = OriginalNetwork(hidden=(7,), states=3)
    genome = network.init_genome(jax.random.key(0))
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_genome(first, network, genome)
    assert main(["genome", "convert", str(first), str(tmp_path / "a.npz")]) == 0
    assert main(["genome", "convert", str(tmp_path / "a.npz"), str(second), "--hidden", "7"]) == 0
    restored = load_genome(second)
    assert restored.rule == network
    jax.tree.map(np.testing.assert_array_equal, restored.genome, genome)


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
    file = tmp_path / "command.json"
    file.write_text(file.read_text().replace('"steps": ', '"unroll": '))  # its name before
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


OLD_NAME = "blur: --unroll is now called --steps\n"


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


def test_attention_is_not_trained_but_shown_a_context(tmp_path: Path, capsys: Capture) -> None:
    np.savez(tmp_path / "d.npz", x=np.ones((20, 10)), y=np.ones(20))
    options = ["--data", str(tmp_path / "d.npz"), "--out", str(tmp_path / "m.safetensors")]
    assert "learns in context" in error_of(["train", "linear_attention_1", *options], capsys)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "unknown command 'fly'"),
        (["train"], "Missing from blur train: GENOME"),
        (["train", "g", "--data", "d.npz", "--out", "m", "--speed", "3"], "Unrecognized options: --speed"),
        (["train", "g", "--data", "d.npz", "--out", "m", "--steps", "x"], "Error parsing --steps"),
        (["train", "nobody", "--data", "d.npz", "--out", "m"], "nobody is neither a file nor a genome"),
        (["predict", "nothing.safetensors", "--data", "d.npz"], "there is no such file"),
        (["genome", "validate"], "no file was given"),
        (["genome", "validate", str(Path(__file__))], "not a safetensors file"),
        (["genome", "show", "nobody"], "nobody is neither a file nor a genome"),
        (["meta-train", "nonsense_task", "--out", "x", "--resolution", "8"], "there is no task 'nonsense_task'"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in error_of(arguments, capsys)
    assert list(tmp_path.iterdir()) == []


def test_files_without_the_arrays_wanted(tmp_path: Path, adam: Path, capsys: Capture) -> None:
    np.savez(tmp_path / "d.npz", inputs=np.ones((3, 2)))
    train = ["train", str(adam), "--data", str(tmp_path / "d.npz"), "--out", str(tmp_path / "m.safetensors")]
    assert "has no labels" in error_of(train, capsys)
    np.savez(tmp_path / "d.npz", something=np.ones(3))
    assert "has the arrays ['something']" in error_of(train, capsys)
    assert "no array 'synapse/transform/pre'" in error_of(
        ["genome", "convert", str(tmp_path / "d.npz"), str(tmp_path / "g.safetensors")], capsys
    )


def test_debug_shows_the_traceback_and_still_ends_with_the_line(capsys: Capture) -> None:
    assert main(["genome", "show", "nobody", "--debug"]) == EXIT_ERROR
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith("blur: error: nobody")


def test_an_interruption_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def interrupt(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupt)
    assert main(["tasks"]) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "blur: interrupted\n"


def test_mistakes_of_the_library_are_marked(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(cli, "_dispatch", lambda words: [][0])
    assert "IndexError: list index out of range (unexpected; --debug" in error_of(["tasks"], capsys)


Starts = list[tuple[str, list[str], str]]


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    """What the program would start itself as: path, words and tunables. A real execve does not come back."""
    found: Starts = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "blur", "demo"])
    monkeypatch.setattr(sys, "argv", ["/blur/__main__.py", "--debug", "demo"])
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(os, "execve", lambda path, words, env: found.append((path, words, env["GLIBC_TUNABLES"])))
    monkeypatch.setattr(cli, "main", lambda: 7)
    return found


def test_the_program_starts_itself_again_for_large_pages(starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.start() == 7
    words = [sys.executable, "-X", "blur_again", "-m", "blur", "demo"]
    assert starts == [(sys.executable, words, "glibc.malloc.hugetlb=1")]
    assert "GLIBC_TUNABLES" not in os.environ

    def no_start(*arguments: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "execve", no_start)
    assert cli.start() == 7


def test_it_does_not_where_it_must_not(starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name, value in (
        (sys, "platform", "darwin"),
        (sys, "argv", ["blur", "--help"]),
        (sys, "_xoptions", {"blur_again": True}),
        (os, "environ", {"GLIBC_TUNABLES": "mine"}),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(owner, name, value)
            assert cli.start() == 7
    assert starts == []


def test_the_program_that_starts_itself_again_runs() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    ran = subprocess.run(
        [sys.executable, "-m", "blur", "demo", "--help"], env=environment, capture_output=True, text=True, check=True
    )
    assert "usage: blur demo" in ran.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: Capture) -> None:
    assert main([name, "--help"]) == 0
    assert f"usage: blur {name}" in capsys.readouterr().out


def test_overview_version_and_lists(capsys: Capture) -> None:
    for arguments in ([], ["--help"]):
        assert main(arguments) == 0
        overview = capsys.readouterr().out
        assert all(name in overview for name in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"blur {blur.__version__}\n"
    for command, expected in (("rules", "Bidirectional: "), ("tasks", "digits: "), ("genomes", "")):
        assert main([command]) == 0
        assert expected in capsys.readouterr().out
