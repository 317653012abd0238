"""Put an evaluation's results into the README: the table between its markers, and its picture.

python scripts/update_readme.py NAME FOLDER

FOLDER is the output of `blur evaluate` or `blur demo` (its folder `evaluation`); the README holds the lines
`<!-- NAME -->` and `<!-- /NAME -->`. The picture of the learning curves goes to scripts/figures/NAME.png.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("task", "resolution", "hidden", "unroll", "batch")


def main(name: str, folder: Path) -> None:
    """Rewrites the README in place."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"README.md has no markers <!-- {name} --> … <!-- /{name} -->")
    records = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    readme.write_text(pattern.sub(lambda match: match[1] + table(records) + match[2], text), encoding="utf-8")
    curves = sorted(folder.glob("curves_*.png"))
    if len(curves) == 1:
        figures = ROOT / "scripts" / "figures"
        figures.mkdir(exist_ok=True)
        shutil.copyfile(curves[0], figures / f"{name}.png")


def table(records: list[dict[str, Any]]) -> str:
    """A Markdown table with a row per condition: learners, then baselines, best first."""
    rows = []
    for _, group in itertools.groupby(records, key=lambda record: [record[column] for column in COLUMNS]):
        entries = list(group)
        learner = next(record for record in entries if record["kind"] == "learner")
        baselines = sorted((record for record in entries if record["kind"] != "learner"), key=score, reverse=True)
        against = "<br>".join(versus(learner, record) for record in baselines)
        genome = f"**{figure(learner)}** ({learner['parameters']:,})"
        rows.append(f"| {condition(learner)} | {genome} | {against} |\n")
    heading = (
        "| test on | genome (numbers in synapses) | tuned baselines (numbers in synapses): 95 % interval of the "
        "genome's paired difference |\n|---|---|---|\n"
    )
    return heading + "".join(rows)


def versus(learner: dict[str, Any], baseline: dict[str, Any]) -> str:
    """A baseline's figure and size, and the interval of the learner's difference to it."""
    ends = learner["differences_ci95"][baseline["learner"]]
    interval = "diverged" if None in ends else f"[{ends[0]:+.3f}, {ends[1]:+.3f}]"
    best = ", best on validation" * (baseline["learner"] == learner["best_baseline"])
    return f"{baseline['learner']} {figure(baseline)} ({baseline['parameters']:,}): {interval}{best}"


def condition(record: dict[str, Any]) -> str:
    """The condition in a few words."""
    size = "" if record["resolution"] is None else f" {record['resolution']}×{record['resolution']}"
    return f"{record['task']}{size}, hidden {'-'.join(map(str, record['hidden']))}, T={record['unroll']}"


def score(record: dict[str, Any]) -> float:
    """Higher is better."""
    return record["accuracy_mean"] if record["metric"] == "accuracy" else -record["loss_mean"]


def figure(record: dict[str, Any]) -> str:
    """The mean of the metric."""
    return f"{abs(score(record)):.3f}"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
