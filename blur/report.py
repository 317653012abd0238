"""The results of an evaluation as files and as tables."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from blur.evaluation.plan import EvaluationPlan
from blur.evaluation.records import Ends, Record
from blur.files import write_file
from blur.plotting import plot_comparison, plot_curves

SYMBOLS = {"better": "[green]▲[/]", "worse": "[red]▼[/]", "equal": "="}


def write_results(records: Sequence[Record], plan: EvaluationPlan, folder: str | Path) -> list[Path]:
    """Writes `plan.json`, `results.json`, `results.csv`, a figure of learning curves per condition and a comparison.

    Each file appears whole or not at all.

    Returns:
      The files, in that order.

    Raises:
      ValueError: there are no records.
    """
    if not records:
        raise ValueError("there are no records to write; expected those of an evaluation")
    folder = Path(folder)
    files = [
        write_file(folder / "plan.json", to_json(dataclasses.asdict(plan))),
        write_file(folder / "results.json", to_json([dataclasses.asdict(record) for record in records])),
        write_file(folder / "results.csv", to_csv(records)),
    ]
    curves = [plot_curves(group, folder / f"curves_{condition_slug(group[0])}.png") for group in by_condition(records)]
    return [*files, *curves, plot_comparison(records, folder / "comparison.png")]


def to_json(value: Any) -> str:
    """Indented JSON, without NaN and infinity."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(records: Sequence[Record]) -> str:
    """One row per record: intervals as two columns, tuned hyper-parameters as JSON, no curves and no grids."""
    rows = [_csv_row(record) for record in records]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def by_condition(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records of each condition; those of one condition are neighbours."""
    for _, group in itertools.groupby(records, key=lambda record: record.condition):
        yield list(group)


def condition_slug(record: Record) -> str:
    """The condition as a part of a file's name."""
    size = "" if record.resolution is None else f"_{record.resolution}px"
    task = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in Path(record.task).stem)
    return f"{task}{size}_h{'-'.join(map(str, record.hidden))}_t{record.unroll}_b{record.batch}"


def print_results(records: Sequence[Record], console: Console | None = None) -> None:
    """Prints, for each condition, who wins, what every learner costs, and how each compares with every baseline."""
    console = console or Console()
    for group in by_condition(records):
        console.print(results_table(group))
        console.print(details_table(group))
        for record in group:
            if record.kind == "learner":
                console.print(summary(record))


def results_table(records: Sequence[Record]) -> Table:
    """The learners of one condition, best first, and who is better than the best baseline; 80 columns wide at most."""
    first = records[0]
    table = Table(
        title=str(first.condition),
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


def details_table(records: Sequence[Record]) -> Table:
    """What the learners of one condition cost, and what the baselines were tuned to; in the same order."""
    table = Table()
    table.add_column("learner", overflow="fold")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("µs/step", justify="right", no_wrap=True)
    table.add_column("tuned to")
    for record in ranked(records):
        table.add_row(*_detail_cells(record), style=_style(record))
    return table


def summary(record: Record) -> str:
    """How a learner compares with every baseline, in rich's markup."""
    against = ", ".join(f"{SYMBOLS[verdict]} {name}" for name, verdict in record.verdicts.items())
    return f"[bold]{record.learner}[/] against each baseline: {against}"


def ranked(records: Iterable[Record]) -> list[Record]:
    """Best mean first; learners without a mean, having diverged, last."""

    def rank(record: Record) -> tuple[bool, float]:
        mean = record.accuracy_mean if record.metric == "accuracy" else record.loss_mean
        return mean is None, (mean or 0.0) * (-1 if record.metric == "accuracy" else 1)

    return sorted(records, key=rank)


def _style(record: Record) -> str | None:
    return "bold" if record.kind == "learner" else None


def _result_cells(record: Record) -> Iterator[str]:
    yield record.learner
    if record.metric == "accuracy":
        yield _estimate(record.accuracy_mean, record.accuracy_ci95, ".4f", ".3f")
        signed = ("+.4f", "+.3f")
    else:
        yield _estimate(record.loss_mean, record.loss_ci95, ".4g", ".3g")
        signed = ("+.4g", "+.3g")
    if record.learner == record.best_baseline:
        yield from ("best baseline", "")
    else:
        yield _estimate(record.paired_difference_mean, record.paired_difference_ci95, *signed)
        yield SYMBOLS[record.verdict]


def _detail_cells(record: Record) -> Iterator[str]:
    yield record.learner
    yield "" if record.parameters is None else f"{record.parameters:,}"
    yield f"{1e6 * record.seconds_per_step:,.0f}"
    yield "" if record.tuning is None else describe_tuning(record.tuning)


def describe_tuning(tuning: dict[str, Any]) -> str:
    """The winning hyper-parameters in a few words."""
    best = tuning["best"]
    words = [f"rate {best['learning_rate']:.3g}" + " decayed" * (best["decay"] > 0)]
    words += [f"momentum {best['momentum']:.3g}"] if "momentum" in best else []
    words += [f"output scale {best['output_scale']:.3g}"]
    words += [f"bias scale {best['bias_scale']:.3g}"] if "bias_scale" in best else []
    words += [f"still at the grid's edge: {', '.join(tuning['at_edge'])}"] if tuning["at_edge"] else []
    return ", ".join(words)


def _estimate(mean: float | None, ends: Ends | None, mean_form: str, end_form: str) -> str:
    """A mean with its interval, in rich's markup."""
    if mean is None:
        return "diverged"
    if ends is None or ends[0] is None or ends[1] is None:
        return format(mean, mean_form)
    return f"{mean:{mean_form}} \\[{ends[0]:{end_form}}, {ends[1]:{end_form}}]"


def _csv_row(record: Record) -> dict[str, Any]:
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
