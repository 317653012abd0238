"""The results of an evaluation as files and as tables."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from blur.evaluation.plan import EvaluationPlan, Learner
from blur.evaluation.records import EvaluationRecord, Verdict, by_condition, ranked
from blur.reports.figures import plot_comparison, plot_curves
from blur.reports.page import html_report
from blur.reports.summary import MARKS, describe_tuning, difference, score, summary_markdown, summary_table
from blur.support.atomic import write_file

COLOURS = {"better": "green", "worse": "red"}


def write_results(
    records: Sequence[EvaluationRecord],
    plans: EvaluationPlan | Sequence[EvaluationPlan],
    folder: str | Path,
    learners: Sequence[Learner] = (),
) -> list[Path]:
    """Writes the tables (see `write_tables`), `report.html`, a figure per condition and a comparison.

    Each file appears whole or not at all.

    Args:
      records: the records of `evaluate`, one condition after the other.
      plans: the plans of the evaluation.
      folder: the folder of the files.
      learners: the learners whose genomes the report shows.

    Returns:
      The files.

    Raises:
      ValueError: there are no records.

    Examples:
      >>> import jax
      >>> rule = blur.OptaxMLP(hidden=(8,), optimizer="adam")
      >>> learner = blur.Learner("mine", rule, rule.init_genome(jax.random.key(0)))
      >>> plan = blur.EvaluationPlan(
      ...     tasks=("xor",), steps=(2,), baselines=("sgd",), baseline_sizes=("width",), episodes=2, tuning_episodes=2
      ... )
      >>> files = blur.write_results(blur.evaluate([learner], plan), plan, "results", [learner])
      >>> [path.name for path in files if path.suffix == ".html"]
      ['report.html']
    """
    folder = Path(folder)
    plans = (plans,) if isinstance(plans, EvaluationPlan) else plans
    tables = write_tables(records, plans, folder)
    report = write_file(folder / "report.html", html_report(records, plans, learners))
    curves = [plot_curves(group, folder / f"curves_{condition_slug(group[0])}.png") for group in by_condition(records)]
    return [*tables, report, *curves, plot_comparison(records, folder / "comparison.png")]


def write_tables(records: Sequence[EvaluationRecord], plans: Sequence[EvaluationPlan], folder: Path) -> list[Path]:
    """Writes `plan.json` (a list of plans), `results.json`, `results.csv` and `summary.md`.

    Raises:
      ValueError: there are no records.
    """
    if not records:
        raise ValueError("there are no records to write; expected those of an evaluation")
    return [
        write_file(folder / "plan.json", to_json([dataclasses.asdict(plan) for plan in plans])),
        write_file(folder / "results.json", to_json([dataclasses.asdict(record) for record in records])),
        write_file(folder / "results.csv", to_csv(records)),
        write_file(folder / "summary.md", summary_markdown(records)),
    ]


def to_json(value: Any) -> str:
    """Indented JSON, without NaN and infinity."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(records: Sequence[EvaluationRecord]) -> str:
    """One row per record. An interval is two columns, tuned hyper-parameters are JSON; no curves, no grids."""
    rows = [_csv_row(record) for record in records]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def condition_slug(record: EvaluationRecord) -> str:
    """The condition as a part of a file's name."""
    size = "" if record.resolution is None else f"_{record.resolution}px"
    task = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in Path(record.task).stem)
    return f"{task}{size}_h{'-'.join(map(str, record.hidden))}_t{record.steps}_b{record.batch}"


def print_results(records: Sequence[EvaluationRecord], console: Console | None = None) -> None:
    """Prints the scores, costs and comparisons of every condition, then a summary of all conditions.

    Examples:
      >>> import jax
      >>> from rich.console import Console
      >>> rule = blur.OptaxMLP(hidden=(8,), optimizer="adam")
      >>> learner = blur.Learner("mine", rule, rule.init_genome(jax.random.key(0)))
      >>> plan = blur.EvaluationPlan(
      ...     tasks=("xor",), steps=(2,), baselines=("sgd",), baseline_sizes=("width",), episodes=2, tuning_episodes=2
      ... )
      >>> records = blur.evaluate([learner], plan)
      >>> console = Console(record=True, quiet=True)  # without it, the tables are printed
      >>> blur.print_results(records, console)
    """
    console = console or Console()
    groups = list(by_condition(records))
    for group in groups:
        console.print(results_table(group))
        console.print(details_table(group))
        for record in group:
            if record.kind == "learner":
                console.print(summary(record))
    if len(groups) > 1:
        console.print(summary_table(records))


def results_table(records: Sequence[EvaluationRecord]) -> Table:
    """The learners of one condition, best first, with their verdicts; the table is at most 80 columns wide."""
    first = records[0]
    table = Table(
        title=escape(str(first.condition)),
        caption=f"[…] 95 % intervals over the same {first.episodes} test episodes. Difference: paired, to "
        f"{first.best_baseline}, the baseline that was best on validation. ▲ better, ▼ worse, = neither.",
    )
    table.add_column("learner", overflow="fold")
    table.add_column(first.metric)
    table.add_column("difference")
    table.add_column("", no_wrap=True)
    for record in ranked(records):
        table.add_row(*_result_cells(record), style=_style(record))
    return table


def details_table(records: Sequence[EvaluationRecord]) -> Table:
    """Costs of the learners of one condition, and tuned hyper-parameters of the baselines; in the same order."""
    table = Table()
    table.add_column("learner", overflow="fold")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("µs/step", justify="right", no_wrap=True)
    table.add_column("tuned to")
    for record in ranked(records):
        table.add_row(*_detail_cells(record), style=_style(record))
    return table


def summary(record: EvaluationRecord) -> str:
    """The verdicts of a learner against every baseline, in rich's markup."""
    against = ", ".join(f"{_mark(verdict)} {name}" for name, verdict in record.verdicts.items())
    return f"[bold]{escape(record.learner)}[/] against each baseline: {against}"


def _style(record: EvaluationRecord) -> str | None:
    return "bold" if record.kind == "learner" else None


def _result_cells(record: EvaluationRecord) -> Iterator[str]:
    yield escape(record.learner)
    yield escape(score(record))
    if record.learner == record.best_baseline:
        yield from ("best baseline", "")
    else:
        yield escape(difference(record))
        yield _mark(record.verdict)


def _detail_cells(record: EvaluationRecord) -> Iterator[str]:
    yield escape(record.learner)
    yield "" if record.parameters is None else f"{record.parameters:,}"
    yield f"{1e6 * record.seconds_per_step:,.0f}"
    yield "" if record.tuning is None else describe_tuning(record.tuning)


def _mark(verdict: Verdict) -> str:
    """The verdict's mark in its colour, in rich's markup."""
    return f"[{COLOURS[verdict]}]{MARKS[verdict]}[/]" if verdict in COLOURS else MARKS[verdict]


def _csv_row(record: EvaluationRecord) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in dataclasses.asdict(record).items():
        if name.startswith(("curve", "differences", "verdicts")):
            continue
        if name.endswith("_ci95"):
            row[f"{name}_low"], row[f"{name}_high"] = value or (None, None)
        elif name == "tuning":
            row["tuned"] = None if value is None else json.dumps(value["best"])
        else:
            row[name] = "-".join(map(str, value)) if isinstance(value, tuple) else value
    return row
