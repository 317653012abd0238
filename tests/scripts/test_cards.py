"""Test figures in the cards of genomes."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

from blur import TwoStateSGD, load_genome, save_genome
from blur.reports.summary import HEADING

PATH = Path(__file__).resolve().parents[2] / "scripts" / "update_cards.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("update_cards", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def summary(folder, *rows):
    folder.mkdir()
    lines = [HEADING, ("---",) * len(HEADING), *rows]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (folder / "summary.md").write_text(text + "\nScores: accuracy.\n", encoding="utf-8")
    return folder


def test_rows_about_a_genome_go_into_its_card_and_leave_its_numbers_alone(script, tmp_path, monkeypatch, capsys):
    rule = TwoStateSGD((8,))
    genome = rule.init_genome(jax.random.key(0))
    path = save_genome(tmp_path / "mine.safetensors", rule, genome, metrics={"fitness": 0.5}, description="A rule.")
    row = ("digits, hidden 64", "10", "mine", "0.9", "adam 0.8", "+0.1 [+0.0, +0.2]", "▲ better")
    first = summary(tmp_path / "first", row, (*row[:2], "other", *row[3:]))
    second = summary(tmp_path / "second", ("mnist", *row[1:]))
    (tmp_path / "other.safetensors").write_bytes(path.read_bytes())
    arguments = [str(first), str(second), "--command", "blur evaluate mine", "--genomes", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["update_cards.py", *arguments])
    script.main()
    assert "mine.safetensors: 2 test figures" in capsys.readouterr().out
    file = load_genome(path)
    words = "T=10: 0.9; best baseline adam 0.8, difference +0.1 [+0.0, +0.2]"
    results = [f"digits, hidden 64, {words}", f"mnist, {words}"]
    test = {"command": "blur evaluate mine", "results": results}
    assert file.card["metrics"] == {"fitness": 0.5, "test": test}
    assert file.card["description"] == "A rule."
    jax.tree.map(np.testing.assert_array_equal, file.genome, genome)
    assert len(load_genome(tmp_path / "other.safetensors").card["metrics"]["test"]["results"]) == 1
