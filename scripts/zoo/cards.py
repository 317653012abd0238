"""Put test figures into the cards of genomes: python scripts/zoo/cards.py FOLDER … --command COMMAND

FOLDER is the output of COMMAND, a `blur evaluate` of genomes that ship. Its file `summary.md` has rows about each
genome. These rows replace the test figures in the genome's card; the genome itself does not change.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from blur.files.genomes import SUFFIX, load_genome, save_genome
from blur.reports.summary import HEADING


def test_rows(folder: Path) -> dict[str, list[str]]:
    """The test figures of an evaluation, in words, by genome."""
    lines = (folder / "summary.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    found: dict[str, list[str]] = {}
    for row in cells[2:]:
        entry = dict(zip(HEADING, row, strict=True))
        words = "{test}, T={T}: {score}; best baseline {best baseline}, difference {paired difference}"
        found.setdefault(entry["genome"], []).append(words.format(**entry))
    return found


def update(path: Path, rows: Sequence[str], command: str) -> None:
    """Rewrites the file with test figures in its card."""
    file = load_genome(path)
    metrics = {**file.card.get("metrics", {}), "test": {"command": command, "results": list(rows)}}
    save_genome(path, file.rule, file.genome, **{**file.card, "metrics": metrics})


def main() -> None:
    """Updates the cards of all evaluated genomes."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="output of the evaluation")
    options.add_argument("--command", required=True, help="the evaluation's command, for the card")
    options.add_argument("--genomes", type=Path, default=Path("genomes"), help="folder of the genome files")
    arguments = options.parse_args()
    rows: dict[str, list[str]] = {}
    for folder in arguments.folders:
        for name, found in test_rows(folder).items():
            rows.setdefault(name, []).extend(found)
    for name, found in rows.items():
        path = arguments.genomes / f"{name}{SUFFIX}"
        update(path, found, arguments.command)
        print(f"{path}: {len(found)} test figures")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
