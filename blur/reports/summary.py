"""All conditions of an evaluation in one table: a row per condition and learner, against the best baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from blur.evaluation.records import Ends, EvaluationRecord, Verdict
from blur.support.errors import printable

HEADING = ("test", "T", "genome", "score", "best baseline", "paired difference", "verdict")
MARKS: dict[Verdict, str] = {"better": "▲", "worse": "▼", "equal": "="}


def summary_rows(records: Sequence[EvaluationRecord]) -> list[tuple[str, ...]]:
    """The cells of the table, in the order of the records."""
    means = {(record.condition, record.learner): mean_score(record) for record in records}
    sizes = len({record.batch for record in records})
    return [
        (
            printable(record.condition.network_and_data) + f", batch {record.batch}" * (sizes > 1),
            str(record.steps),
            printable(record.learner),
            mean_score(record),
            f"{record.best_baseline} {means[record.condition, record.best_baseline]}",
            difference(record),
            f"{MARKS[record.verdict]} {record.verdict}",
        )
        for record in records
        if record.kind == "learner"
    ]


def summary_markdown(records: Sequence[EvaluationRecord]) -> str:
    """The table in Markdown, with an explanation of its figures."""
    lines = [HEADING, ("---",) * len(HEADING), *summary_rows(records)]
    cells = [[cell.replace("\\", "\\\\").replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells) + f"\n{explanation(records)}\n"


def summary_table(records: Sequence[EvaluationRecord]) -> Table:
    """The table for a terminal."""
    table = Table(title="All conditions", caption=escape(explanation(records)))
    for name in HEADING:
        table.add_column(name, overflow="fold")
    for row in summary_rows(records):
        table.add_row(*map(escape, row))
    return table


def explanation(records: Sequence[EvaluationRecord]) -> str:
    """An explanation of the table's figures."""
    metrics = {record.metric for record in records}
    words = {"accuracy": "accuracy", "loss": "loss where there are no classes"}
    return (
        f"Scores: {' or '.join(words[metric] for metric in sorted(metrics))} after T inner steps, mean over "
        f"{records[0].episodes} test episodes. Difference: genome minus best baseline on the same episodes, with its "
        "95 % interval. The best baseline is the one that was best on validation episodes."
    )


def mean_score(record: EvaluationRecord) -> str:
    """The mean of the metric."""
    mean = record.accuracy_mean if record.metric == "accuracy" else record.loss_mean
    if mean is None:
        return "diverged"
    return f"{mean:.4f}" if record.metric == "accuracy" else f"{mean:.4g}"


def score(record: EvaluationRecord) -> str:
    """The mean of the metric with its interval."""
    ends = record.accuracy_ci95 if record.metric == "accuracy" else record.loss_ci95
    return mean_score(record) + _interval(ends, ".3f" if record.metric == "accuracy" else ".3g")


def difference(record: EvaluationRecord) -> str:
    """The mean of the paired difference to the best baseline with its interval."""
    if record.paired_difference_mean is None:
        return "diverged"
    mean_form, end_form = ("+.4f", "+.3f") if record.metric == "accuracy" else ("+.4g", "+.3g")
    return f"{record.paired_difference_mean:{mean_form}}" + _interval(record.paired_difference_ci95, end_form)


def describe_tuning(tuning: Mapping[str, Any]) -> str:
    """The winning hyper-parameters of a baseline in a few words."""
    best = tuning["best"]
    words = [f"rate {best['learning_rate']:.3g}" + " decayed" * (best["decay"] > 0)]
    words += [f"momentum {best['momentum']:.3g}"] if "momentum" in best else []
    words += [f"output scale {best['output_scale']:.3g}"]
    words += [f"bias scale {best['bias_scale']:.3g}"] if "bias_scale" in best else []
    words += [f"still at the grid's edge: {', '.join(tuning['at_edge'])}"] if tuning["at_edge"] else []
    return ", ".join(words)


def _interval(ends: Ends | None, form: str) -> str:
    if ends is None or ends[0] is None or ends[1] is None:
        return ""
    return f" [{ends[0]:{form}}, {ends[1]:{form}}]"
