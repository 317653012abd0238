"""Figures of an evaluation: learning curves, and final scores of all learners."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from blur.evaluation.records import EvaluationRecord
from blur.support.figures import GREY, literal, save_png, spread, tidy

LEARNER_COLOURS = ("#D55E00", "#CC79A7", "#000000")
OPTIMIZER_COLOURS = {"sgd": "#56B4E9", "momentum": "#0072B2", "adam": "#009E73"}
OTHER_COLOUR = "#999999"
"""Colours that colour-blind readers can tell apart (Okabe & Ito 2008)."""


def plot_curves(records: Sequence[EvaluationRecord], path: str | Path) -> Path:
    """Writes a PNG with the learning curves of one condition: means over episodes, with bands of 95 % intervals.

    Lines of learners are thick. Lines of baselines are solid with batch normalisation and dashed without.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    draw_curves(axes, records)
    axes.set_xlabel("inner steps (baselines: solid with batch normalisation, dashed without)", color=GREY)
    _titles(axes, _metric_title(records[0]), str(records[0].condition))
    _label_ends(axes, records)
    return save_png(figure, path)


def draw_curves(axes: Axes, records: Sequence[EvaluationRecord]) -> None:
    """Draws the learning curves of one condition without titles and labels."""
    for record, colour in zip(records, colours(records), strict=True):
        mean, steps = _floats(record.curve_mean), np.arange(1, len(record.curve_mean) + 1)
        low, high = map(_floats, record.curve_ci95)
        width = 2.6 if record.kind == "learner" else 1.4
        axes.plot(steps, mean, color=colour, linewidth=width, linestyle=(0, (4, 2)) if is_dashed(record) else "-")
        opacity = 0.2 if record.kind == "learner" else 0.08
        axes.fill_between(steps, low, high, color=colour, alpha=opacity, linewidth=0)
    if records[0].metric == "loss":
        axes.set_yscale("log")
    axes.set_xlim(1 if records[0].steps > 1 else 0, records[0].steps)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)


def is_dashed(record: EvaluationRecord) -> bool:
    """Whether the curve is dashed: a baseline without batch normalisation."""
    return record.kind == "baseline" and "+bn" not in record.learner


def plot_comparison(records: Sequence[EvaluationRecord], path: str | Path) -> Path:
    """Writes a PNG of final scores: points with intervals for one condition, a heat map for several conditions."""
    conditions = list(dict.fromkeys(record.condition for record in records))
    figure = _points(records) if len(conditions) == 1 else heat_map(records)
    return save_png(figure, path)


def colours(records: Sequence[EvaluationRecord]) -> list[str]:
    """A colour per record: warm colours for learners, a colour per optimiser for baselines."""
    learners = iter(LEARNER_COLOURS * len(records))
    return [
        next(learners)
        if record.kind == "learner"
        else OPTIMIZER_COLOURS.get(record.learner.split("+")[0].split()[0], OTHER_COLOUR)
        for record in records
    ]


def _label_ends(axes: Axes, records: Sequence[EvaluationRecord]) -> None:
    """Writes each learner's name and final score beside the end of its curve, without overlap."""
    labelled = [pair for pair in zip(records, colours(records), strict=True) if pair[0].curve_mean[-1] is not None]
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform((record.steps, _floats(record.curve_mean)[-1]))[1] for record, _ in labelled]
    for (record, colour), end, place in zip(labelled, ends, spread(ends, 0.05), strict=True):
        axes.annotate(
            literal(f"{record.learner}  {record.curve_mean[-1]:.3f}"),
            xy=(1, end),
            xytext=(1.05, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=colour,
            fontsize=9,
            fontweight="bold" if record.kind == "learner" else "normal",
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "relpos": (0, 0.5), "shrinkB": 0},
        )


def _points(records: Sequence[EvaluationRecord]) -> Figure:
    """Final scores with intervals, best at the top."""
    pairs = [pair for pair in zip(records, colours(records), strict=True) if pair[0].curve_mean[-1] is not None]
    sign = 1 if records[0].metric == "accuracy" else -1
    pairs.sort(key=lambda pair: sign * (pair[0].curve_mean[-1] or 0.0))
    figure = Figure(figsize=(7, 1.4 + 0.32 * len(pairs)), layout="constrained")
    axes = figure.add_subplot()
    if records[0].metric == "loss":
        axes.set_xscale("log")
    for row, (record, colour) in enumerate(pairs):
        mean, low, high = (_floats(values)[-1] for values in (record.curve_mean, *record.curve_ci95))
        axes.plot([low, high], [row, row], color=colour, linewidth=3, alpha=0.5, solid_capstyle="round")
        axes.plot(mean, row, "o", color=colour, markersize=8 if record.kind == "learner" else 6)
        axes.annotate(f"{mean:.3f}", (high, row), xytext=(7, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(pairs)), [literal(record.learner) for record, _ in pairs])
    for label, (record, colour) in zip(axes.get_yticklabels(), pairs, strict=True):
        label.set(color=colour, fontweight="bold" if record.kind == "learner" else "normal")
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.12, y=0.08)
    tidy(axes, grid="x")
    _titles(axes, f"{_metric_title(records[0])} after {records[0].steps} steps", str(records[0].condition))
    return figure


def heat_map(records: Sequence[EvaluationRecord]) -> Figure:
    """Learners × conditions. A cell's number is the final score; its colour is the difference to the best baseline."""
    names = list(dict.fromkeys(record.learner for record in records))
    conditions = list(dict.fromkeys(record.condition for record in records))
    cells = {(record.learner, record.condition): record for record in records}
    figure = Figure(figsize=(3 + 1.25 * len(conditions), 2 + 0.36 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    differences = np.array([[advantage(cells.get((name, c))) for c in conditions] for name in names])
    limit = max(float(np.nanmax(np.abs(differences), initial=0.0)), 1e-9)
    image = axes.imshow(np.ma.masked_invalid(differences), cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
    for row, name in enumerate(names):
        for column, condition in enumerate(conditions):
            record = cells.get((name, condition))
            text = "–" if record is None or record.curve_mean[-1] is None else f"{record.curve_mean[-1]:.3f}"
            mark = {"better": " ▲", "worse": " ▼"}.get(record.verdict, "") if record else ""
            dark = abs(differences[row, column]) > 0.6 * limit
            axes.text(
                column, row, text + mark, ha="center", va="center", fontsize=8, color="white" if dark else "black"
            )
    axes.set_yticks(range(len(names)), list(map(literal, names)))
    axes.set_xticks(range(len(conditions)), [literal(textwrap.fill(str(c), 16)) for c in conditions], fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    metrics = {record.metric for record in records}
    units = {"accuracy": "accuracy", "loss": "log₁₀ of losses"}
    label = f"advantage over\nthe best baseline\n({' or '.join(units[metric] for metric in sorted(metrics))})"
    figure.colorbar(image, ax=axes, label=label, shrink=0.8).outline.set_visible(False)
    return figure


def advantage(record: EvaluationRecord | None) -> float:
    """The advantage over the best baseline: a difference of accuracies, or log₁₀ of the quotient of losses."""
    if record is None or record.curve_mean[-1] is None or record.paired_difference_mean is None:
        return float("nan")
    if record.metric == "accuracy":
        return record.paired_difference_mean
    return float(np.log10((record.curve_mean[-1] - record.paired_difference_mean) / record.curve_mean[-1]))


def _metric_title(record: EvaluationRecord) -> str:
    return "Accuracy on held-out examples" if record.metric == "accuracy" else "Loss on held-out examples"


def _titles(axes: Axes, title: str, subtitle: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, pad=22)
    axes.annotate(literal(subtitle), (0, 1), (0, 6), "axes fraction", "offset points", color=GREY, fontsize=9)


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])
