"""Write results into the documentation: tables between their markers, and pictures.

python scripts/update_docs.py NAME FOLDER …

FOLDER is the output of `blur evaluate`, of `blur demo` (its folder `evaluation`) or of `blur benchmark`. The table goes
between the lines `<!-- NAME -->` and `<!-- /NAME -->`, wherever README.md and docs/ have them. One condition gives a
table of every baseline, several conditions give one table of the best baselines. A single picture (curves or times)
goes to docs/figures/NAME.png.

python scripts/update_docs.py targets FOLDER

FOLDER is the output of `blur evaluate mnist-k4 mnist-k4-deep --preset zoo`. The table has a row per target, and says
by how much each genome misses it.

python scripts/update_docs.py claims FOLDER

FOLDER is the output of `scripts/claims/run.py`. Claims A1, A2, … are a table between `<!-- claims A -->` and
`<!-- /claims A -->`; claims B1, … have a table of their own, and so on. A letter without records keeps its table. A
picture figures/ID.png that a page shows is copied to docs/figures.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blur.benchmark.profile import PROFILES_FILE, read_profiles
from blur.benchmark.runs import FILE_NAME, read_records
from blur.benchmark.storage import STORAGE_FILE, read_storage_records
from blur.benchmark.tables import (
    HEADING,
    PROFILE_HEADING,
    STORAGE_HEADING,
    TARGET_HEADING,
    describe,
    profile_rows,
    rows,
    storage_rows,
    target_rows,
)
from blur.evaluation.plan import Condition

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent / "claims"))

from harness import verdicts as claim_verdicts  # noqa: E402

TARGETS: tuple[tuple[str, int, int, int, float | None], ...] = (
    ("mnist", 10, 1, 10, 0.88),
    ("mnist", 28, 1, 10, 0.89),
    ("fashion_mnist", 28, 1, 10, 0.75),
    ("mnist", 10, 4, 10, 0.86),
    ("mnist", 10, 10, 10, 0.80),
    *(("mnist", 10, depth, steps, None) for steps in (50, 200) for depth in (1, 4)),
)
"""Task, resolution, hidden layers of 64, inner steps, accuracy to reach. None stands for the best baseline's − 0.01."""

COLUMNS = ("task", "resolution", "hidden", "steps", "batch")
"""The keys of a result that name its condition."""

OLD_COLUMNS = {"unroll": "steps"}
"""Keys of results.json before version 0.2, with their names of today."""


def main(name: str, *folders: Path) -> None:
    """Rewrites the pages that have the markers."""
    folder = folders[0]
    if name == "claims":
        claims(folder)
        return
    if name == "targets":
        fill(name, targets(read_results(folder)))
        return
    fill(name, speed(folder) if (folder / FILE_NAME).exists() else evaluations(folders))
    pictures = sorted([*folder.glob("curves_*.png"), *folder.glob("benchmark.png")])
    if len(pictures) == 1:
        copy_picture(pictures[0], name)


def claims(folder: Path) -> None:
    """A table for every letter of claims that has records, and the pictures of claims that a page shows."""
    found = claim_verdicts.read_records(folder)
    if not found:
        raise ValueError(f"{folder / claim_verdicts.FILE_NAME} has no records; scripts/claims/run.py writes them")
    for letter, group in itertools.groupby(found, key=lambda record: record["id"][0]):
        fill(f"claims {letter}", claim_verdicts.table(list(group)))
    texts = [page.read_text(encoding="utf-8") for page in pages()]
    for picture in (folder / f"{record['id']}.png" for record in found):
        if picture.exists() and any(f"figures/{picture.name}" in text for text in texts):
            copy_picture(picture, picture.stem)


def pages() -> list[Path]:
    """README.md and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def fill(name: str, tables: str) -> None:
    """Puts tables between the markers of that name, on every page that has them.

    Raises:
      ValueError: no page has such markers.
    """
    pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    marked = [page for page in pages() if pattern.search(page.read_text(encoding="utf-8"))]
    if not marked:
        raise ValueError(
            f"neither README.md nor docs/ has markers <!-- {name} --> … <!-- /{name} -->; add them to a page"
        )
    for page in marked:
        text = page.read_text(encoding="utf-8")
        page.write_text(pattern.sub(lambda match: match[1] + tables + match[2], text), encoding="utf-8")


def copy_picture(path: Path, name: str) -> None:
    """Copies a picture to docs/figures, where pages look for it."""
    figures = ROOT / "docs" / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, figures / f"{name}.png")


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The records of an evaluation, under today's keys."""
    records = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return [{OLD_COLUMNS.get(key, key): value for key, value in record.items()} for record in records]


def speed(folder: Path) -> str:
    """The machine, the targets and all cases of a benchmark; its profiles and its comparison of dual synapses."""
    records = read_records(folder)
    parts = [
        f"{describe(records[0].machine)}.\n",
        markdown(TARGET_HEADING, target_rows(records)),
        markdown(HEADING, rows(records)),
    ]
    for name, found in (read_profiles(folder) if (folder / PROFILES_FILE).exists() else {}).items():
        parts += [
            f"Where the time of `{name}` goes ({found.heading}):\n",
            markdown(PROFILE_HEADING, profile_rows(found)),
        ]
    if (folder / STORAGE_FILE).exists():
        comparison = read_storage_records(folder)
        parts += [
            f"The input's synapses of `{comparison[0].workload}` in both forms, {comparison[0].population} genomes "
            "(`blur benchmark --dual`):\n",
            markdown(STORAGE_HEADING, storage_rows(comparison)),
        ]
    return "\n".join(parts)


def markdown(heading: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    lines = [
        [cell.replace("-\n", "").replace("\n", " ") for cell in heading],
        ["---"] + ["---:"] * (len(heading) - 1),
        *body,
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def evaluations(folders: Sequence[Path]) -> str:
    """One table: of the only condition, or the summaries of all conditions; repeated rows appear once."""
    lines = [(folder / "summary.md").read_text(encoding="utf-8").splitlines(keepends=True) for folder in folders]
    summary = list(dict.fromkeys(line for part in lines for line in part if line.startswith("|")))
    if len(summary) > 3:  # with two lines of heading
        return "".join(summary)
    return table(read_results(folders[0]))


def targets(records: list[dict[str, Any]]) -> str:
    """A Markdown table of the targets, and by how much each genome misses them."""
    learners = list(dict.fromkeys(record["learner"] for record in records if record["kind"] == "learner"))
    rows = []
    for task, resolution, depth, steps, least in TARGETS:
        place = [task, resolution, [64] * depth, steps, 128]
        found = {r["learner"]: r for r in records if [r[column] for column in COLUMNS] == place}
        if not found:
            raise ValueError(f"nothing was measured with {place}; expected the output of blur evaluate --preset zoo")
        best = found[found[learners[0]]["best_baseline"]]
        goal = score(best) - 0.01 if least is None else least
        words = f"{goal:.3f}" + f" ({best['learner']} − 0.01)" * (least is None)
        rows.append([condition(found[learners[0]]), words, *(reached(found[name], goal) for name in learners)])
    return markdown(("test", "to reach", *learners), rows)


def reached(record: dict[str, Any], goal: float) -> str:
    """A score, and by how much it misses the goal."""
    missing = score(record) - goal
    return f"{figure(record)}" + (" ✓" if missing >= 0 else f" ({missing:+.3f})")


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
    """A baseline's figure and size, and the interval of the learner's difference to the baseline."""
    ends = learner["differences_ci95"][baseline["learner"]]
    interval = "diverged" if None in ends else f"[{ends[0]:+.3f}, {ends[1]:+.3f}]"
    best = ", best on validation" * (baseline["learner"] == learner["best_baseline"])
    return f"{baseline['learner']} {figure(baseline)} ({baseline['parameters']:,}): {interval}{best}"


def condition(record: dict[str, Any]) -> str:
    """The condition in a few words."""
    found = Condition(*(record[column] for column in COLUMNS))
    return f"{found.network_and_data}, T={found.steps}"


def score(record: dict[str, Any]) -> float:
    """Higher is better."""
    return record["accuracy_mean"] if record["metric"] == "accuracy" else -record["loss_mean"]


def figure(record: dict[str, Any]) -> str:
    """The mean of the metric."""
    return f"{abs(score(record)):.3f}"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(sys.argv[1], *map(Path, sys.argv[2:]))
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
