"""The command line: a genome's whole life, help, and one line for every error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from cli_toys import OLD_NAME, Capture, error_of
from sklearn.datasets import load_digits

import blur
from blur.cli import main as cli
from blur.cli.main import COMMANDS, EXIT_ERROR, EXIT_INTERRUPTED, main
from blur.files.genomes import load_genome, save_genome
from blur.rules.original import OriginalNetwork


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


def test_attention_is_not_trained_but_shown_a_context(tmp_path: Path, capsys: Capture) -> None:
    np.savez(tmp_path / "d.npz", x=np.ones((20, 10)), y=np.ones(20))
    options = ["--data", str(tmp_path / "d.npz"), "--out", str(tmp_path / "m.safetensors")]
    assert "learns in context" in error_of(["train", "linear_attention_1", *options], capsys)


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
