"""Test figures in the cards of genomes."""

import jax
import numpy as np
from zoo import cards

from blur import TwoStateSGD, load_genome, save_genome
from blur.reports.summary import HEADING


def summary(folder, *rows):
    folder.mkdir()
    lines = [HEADING, ("---",) * len(HEADING), *rows]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (folder / "summary.md").write_text(text + "\nScores: accuracy.\n", encoding="utf-8")
    return folder


def test_rows_about_a_genome_go_into_its_card_and_leave_its_numbers_alone(tmp_path, monkeypatch, capsys):
    rule = TwoStateSGD((8,))
    genome = rule.init_genome(jax.random.key(0))
    path = save_genome(tmp_path / "mine.safetensors", rule, genome, metrics={"fitness": 0.5}, description="A rule.")
    row = ("digits, hidden 64", "10", "mine", "0.9", "adam 0.8", "+0.1 [+0.0, +0.2]", "▲ better")
    first = summary(tmp_path / "first", row, (*row[:2], "other", *row[3:]))
    second = summary(tmp_path / "second", ("mnist", *row[1:]))
    (tmp_path / "other.safetensors").write_bytes(path.read_bytes())
    arguments = [str(first), str(second), "--command", "blur evaluate mine", "--genomes", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["cards.py", *arguments])
    cards.main()
    assert "mine.safetensors: 2 test figures" in capsys.readouterr().out
    file = load_genome(path)
    words = "T=10: 0.9; best baseline adam 0.8, difference +0.1 [+0.0, +0.2]"
    results = [f"digits, hidden 64, {words}", f"mnist, {words}"]
    test = {"command": "blur evaluate mine", "results": results}
    assert file.card["metrics"] == {"fitness": 0.5, "test": test}
    assert file.card["description"] == "A rule."
    jax.tree.map(np.testing.assert_array_equal, file.genome, genome)
    assert len(load_genome(tmp_path / "other.safetensors").card["metrics"]["test"]["results"]) == 1
